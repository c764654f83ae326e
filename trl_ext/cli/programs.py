"""Where the programs behind the commands are: those of the checkout, or those that the wheel brings along."""

import sys
from pathlib import Path

from .usage import UsageError, did_you_mean


_PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = "accelerate_configs"


def programs_root() -> Path:
    """
    The folder that holds `tasks/` and `accelerate_configs/`.

    In a checkout, also one that is installed as editable, this is the checkout. A wheel has them in
    `trl_ext/_programs/`, so that no package called `tasks` lies among those of others.

    Raises:
        UsageError: There is neither.
    """
    for root in (_PACKAGE / "_programs", _PACKAGE.parent):
        if (root / "tasks" / "train.py").is_file() and (root / CONFIGS).is_dir():
            return root
    raise UsageError(
        "the scripts of trl_ext (tasks/, accelerate_configs/) are neither in the package nor beside it: install trl_ext "
        "again from a wheel or a checkout"
    )


def script_command(script: str) -> list[str]:
    """The command that runs a script of `tasks/`, such as `tasks/train.py`."""
    return [sys.executable, str(_existing(programs_root() / script, script))]


def module_command(module: str) -> list[str]:
    """The command that runs a package of ours, such as `trl_ext.scoring`."""
    name = f"{module.replace('.', '/')}/__main__.py"
    _existing(_PACKAGE.parent / name, name)
    return [sys.executable, "-m", module]


def accelerate_config(name: str) -> str:
    """
    Path of a configuration of `accelerate launch`: a file, or the name of one of ours, such as `zero2`.

    Raises:
        UsageError: There is no such file.
    """
    if Path(name).expanduser().is_file():
        return str(Path(name).expanduser())
    folder = programs_root() / CONFIGS
    ours = folder / f"{name.removesuffix('.yaml')}.yaml"
    if ours.parent == folder and ours.is_file():
        return str(ours)
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    raise UsageError(
        f"--config_file {name}: there is no such file, and no configuration of ours of that name "
        f"({', '.join(known)}).{did_you_mean(name, known)}"
    )


def _existing(path: Path, name: str) -> Path:
    if not path.is_file():
        from ..version import __version__

        raise UsageError(
            f"this installation of trl_ext ({__version__}) has no {name}, which the command runs: update it"
        )
    return path
