"""What every pairwise loss has in common: checked arguments in, one loss per pair out."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor


# Largest distance of a value from the level it stands for
LEVEL_TOLERANCE = 1e-3


class PairwiseLoss(ABC):
    r"""
    Base class of the losses on a pair of rewards. Call it as `loss(rewards_chosen, rewards_rejected, **columns)`; it
    returns one loss per pair, shape `(B,)`, and the caller reduces.

    A subclass declares the columns it reads and implements [`~PairwiseLoss.forward`]. The arguments are checked and
    converted before `forward` sees them:

    - Rewards and columns have shape `(B,)` exactly. A `(B, 1)` reward against a `(B,)` column would broadcast to
      `(B, B)` and give half of each weight to the neighbouring pair without an error.
    - The loss is computed in the precision of the rewards, float32 at least: bfloat16 and float16 are upcast, float64
      stays float64. Columns are converted to that dtype.
    - Every value of a column lies in its declared range and is finite. All columns are checked with one reduction,
      so that a call costs one host synchronisation on an accelerator; the offending row is looked up only on failure.

    The losses have no parameters, hence this is no `torch.nn.Module`.

    Attributes:
        columns (`dict[str, tuple[float, float]]`):
            Required columns and the closed range of their values. An infinite end means unbounded; the values
            themselves are finite.
        optional_columns (`dict[str, tuple[float, float]]`):
            The same for columns that may be left out or `None`.
        levels (`dict[str, tuple[float, ...]]`):
            Columns that hold nothing but these values, to within 0.001: bfloat16 has 0.80078 for 0.8.
    """

    columns: ClassVar[dict[str, tuple[float, float]]] = {}
    optional_columns: ClassVar[dict[str, tuple[float, float]]] = {}
    levels: ClassVar[dict[str, tuple[float, ...]]] = {}

    def __call__(self, rewards_chosen: Tensor, rewards_rejected: Tensor, **columns: Tensor | None) -> Tensor:
        self._check_names(columns)
        columns = {name: values for name, values in columns.items() if values is not None}

        if not isinstance(rewards_chosen, Tensor) or rewards_chosen.dim() != 1:
            raise ValueError(f"rewards_chosen must be a tensor of shape (B,), got {_describe(rewards_chosen)}")
        shape = rewards_chosen.shape
        for name, values in {"rewards_rejected": rewards_rejected, **columns}.items():
            if not isinstance(values, Tensor) or values.shape != shape:
                raise ValueError(
                    f"{name} must be a tensor of shape (B,) = {tuple(shape)} like rewards_chosen, "
                    f"got {_describe(values)}"
                )

        dtype = torch.promote_types(rewards_chosen.dtype, rewards_rejected.dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        columns = {name: values.to(dtype) for name, values in columns.items()}
        self._check_ranges(columns)
        return self.forward(rewards_chosen.to(dtype), rewards_rejected.to(dtype), **columns)

    @abstractmethod
    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, **columns: Tensor) -> Tensor:
        """Loss of every pair `(B,)` from checked arguments. Subclasses name their columns as keyword arguments."""

    @property
    def citation(self) -> str:
        """BibTeX entry of the paper to cite, or an empty string."""
        return ""

    def get_config_dict(self) -> dict[str, Any]:
        """Constructor arguments, for the model card."""
        return {}

    def _check_names(self, columns: dict[str, Tensor | None]) -> None:
        name = type(self).__name__
        allowed = [*self.columns, *self.optional_columns]
        if unknown := [column for column in columns if column not in allowed]:
            raise TypeError(f"{name} got unknown columns {unknown}; it takes {allowed or 'none'}")
        if missing := [column for column in self.columns if columns.get(column) is None]:
            raise ValueError(f"{name} needs the columns {missing}; pass them as keyword arguments of shape (B,)")

    def _check_ranges(self, columns: dict[str, Tensor]) -> None:
        if not columns:
            return
        ranges = {**self.columns, **self.optional_columns}
        valid = {}
        for column, values in columns.items():
            low, high = ranges[column]
            # comparisons with NaN are false; finite bounds refuse infinities, for which 0 * inf is NaN
            limits = torch.finfo(values.dtype)
            valid[column] = (values >= max(low, limits.min)) & (values <= min(high, limits.max))
            if column in self.levels:
                # level by level: a tensor of levels would have to be copied to the accelerator, and waited for
                matches = [(values - level).abs() <= LEVEL_TOLERANCE for level in self.levels[column]]
                valid[column] &= torch.stack(matches).any(dim=0)
        if torch.stack(list(valid.values())).all():
            return
        for column, mask in valid.items():
            if not mask.all():
                row = int((~mask).nonzero()[0])
                raise ValueError(
                    f"column '{column}' of {type(self).__name__} has {int((~mask).sum())} values outside "
                    f"{self._describe_allowed(column)}; first: row {row}, value {columns[column][row].item():g}"
                )

    def _describe_allowed(self, column: str) -> str:
        if column in self.levels:
            return f"{{{', '.join(f'{level:g}' for level in self.levels[column])}}}"
        low, high = {**self.columns, **self.optional_columns}[column]
        return f"{'[' if math.isfinite(low) else '('}{low:g}, {high:g}{']' if math.isfinite(high) else ')'}"


def _describe(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"`{type(value).__name__}`"
