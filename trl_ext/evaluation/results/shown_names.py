"""Names of models for readers: paths of this machine stay out of what is published."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath

from ..rewardbench_layout.paths import model_name


def shown_names(models: Iterable[str]) -> dict[str, str]:
    """
    What models are called in tables: absolute paths by [`model_name`], or by as many parts as tell them apart;
    others as they are.

    Args:
        models (`Iterable[str]`):
            Hub ids, paths; several with `+` between for models that judge together.

    Example:
        ```python
        >>> shown_names(["org/rm", "/data/rm_a", "/data/x/rm", "/data/y/rm"])
        {'org/rm': 'org/rm', '/data/rm_a': 'rm_a', '/data/x/rm': 'x/rm', '/data/y/rm': 'y/rm'}
        ```
    """
    models = list(dict.fromkeys(models))
    names = {model: _shown(model, 1) for model in models}
    longest = max((len(re.split(r"[\\/]", model)) for model in models), default=0)
    for count in range(2, longest + 1):
        shown = list(names.values())
        names |= {model: _shown(model, count) for model, name in names.items() if shown.count(name) > 1}
    return names


def _shown(model: str, count: int) -> str:
    parts = model.split("+") if all(model.split("+")) else [model]
    if not any(map(_is_of_machine, parts)):
        return model
    return model_name(model) if count == 1 else "+".join(_tail(part, count) for part in parts)


def _is_of_machine(model: str) -> bool:
    path = model.strip()
    return path.startswith("~") or PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()


def _tail(path: str, count: int) -> str:
    parts = [part for part in re.split(r"[\\/]", path.strip()) if part not in ("", ".", "~")]
    return "/".join(parts[-count:])
