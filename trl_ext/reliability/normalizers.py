"""Annotator reliability metrics (ARMs): from what a survey records to numbers where high means reliable."""

import logging
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike


logger = logging.getLogger(__name__)


def _as_counts_or_seconds(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"values must have shape (N,) with N > 0, got {array.shape}")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if bad.size:
        raise ValueError(
            f"{bad.size} values are not finite numbers >= 0; first: row {bad[0]}, value {array[bad[0]]}. "
            "Times and click counts are expected raw, before any normalisation."
        )
    return array


@dataclass(frozen=True)
class ArmNormalizer:
    r"""
    Inverted min-max on the log scale, for decision times (seconds) and click counts:
    \( 1 - (\log(1+t) - m)/(M - m) \) with m, M the extremes of \( \log(1+t) \) over the **training** rows. 1 is the
    fastest training annotator (or the one with the fewest clicks), 0 the slowest.

    Rows outside the training range leave [0, 1]; `transform` keeps them as they are and logs their number.

    References:
        - The columns `decision_time` and `number_of_clicks` of the LIE and TRUE datasets of Reliability-Aware Preference
          Learning are made this way (found by reproducing them to 1e-15; the paper does not give the formula).

    Args:
        log_min (`float`):
            Smallest `log1p` of the training values.
        log_max (`float`):
            Largest `log1p` of the training values.
        name (`str`, *optional*, defaults to `"metric"`):
            Name for log messages.

    Example:
        ```python
        >>> normalizer = ArmNormalizer.fit([0.0, 3.0, 15.0])
        >>> normalizer.transform([0.0, 3.0, 15.0])
        array([1. , 0.5, 0. ])
        ```
    """

    log_min: float
    log_max: float
    name: str = "metric"

    def __post_init__(self):
        if not self.log_max > self.log_min:
            raise ValueError(
                f"log_max must be above log_min, got {self.log_max} and {self.log_min}; a metric that is the same for "
                "every training annotator tells nothing about reliability: leave it out"
            )

    @classmethod
    def fit(cls, values: ArrayLike, name: str = "metric") -> "ArmNormalizer":
        """Takes the range from raw training values of shape `(N,)`."""
        logs = np.log1p(_as_counts_or_seconds(values))
        return cls(float(logs.min()), float(logs.max()), name)

    def transform(self, values: ArrayLike) -> np.ndarray:
        """Normalises raw values of shape `(N,)`; logs how many leave [0, 1]."""
        scores = 1.0 - (np.log1p(_as_counts_or_seconds(values)) - self.log_min) / (self.log_max - self.log_min)
        outside = count_outside(scores)
        if outside:
            logger.warning(
                "%s: %d of %d normalised values lie outside [0, 1] (from %.4g to %.4g): these annotators were outside the "
                "range of the training rows. They are not clipped.",
                self.name,
                outside,
                scores.size,
                scores.min(),
                scores.max(),
            )
        return scores

    def to_dict(self) -> dict[str, float | str]:
        """Plain Python types, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, config: dict[str, float | str]) -> "ArmNormalizer":
        """Rebuilds what [`~ArmNormalizer.to_dict`] wrote."""
        return cls(**config)


def count_outside(scores: ArrayLike) -> int:
    """Number of values outside [0, 1]."""
    scores = np.asarray(scores)
    return int(np.sum((scores < 0) | (scores > 1)))


def confidence_from_scale(scale: ArrayLike) -> np.ndarray:
    """
    Confidence in {0, 1/3, 2/3, 1} from the 8-point survey scale, where 1 to 4 choose response A, 5 to 8 response B, and
    1 and 8 are the most sure.

    Args:
        scale (`array_like` of shape `(N,)`):
            Integers from 1 to 8.

    Returns:
        `numpy.ndarray` of shape `(N,)`: `(4 - s)/3` for s ≤ 4, else `(s - 5)/3`.
    """
    scale = np.asarray(scale, dtype=np.float64)
    bad = np.flatnonzero(~np.isin(scale, np.arange(1, 9)))
    if bad.size:
        raise ValueError(
            f"{bad.size} values are not integers from 1 to 8; first: row {bad[0]}, value {scale.flat[bad[0]]}"
        )
    return np.where(scale <= 4, 4 - scale, scale - 5) / 3
