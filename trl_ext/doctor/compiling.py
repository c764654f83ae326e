"""What extensions of PyTorch are compiled with: a C++ compiler, ninja, Python's headers, the CUDA toolkit."""

import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

from .finding import MISSING, OK, Finding
from .machine import cuda_of_torch
from .probes import pip_install, run_program, shell_path


COMPILER = "c++"  # what PyTorch calls unless CXX says otherwise, whatever other compilers are there
_OTHERS = ("g++", "clang++")
# Package manager -> what installs a C++ compiler, and Python's headers
_MANAGERS = {
    "apt-get": (
        "apt-get update && {root}apt-get install g++",
        "apt-get update && {root}apt-get install python{v}-dev",
    ),
    "dnf": ("dnf install gcc-c++", "dnf install python3-devel"),
    "zypper": ("zypper install gcc-c++", "zypper install python3-devel"),
    "pacman": ("pacman -S gcc", "pacman -S python"),
    "apk": ("apk add g++", "apk add python3-dev"),
}


def check_compiler() -> Finding:
    """The compiler that PyTorch will call."""
    chosen = os.environ.get("CXX")
    if chosen and shutil.which(chosen.split()[0]) is None:
        return Finding("C++ compiler", MISSING, f"CXX={chosen} is not there", "unset CXX, or install it")
    name = chosen or COMPILER
    if shutil.which(name.split()[0]) is None:
        other = next((other for other in _OTHERS if shutil.which(other)), None)
        if other is None:
            return Finding("C++ compiler", MISSING, f"no {COMPILER} on PATH", _install_compiler())
        return Finding(
            "C++ compiler", MISSING, f"{other} is there, but PyTorch calls {COMPILER}, or what CXX names",
            f"export CXX={other}",
        )  # fmt: skip
    asked = run_program(*name.split(), "--version")
    if asked is None or asked.status:
        return Finding("C++ compiler", MISSING, f"{name} does not run", _install_compiler())
    return Finding("C++ compiler", OK, asked.output.splitlines()[0])


def _install_compiler() -> str:
    if sys.platform == "darwin":
        return "xcode-select --install"
    if (command := _of_system(0)) is not None:
        return command
    if shutil.which("conda"):
        return "conda install -c conda-forge cxx-compiler, then activate the environment again"
    return "install g++ or clang++ with what installs programs on this system"


def _of_system(what: int) -> str | None:
    """What installs something with the package manager of this system, as root."""
    root = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for manager, commands in _MANAGERS.items():
        if shutil.which(manager):
            return root + commands[what].format(root=root, v=version)
    return None


def check_ninja() -> Finding:
    """The program that runs the compiler."""
    path = shutil.which("ninja")
    if path is not None:
        asked = run_program(path, "--version")
        if asked is not None and not asked.status:
            return Finding("ninja", OK, asked.output.strip())
    folder = Path(sys.executable).parent
    add_folder = f'export PATH={shell_path(folder)}:"$PATH"'
    if (folder / "ninja").exists():
        return Finding(
            "ninja", MISSING, f"installed in {folder}, which is not on PATH: PyTorch looks there when it compiles", add_folder,
        )  # fmt: skip
    install = pip_install("ninja")
    on_path = str(folder) in os.environ.get("PATH", "").split(os.pathsep)
    return Finding("ninja", MISSING, "not on PATH", install if on_path else f"{install} && {add_folder}")


def check_headers() -> Finding:
    """Python's headers."""
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if header.is_file():
        return Finding("Python headers", OK, "Python.h")
    # The package manager's headers are those of the system's Python
    fix = _of_system(1) if sys.base_prefix == "/usr" else None
    anew = f"install the Python in {sys.base_prefix} anew, with its headers"
    return Finding("Python headers", MISSING, f"no Python.h in {header.parent}", fix or anew)


def check_toolkit() -> Finding:
    """The CUDA toolkit, against PyTorch's CUDA."""
    cuda = cuda_of_torch()
    if cuda is None:
        return Finding("CUDA toolkit", OK, "not needed: PyTorch is built for the CPU")
    home = _cuda_home()
    compiler = None if home is None else home / "bin" / "nvcc"
    if compiler is None or not compiler.exists():
        where = "no nvcc on PATH, no CUDA_HOME" if home is None else f"no bin/nvcc in {home}"
        return Finding(
            "CUDA toolkit", MISSING, f"{where}: it must be that of PyTorch, CUDA {cuda}",
            f"install the CUDA {cuda} toolkit, then export CUDA_HOME=/usr/local/cuda-{cuda}",
        )  # fmt: skip
    asked = run_program(str(compiler), "--version")
    release = re.search(r"release (\d+\.\d+)", "" if asked is None else asked.output)
    if release is None:
        return Finding(
            "CUDA toolkit", MISSING, f"{compiler} --version says nothing", f"reinstall the CUDA {cuda} toolkit"
        )
    if release[1].split(".")[0] != cuda.split(".")[0]:
        return Finding(
            "CUDA toolkit", MISSING, f"{release[1]} in {home}, and PyTorch is built with {cuda}: DeepSpeed refuses that",
            f"export CUDA_HOME=/usr/local/cuda-{cuda} (install that toolkit if it is not there)",
        )  # fmt: skip
    return Finding("CUDA toolkit", OK, f"{release[1]} in {home}, PyTorch {cuda}")


def _cuda_home() -> Path | None:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(name):
            return Path(os.environ[name])
    compiler = shutil.which("nvcc")
    if compiler is not None:
        return Path(compiler).resolve().parents[1]
    return Path("/usr/local/cuda") if Path("/usr/local/cuda").exists() else None
