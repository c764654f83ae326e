"""One reward of several models': their mean, their worst, or their mean minus how far they disagree."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp


MODES = ("mean", "worst", "uncertainty")


class Moments(NamedTuple):
    """Mean and population standard deviation of a model's rewards."""

    mean: float
    std: float


def ensemble_rewards(
    rewards: ArrayLike, mode: str = "mean", normalize: bool = True, *, names: Sequence[str] | None = None
) -> np.ndarray:
    r"""
    Rewards of an ensemble: over its models the mean, the minimum (`"worst"`), or the mean minus the population standard
    deviation (`"uncertainty"`).

    References:
        - Reward Model Ensembles Help Mitigate Overoptimization (Coste et al.), https://arxiv.org/abs/2310.02743,
          equations 3 to 5 (with the variance in place of the standard deviation).
        - RewardBench: Evaluating Reward Models for Language Modeling (Lambert et al.), https://arxiv.org/abs/2403.13787,
          whose offline ensembles these are.

    Args:
        rewards (`array_like` of shape `(M, N)`):
            Rewards of `M` models.
        mode (`str`, *optional*, defaults to `"mean"`):
            `"mean"`, `"worst"` or `"uncertainty"`.
        normalize (`bool`, *optional*, defaults to `True`):
            Give each model's rewards mean 0 and population standard deviation 1 first: all that are given, of chosen and
            rejected responses alike. Scales of reward models differ, and the largest would decide.
        names (`list[str]`, *optional*):
            Names of the models, for errors.

    Returns:
        `np.ndarray` of shape `(N,)` in float64.

    Raises:
        ValueError: a reward is not finite, the mode is unknown, or a model whose rewards are to be normalised gives all
            responses the same.

    Example:
        ```python
        >>> ensemble_rewards([[0.0, 2.0], [10.0, 30.0]], "mean")
        array([-1.,  1.])
        >>> ensemble_rewards([[0.0, 2.0], [10.0, 30.0]], "uncertainty", normalize=False)
        array([0., 2.])
        ```
    """
    check_mode(mode)
    array = np.asarray(rewards, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"rewards must have shape (M, N), a row per model, got {array.shape}")
    names = [str(model) for model in range(len(array))] if names is None else list(names)
    if len(names) != len(array):
        raise ValueError(f"there must be a name for each of {len(array)} models, got {len(names)}")
    if normalize:
        array = np.stack([normalized(row, moments_of(row, name)) for row, name in zip(array, names, strict=True)])
    else:
        for row, name in zip(array, names, strict=True):
            check_finite(row, name)
    return combine(array, mode)


def moments_of(rewards: ArrayLike, name: str) -> Moments:
    """Mean and population standard deviation of the rewards `(N,)` of the model `name`, which must differ."""
    array = np.asarray(rewards, dtype=np.float64)
    check_finite(array, name)
    # Not `std == 0`, which rounding of the mean makes positive
    if array.size == 0 or array.min() == array.max():
        raise ValueError(
            f"model {name!r} gives all {array.size} responses the same reward, which can't be normalised: remove the model, "
            "or set normalize=False"
        )
    return Moments(float(array.mean()), float(array.std()))


def normalized(rewards: np.ndarray, moments: Moments) -> np.ndarray:
    """Rewards in standard deviations from the mean."""
    return (rewards - moments.mean) / moments.std


def combine(rewards: np.ndarray, mode: str, coefficient: float = 1.0) -> np.ndarray:
    r"""
    One reward of those `(M, N)` of all models or heads; see [`ensemble_rewards`]. `coefficient` is the number of standard
    deviations with `"uncertainty"`, and b in `"effective"`, \( -b \log \frac1M \sum_m e^{-r_m/b} \): the mean as b grows, the
    worst as b falls to 0, and mean minus variance / 2b for rewards that are close.

    References:
        - arXiv:2606.09073: the effective reward, which unifies the others.
    """
    if mode == "worst":
        return rewards.min(axis=0)
    if mode == "effective":
        return -coefficient * (logsumexp(-rewards / coefficient, axis=0) - np.log(len(rewards)))
    mean = rewards.mean(axis=0)
    return mean if mode == "mean" else mean - coefficient * rewards.std(axis=0)


def check_mode(mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {', '.join(MODES)}, got {mode!r}")


def check_finite(rewards: np.ndarray, name: str) -> None:
    if rewards.ndim != 1:
        raise ValueError(f"rewards of model {name!r} must have shape (N,), got {rewards.shape}")
    wrong = np.flatnonzero(~np.isfinite(rewards))
    if wrong.size:
        raise ValueError(
            f"model {name!r} has {wrong.size} rewards that are not finite; first: row {wrong[0]}, value {rewards[wrong[0]]}"
        )
