"""Runs of tasks/train.py in an environment full of secrets, and a search in every byte that they wrote."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.tiny import pairs, tiny_checkpoint


ROOT = Path(__file__).resolve().parents[2]

SECRETS = {
    "HF_TOKEN": "hf_UnmistakableTokenOfTheHub",
    "HUGGING_FACE_HUB_TOKEN": "hf_UnmistakableOldTokenOfTheHub",
    "OPENAI_API_KEY": "sk-UnmistakableKeyOfOpenAI",
    "ANTHROPIC_API_KEY": "UnmistakableKeyOfAnthropic",
    "WANDB_API_KEY": "00unmistakable00key00of00wandb0000000000",
    "MY_CLUSTER_TOKEN": "unmistakable-token-of-a-cluster",
}


class Home:
    """A home directory with a tiny model, data and a working directory."""

    def __init__(self, path: Path):
        self.path = path
        self.cwd = path / "project"
        self.cwd.mkdir(parents=True)
        self.model = tiny_checkpoint(path / "models" / "tiny", max_position_embeddings=512)
        self.data = self.cwd / "pairs.jsonl"
        pairs(24, reliability=[0.6, 0.8, 1.0] * 8).to_json(self.data)
        self.inputs = set(path.rglob("*"))

    def train(
        self,
        *updates: str,
        options: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        script: Path | None = None,
    ) -> subprocess.CompletedProcess:
        """Run tasks/train.py below the home directory, with an absolute path for everything."""
        known = {
            name: value for name, value in os.environ.items() if not name.startswith(("HF_HOME", "XDG_", "TRL_EXT"))
        }
        return subprocess.run(
            [
                sys.executable, str(script or ROOT / "tasks" / "train.py"), "with", f"model_name={self.model}",
                f"train_data_path={self.data}", f"eval_data_path={self.data}", f"output_dir={self.cwd}/out",
                "lora_last_layers=1", "trainer.max_steps=4", "trainer.logging_steps=1",
                "per_device_train_batch_size=4", "gradient_accumulation_steps=1", "eval_before_training=False",
                *updates, *options,
            ],
            cwd=self.cwd,
            env=known | SECRETS | {"HOME": str(self.path), "PYTHONPATH": _python_path()} | (env or {}),
            capture_output=True,
            text=True,
            timeout=600,
        )  # fmt: skip

    def written(self) -> list[Path]:
        """Every file that is new below the home directory."""
        return sorted(path for path in self.path.rglob("*") if path.is_file() and path not in self.inputs)

    def leaks(self, files: list[Path] | None = None) -> list[str]:
        """Where a secret or the path of the home directory stands, as "file: what"."""
        needles = {"home": str(self.path), **SECRETS}
        found = []
        for file in self.written() if files is None else files:
            contents = [file.read_bytes()]
            if zipfile.is_zipfile(file):  # checkpoints of torch
                with zipfile.ZipFile(file) as archive:
                    contents += [archive.read(name) for name in archive.namelist()]
            names = [
                name
                for name, needle in needles.items()
                for encoding in ("utf-8", "utf-16-le")
                if any(needle.encode(encoding) in content for content in contents)
            ]
            found += [f"{os.path.relpath(file, self.path)}: {name}" for name in names]
        return found


def _python_path() -> str:
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
