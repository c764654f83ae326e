"""Which files of a directory are published, and what must not be in them."""

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import get_token


# Pickles run code when they are loaded; checkpoints, logs and hidden files are of the training machine; tables may hold
# rows of the data, which are not for everyone because the model is
NEVER_UPLOADED = (
    *("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib", "*.npy", "*.npz", "*.tmp"),
    *("optimizer*", "scheduler*", "rng_state*", "checkpoint-*", "global_step*", "runs", "wandb", "__pycache__"),
    *(".*", "_*", "mlruns", "events.out.*", "training_run.json", "manifest.json", "pending_logs.json"),
    # reports quote training pairs, the others name annotators
    *("*.html", "data_health.json", "mislabels", "monitoring"),
    *("*.csv", "*.tsv", "*.jsonl", "*.parquet", "*.arrow", "*.h5", "*.gz", "*.zip", "*.log", "*.out", "*.pem", "id_*"),
)
# What decides how a repository is loaded: of an earlier model, it would be in the way of the new one
_REPLACED = (
    *("*.safetensors", "*.safetensors.index.json", "adapter_config.json", "pytorch_model*.bin*"),
    # an adapter's, of the weights they were fitted on
    *("reward_calibration.json", "reward_head.json", "reward_intervals.json"),
)
_WEIGHTS = re.compile(r"(model|adapter_model)(-\d+-of-\d+)?\.safetensors")
_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}")


def files_to_upload(folder: Path, exclude: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Relative paths of the files of a directory that are uploaded, and of those that are not."""
    uploaded, left_out = [], []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            (left_out if _is_excluded(name, exclude) else uploaded).append(name)
    return uploaded, left_out


def _is_excluded(name: str, exclude: Sequence[str]) -> bool:
    if any(fnmatch.fnmatch(name, pattern) for pattern in exclude):
        return True
    return any(fnmatch.fnmatch(part.lower(), pattern) for part in name.split("/") for pattern in NEVER_UPLOADED)


def check_has_weights(names: Sequence[str], folder: Path) -> None:
    """Raise a `ValueError` unless there are weights in safetensors files, and a configuration."""
    if not any(_WEIGHTS.fullmatch(name) for name in names):
        raise ValueError(
            f"{folder.name!r} has no model.safetensors and no adapter_model.safetensors. Weights in pickles "
            "(pytorch_model.bin) are never uploaded: load the model and save it with `save_pretrained`."
        )
    if not {"config.json", "adapter_config.json"}.intersection(names):
        raise ValueError(f"{folder.name!r} has neither config.json nor adapter_config.json: no one could load it")


def holds_token(content: bytes, token: str | None) -> bool:
    """Whether there is something that looks like an access token, or the one in use."""
    secrets = {value for value in (token, get_token()) if value}
    return _TOKEN.search(content) is not None or any(secret.encode() in content for secret in secrets)


def check_no_secrets(folder: Path, names: Sequence[str], token: str | None) -> None:
    """Raise a `ValueError` if a file holds an access token, or the home directory's path, which names the user."""
    home = str(Path.home()).encode()
    for name in names:
        path = folder / name
        # Of weights only the header is text
        content = _safetensors_header(path) if name.endswith(".safetensors") else path.read_bytes()
        if holds_token(content, token):
            raise ValueError(
                f"{name} holds a Hugging Face access token, and nothing was uploaded. Remove it from the file, and make "
                "the token invalid at https://huggingface.co/settings/tokens if the file was ever given away."
            )
        if len(home) > 1 and re.search(re.escape(home) + rb"(?![\w.-])", content):
            raise ValueError(
                f"{name} holds the path of your home directory, and nothing was uploaded. Remove it from the file, or "
                f"leave the file out: `push_reward_model(..., exclude=[{name!r}])`."
            )


def _safetensors_header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(int.from_bytes(file.read(8), "little"))


def files_to_remove(there: Sequence[str], names: Sequence[str]) -> list[str]:
    """Files at the top of a repository that would be loaded with, or instead of, the new model."""
    return [
        name
        for name in there
        if "/" not in name and name not in names and any(fnmatch.fnmatch(name, pattern) for pattern in _REPLACED)
    ]
