"""The command line as a wheel installs it: without a checkout, and with nothing beside the package."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.processes import ROOT
from trl_ext import __version__


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Folder of the programs of an environment with the wheel; other packages are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # What git knows, so that nothing is built from leftovers, and nothing is left in the checkout
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "benchmarks/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    venv.create(folder / "env", with_pip=True)
    bin = folder / "env" / "bin"
    (site,) = (folder / "env" / "lib").glob("*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    # Its own setuptools, where venv brings one, is one that Sacred or torch can't use
    subprocess.run([str(bin / "python"), "-m", "pip", "uninstall", "--yes", "setuptools"], capture_output=True)
    (wheel,) = folder.glob("*.whl")
    install = [str(bin / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    names = {path.name for path in site.iterdir()}
    assert "trl_ext" in names and not names & {"tasks", "accelerate_configs", "tests", "benchmarks"}
    return bin


def run(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(installed / "trl-ext"), *words], cwd=cwd, env=kept, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
class TestWheel:
    def test_every_file_is_in_it(self, installed):
        (site,) = installed.parent.glob("lib/*/site-packages")
        tracked = subprocess.run(
            ["git", "ls-files", "trl_ext", "tasks", "accelerate_configs"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        missing = [
            name
            for name in tracked
            if not name.endswith(".md")
            and (ROOT / name).is_file()
            and not (site / name).is_file()
            and not (site / "trl_ext" / "_programs" / name).is_file()
        ]
        assert not missing

    def test_help_and_version(self, installed, tmp_path):
        assert run(installed, tmp_path, "--version").stdout == f"trl-ext {__version__}\n"
        assert "trl-ext COMMAND" in run(installed, tmp_path, "--help").stdout

    @pytest.mark.parametrize(
        "words",
        [("train",), ("evaluate",), ("evaluate", "lie"), ("audit", "attribute"), ("audit", "models"), ("monitor",)],
    )
    def test_the_scripts_are_there_and_show_their_keys(self, words, installed, tmp_path):
        result = run(installed, tmp_path, *words, "print_config")
        assert result.returncode == 0 and "Configuration" in result.stdout, result.stderr
        assert not any(tmp_path.iterdir()) or {path.name for path in tmp_path.iterdir()} == {"runs"}

    def test_configurations_of_accelerate_are_there(self, installed, tmp_path):
        result = run(installed, tmp_path, "--print-command", "train", "--config_file", "zero2", "a=1")
        assert "trl_ext/_programs/accelerate_configs/zero2.yaml" in result.stdout

    def test_a_script_runs_from_there(self, installed, tmp_path):
        result = run(installed, tmp_path, "monitor", "eta0=0.6")
        assert result.returncode == 0, result.stderr[-2000:]
        assert (tmp_path / "outputs" / "monitoring" / "eta.json").is_file() and (tmp_path / "runs" / "1").is_dir()

    def test_a_training_runs_from_there(self, installed, tmp_path):
        words = [
            "model_name=bundled:all-minilm-l6-v2",
            "use_peft=False",
            "train_last_layers=1",
            "train_dataset_size=16",
        ]
        words += ["trainer.max_steps=1", "eval_strategy=no", "eval_before_training=False", "verify_round_trip=False"]
        words += ["output_dir=out", "max_length=128"]
        result = run(installed, tmp_path, "train", *words)
        assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-2000:]
        assert (tmp_path / "out" / "results.json").is_file() and (tmp_path / "out" / "model.safetensors").is_file()

    def test_the_doctor(self, installed, tmp_path):
        result = run(installed, tmp_path, "doctor", "--for", "packages", "--for", "torch")
        assert result.returncode == 0, result.stdout
        assert "packages: Python and required packages (required)" in result.stdout
