"""What all normalisers of reliability metrics share: orientation, values outside the training range, JSON."""

import logging
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from .json_io import load_json, save_json


logger = logging.getLogger("trl_ext.reliability.normalizers")

OutsidePolicy = Literal["keep", "clip", "error"]


def as_finite(
    values: ArrayLike, *, minimum: float = -np.inf, rule: str = "finite numbers", hint: str = ""
) -> np.ndarray:
    """Raw values as float64 of shape `(N,)`; the first that breaks the rule is named."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"values must have shape (N,) with N > 0, got {array.shape}")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= minimum)))
    if bad.size:
        raise ValueError(f"{bad.size} values are not {rule}; first: row {bad[0]}, value {array[bad[0]]}{hint}")
    return array


def count_outside(scores: ArrayLike) -> int:
    """Number of values outside [0, 1]."""
    scores = np.asarray(scores)
    return int(np.sum((scores < 0) | (scores > 1)))


class Normalizer(ABC):
    """
    Base of normalisers: a frozen dataclass of what was learnt from the training rows, with these fields beside.

    - `high_is_reliable`: the *direction*, whether a high **raw** value speaks for the annotator.
    - `high_means_reliable`: the *orientation* of the output. `True` turns it so that high is reliable; `False` keeps the
      order of the raw values, whatever they say about the annotator.
    - `outside`: values outside the range of the training rows are kept as they fall and their number is logged
      (`"keep"`), moved to the end of the range and their number is logged (`"clip"`), or refused (`"error"`).
    """

    kind: ClassVar[str]
    name: str
    high_is_reliable: bool
    high_means_reliable: bool
    outside: OutsidePolicy

    def __post_init__(self):
        if self.outside not in ("keep", "clip", "error"):
            raise ValueError(f'outside must be "keep", "clip" or "error", got {self.outside!r}')
        self._check()

    @property
    def inverted(self) -> bool:
        """Whether the output falls as the raw value rises."""
        return self.high_means_reliable and not self.high_is_reliable

    @property
    def output_high_is_reliable(self) -> bool:
        """Whether a high **output** speaks for the annotator: what whoever uses the column has to know."""
        return self.high_means_reliable or self.high_is_reliable

    def transform(self, values: ArrayLike) -> np.ndarray:
        """
        Normalises raw values.

        Args:
            values (`array_like` of shape `(N,)`):
                Raw values in the unit of the training rows.

        Returns:
            `numpy.ndarray` of shape `(N,)`, float64.

        Raises:
            ValueError: a value is not finite, or outside the training range under `outside="error"`.
        """
        positions = self._position(values)
        low, high = self._bounds
        outside = np.flatnonzero((positions < low) | (positions > high))
        if outside.size:
            self._report_outside(values, positions, outside)
            if self.outside == "clip":
                positions = np.clip(positions, low, high)
        return self._invert(positions) if self.inverted else positions

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> Self:
        """Rebuilds what `to_dict` wrote."""
        if config.get("kind", cls.kind) != cls.kind:
            raise ValueError(f"expected a normaliser of kind '{cls.kind}', got {config['kind']!r}")
        return cls(**{key: value for key, value in config.items() if key != "kind"})

    def save(self, path: str | Path) -> None:
        """Writes the normaliser to a JSON file."""
        save_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what `save` wrote."""
        return cls.from_dict(load_json(path))

    @abstractmethod
    def _check(self) -> None:
        """Refuses parameters that cannot normalise."""

    @abstractmethod
    def _position(self, values: ArrayLike) -> np.ndarray:
        """Normalised values in the order of the raw ones."""

    @property
    def _bounds(self) -> tuple[float, float]:
        """Positions of the extremes of the training rows."""
        return 0.0, 1.0

    def _invert(self, positions: np.ndarray) -> np.ndarray:
        return 1.0 - positions

    def _report_outside(self, values: ArrayLike, positions: np.ndarray, outside: np.ndarray) -> None:
        low, high = self._bounds
        if self.outside == "error":
            row = outside[0]
            raise ValueError(
                f"{self.name}: {outside.size} of {positions.size} values lie outside the range of the training rows; "
                f'first: row {row}, value {np.asarray(values)[row]}. Use outside="keep" or "clip" to let them pass.'
            )
        scores = self._invert(positions) if self.inverted else positions
        logger.warning(
            "%s: %d of %d normalised values lie outside [%.4g, %.4g] (from %.4g to %.4g): these annotators were outside "
            "the range of the training rows. They are %sclipped.",
            self.name,
            outside.size,
            positions.size,
            *sorted([self._invert(low), self._invert(high)] if self.inverted else [low, high]),
            scores.min(),
            scores.max(),
            "" if self.outside == "clip" else "not ",
        )
