"""What statistics take: finite values, labels of clusters, and confidence levels. All are checked here."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def as_finite(values: ArrayLike, name: str) -> np.ndarray:
    """Values of shape `(N,)` in float64; `ValueError` with the first bad row if there are none, or not all are finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (N,), got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(
            f"{name} has {bad.size} values that are not finite; first: row {bad[0]}, value {array[bad[0]]}"
        )
    return array


def cluster_codes(clusters: ArrayLike, n: int) -> tuple[np.ndarray, int]:
    """Labels -> codes 0..G-1 and G."""
    labels = as_labels(clusters)
    if labels.shape != (n,):
        raise ValueError(f"clusters must have one label per row, shape ({n},), got {labels.shape}")
    missing = np.flatnonzero(pd.isna(labels))
    if missing.size:
        raise ValueError(f"clusters has {missing.size} missing labels; first: row {missing[0]}")
    try:
        unique, codes = np.unique(labels, return_inverse=True)
    except TypeError:  # labels of several kinds have no order
        codes, unique = pd.factorize(labels)
    return codes, len(unique)


def as_labels(clusters: ArrayLike) -> np.ndarray:
    """Labels as they are: numpy would make text of a list that holds text and numbers, or text and NaN."""
    return np.array(clusters, dtype=object) if isinstance(clusters, list | tuple) else np.asarray(clusters)


def check_level(level: float) -> None:
    """`ValueError` unless it is a confidence level."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
