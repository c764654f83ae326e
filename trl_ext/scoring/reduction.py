"""One reward per response from what a model puts out: its only output, one of several, or a weighted sum of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.checks import shorten
from ..model_entries import REWARD_HEAD, output_names
from .ensemble_combination import combine


# An index, a weight for each output, or a combination of the heads of an ensemble, such as "uncertainty:0.5"
Reduction = int | tuple[float, ...] | str

ALL_OUTPUTS = "all"  # of a scorer that wants every output, not one reward
_COMBINATIONS = ("mean", "worst", "uncertainty", "effective")
_WITH_COEFFICIENT = _COMBINATIONS[2:]

# Where models put rewards, in the order of preference: `end_scores` is that of Beaver, `score` that of several others
_OUTPUT_NAMES = ("logits", "score", "end_scores")


class WrongOutput(ValueError):
    """A model returned something in which there is not one reward per sequence."""


def as_reduction(value: int | str | Sequence[float] | None) -> Reduction | None:
    """Check the argument `reduction`: the index of an output, a weight per output, or a combination of heads."""
    if value is None:
        return None
    if isinstance(value, str):
        combination_of(value)
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"`reduction` must be an index of at least 0, or a list of weights, got {value}")
        return value
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(map(_is_number, value)):
        raise TypeError(f"`reduction` must be the index of an output or a list of weights, got {shorten(value)}")
    weights = tuple(map(float, value))
    if not any(weights) or not all(map(math.isfinite, weights)):
        raise ValueError(f"`reduction` must have finite weights that are not all 0, got {shorten(value)}")
    return weights


def combination_of(reduction: str) -> tuple[str, float]:
    """Mode and coefficient of a combination: `"mean"`, `"worst"`, `"uncertainty"`, `"uncertainty:0.5"`, `"effective:2"`."""
    mode, colon, coefficient = reduction.partition(":")
    try:
        number = float(coefficient) if colon else 1.0
    except ValueError:
        number = math.nan
    if mode not in _COMBINATIONS or (colon and mode not in _WITH_COEFFICIENT) or not 0 < number < math.inf:
        raise ValueError(
            "`reduction` as text must be one of mean, worst, uncertainty or effective, the last two perhaps with a positive "
            f"coefficient as in 'uncertainty:0.5', got {reduction!r}"
        )
    return mode, number


def stored_reduction(config: Any, reduction: Reduction | None) -> Reduction | None:
    """`reduction`, by default what the model's configuration says of its outputs: the mean of heads, or of a Gaussian."""
    entry = getattr(config, REWARD_HEAD.key, None)
    if entry is None:
        return reduction
    output_names(entry)  # which refuses what it does not know
    if entry["kind"] == "gaussian" and isinstance(reduction, str):
        raise ValueError(
            f"`reduction`={reduction!r} combines the heads of an ensemble, but the outputs of this model are a mean and a log-"
            "variance: use 0, the mean, or `score_with_uncertainty`"
        )
    if reduction is not None:
        return reduction
    return 0 if entry["kind"] == "gaussian" else entry.get("combination", "mean")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_reduction(num_labels: int, reduction: Reduction | None) -> None:
    """Raise a `ValueError` unless `reduction` makes one reward of `num_labels` outputs."""
    if reduction is None:
        if num_labels != 1:
            raise ValueError(
                f"a reward model has one output, but this one has num_labels={num_labels}. Say how they make one reward: "
                f"RewardScorer(..., reduction=...) with the index of an output, or with a list of {num_labels} weights."
            )
    elif isinstance(reduction, str):
        if num_labels == 1 and reduction != ALL_OUTPUTS:
            raise ValueError(f"`reduction`={reduction!r} combines several outputs, but the model has one")
    elif isinstance(reduction, int):
        if reduction >= num_labels:
            raise ValueError(
                f"`reduction` is {reduction}, but the model has num_labels={num_labels}: an index is from 0 to {num_labels - 1}"
            )
    elif len(reduction) != num_labels:
        raise ValueError(
            f"`reduction` has {len(reduction)} weights, but the model has num_labels={num_labels}: give one per output"
        )


def rewards_of_output(output: Any, count: int, reduction: Reduction | None) -> Tensor:
    """
    Rewards in what a model returned.

    Args:
        output (`torch.Tensor` or mapping or object):
            Tensor of shape `(B,)`, `(B, 1)` or `(B, K)`, or what has one as `logits`, else `score`, else `end_scores`.
        count (`int`):
            Number `B` of sequences that the model got.
        reduction (`int`, `tuple[float, ...]` or `str`, *optional*):
            What makes one reward of `K` outputs.

    Returns:
        `torch.Tensor` of shape `(B,)`: Rewards in float32; of shape `(B, K)` with `ALL_OUTPUTS`.
    """
    values = _tensor(output)
    if not values.is_floating_point():
        raise WrongOutput(f"the model must return rewards as floating-point numbers, got {values.dtype}")
    if values.ndim not in (1, 2) or values.shape[0] != count or values.shape[-1] == 0:
        raise WrongOutput(
            f"the model must return one row of outputs per sequence, shape ({count},), ({count}, 1) or ({count}, K), but "
            f"it returned shape {tuple(values.shape)} for {count} sequences"
        )
    values = values.reshape(count, -1)
    check_reduction(values.shape[1], reduction)
    if reduction is None:
        reduction = 0
    if isinstance(reduction, int):
        return values[:, reduction].float()
    if reduction == ALL_OUTPUTS:
        return values.float()
    if isinstance(reduction, str):
        mode, coefficient = combination_of(reduction)
        return torch.from_numpy(combine(values.double().cpu().numpy().T, mode, coefficient)).float()
    return (values.double() @ torch.tensor(reduction, dtype=torch.float64, device=values.device)).float()


def _tensor(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    for name in _OUTPUT_NAMES:
        value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"the model's `{name}` must be a tensor, got {type(value).__name__}")
            return value
    raise WrongOutput(
        f"the model returned {type(output).__name__} without {', '.join(f'`{name}`' for name in _OUTPUT_NAMES)}: there is "
        "no reward in it"
    )
