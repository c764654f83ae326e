"""Checks of numbers that annotator functions take."""

import numpy as np
from numpy.typing import ArrayLike


def in_range(values: ArrayLike, name: str, low: float, high: float, hint: str = "") -> np.ndarray:
    """`values` as float64 of any shape, all in [low, high]."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError(f"{name} is empty")
    flat = array.ravel()
    bad = np.flatnonzero(~((flat >= low) & (flat <= high)))
    if bad.size:
        where = f" in {bad.size} rows; first: row {bad[0]}, value" if array.ndim else ", got"
        raise ValueError(
            f"{name} must lie in [{low:g}, {high:g}]{', does not' if array.ndim else ''}{where} {flat[bad[0]]:g}."
            + (f" {hint}" if hint else "")
        )
    return array


def items_in_range(values: ArrayLike, name: str, low: float, high: float, hint: str = "") -> np.ndarray:
    """`values` as float64 of shape `(N,)`, all in [low, high]."""
    array = in_range(values, name, low, high, hint)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (N,), got {array.shape}")
    return array


def information_c(c: ArrayLike) -> np.ndarray:
    """A number, or values `(N,)` of items, in [−1, 1]."""
    array = in_range(c, "c", -1.0, 1.0)
    if array.ndim > 1:
        raise ValueError(f"c must be a number or have shape (N,), got {array.shape}")
    return array


def positive_c(c: float) -> float:
    """A c from which η can be learned."""
    _refuse_other_kinds(c, "c", "a number in (0, 1]")
    if np.ndim(c) != 0 or not 0.0 < c <= 1.0:
        raise ValueError(
            f"c must be a number in (0, 1], got {c}: at c = 0 agreement says nothing about eta. Below 0 the expert is "
            "wrong more often than right: swap the expert's labels and use -c."
        )
    return float(c)


def check_level(level: float, name: str = "level") -> None:
    _refuse_other_kinds(level, name, "a number strictly between 0 and 1")
    if np.ndim(level) != 0:
        raise ValueError(f"{name} must be one number, got an array of shape {np.shape(level)}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {level}")


def check_chance(chance: float) -> float:
    if not 0.0 < chance <= 0.5:
        raise ValueError(f"chance must lie in (0, 0.5], 1/K with K labels to choose from, got {chance}")
    return float(chance)


def as_counts(values: ArrayLike, name: str, least: int) -> np.ndarray:
    """Whole numbers of at least `least`, of any shape, as int64."""
    array = np.asarray(values)
    if array.size == 0:
        raise ValueError(f"{name} is empty")
    _refuse_other_kinds(values, name, f"whole numbers of at least {least}")
    flat = array.ravel()
    bad = ~np.isfinite(flat) | (flat != np.floor(flat)) | (flat < least)
    if bad.any():
        raise ValueError(f"{name} must be whole numbers of at least {least}, got {flat[bad][0]}")
    return array.astype(np.int64)


def as_count(value: int, name: str, least: int) -> int:
    """A single whole number of at least `least`."""
    if np.ndim(value) != 0:
        raise ValueError(f"{name} must be one whole number, got an array of shape {np.shape(value)}")
    return int(as_counts(value, name, least))


def plain(value: ArrayLike) -> float | np.ndarray:
    """A Python float for an array without axes."""
    return float(value) if np.ndim(value) == 0 else value


def _refuse_other_kinds(value: ArrayLike, name: str, wanted: str) -> None:
    if np.asarray(value).dtype.kind not in "biuf":
        raise TypeError(f"{name} must be {wanted}, got {value!r} ({type(value).__name__})")
