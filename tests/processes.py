"""Launch scripts in several real processes, and end them."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
ONE_PROCESS = "cpu.yaml"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def launch_command(config: str | Path, *command: str | Path) -> list[str]:
    """
    The command that starts a script by `accelerate launch` under one of `accelerate_configs/`, or another file.

    One process needs no launcher, which takes seconds to start: `ACCELERATE_USE_CPU` says all that the file says.
    """
    if config == ONE_PROCESS:
        return [sys.executable, *map(str, command)]
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    options = ["--config_file", str(ROOT / "accelerate_configs" / config), "--main_process_port", str(free_port())]
    return [*launcher, *options, *map(str, command)]


def search_path() -> str:
    """Where programs are looked for: with those of this environment, `ninja` among them."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def environment(**more: str) -> dict[str, str]:
    """The environment of a process of a test: one thread, and the modules of this checkout."""
    modules = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": modules, "PATH": search_path()} | more


def launch(config: str | Path, *command: str | Path, timeout: float = 300, cwd: Path | None = None, **variables: str):
    """Run it in `cwd`, with `variables` in its environment, and raise with the end of its error output if it fails."""
    result = subprocess.run(
        launch_command(config, *command),
        cwd=cwd,
        env=environment(**({"ACCELERATE_USE_CPU": "true"} if config == ONE_PROCESS else {}), **variables),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result


def skip_without_compiler(config: str) -> None:
    """Skip the test if `config` is one of DeepSpeed and DeepSpeed can't run here."""
    if "zero" not in config:
        return
    if importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed: pip install 'trl_ext[deepspeed]'")
    if shutil.which("c++") is None or shutil.which("ninja", path=search_path()) is None:
        pytest.skip("deepspeed compiles its communication on CPUs, and there is no C++ compiler or no ninja")


def leave(accelerator) -> None:
    """
    End a process of a test script at once.

    A thread of gloo may still hold the result of the last collective, a Python object. If the interpreter is being
    taken down when it lets go of it, the process aborts: a matter of milliseconds, after all is done.
    """
    accelerator.wait_for_everyone()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
