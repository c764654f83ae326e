"""DeepSpeed: ZeRO, and ZeRO with the optimizer on the CPU."""

import os
import re
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from .finding import MISSING, OK, Finding, run_checks
from .machine import cuda_of_torch
from .probes import find_gpus, has_module, installed_version, pip_install, requirement_of, run_program, run_python


_COMPILERS = ("c++", "g++", "clang++")
# What DeepSpeed compiles for an optimizer on the CPU, in a folder that is removed
_COMPILE = """
import os
os.environ["TORCH_EXTENSIONS_DIR"] = {folder!r}
from deepspeed.ops.op_builder import CPUAdamBuilder
CPUAdamBuilder().load(verbose=False)
"""


def check_zero(deep: bool) -> list[Finding]:
    """ZeRO-1 to 3. Without a GPU, DeepSpeed compiles its communication, too."""
    return run_checks(_deepspeed, _imports, *(() if _on_gpu() else (_compiler, _ninja, _headers)))


def check_zero_offload(deep: bool) -> list[Finding]:
    """ZeRO with offload, whose optimizer DeepSpeed compiles."""
    return run_checks(
        *((_compiler, _ninja, _headers) if _on_gpu() else ()), _toolkit, _compiles if deep else _compiles_later
    )


def _on_gpu() -> bool:
    return cuda_of_torch() is not None and bool(find_gpus())


def _deepspeed() -> Finding:
    from packaging.requirements import Requirement

    wanted = requirement_of("deepspeed", "deepspeed")
    version = installed_version("deepspeed")
    if version is None:
        return Finding("deepspeed", MISSING, "not installed", pip_install(wanted, "ninja"))
    if not Requirement(wanted).specifier.contains(version, prereleases=True):
        return Finding("deepspeed", MISSING, f"{version}, needs {Requirement(wanted).specifier}", pip_install(wanted))
    return Finding("deepspeed", OK, version)


def _imports() -> Finding | None:
    if installed_version("deepspeed") is None:
        return None
    asked = run_python("import deepspeed")
    if asked is None:
        return Finding("import deepspeed", MISSING, "took longer than two minutes", "python -c 'import deepspeed'")
    if asked.status:
        fix = "" if "CUDA_HOME" not in asked.errors else "export CUDA_HOME=/usr/local/cuda"
        return Finding("import deepspeed", MISSING, asked.last_error, fix or "python -c 'import deepspeed'")
    return Finding("import deepspeed", OK, "works")


def _compiler() -> Finding:
    chosen = os.environ.get("CXX")
    if chosen and shutil.which(chosen.split()[0]) is None:
        return Finding("C++ compiler", MISSING, f"CXX={chosen} is not there", "unset CXX, or install it")
    name = chosen or next((name for name in _COMPILERS if shutil.which(name)), None)
    if name is None:
        return Finding("C++ compiler", MISSING, f"none of {', '.join(_COMPILERS)} on PATH", _install_compiler())
    asked = run_program(*name.split(), "--version")
    if asked is None or asked.status:
        return Finding("C++ compiler", MISSING, f"{name} does not run", _install_compiler())
    return Finding("C++ compiler", OK, asked.output.splitlines()[0])


def _install_compiler() -> str:
    if sys.platform == "darwin":
        return "xcode-select --install"
    if shutil.which("apt-get"):
        return "apt-get install g++"
    return "conda install -c conda-forge gxx"


def _ninja() -> Finding:
    path = shutil.which("ninja")
    if path is not None:
        asked = run_program(path, "--version")
        if asked is not None and not asked.status:
            return Finding("ninja", OK, asked.output.strip())
    beside = Path(sys.executable).with_name("ninja")
    if beside.exists():
        return Finding(
            "ninja",
            MISSING,
            f"installed in {beside.parent}, which is not on PATH: PyTorch looks there when it compiles",
            f'export PATH="{beside.parent}:$PATH"',
        )
    return Finding("ninja", MISSING, "not on PATH", pip_install("ninja"))


def _headers() -> Finding:
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if header.is_file():
        return Finding("Python headers", OK, "Python.h")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Finding("Python headers", MISSING, "no Python.h", f"apt-get install python{version}-dev")


def _toolkit() -> Finding:
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


def _compiles_later() -> Finding:
    return Finding("CPU Adam", OK, "not tried: `trl-ext doctor --deep` compiles it (a minute or more)", needed=False)


def _compiles() -> Finding:
    if not has_module("deepspeed"):
        return Finding("CPU Adam", MISSING, "needs deepspeed", pip_install(requirement_of("deepspeed", "deepspeed")))
    with tempfile.TemporaryDirectory() as folder:
        asked = run_python(_COMPILE.format(folder=folder), timeout=1800)
    if asked is None:
        return Finding(
            "CPU Adam", MISSING, "compiling took longer than half an hour", "look at the load of the machine"
        )
    if asked.status:
        return Finding("CPU Adam", MISSING, f"can't be compiled: {asked.last_error}", "see the rows above")
    return Finding("CPU Adam", OK, "compiled, and loaded")
