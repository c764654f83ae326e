"""One reward per response from what a model puts out: its only output, one of several, or a weighted sum of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.checks import shorten


Reduction = int | tuple[float, ...]

# Where models put rewards, in the order of preference: `end_scores` is that of Beaver, `score` that of several others
_OUTPUT_NAMES = ("logits", "score", "end_scores")


def as_reduction(value: int | Sequence[float] | None) -> Reduction | None:
    """Check the argument `reduction`: the index of an output, or a weight per output."""
    if value is None:
        return None
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
        reduction (`int` or `tuple[float, ...]`, *optional*):
            What makes one reward of `K` outputs.

    Returns:
        `torch.Tensor` of shape `(B,)`: Rewards in float32.
    """
    values = _tensor(output)
    if not values.is_floating_point():
        raise ValueError(f"the model must return rewards as floating-point numbers, got {values.dtype}")
    if values.ndim not in (1, 2) or values.shape[0] != count or values.shape[-1] == 0:
        raise ValueError(
            f"the model must return one row of outputs per sequence, shape ({count},), ({count}, 1) or ({count}, K), but "
            f"it returned shape {tuple(values.shape)} for {count} sequences"
        )
    values = values.reshape(count, -1)
    check_reduction(values.shape[1], reduction)
    if reduction is None:
        reduction = 0
    if isinstance(reduction, int):
        return values[:, reduction].float()
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
    raise ValueError(
        f"the model returned {type(output).__name__} without {', '.join(f'`{name}`' for name in _OUTPUT_NAMES)}: there is "
        "no reward in it"
    )
