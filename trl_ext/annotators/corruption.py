"""Labels of an annotator who commits with probability η: hard, soft, or on a scale of three or five levels."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._checks import in_range, items_in_range
from .model import preference_label_probability


LabelKind = Literal["hard", "soft", "ordinal3", "ordinal5"]

LABEL_LEVELS: dict[str, tuple[float, ...]] = {
    "hard": (0.0, 1.0),
    "ordinal3": (0.0, 0.5, 1.0),
    "ordinal5": (0.0, 0.2, 0.5, 0.8, 1.0),
}
LABEL_KINDS = ("hard", "soft", "ordinal3", "ordinal5")


def label_levels(p: ArrayLike, kind: LabelKind, eta: ArrayLike = 1.0) -> tuple[np.ndarray, np.ndarray]:
    r"""
    Distribution of an annotator's label over the levels of a scale.

    A committed annotator reports one of the two levels next to the true probability p, the nearer one more often: with
    \( l_k \le p \le l_{k+1} \), level \( l_{k+1} \) has probability \( (p - l_k)/(l_{k+1} - l_k) \), so that the label is p
    on average. On two levels this is a draw from p. With probability 1 − η the annotator isn't committed and reports one
    of the ends of the scale by the flip of a coin. The mean label is \( \eta p + (1-\eta)/2 \) on every scale.

    References:
        - How Humans Help LLMs, https://arxiv.org/abs/2502.06387, section 2: commitment.
        - Reward Modeling with Ordinal Feedback: Wisdom of the Crowd, https://arxiv.org/abs/2411.12843: unbiased levels.

    Args:
        p (`array_like` of shape `(N,)`):
            True probability that the first response is better.
        kind (`"hard"`, `"ordinal3"` or `"ordinal5"`):
            Scale: {0, 1}, {0, ½, 1} or {0, 0.2, ½, 0.8, 1}.
        eta (`float` or `array_like` of shape `(N,)`, *optional*, defaults to `1.0`):
            Commitment in [0, 1].

    Returns:
        `tuple[np.ndarray, np.ndarray]`: the K levels, ascending, and their probabilities of shape `(N, K)`.

    Raises:
        ValueError: Values outside [0, 1], shapes that differ, or a kind that has no levels.

    Example:
        ```python
        >>> from trl_ext.annotators import label_levels
        >>> levels, probabilities = label_levels([0.6], "ordinal3")
        >>> levels, probabilities.round(3)
        (array([0. , 0.5, 1. ]), array([[0. , 0.8, 0.2]]))
        >>> label_levels([0.6], "ordinal3", eta=0.5)[1].round(3)
        array([[0.25, 0.4 , 0.35]])
        ```
    """
    if kind not in LABEL_LEVELS:
        hint = " A soft label has one value, no levels." if kind == "soft" else ""
        raise ValueError(f"kind must be one of {', '.join(LABEL_LEVELS)}, got {kind!r}.{hint}")
    p, eta = _probabilities_and_eta(p, eta)
    levels = np.array(LABEL_LEVELS[kind])
    # the share of level k in p is a hat: 1 at the level, 0 at its neighbours, linear between
    committed = np.stack([np.interp(p, levels, hat) for hat in np.eye(levels.size)], axis=1)
    coin = np.zeros(levels.size)
    coin[[0, -1]] = 0.5
    eta = np.broadcast_to(eta, p.shape)[:, None]
    return levels, eta * committed + (1 - eta) * coin


def corrupt_labels(
    p: ArrayLike, eta: ArrayLike, *, kind: LabelKind = "hard", seed: int | np.random.SeedSequence = 0
) -> np.ndarray:
    r"""
    Labels that annotators of commitment η give to pairs whose true preference probabilities are p.

    For each pair, the annotator commits with probability η and reports according to p, and flips a coin otherwise:

    - `"hard"`: 1 with probability \( \eta p + (1-\eta)/2 \), else 0;
    - `"soft"`: \( \eta p + (1-\eta)/2 \) itself, the mean of many such labels; nothing is drawn;
    - `"ordinal3"`, `"ordinal5"`: a level drawn as [`label_levels`] says.

    The mean is the same for all. η = 0 are coin flips, never labels that are wrong more often than right.

    Args:
        p (`array_like` of shape `(N,)`):
            True probability that the first response is better.
        eta (`float` or `array_like` of shape `(N,)`):
            Commitment in [0, 1], one for all or one for each pair (see [`assign_annotators`]).
        kind (`"hard"`, `"soft"`, `"ordinal3"` or `"ordinal5"`, *optional*, defaults to `"hard"`):
            What annotators report.
        seed (`int` or `numpy.random.SeedSequence`, *optional*, defaults to `0`):
            Seed. A pair's draw depends on its row number only: other values elsewhere, and more rows, leave it as it is.

    Returns:
        `np.ndarray` of shape `(N,)`: labels in [0, 1], float64; 1 says that the first response is better.

    Raises:
        ValueError: Values outside [0, 1], no values, shapes that differ, or an unknown kind.

    Example:
        ```python
        >>> from trl_ext.annotators import corrupt_labels
        >>> p = [0.95, 0.9, 0.2, 0.6, 0.5]
        >>> corrupt_labels(p, eta=0.6, kind="soft")
        array([0.77, 0.74, 0.32, 0.56, 0.5 ])
        >>> corrupt_labels(p, eta=0.6, seed=1)
        array([1., 1., 0., 1., 0.])
        >>> corrupt_labels(p, eta=0.6, kind="ordinal5", seed=1)
        array([1. , 1. , 0. , 1. , 0.5])
        ```
    """
    if kind not in LABEL_KINDS:
        raise ValueError(f"kind must be one of {', '.join(LABEL_KINDS)}, got {kind!r}")
    p, eta = _probabilities_and_eta(p, eta)
    if kind == "soft":
        return preference_label_probability(p, eta)
    levels, probabilities = label_levels(p, kind, eta)
    uniforms = np.random.default_rng(seed).random(p.size)
    # the last level takes what is left: a sum that rounds to less than one leaves no gap
    return levels[(uniforms[:, None] >= probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)]


def _probabilities_and_eta(p: ArrayLike, eta: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    p = items_in_range(p, "p", 0, 1)
    hint = "Labels of an annotator worse than chance are those of a good one for swapped responses."
    eta = in_range(eta, "eta", 0, 1, hint)
    if eta.shape not in ((), p.shape):
        raise ValueError(f"eta must be a number or have one value per pair, {p.shape}, got {eta.shape}")
    return p, eta
