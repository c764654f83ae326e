"""What a reward is expected to deviate from the mean by, given the length of the response."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from ...data.checks import shorten
from .checks import as_lengths, check_numbers
from .lengths import check_unit


SCALES = ("log", "linear")


@dataclasses.dataclass(frozen=True)
class LengthCurve:
    """
    What a reward is expected to deviate from the mean by, given the length of the response: linear between knots, constant
    before the first and after the last.

    Args:
        lengths (`tuple[float, ...]`):
            Lengths of the K knots, at least 0, strictly rising.
        deviations (`tuple[float, ...]`):
            Expected deviation of the reward at each knot, in units of the reward.
        unit (`str`):
            `"characters"`, `"words"` or `"tokens"` (of the reward model's tokenizer).
        scale (`str`, *optional*, defaults to `"log"`):
            Between knots it is linear in log(1 + length), or in the length (`"linear"`).

    Raises:
        ValueError: Knots are missing, not finite, negative or not rising, or there is no such unit or scale.

    Example:
        ```python
        >>> from trl_ext.scoring.calibrated import LengthCurve
        >>> curve = LengthCurve((10, 30), (-0.5, 0.5), "words", "linear")
        >>> curve([5, 10, 25, 40]), curve.outside([5, 10, 25, 40])
        (array([-0.5 , -0.5 ,  0.25,  0.5 ]), (1, 1))

        ```
    """

    lengths: tuple[float, ...]
    deviations: tuple[float, ...]
    unit: str
    scale: str = "log"

    def __post_init__(self):
        for name in ("lengths", "deviations"):
            object.__setattr__(self, name, check_numbers(getattr(self, name), f"length_curve: `{name}`"))
        check_unit(self.unit)
        check_scale(self.scale)
        if len(self.lengths) != len(self.deviations) or not self.lengths:
            raise ValueError(
                f"length_curve: `lengths` and `deviations` must have one value per knot, got {len(self.lengths)} and "
                f"{len(self.deviations)}"
            )
        if self.lengths[0] < 0 or any(b <= a for a, b in zip(self.lengths, self.lengths[1:], strict=False)):
            raise ValueError(f"length_curve: `lengths` must rise from 0 or more, got {shorten(self.lengths)}")

    def __call__(self, lengths: ArrayLike) -> np.ndarray:
        """Expected deviations `(N,)` of rewards of responses of these lengths `(N,)`."""
        scaled = scaled_lengths(as_lengths(lengths), self.scale)
        return np.interp(scaled, scaled_lengths(np.array(self.lengths), self.scale), self.deviations)

    def outside(self, lengths: ArrayLike) -> tuple[int, int]:
        """How many lengths are below the first knot, and above the last."""
        lengths = as_lengths(lengths)
        return int(np.sum(lengths < self.lengths[0])), int(np.sum(lengths > self.lengths[-1]))


def check_scale(scale: str) -> None:
    """Raise a `ValueError` unless this is a scale of lengths."""
    if scale not in SCALES:
        raise ValueError(f"`scale` must be one of {', '.join(map(repr, SCALES))}, got {scale!r}")


def scaled_lengths(lengths: np.ndarray, scale: str) -> np.ndarray:
    """Lengths on the scale on which a curve is linear between knots. log(1 + length): a response may be empty."""
    return np.log1p(lengths) if scale == "log" else np.asarray(lengths, dtype=np.float64)
