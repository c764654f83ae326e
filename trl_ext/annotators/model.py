r"""
The annotator model: with probability η the label follows the true preference probability, else it is a coin flip.

Both ways to monitor annotators, a second look by themselves and a look by an expert, give agreements with probability
\( q(\eta) = (1 + c\,\eta)/2 \). All that differs is c, between 0 (nothing can be learned) and 1.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._checks import check_chance, in_range, information_c, items_in_range, plain


DELTA_CONVENTIONS = ("paper", "model")


def preference_label_probability(p: ArrayLike, eta: ArrayLike) -> float | np.ndarray:
    r"""
    Probability that an annotator prefers the first response, \( \eta p + (1-\eta)/2 \).

    References:
        - How Humans Help LLMs, https://arxiv.org/abs/2502.06387, section 2: the annotator model.

    Args:
        p (`array_like`):
            True probability that the first response is better.
        eta (`array_like`):
            Commitment, in [−1, 1]; it broadcasts against `p`. Below 0 the annotator reverses labels.

    Returns:
        `float` or `np.ndarray`: the probability, in the common shape.

    Raises:
        ValueError: Values out of range.

    Example:
        ```python
        >>> from trl_ext.annotators import preference_label_probability
        >>> preference_label_probability(0.75, eta=0.5)
        0.625
        ```
    """
    p, eta = in_range(p, "p", 0, 1), in_range(eta, "eta", -1, 1)
    return plain(eta * p + (1 - eta) / 2)


def agreement_probability(eta: ArrayLike, c: ArrayLike, chance: float = 0.5) -> float | np.ndarray:
    r"""
    Probability that two labels agree, \( q = (1 + c\,\eta)/2 \), under either monitor.

    With K labels to choose from instead of two, guesses agree with probability `chance` = 1/K, and
    \( q = 1/K + (1 - 1/K)\,c\,\eta \).

    References:
        - How Humans Help LLMs, algorithms 1 and 2.

    Args:
        eta (`array_like`):
            Commitment, in [−1, 1].
        c (`array_like`):
            From [`self_consistency_c`], [`expert_c`] or [`expert_c_items`]; it broadcasts against `eta`.
        chance (`float`, *optional*, defaults to `0.5`):
            Agreement of guesses.

    Returns:
        `float` or `np.ndarray`: the probability, in the common shape.

    Raises:
        ValueError: Values outside [−1, 1], or a probability below 0 with three labels or more.

    Example:
        ```python
        >>> from trl_ext.annotators import agreement_probability, self_consistency_c
        >>> round(agreement_probability(0.9, self_consistency_c(0.02)), 3)
        0.941
        ```
    """
    chance = check_chance(chance)
    q = chance + (1 - chance) * in_range(c, "c", -1, 1) * in_range(eta, "eta", -1, 1)
    return plain(in_range(q, f"agreement probability at chance {chance:g}", 0, 1))


def self_consistency_c(
    delta: ArrayLike, delta_convention: Literal["paper", "model"] = "paper", chance: float = 0.5
) -> float | np.ndarray:
    r"""
    The c of the self-consistency monitor, that shows annotators some pairs twice.

    δ is the probability that a committed annotator answers a pair differently the second time. The model as the paper
    states it, agreement 1 − δ with commitment and ½ without, gives \( \eta(1-\delta) + (1-\eta)/2 \), that is
    \( c = 1 - 2\delta \) (`"model"`). The paper and its program go on with \( c = 1 - \delta \) (`"paper"`), where a
    fully committed annotator disagrees with probability δ/2. If you measured δ as a share of disagreements, it is
    `"model"` that fits.

    References:
        - How Humans Help LLMs, algorithm 2 and proposition 5.

    Args:
        delta (`array_like`):
            In [0, 1] for `"paper"`, in [0, 1 − chance] for `"model"`.
        delta_convention (`"paper"` or `"model"`, *optional*, defaults to `"paper"`):
            Which of both.
        chance (`float`, *optional*, defaults to `0.5`):
            Agreement of guesses, 1/K with K labels; the `"model"` then has \( c = 1 - \delta/(1 - 1/K) \).

    Returns:
        `float` or `np.ndarray`: c, in the shape of `delta`.

    Raises:
        ValueError: δ out of range or an unknown convention.

    Example:
        ```python
        >>> from trl_ext.annotators import self_consistency_c
        >>> self_consistency_c(0.02), self_consistency_c(0.02, "model")
        (0.98, 0.96)
        ```
    """
    if delta_convention not in DELTA_CONVENTIONS:
        raise ValueError(f"delta_convention must be one of {', '.join(DELTA_CONVENTIONS)}, got {delta_convention!r}")
    if delta_convention == "paper":
        return plain(1 - in_range(delta, "delta", 0, 1))
    guesses_differ = 1 - check_chance(chance)
    hint = "Beyond, a committed annotator would agree less than guesses do."
    return plain(1 - in_range(delta, "delta", 0, guesses_differ, hint) / guesses_differ)


def expert_c_items(
    p: ArrayLike, expert: float | ArrayLike | Literal["p"] = 1.0, *, folded: bool | None = None
) -> np.ndarray:
    r"""
    The c of every item under the expert monitor, \( c_i = 4(p_i - ½)(p^e_i - ½) \).

    References:
        - How Humans Help LLMs, algorithm 1.

    Args:
        p (`array_like` of shape `(N,)`):
            True probability that the first response is better.
        expert (`float`, `array_like` of shape `(N,)` or `"p"`, *optional*, defaults to `1.0`):
            A number is the probability that the expert reports the response that is better on the whole; 1 is an expert
            without doubt. An array is the probability that the expert prefers the first response of each item. `"p"` is
            an expert who draws from the same probabilities as a committed annotator.
        folded (`bool`, *optional*):
            Whether to replace p by max(p, 1−p), so that the first response is the better one. By default only for a
            number, whose meaning needs it.

    Returns:
        `np.ndarray` of shape `(N,)`

    Raises:
        ValueError: Values outside [0, 1] or shapes that differ.

    Example:
        ```python
        >>> from trl_ext.annotators import expert_c_items
        >>> expert_c_items([0.75, 0.25, 0.5])
        array([0.5, 0.5, 0. ])
        >>> expert_c_items([0.75, 0.25, 0.5], expert="p")
        array([0.25, 0.25, 0.  ])
        ```
    """
    p = items_in_range(p, "p", 0, 1)
    if isinstance(expert, str):
        if expert != "p":
            raise ValueError(f"expert must be a number, an array or 'p', got {expert!r}")
        expert_p = p
    else:
        expert_p = in_range(expert, "expert", 0, 1)
        if expert_p.shape not in ((), p.shape):
            raise ValueError(f"expert must be a number or have one value per item, {p.shape}, got {expert_p.shape}")
    if folded is None:
        folded = expert_p.ndim == 0
    if folded:
        # "p" and arrays speak of the first response, and turn with it
        expert_p = np.where(p < 0.5, 1 - expert_p, expert_p) if expert_p.ndim else expert_p
        p = np.maximum(p, 1 - p)
    return 4 * (p - 0.5) * (expert_p - 0.5)


def expert_c(p: ArrayLike, expert: float | ArrayLike | Literal["p"] = 1.0, *, folded: bool | None = None) -> float:
    r"""
    The c of the expert monitor when the items are drawn at random, \( \bar c = \) mean of [`expert_c_items`].

    It depends on how clear the pairs are: where the true probabilities are near one half, even an expert without doubt
    tells little about annotators.

    References:
        - How Humans Help LLMs, algorithm 1 and proposition 2.

    Args:
        p (`array_like` of shape `(N,)`):
            True probability that the first response is better.
        expert (`float`, `array_like` of shape `(N,)` or `"p"`, *optional*, defaults to `1.0`):
            As in [`expert_c_items`].
        folded (`bool`, *optional*):
            As in [`expert_c_items`].

    Returns:
        `float`

    Raises:
        ValueError: Values outside [0, 1] or shapes that differ.

    Example:
        ```python
        >>> from trl_ext.annotators import expert_c
        >>> expert_c([0.75, 0.25, 1.0]), expert_c([0.75, 0.25, 1.0], expert=0.75)
        (0.6666666666666666, 0.3333333333333333)
        ```
    """
    return float(expert_c_items(p, expert, folded=folded).mean())


def fisher_information(eta: ArrayLike, c: ArrayLike) -> float | np.ndarray:
    r"""
    Fisher information about η of one agreement, \( I(\eta) = c^2/(1 - c^2\eta^2) \).

    For an array of items it is the mean over items, of an estimator that knows which item each agreement comes from. By
    convexity that is at least the information at the mean c, of an estimator that counts agreements.

    References:
        - How Humans Help LLMs, version 2: rates in terms of the Fisher information.

    Args:
        eta (`array_like`):
            Commitment, in [−1, 1].
        c (`float` or `array_like` of shape `(N,)`):
            One c, or one per item.

    Returns:
        `float` or `np.ndarray`: information per agreement, in the shape of `eta`; `inf` where q is 0 or 1.

    Raises:
        ValueError: Values outside [−1, 1].

    Example:
        ```python
        >>> from trl_ext.annotators import fisher_information
        >>> round(fisher_information(0.5, 0.98), 3), round(fisher_information(0.5, [0.2, 0.6]), 3)
        (1.264, 0.218)
        ```
    """
    eta, c = in_range(eta, "eta", -1, 1), information_c(c)
    if c.ndim:
        eta = eta[..., None]
    with np.errstate(divide="ignore"):
        information = c**2 / ((1 - c * eta) * (1 + c * eta))
    return plain(information.mean(axis=-1) if c.ndim else information)
