"""Random choices that depend on what they are made for, not on when."""

import hashlib
import json
import math
from typing import Any

import numpy as np


def keyed_rng(seed: int, *key: Any) -> np.random.Generator:
    """A generator for a seed and a key of plain JSON types: the same key always gives the same numbers."""
    digest = hashlib.sha256(json.dumps([seed, *key]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def check_probability(value: Any, name: str, low: float = 0.0) -> float:
    """A number in [low, 1], or an error that names it."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= 1:
        raise ValueError(f"`{name}` must be a number in [{low:g}, 1], got {value!r}")
    return float(value)
