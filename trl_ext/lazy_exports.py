"""Public names of packages, imported on first use: a package stays fast to import, whatever its modules need."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(package: str, exports: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """
    What a package's `__init__` needs to look names up late (PEP 562).

    Args:
        package (`str`):
            `__name__` of the package.
        exports (`Mapping[str, str]`):
            Public name -> the module that has it, below the package (`"statistics.means"`).

    Returns:
        `tuple[Callable, Callable]`: `__getattr__` and `__dir__` of the package.

    Example:
        ```python
        _EXPORTS = {"estimate_effects": "estimators.effects"}
        __all__ = sorted(_EXPORTS)
        __getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
        ```
    """

    def get(name: str) -> Any:
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{exports[name]}", package), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *exports})

    return get, names
