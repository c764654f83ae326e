"""flash-attn: whether it is there, whether it fits, and what is used instead."""

import importlib.metadata
import re
import sys
from dataclasses import replace

from .compiling import check_compiler, check_ninja, check_toolkit
from .finding import IMPOSSIBLE, MISSING, OK, Finding, run_checks
from .machine import cuda_of_torch
from .probes import find_gpus, installed_version, pip_install, requirement_of, run_python, torch_build


PACKAGE = "flash-attn"
CAPABILITY = (8, 0)  # Ampere
WHEELS = "https://github.com/Dao-AILab/flash-attention/releases"
INSTEAD = "PyTorch's own attention is used instead, with the same rewards"


def check_flash_attention(deep: bool) -> list[Finding]:
    """The GPU, the package, its build; what compiles it where it is missing."""
    found = run_checks(_gpu, _package)
    if any(one.state == IMPOSSIBLE for one in found) or found[-1].state == OK or cuda_of_torch() is None:
        return found
    # Of use to who compiles it: a wheel that fits needs none of them
    tools = run_checks(check_toolkit, check_compiler, check_ninja)
    return [*found, *(replace(one, name=f"to compile: {one.name}", needed=False) for one in tools)]


def _gpu() -> Finding:
    gpus = find_gpus()
    if not gpus:
        return Finding("GPU for flash-attn", IMPOSSIBLE, f"no NVIDIA GPU; {INSTEAD}")
    best = max(gpus, key=lambda gpu: gpu.capability)
    capability = ".".join(map(str, best.capability))
    if best.capability < CAPABILITY:
        return Finding(
            "GPU for flash-attn", IMPOSSIBLE, f"{best.name} has compute capability {capability}, below 8.0; {INSTEAD}"
        )
    return Finding("GPU for flash-attn", OK, f"{best.name}, compute capability {capability}")


def _package() -> Finding:
    version = installed_version(PACKAGE)
    if version is None:
        if not find_gpus():
            return Finding(PACKAGE, IMPOSSIBLE, "not installed, and of no use without a GPU")
        return Finding(
            PACKAGE, MISSING, f"not installed; {INSTEAD}, but for models with capped scores (Gemma 2)", _install()
        )
    if wrong := _other_build(version):
        return Finding(PACKAGE, MISSING, f"{version} is built for {wrong}; {INSTEAD}", _install())
    asked = run_python("import flash_attn")
    if asked is None or asked.status:
        why = "no answer" if asked is None else asked.last_error
        return Finding(PACKAGE, MISSING, f"{version} can't be imported: {why}; {INSTEAD}", _install())
    return Finding(PACKAGE, OK, version)


def _install() -> str:
    cuda = cuda_of_torch()
    if cuda is None:
        return "first a PyTorch built with CUDA: trl-ext doctor --for torch"
    torch = re.match(r"\d+\.\d+", torch_build()[0])[0]
    wanted = requirement_of(PACKAGE, PACKAGE)
    return (
        f"{pip_install(wanted, options=['--no-build-isolation'])} (compiles, with nvcc of CUDA {cuda}), or the wheel with "
        f"cu{cuda.split('.')[0]}torch{torch} and {_python_tag()} in its name from {WHEELS}"
    )


def _other_build(version: str) -> str:
    """What a wheel was built for, as far as its name tells, if that is not what is here."""
    found = []
    for line in (importlib.metadata.distribution(PACKAGE).read_text("WHEEL") or "").splitlines():
        tag = re.match(r"Tag: (cp3(\d+))-(\w+)-", line)
        later_too = tag is not None and tag[3] == "abi3" and int(tag[2]) <= sys.version_info.minor
        if tag and tag[1] != _python_tag() and not later_too:
            found.append(f"Python {tag[1]} ({_python_tag()} here)")
    cuda, local = cuda_of_torch(), version.partition("+")[2]
    if (built := re.search(r"torch(\d+\.\d+)", local)) and not torch_build()[0].startswith(f"{built[1]}."):
        found.append(f"torch {built[1]} ({torch_build()[0]} here)")
    if built := re.search(r"cu(\d+)", local):
        here = "none" if cuda is None else cuda.split(".")[0]
        if built[1][:2] != here:
            found.append(f"CUDA {built[1][:2]} ({'PyTorch for the CPU' if cuda is None else here} here)")
    return ", ".join(found)


def _python_tag() -> str:
    return f"cp{sys.version_info.major}{sys.version_info.minor}"
