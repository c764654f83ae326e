"""Annotator reliability metrics (ARMs): from what a survey records to numbers where high means reliable."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from .json_io import load_json
from .normalizer_base import Normalizer, OutsidePolicy, as_finite, count_outside


__all__ = [
    "NORMALIZERS",
    "ArmNormalizer",
    "MinMaxNormalizer",
    "Normalizer",
    "RankNormalizer",
    "ZScoreNormalizer",
    "confidence_from_scale",
    "count_outside",
    "load_normalizer",
    "normalizer_from_dict",
]

_SAME = "a metric that is the same for every training annotator tells nothing about reliability: leave it out"


@dataclass(frozen=True)
class ArmNormalizer(Normalizer):
    r"""
    Inverted min-max on the log scale, for decision times (seconds) and click counts:
    \( 1 - (\log(1+t) - m)/(M - m) \) with m, M the extremes of \( \log(1+t) \) over the **training** rows. 1 is the
    fastest training annotator (or the one with the fewest clicks), 0 the slowest.

    Rows outside the training range leave [0, 1]; by default `transform` keeps them as they are and logs their number.

    References:
        - The columns `decision_time` and `number_of_clicks` of the LIE and TRUE datasets of Reliability-Aware Preference
          Learning are made this way (found by reproducing them to 1e-15; the paper does not give the formula).

    Args:
        log_min (`float`):
            Smallest `log1p` of the training values.
        log_max (`float`):
            Largest `log1p` of the training values.
        name (`str`, *optional*, defaults to `"metric"`):
            Name for messages.
        high_is_reliable (`bool`, *optional*, defaults to `False`):
            Whether a high raw value speaks for the annotator. Times and clicks are taken to speak against.
        high_means_reliable (`bool`, *optional*, defaults to `True`):
            Orientation of the output, see [`Normalizer`].
        outside (`"keep"`, `"clip"` or `"error"`, *optional*, defaults to `"keep"`):
            What to do with values outside the training range, see [`Normalizer`].

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
    high_is_reliable: bool = False
    high_means_reliable: bool = True
    outside: OutsidePolicy = "keep"

    kind = "log_min_max"

    def _check(self) -> None:
        if not self.log_max > self.log_min:
            raise ValueError(f"log_max must be above log_min, got {self.log_max} and {self.log_min}; {_SAME}")

    @classmethod
    def fit(
        cls,
        values: ArrayLike,
        name: str = "metric",
        *,
        high_is_reliable: bool = False,
        high_means_reliable: bool = True,
        outside: OutsidePolicy = "keep",
    ) -> "ArmNormalizer":
        """Takes the range from raw training values of shape `(N,)`."""
        logs = cls._logs(values)
        return cls(float(logs.min()), float(logs.max()), name, high_is_reliable, high_means_reliable, outside)

    @staticmethod
    def _logs(values: ArrayLike) -> np.ndarray:
        hint = ". Times and click counts are expected raw, before any normalisation."
        return np.log1p(as_finite(values, minimum=0.0, rule="finite numbers >= 0", hint=hint))

    def _position(self, values: ArrayLike) -> np.ndarray:
        return (self._logs(values) - self.log_min) / (self.log_max - self.log_min)


@dataclass(frozen=True)
class MinMaxNormalizer(Normalizer):
    r"""
    Plain min-max: \( (t - m)/(M - m) \) with m, M the extremes of the **training** rows; inverted if a high raw value
    speaks against the annotator.

    References:
        - `decision_time` of the scale_LIE and scale_TRUE datasets is this with `high_means_reliable=False`: not
          inverted, so that high is **slow**, opposite to LIE and TRUE. Its range is that of all rows, training and
          validation together.

    Args:
        minimum (`float`):
            Smallest training value.
        maximum (`float`):
            Largest training value.
        name (`str`, *optional*, defaults to `"metric"`):
            Name for messages.
        high_is_reliable (`bool`, *optional*, defaults to `True`):
            Whether a high raw value speaks for the annotator.
        high_means_reliable (`bool`, *optional*, defaults to `True`):
            Orientation of the output, see [`Normalizer`].
        outside (`"keep"`, `"clip"` or `"error"`, *optional*, defaults to `"keep"`):
            What to do with values outside the training range, see [`Normalizer`].

    Example:
        ```python
        >>> seconds = [10.0, 20.0, 50.0]
        >>> MinMaxNormalizer.fit(seconds, high_is_reliable=False).transform(seconds)
        array([1.  , 0.75, 0.  ])
        >>> MinMaxNormalizer.fit(seconds, high_is_reliable=False, high_means_reliable=False).transform(seconds)
        array([0.  , 0.25, 1.  ])
        ```
    """

    minimum: float
    maximum: float
    name: str = "metric"
    high_is_reliable: bool = True
    high_means_reliable: bool = True
    outside: OutsidePolicy = "keep"

    kind = "min_max"

    def _check(self) -> None:
        if not self.maximum > self.minimum:
            raise ValueError(f"maximum must be above minimum, got {self.maximum} and {self.minimum}; {_SAME}")

    @classmethod
    def fit(
        cls,
        values: ArrayLike,
        name: str = "metric",
        *,
        high_is_reliable: bool,
        high_means_reliable: bool = True,
        outside: OutsidePolicy = "keep",
    ) -> "MinMaxNormalizer":
        """Takes the range from raw training values of shape `(N,)`."""
        array = as_finite(values)
        return cls(float(array.min()), float(array.max()), name, high_is_reliable, high_means_reliable, outside)

    def _position(self, values: ArrayLike) -> np.ndarray:
        return (as_finite(values) - self.minimum) / (self.maximum - self.minimum)


@dataclass(frozen=True)
class RankNormalizer(Normalizer):
    r"""
    Share of the training rows below a value, ties counted half: the mid-rank of the empirical distribution function,
    \( (\#\{t_i < t\} + \tfrac12 \#\{t_i = t\})/N \). Values between two training values are interpolated linearly.

    Untouched by outliers and by the unit. Below all training values the position is 0 and above all of them 1, both
    counted as outside the training range; `outside="clip"` gives them the position of the nearest training value.

    Args:
        values (`tuple` of `float`):
            Distinct training values, ascending.
        positions (`tuple` of `float`):
            Their positions in (0, 1), ascending.
        name (`str`, *optional*, defaults to `"metric"`):
            Name for messages.
        high_is_reliable (`bool`, *optional*, defaults to `True`):
            Whether a high raw value speaks for the annotator.
        high_means_reliable (`bool`, *optional*, defaults to `True`):
            Orientation of the output, see [`Normalizer`].
        outside (`"keep"`, `"clip"` or `"error"`, *optional*, defaults to `"keep"`):
            What to do with values outside the training range, see [`Normalizer`].

    Example:
        ```python
        >>> RankNormalizer.fit([1.0, 1.0, 2.0, 9.0], high_is_reliable=True).transform([1.0, 1.5, 2.0, 9.0])
        array([0.25  , 0.4375, 0.625 , 0.875 ])
        ```
    """

    values: tuple[float, ...]
    positions: tuple[float, ...]
    name: str = "metric"
    high_is_reliable: bool = True
    high_means_reliable: bool = True
    outside: OutsidePolicy = "keep"

    kind = "rank"

    def _check(self) -> None:
        # JSON knows lists only
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "positions", tuple(self.positions))
        if len(self.values) < 2:
            raise ValueError(f"values must hold at least two distinct numbers, got {self.values}; {_SAME}")
        if len(self.values) != len(self.positions):
            raise ValueError(f"values and positions differ in length: {len(self.values)} and {len(self.positions)}")
        for field in ("values", "positions"):
            if not (np.diff(getattr(self, field)) > 0).all():
                raise ValueError(f"{field} must rise strictly")

    @classmethod
    def fit(
        cls,
        values: ArrayLike,
        name: str = "metric",
        *,
        high_is_reliable: bool,
        high_means_reliable: bool = True,
        outside: OutsidePolicy = "keep",
    ) -> "RankNormalizer":
        """Ranks raw training values of shape `(N,)`."""
        array = as_finite(values)
        # rankdata counts from 1 and gives ties their mean rank: below + (equal + 1)/2
        unique, first = np.unique(array, return_index=True)
        positions = (rankdata(array)[first] - 0.5) / array.size
        return cls(
            tuple(unique.tolist()), tuple(positions.tolist()), name, high_is_reliable, high_means_reliable, outside
        )

    def _position(self, values: ArrayLike) -> np.ndarray:
        return np.interp(as_finite(values), self.values, self.positions, left=0.0, right=1.0)

    @property
    def _bounds(self) -> tuple[float, float]:
        return self.positions[0], self.positions[-1]


@dataclass(frozen=True)
class ZScoreNormalizer(Normalizer):
    r"""
    Standard score: \( (t - \bar t)/s \), with mean and standard deviation (`ddof=0`) of the **training** rows. Not in
    [0, 1]: an input for a calibrator, not a weight.

    Args:
        mean (`float`):
            Mean of the training values.
        std (`float`):
            Their standard deviation.
        minimum (`float`):
            Smallest training value.
        maximum (`float`):
            Largest training value.
        name (`str`, *optional*, defaults to `"metric"`):
            Name for messages.
        high_is_reliable (`bool`, *optional*, defaults to `True`):
            Whether a high raw value speaks for the annotator.
        high_means_reliable (`bool`, *optional*, defaults to `True`):
            Orientation of the output, see [`Normalizer`].
        outside (`"keep"`, `"clip"` or `"error"`, *optional*, defaults to `"keep"`):
            What to do with values outside the training range, see [`Normalizer`].

    Example:
        ```python
        >>> ZScoreNormalizer.fit([1.0, 3.0], high_is_reliable=True).transform([1.0, 2.0, 3.0])
        array([-1.,  0.,  1.])
        ```
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    name: str = "metric"
    high_is_reliable: bool = True
    high_means_reliable: bool = True
    outside: OutsidePolicy = "keep"

    kind = "z_score"

    def _check(self) -> None:
        if not self.std > 0:
            raise ValueError(f"std must be positive, got {self.std}; {_SAME}")

    @classmethod
    def fit(
        cls,
        values: ArrayLike,
        name: str = "metric",
        *,
        high_is_reliable: bool,
        high_means_reliable: bool = True,
        outside: OutsidePolicy = "keep",
    ) -> "ZScoreNormalizer":
        """Takes mean and standard deviation from raw training values of shape `(N,)`."""
        array = as_finite(values)
        low, high = float(array.min()), float(array.max())
        # equal values may have a standard deviation of a rounding error
        std = float(array.std()) if high > low else 0.0
        return cls(float(array.mean()), std, low, high, name, high_is_reliable, high_means_reliable, outside)

    def _position(self, values: ArrayLike) -> np.ndarray:
        return (as_finite(values) - self.mean) / self.std

    @property
    def _bounds(self) -> tuple[float, float]:
        return (self.minimum - self.mean) / self.std, (self.maximum - self.mean) / self.std

    def _invert(self, positions: np.ndarray) -> np.ndarray:
        return -positions


NORMALIZERS = {cls.kind: cls for cls in (ArmNormalizer, MinMaxNormalizer, RankNormalizer, ZScoreNormalizer)}


def normalizer_from_dict(config: dict) -> Normalizer:
    """Rebuilds a normaliser of any kind from what its `to_dict` wrote."""
    if config.get("kind") not in NORMALIZERS:
        raise ValueError(f"kind of normaliser must be one of {sorted(NORMALIZERS)}, got {config.get('kind')!r}")
    return NORMALIZERS[config["kind"]].from_dict(config)


def load_normalizer(path) -> Normalizer:
    """Reads a normaliser of any kind that [`Normalizer.save`] wrote."""
    return normalizer_from_dict(load_json(path))


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
