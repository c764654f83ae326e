"""What the objectives on a whole batch have in common: sums per group that add up over processes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


# Sums a detached tensor over the processes; every process gets the total
SumOverProcesses = Callable[[Tensor], Tensor]

CHARM_CITATION = """\
@misc{charm2025,
    title = {{CHARM}: Calibrating Reward Models With Chatbot Arena Scores},
    author = {Zhu, Xiao and Tan, Chenmien and Chen, Pinzhen and Sennrich, Rico and Wang, Huiming and Zhang, Yanlin and Hu, Hanxu},
    year = {2025},
    eprint = {2504.10045},
    archivePrefix = {arXiv}
}"""


@dataclass(frozen=True)
class BatchObjective:
    """
    An objective on the rows of all processes together.

    Args:
        loss (`torch.Tensor`):
            Scalar to differentiate. Its gradients, *summed* over the processes, are those of the objective of all rows
            together. Where gradients are averaged over processes, multiply it by their number. As a number it is
            `value`.
        value (`torch.Tensor`):
            The objective, detached, float64 and the same on every process.
        statistics (`torch.Tensor` of shape `(G,)`):
            What was measured of every group, detached, float64; `nan` for a group without rows.
        counts (`torch.Tensor` of shape `(G,)`):
            Rows of positive weight of every group, int64.
        used (`torch.Tensor` of shape `(G,)`):
            Whether the group is part of the objective. Groups with too few rows are not.
        running (`torch.Tensor` of shape `(G,)`, *optional*):
            Running statistics to pass to the next call, where they were asked for.
    """

    loss: Tensor
    value: Tensor
    statistics: Tensor
    counts: Tensor
    used: Tensor
    running: Tensor | None = None


class GroupSums:
    """
    Sums per group over the rows of all processes.

    Args:
        groups (`torch.Tensor` of shape `(B,)`):
            Group of every row of this process, int64 in [0, `num_groups`).
        num_groups (`int`):
            Number of groups G, the same on every process.
        sum_over_processes (`SumOverProcesses`, *optional*):
            By default there is one process.
    """

    def __init__(self, groups: Tensor, num_groups: int, sum_over_processes: SumOverProcesses | None = None):
        self.groups = groups
        self.num_groups = num_groups
        self.sum_over_processes = sum_over_processes

    def local(self, *rows: Tensor) -> Tensor:
        """Sums `(K, G)` of K tensors `(B,)` over the rows of this process, float64."""
        values = torch.stack([row.detach().double() for row in rows])
        return values.new_zeros(len(rows), self.num_groups).index_add(1, self.groups, values)

    def __call__(self, *rows: Tensor) -> Tensor:
        """The same over the rows of all processes."""
        return self.total(self.local(*rows))

    def total(self, sums: Tensor) -> Tensor:
        """Total over the processes."""
        return sums if self.sum_over_processes is None else self.sum_over_processes(sums)


def with_gradient_of(value: Tensor, surrogate: Tensor) -> Tensor:
    """The number `value` with the gradient of `surrogate`."""
    return value.to(surrogate.dtype) + (surrogate - surrogate.detach())


def as_rows(values: Tensor, name: str, size: int | None = None, like: str | None = None) -> Tensor:
    """`values` in float32 at least, after a check that they are `(B,)`: shapes that would broadcast are refused."""
    wanted = "(B,)" if size is None else f"(B,) = ({size},) like {like}"
    if not isinstance(values, Tensor) or values.dim() != 1 or (size is not None and values.shape[0] != size):
        got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"`{type(values).__name__}`"
        raise ValueError(f"{name} must be a tensor of shape {wanted}, got {got}")
    return values.to(torch.promote_types(values.dtype, torch.float32))


def check_codes(codes: Tensor, name: str, size: int, like: str, num_codes: int) -> None:
    """Raise unless `codes` are `(B,)` int64 in [0, `num_codes`)."""
    as_rows(codes, name, size, like)
    if codes.dtype != torch.int64:
        raise TypeError(f"{name} must be int64, got {codes.dtype}")
    check_values(codes, name, 0, num_codes - 1)


def check_weights(weight: Tensor | None, like_rows: Tensor, like: str) -> Tensor:
    """Weights `(B,)` in [0, inf), ones where none are given."""
    if weight is None:
        return torch.ones_like(like_rows, requires_grad=False)
    weight = as_rows(weight, "weight", len(like_rows), like)
    check_values(weight, "weight", 0.0, torch.finfo(weight.dtype).max)
    return weight.detach()


def check_values(values: Tensor, name: str, low: float, high: float, *, missing: bool = False) -> None:
    """Raise for the first value outside [`low`, `high`], for `nan` too unless values may be `missing`."""
    valid = (values >= low) & (values <= high)
    if missing:
        valid |= values.isnan()
    if not valid.all():
        row = int((~valid).nonzero()[0])
        raise ValueError(
            f"{name} has {int((~valid).sum())} values outside [{low:g}, {high:g}]; first: row {row}, "
            f"value {values[row].item():g}"
        )
