"""From P(correct), the probability that an annotator's label is right, to the columns of the RAPL losses."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike


OnBelowHalf = Literal["zero", "flip", "error"]

# As in the original code: P(correct) of exactly 0 or 1 would give an infinite logit
_EPSILON = 1e-7


def reliability_to_beta(p_correct: ArrayLike, *, on_below_half: OnBelowHalf = "zero") -> np.ndarray:
    r"""
    Rationality of an annotator who is right with probability `p_correct` at a reward difference of one:
    \( \beta = \max(0, \operatorname{logit}(p)) \), the column of [`~trl_ext.losses.BetaRAPLLoss`].

    Args:
        p_correct (`ArrayLike`):
            P(correct) in [0, 1].
        on_below_half (`"zero"`, `"flip"` or `"error"`, *optional*, defaults to `"zero"`):
            What to do where `p_correct < 0.5`, i.e. where the label is more likely wrong than right. `"zero"` gives
            weight 0, as in the original code. `"flip"` converts `1 - p_correct`: the weight of the *opposite* label,
            so chosen and rejected have to be swapped where [`flip_mask`] is true. `"error"` refuses.

    Returns:
        `np.ndarray`: float64 of the same shape, in [0, 16.12] as `p_correct` is clipped to [1e-7, 1 - 1e-7].

    Example:
        ```python
        >>> from trl_ext.reliability import reliability_to_beta
        >>> reliability_to_beta([0.5, 0.9]).round(3)
        array([0.   , 2.197])
        ```
    """
    return np.maximum(0.0, _logit(_prepare(p_correct, on_below_half)))


def reliability_to_p(p_correct: ArrayLike, *, on_below_half: OnBelowHalf = "zero") -> np.ndarray:
    r"""
    Probability of a truthful answer, if an annotator who answers truthfully is right and one who guesses is right
    half the time: \( \max(0, 2p - 1) \), the column of [`~trl_ext.losses.EpsilonRAPLLoss`].

    Args:
        p_correct (`ArrayLike`):
            P(correct) in [0, 1].
        on_below_half (`"zero"`, `"flip"` or `"error"`, *optional*, defaults to `"zero"`):
            As in [`reliability_to_beta`].

    Returns:
        `np.ndarray`: float64 of the same shape, in [0, 1].

    Example:
        ```python
        >>> from trl_ext.reliability import reliability_to_p
        >>> reliability_to_p([0.5, 0.75, 1.0])
        array([0. , 0.5, 1. ])
        ```
    """
    return np.maximum(0.0, 2.0 * _prepare(p_correct, on_below_half) - 1.0)


def reliability_to_margin(p_correct: ArrayLike, *, on_below_half: OnBelowHalf = "zero") -> np.ndarray:
    r"""
    Margin of the original code: 1 where \( p \le 1/2 \), else \( \max(0, 1 - \operatorname{logit}(p)) \), the column
    of [`~trl_ext.losses.MarginRAPLLoss`].

    The *less* reliable the label, the larger the margin; from `p_correct = 0.731` on it is 0.

    Args:
        p_correct (`ArrayLike`):
            P(correct) in [0, 1].
        on_below_half (`"zero"`, `"flip"` or `"error"`, *optional*, defaults to `"zero"`):
            As in [`reliability_to_beta`]; under `"zero"` it is reliability that counts as zero, so the margin is 1.

    Returns:
        `np.ndarray`: float64 of the same shape, in [0, 1].

    Example:
        ```python
        >>> from trl_ext.reliability import reliability_to_margin
        >>> reliability_to_margin([0.2, 0.6, 0.9]).round(3)
        array([1.   , 0.595, 0.   ])
        ```
    """
    # clipping at 1 is the case p <= 1/2, where the logit is not positive
    return np.clip(1.0 - _logit(_prepare(p_correct, on_below_half)), 0.0, 1.0)


def reliability_to_label(p_correct: ArrayLike, *, on_below_half: OnBelowHalf = "zero") -> np.ndarray:
    r"""
    Soft label of a pair whose label is right with probability `p_correct`: \( \max(1/2, p) \), the column of
    [`~trl_ext.losses.SoftLabelLoss`].

    A soft label of one half pulls the two rewards together, it is not ignored. Give pairs below one half weight 0 if
    nothing is to be taken from them, as [`~trl_ext.ReliabilityRewardTrainer`] does.

    Args:
        p_correct (`ArrayLike`):
            P(correct) in [0, 1].
        on_below_half (`"zero"`, `"flip"` or `"error"`, *optional*, defaults to `"zero"`):
            As in [`reliability_to_beta`]; `"flip"` gives the soft label of the swapped pair.

    Returns:
        `np.ndarray`: float64 of the same shape, in [0.5, 1].

    Example:
        ```python
        >>> from trl_ext.reliability import reliability_to_label
        >>> reliability_to_label([0.2, 0.6, 0.9])
        array([0.5, 0.6, 0.9])
        ```
    """
    return np.maximum(0.5, _prepare(p_correct, on_below_half))


def flip_mask(p_correct: ArrayLike) -> np.ndarray:
    """
    Rows whose label is more likely wrong than right: those converted from `1 - p_correct` under
    `on_below_half="flip"`, where chosen and rejected have to be swapped.

    Args:
        p_correct (`ArrayLike`):
            P(correct) in [0, 1].

    Returns:
        `np.ndarray`: bool of the same shape.

    Example:
        ```python
        >>> from trl_ext.reliability import flip_mask
        >>> flip_mask([0.2, 0.5, 0.9])
        array([ True, False, False])
        ```
    """
    return _validate(p_correct) < 0.5


def _prepare(p_correct: ArrayLike, on_below_half: str) -> np.ndarray:
    p_correct = _validate(p_correct)
    if on_below_half == "zero":
        return p_correct
    below = p_correct < 0.5
    if on_below_half == "flip":
        return np.where(below, 1.0 - p_correct, p_correct)
    if on_below_half == "error":
        _refuse(
            p_correct, below, 'below 0.5; use on_below_half="zero" to ignore these labels or "flip" to reverse them'
        )
        return p_correct
    raise ValueError(f'on_below_half must be "zero", "flip" or "error", got {on_below_half!r}')


def _validate(p_correct: ArrayLike) -> np.ndarray:
    p_correct = np.asarray(p_correct, dtype=np.float64)
    # negated, so that NaN is refused
    _refuse(p_correct, ~((p_correct >= 0.0) & (p_correct <= 1.0)), "outside [0, 1]")
    return p_correct


def _refuse(p_correct: np.ndarray, bad: np.ndarray, rule: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"P(correct) has {np.count_nonzero(bad)} of {bad.size} values {rule}; "
            f"first: row {row}, value {p_correct.flat[row]:g}"
        )


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, _EPSILON, 1.0 - _EPSILON)
    return np.log(p) - np.log1p(-p)
