"""DeepSpeed: ZeRO, and ZeRO with the optimizer on the CPU."""

import re
import tempfile

from .compiling import check_compiler, check_headers, check_ninja, check_toolkit
from .finding import MISSING, OK, UNKNOWN, Finding, run_checks
from .machine import cuda_of_torch
from .probes import (
    as_requirement,
    find_gpus,
    has_module,
    installed_version,
    pip_install,
    requirement_of,
    run_python,
    this_python,
)


# What DeepSpeed compiles for an optimizer on the CPU, in a folder that is removed
_COMPILE = """
import os
os.environ["TORCH_EXTENSIONS_DIR"] = {folder!r}
from deepspeed.ops.op_builder import CPUAdamBuilder
CPUAdamBuilder().load(verbose=False)
"""
_COMPILERS = (check_compiler, check_ninja, check_headers)


def check_zero(deep: bool) -> list[Finding]:
    """ZeRO-1 to 3. Without a GPU, DeepSpeed compiles its communication, too."""
    return run_checks(_deepspeed, _imports, *(() if _on_gpu() else _COMPILERS))


def check_zero_offload(deep: bool) -> list[Finding]:
    """ZeRO with offload, whose optimizer DeepSpeed compiles."""
    return run_checks(*(_COMPILERS if _on_gpu() else ()), check_toolkit, _compiles if deep else _compiles_later)


def _on_gpu() -> bool:
    return cuda_of_torch() is not None and bool(find_gpus())


def _deepspeed() -> Finding:
    wanted = requirement_of("deepspeed", "deepspeed")
    version = installed_version("deepspeed")
    if version is None:
        return Finding("deepspeed", MISSING, "not installed", pip_install(wanted, "ninja"))
    bounds = as_requirement(wanted).specifier
    if not bounds.contains(version, prereleases=True):
        return Finding("deepspeed", MISSING, f"{version}, needs {bounds}", pip_install(wanted))
    return Finding("deepspeed", OK, version)


def _imports() -> Finding | None:
    if installed_version("deepspeed") is None:
        return None
    asked = run_python("import deepspeed")
    if asked is None:
        alone = f"{this_python()} -c 'import deepspeed' shows where it hangs, at Ctrl-C"
        return Finding("import deepspeed", MISSING, "took longer than two minutes", alone)
    if asked.status:
        return Finding("import deepspeed", MISSING, asked.last_error, _mend_import(asked.errors))
    return Finding("import deepspeed", OK, "works")


def _mend_import(errors: str) -> str:
    if "CUDA_HOME" in errors:
        toolkit = check_toolkit()
        return toolkit.fix or "export CUDA_HOME=/usr/local/cuda"
    if absent := re.search(r"No module named '(\w+)'", errors):
        return pip_install(absent[1])
    return pip_install(requirement_of("deepspeed", "deepspeed"), options=["--force-reinstall", "--no-deps"])


def _compiles_later() -> Finding:
    return Finding(
        "CPU Adam", UNKNOWN, "`trl-ext doctor --for zero-offload --deep` compiles it (a minute or more)", needed=False
    )


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
        return Finding("CPU Adam", MISSING, f"can't be compiled: {asked.last_error}", _where_to_look(asked.errors))
    return Finding("CPU Adam", OK, "compiled, and loaded")


def _where_to_look(errors: str) -> str:
    first = next((line.strip() for line in errors.splitlines() if "error:" in line or "Error" in line), None)
    rows = "what the rows above lack"
    return rows if first is None else f"{rows}; if they lack nothing, what the compiler said first: {first[:200]}"
