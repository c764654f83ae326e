"""The machine: PyTorch's build, GPUs, cores, memory, disk."""

import os
import shutil
from pathlib import Path

from .finding import IMPOSSIBLE, MISSING, OK, Finding, run_checks
from .packages import SETUPTOOLS
from .probes import find_gpus, pip_install, requirements, run_python, torch_build


_GIB = 2**30
LITTLE_DISK = 5 * _GIB  # a small reward model with its checkpoints
BF16_CAPABILITY = (8, 0)


def check_torch(deep: bool) -> list[Finding]:
    """Whether PyTorch can be imported, what it was built for, and whether that fits the machine."""
    return run_checks(_torch)


def _torch() -> Finding:
    asked = run_python("import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available())")
    wanted = [str(one) for one in requirements() if one.name == "torch"]
    # All that it needs is installed anew with it: without the bound, a setuptools that Sacred can't use
    install = pip_install(wanted[0] if wanted else "torch", SETUPTOOLS, options=["--force-reinstall"])
    if asked is None or asked.status:
        why = "it took too long" if asked is None else asked.last_error
        return Finding("PyTorch", MISSING, f"can't be imported: {why}", install)
    version, cuda, available = asked.output.split()[-3:]
    gpus = find_gpus()
    if cuda == "None" and gpus:
        return Finding(
            "PyTorch", MISSING, f"{version} is built for the CPU, and there is a GPU ({gpus[0].name})",
            f"{install} --index-url https://pypi.org/simple",
            needed=False,
        )  # fmt: skip
    if cuda != "None" and gpus and available != "True":
        return Finding(
            "PyTorch", MISSING, f"{version} (CUDA {cuda}) does not reach the GPU with driver {gpus[0].driver}",
            f"a newer NVIDIA driver for CUDA {cuda}, or an older build of PyTorch; is CUDA_VISIBLE_DEVICES set?",
            needed=False,
        )  # fmt: skip
    return Finding("PyTorch", OK, f"{version}, " + ("for the CPU" if cuda == "None" else f"CUDA {cuda}"))


def check_machine(deep: bool) -> list[Finding]:
    """GPUs, cores, memory and disk."""
    return run_checks(_gpus, _cores, _memory, _disk)


def _gpus() -> list[Finding]:
    gpus = find_gpus()
    if not gpus:
        return [
            Finding(
                "GPU", IMPOSSIBLE, "no NVIDIA GPU: small models train on the CPU, in minutes to hours", needed=False
            )
        ]
    return [
        Finding(
            f"GPU {number}",
            OK,
            f"{gpu.name}, {gpu.memory_mib / 1024:.0f} GiB, driver {gpu.driver}, compute capability "
            f"{'.'.join(map(str, gpu.capability))}, bf16 {'yes' if gpu.capability >= BF16_CAPABILITY else 'no'}",
            needed=False,
        )
        for number, gpu in enumerate(gpus)
    ]


def _cores() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding("CPU", OK, f"{usable} cores", needed=False)


def _memory() -> Finding | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return Finding(
        "memory", OK, f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / _GIB:.1f} GiB", needed=False
    )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    if free < LITTLE_DISK:
        return Finding(
            "disk", MISSING, f"{free / _GIB:.1f} GiB free here: a run writes a model and its checkpoints",
            "free some space, or set output_dir on another disk", needed=False,
        )  # fmt: skip
    return Finding("disk", OK, f"{free / _GIB:.0f} GiB free here", needed=False)


def cuda_of_torch() -> str | None:
    """Version of the CUDA that PyTorch was built with; `None` for a build for the CPU, or none at all."""
    try:
        return torch_build()[1]
    except ImportError:
        return None
