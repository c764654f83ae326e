"""Corruption as the program of the annotators' paper does it, to compare with: it shrinks probabilities, then flips too."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from ._checks import in_range, items_in_range, plain
from .model import preference_label_probability


if TYPE_CHECKING:
    from datasets import Dataset

LEGACY_COLUMNS = ("chosen_score", "rejected_score", "preference_score")
_SMALLEST_PROBABILITY = 1e-6


def corrupt_preferences_legacy(dataset: "Dataset", eta: float, *, seed: int = 42) -> "Dataset":
    r"""
    Corrupt oracle scores as the original's downstream experiment does. Use [`corrupt_preferences`] for anything but
    comparisons with it.

    The score difference of a pair becomes the logit of \( \eta p + (1-\eta)/2 \), and its sign is reversed with probability
    1 − η on top of that. Either alone would be the annotator model; together they scale \( P - \tfrac12 \) by
    \( \eta(2\eta-1) \) instead of η ([`effective_attenuation`]), so that below η = ½ labels say the opposite of the truth.

    Args:
        dataset ([`~datasets.Dataset`]):
            Rows with `chosen_score` and `rejected_score` (finite) and `preference_score`, P(chosen is better) in [0, 1].
        eta (`float`):
            Parameter η in [0, 1].
        seed (`int`, *optional*, defaults to `42`):
            Seed; one uniform number for each row, in order, and a reversal where it exceeds η.

    Returns:
        [`~datasets.Dataset`]: the same rows; `chosen_score` and `rejected_score` with the new difference about their old
        mean, `preference_score`, limited to [1e-6, 1 − 1e-6], and `label`, 1 where it exceeds ½ and 0 elsewhere, ties
        included. Texts aren't swapped.

    Raises:
        ValueError: Missing columns or values out of range.

    Example:
        ```python
        >>> from datasets import Dataset
        >>> from trl_ext.annotators import corrupt_preferences_legacy
        >>> rows = Dataset.from_dict({"chosen_score": [2.0], "rejected_score": [0.0], "preference_score": [0.880797]})
        >>> corrupt_preferences_legacy(rows, eta=0.75)["preference_score"][:]  # 0.785598, reversed
        [0.21440225]
        ```
    """
    missing = [column for column in LEGACY_COLUMNS if column not in dataset.column_names]
    if missing:
        raise ValueError(f"dataset has no columns {missing}; its columns are {dataset.column_names}")
    in_range(eta, "eta", 0, 1)
    limits = np.finfo(np.float64)
    chosen, rejected = (
        items_in_range(dataset[column][:], f"column '{column}'", limits.min, limits.max)
        for column in LEGACY_COLUMNS[:2]
    )
    p = items_in_range(dataset["preference_score"][:], "column 'preference_score'", 0, 1)
    noisy = np.clip(preference_label_probability(p, eta), _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    reversed_ = np.random.default_rng(seed).random(p.size) > eta
    gap = np.where(reversed_, -1.0, 1.0) * logit(noisy)
    mean = (chosen + rejected) / 2
    made = {
        "chosen_score": mean + gap / 2,
        "rejected_score": mean - gap / 2,
        "preference_score": expit(gap),
        "label": (gap > 0).astype(np.int64),
    }
    for column, values in made.items():
        if column in dataset.column_names:
            dataset = dataset.remove_columns(column)
        dataset = dataset.add_column(column, values)
    return dataset


def effective_attenuation(eta: ArrayLike, mode: Literal["model", "legacy"] = "model") -> float | np.ndarray:
    r"""
    Factor by which corruption brings the mean label nearer to one half: E[label] − ½ is this times p − ½.

    In the annotator model it is η. The original shrinks the probability by η and then reverses it with probability 1 − η:
    \( \eta(2\eta-1) \), which is 0 at ½ and negative below.

    Args:
        eta (`array_like`):
            Parameter η in [0, 1].
        mode (`"model"` or `"legacy"`, *optional*, defaults to `"model"`):
            [`corrupt_preferences`] and [`corrupt_labels`], or [`corrupt_preferences_legacy`].

    Returns:
        `float` or `np.ndarray`: the factor, in the shape of `eta`.

    Raises:
        ValueError: η out of range or an unknown mode.

    Example:
        ```python
        >>> from trl_ext.annotators import effective_attenuation
        >>> effective_attenuation([0.25, 0.5, 0.75, 1.0], "legacy")
        array([-0.125,  0.   ,  0.375,  1.   ])
        ```
    """
    eta = in_range(eta, "eta", 0, 1)
    if mode not in ("model", "legacy"):
        raise ValueError(f"mode must be 'model' or 'legacy', got {mode!r}")
    return plain(eta if mode == "model" else eta * (2 * eta - 1))
