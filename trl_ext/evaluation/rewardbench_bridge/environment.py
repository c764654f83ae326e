"""The genuine rewardbench in an environment of its own, because its dependencies exclude today's TRL and transformers."""

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from ...atomic_files import atomic_path
from ...privacy import hide_home


logger = logging.getLogger(__name__)

REQUIREMENT = "rewardbench==0.1.4"
# rewardbench 0.1.4 imports pkg_resources, which setuptools 81 removed, and names no version of torch
CONSTRAINTS = ("torch==2.13.0", "setuptools<81")
LAUNCHER = Path(__file__).with_name("launch_genuine.py")
_READY = "ready.json"
_LOG = "install.log"


class RewardBenchEnvironment:
    """
    A virtual environment with the genuine rewardbench 0.1.4.

    Args:
        path (`str` or `Path`):
            Folder of the environment.
        python (`str`, *optional*):
            Python executable that makes it. By default the one that runs this.

    Example:
        ```python
        >>> environment = RewardBenchEnvironment("~/.cache/trl_ext/rewardbench")
        >>> environment.create()  # 1.7 GB with PyTorch for the CPU
        >>> environment.versions()["transformers"]
        '4.51.0'
        ```
    """

    def __init__(self, path: str | Path, python: str | None = None):
        self.path = Path(path).expanduser().absolute()
        self.base_python = sys.executable if python is None else python

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return self.path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def is_ready(self) -> bool:
        """Whether the environment is complete: made by [`create`], or by hand and found to work."""
        try:
            return bool(self.versions())
        except RuntimeError:
            return False

    def versions(self) -> dict[str, str]:
        """
        Versions of Python and of the packages that matter; the first time they are asked of the environment itself.

        Raises:
            RuntimeError: The environment is absent or does not work.
        """
        ready = self.path / _READY
        if ready.exists() and self.python.exists():
            return json.loads(ready.read_text(encoding="utf-8"))
        return self.ask_versions()

    def ask_versions(self) -> dict[str, str]:
        """
        [`versions`], asked of the environment itself: packages may have been removed since, or the Python it was made of.

        Raises:
            RuntimeError: The environment is absent or does not work.
        """
        if not self.python.exists():
            raise RuntimeError(f"there is no environment in {hide_home(self.path)}: make it with create()")
        # Their Python finds their packages only
        try:
            done = subprocess.run(
                [str(self.python), "-s", str(LAUNCHER), "versions"],
                capture_output=True,
                text=True,
                env=clean_environment({"CUDA_VISIBLE_DEVICES": ""}),
            )
        except OSError as error:
            raise RuntimeError(f"{hide_home(self.python)} can't be run: {error.strerror}") from error
        if done.returncode:
            raise RuntimeError(f"rewardbench in {hide_home(self.path)} does not work:\n{_last_lines(done.stderr)}")
        versions = json.loads(done.stdout.splitlines()[-1])
        if versions["rewardbench"] != REQUIREMENT.partition("==")[2]:
            raise RuntimeError(f"{hide_home(self.path)} has rewardbench {versions['rewardbench']}, not {REQUIREMENT}")
        with (
            contextlib.suppress(PermissionError),
            atomic_path(self.path / _READY) as temporary,
        ):  # it may be someone else's
            temporary.write_text(json.dumps(versions, indent=2), encoding="utf-8")
        return versions

    def create(self, *, pip_arguments: Sequence[str] = (), progress: bool = True) -> dict[str, str]:
        """
        Make the environment and install rewardbench 0.1.4, unless it is there.

        What was interrupted is continued; a half-made environment that can't be is made anew. A folder that holds
        something else is left alone.

        Args:
            pip_arguments (`Sequence[str]`, *optional*):
                Further arguments of `pip install`, such as `["--index-url", "..."]`, or `["--find-links", "wheels",
                "--no-index"]` without network.
            progress (`bool`, *optional*, defaults to `True`):
                Show a progress bar.

        Returns:
            `dict[str, str]`: [`versions`].

        Raises:
            ValueError: The folder holds something else.
            RuntimeError: The installation failed; the message ends with what pip said.
        """
        with contextlib.suppress(RuntimeError):
            return self.ask_versions()
        if not self.can_be_made():
            raise ValueError(f"{hide_home(self.path)} holds something else; choose another folder")
        if self._is_ours() and not self._runs("-m", "pip", "--version"):
            logger.info("Removing the half-made environment in %s.", hide_home(self.path))
            shutil.rmtree(self.path)
        continued = self.python.exists()
        if not continued:
            self.path.mkdir(parents=True, exist_ok=True)
            self._step(self.base_python, ["-m", "venv", str(self.path)], progress=False)
        constraints = self.path / "constraints.txt"
        constraints.write_text("\n".join(CONSTRAINTS) + "\n", encoding="utf-8")
        install = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-c", str(constraints)]
        install += [*pip_arguments, "setuptools", "torch", REQUIREMENT]
        logger.info("Installing %s in %s: a few minutes, 2 GB and more.", REQUIREMENT, hide_home(self.path))
        self._step(str(self.python), install, progress=progress)
        try:
            return self.ask_versions()
        except RuntimeError:
            if not continued:
                raise
        logger.warning("What was installed before does not work: everything is installed anew.")
        shutil.rmtree(self.path)
        return self.create(pip_arguments=pip_arguments, progress=progress)

    def can_be_made(self) -> bool:
        """Whether [`create`] may write to the folder: there is nothing in it, or what `create` began."""
        return not self.path.exists() or not any(self.path.iterdir()) or self._is_ours()

    def _is_ours(self) -> bool:
        """Whether [`create`] began it: an environment of someone else's is neither changed nor removed."""
        return (self.path / _LOG).exists()

    def _runs(self, *arguments: str) -> bool:
        try:
            return not subprocess.run([str(self.python), *arguments], capture_output=True).returncode
        except OSError:
            return False

    def _step(self, python: str, arguments: list[str], progress: bool) -> None:
        """Run a command whose output goes to `install.log`, with a bar that counts what pip collects."""
        log = self.path / _LOG
        try:
            process = subprocess.Popen(
                [python, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=clean_environment(),
            )
        except OSError as error:
            raise RuntimeError(f"{python} can't be run: {error}; choose another `python`") from error
        try:
            with log.open("a", encoding="utf-8") as file, tqdm(disable=not progress, unit=" packages") as bar:
                for line in process.stdout:
                    file.write(line)
                    if line.startswith("Collecting "):
                        bar.update()
                        bar.set_description_str(line.split()[1])
                    elif line.startswith("Installing collected"):
                        bar.set_description_str("installing")
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        if code:
            raise RuntimeError(
                f"the environment of rewardbench in {hide_home(self.path)} can't be made ({arguments[1]} ended with {code}; "
                "it needs the network, or `pip_arguments` that name a folder of wheels; the same call continues):\n"
                f"{_last_lines(log.read_text(encoding='utf-8'))}"
            )


def clean_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Variables for another Python: without those that show it our packages."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept | {"PYTHONNOUSERSITE": "1"} | (extra or {})


def _last_lines(text: str, count: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-count:])
