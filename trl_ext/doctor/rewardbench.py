"""The environment of the genuine rewardbench, which can't share ours."""

import os
import shutil
from pathlib import Path

from ..data.bundled import cache_directory
from ..privacy import hide_home
from .finding import IMPOSSIBLE, MISSING, OK, Finding, run_checks
from .probes import shell_path, this_python


VARIABLE = "TRL_EXT_REWARDBENCH_ENV"
_SPACE = 2 * 2**30


def check_rewardbench(deep: bool) -> list[Finding]:
    """The environment and the versions in it."""
    return run_checks(_environment)


def _environment() -> Finding:
    from ..evaluation.rewardbench_bridge import RewardBenchEnvironment

    environment = RewardBenchEnvironment(_place())
    place = hide_home(str(environment.path))
    make = _make(environment.path)
    if not environment.can_be_made():
        other = _other_place(environment.path)
        make = f"{_make(other)} && export {VARIABLE}={shell_path(other)}"
    if not environment.python.exists():
        free = shutil.disk_usage(_existing(environment.path)).free
        if free < _SPACE:
            return Finding(
                "rewardbench bridge", IMPOSSIBLE, f"no environment in {place}, and {free / 2**30:.1f} GiB free of the 2 it needs",
                f"{make} (on another disk: set {VARIABLE})",
            )  # fmt: skip
        return Finding("rewardbench bridge", MISSING, f"no environment in {place}", make)
    try:
        versions = environment.ask_versions()
    except RuntimeError as error:
        return Finding("rewardbench bridge", MISSING, str(error).replace("\n", " ")[:300], make)
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Finding("rewardbench bridge", OK, f"{place}: {shown}")


def _make(place: Path) -> str:
    command = "-m trl_ext.evaluation.rewardbench_bridge --environment"
    return f"{this_python()} {command} {shell_path(place)} --create"


def _place() -> Path:
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    folders = _folders()
    return next((folder for folder in folders if folder.exists()), folders[0])


def _other_place(taken: Path) -> Path:
    """Where an environment can be made, if not in a folder that holds something else."""
    from ..evaluation.rewardbench_bridge import RewardBenchEnvironment

    folders = [*_folders(), taken.with_name(f"{taken.name}-0.1.4")]
    return next((one for one in folders if one != taken and RewardBenchEnvironment(one).can_be_made()), folders[-1])


def _folders() -> list[Path]:
    return [cache_directory() / name for name in ("rewardbench", "rewardbench-0.1.4")]


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
