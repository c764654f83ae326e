"""How the machine is asked: other programs, and versions of packages."""

import functools
import importlib.metadata
import importlib.util
import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..privacy import hide_home


PACKAGE = "trl_ext"


@dataclass(frozen=True)
class Gpu:
    """
    A GPU as its driver describes it.

    Args:
        name (`str`): Name.
        memory_mib (`int`): Memory in MiB.
        driver (`str`): Version of the driver.
        capability (`tuple[int, int]`): Compute capability.
    """

    name: str
    memory_mib: int
    driver: str
    capability: tuple[int, int]


@dataclass(frozen=True)
class Ended:
    """
    A program that has ended.

    Args:
        status (`int`): Exit status.
        output (`str`): Standard output.
        errors (`str`): Standard error.
    """

    status: int
    output: str
    errors: str

    @property
    def last_error(self) -> str:
        """The line that says why."""
        lines = [line.strip() for line in (self.errors or self.output).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.status}"


def run_program(*command: str, timeout: float = 20) -> Ended | None:
    """
    Run a program; `None` if there is none of that name, or it does not answer in `timeout` seconds.

    It is ended with all that it has started, such as compilers.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=os.name == "posix",
        )
    except OSError:
        return None
    with process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                _end(process)
    return Ended(process.returncode, output, errors)


def _end(process: subprocess.Popen) -> None:
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def run_python(code: str, timeout: float = 120) -> Ended | None:
    """Run code in a Python of its own: what it imports, prints and breaks stays there."""
    return run_program(sys.executable, "-W", "ignore", "-c", code, timeout=timeout)


def find_gpus() -> list[Gpu]:
    """NVIDIA GPUs of this machine, whether PyTorch can use them or not."""
    fields = "name,memory.total,driver_version,compute_cap"
    asked = run_program("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits")
    if asked is None or asked.status:
        return []
    rows = [[part.strip() for part in line.split(",")] for line in asked.output.splitlines() if line.strip()]
    return [
        Gpu(name, int(float(memory)), driver, tuple(map(int, capability.split("."))))
        for name, memory, driver, capability in rows
    ]


@functools.cache
def torch_build() -> tuple[str, str | None]:
    """
    Version of PyTorch, and of the CUDA it was built with, if any: from its file of versions, as importing it takes seconds.

    Raises:
        ImportError: It is not installed.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise ImportError("PyTorch is not installed")
    versions = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    return versions["__version__"], versions["cuda"]


def has_module(name: str) -> bool:
    """Whether a module can be imported, as far as can be told without importing it."""
    return importlib.util.find_spec(name) is not None


def installed_version(package: str) -> str | None:
    """Version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirements(extra: str | None = None) -> list:
    """
    What this package requires, by the record of its installation: without extras, or what an extra adds.

    Returns:
        `list[packaging.requirements.Requirement]`
    """
    every = [as_requirement(text) for text in importlib.metadata.requires(PACKAGE) or ()]
    environment = {"extra": extra or ""}
    return [one for one in every if _extras(one) == (extra is not None) and _applies(one, environment)]


def requirement_of(package: str, extra: str) -> str:
    """The requirement on a package as pip takes it, such as `deepspeed>=0.19.8`; its name if there is no record."""
    try:
        found = [one for one in requirements(extra) if one.name == package]
    except importlib.metadata.PackageNotFoundError:
        found = []
    return f"{found[0].name}{found[0].specifier}" if found else package


def as_requirement(text: str):
    """
    A requirement that is parsed, by pip's own copy of `packaging` where that is not installed.

    Returns:
        `packaging.requirements.Requirement`
    """
    try:
        from packaging.requirements import Requirement
    except ImportError:
        from pip._vendor.packaging.requirements import Requirement
    return Requirement(text)


def pip_install(*requirements: str, options: Sequence[str] = ()) -> str:
    """The command that installs packages into the environment of this Python."""
    quoted = [f"'{one}'" if any(sign in one for sign in "<>=! ") else one for one in requirements]
    return " ".join([f"{this_python()} -m pip install", *options, *quoted])


def of_this_python(command: str) -> str:
    """A command with `pip install`, for the environment of this Python."""
    return command.replace("pip install", f"{this_python()} -m pip install")


def this_python() -> str:
    """How a shell calls this Python: `python` where that is this one, else its path."""
    found = shutil.which("python")
    # A link to the Python of an environment is that environment's only in its folder
    if found is not None and Path(found).absolute().parent == Path(sys.executable).absolute().parent:
        return "python"
    return shell_path(sys.executable)


def shell_path(path: str | Path) -> str:
    """A path as a shell takes it, quoted where it must be; the home directory as `~`, which a shell takes, too."""
    text = hide_home(str(path))
    if text == "~":
        return text
    return f"~/{shlex.quote(text[2:])}" if text.startswith("~/") else shlex.quote(text)


def _extras(requirement) -> bool:
    return "extra" in str(requirement.marker or "")


def _applies(requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)
