"""Calibrators by the name of their kind."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..json_io import load_json
from .base import Calibrator
from .beta import BetaCalibrator
from .histogram import HistogramCalibrator
from .isotonic import IsotonicCalibrator
from .platt import PlattCalibrator
from .platt_histogram import PlattHistogramCalibrator
from .temperature import TemperatureCalibrator


CALIBRATORS = {
    cls.kind: cls
    for cls in (
        PlattCalibrator,
        IsotonicCalibrator,
        TemperatureCalibrator,
        BetaCalibrator,
        HistogramCalibrator,
        PlattHistogramCalibrator,
    )
}


def _class_of(kind: Any) -> type[Calibrator]:
    if kind not in CALIBRATORS:
        raise ValueError(f"kind of calibrator must be one of {sorted(CALIBRATORS)}, got {kind!r}")
    return CALIBRATORS[kind]


def fit_calibrator(
    kind: str,
    scores: ArrayLike,
    correct: ArrayLike,
    *,
    fitted_on: str | None = None,
    arm: str | None = None,
    **settings: Any,
) -> Calibrator:
    """
    Fits a calibrator of the named kind.

    | kind | scores | labels | rises with the score |
    |---|---|---|---|
    | `"platt"` | any | 0, 1 | or falls |
    | `"isotonic"` | any | [0, 1] | yes |
    | `"temperature"` | logits, or probabilities with `inputs="probabilities"` | [0, 1] | yes |
    | `"beta"` | [0, 1] | [0, 1] | yes |
    | `"histogram"` | any | [0, 1] | not necessarily |
    | `"platt_histogram"` | any | 0, 1 | in steps, or falls |
    | `"rapl"` | any | [0, 1] | – |

    `"rapl"` is the rule of the original code: Platt where all labels are 0 or 1, else isotonic.

    Args:
        kind (`str`):
            One of the table.
        scores (`array_like` of shape `(N,)`):
            Finite scores.
        correct (`array_like` of shape `(N,)`):
            Labels.
        fitted_on (`str`, *optional*):
            Name of the split, for the record.
        arm (`str`, *optional*):
            Metric behind the scores, a key of [`~trl_ext.reliability.arms.ARMS`].
        **settings:
            Arguments of the calibrator's constructor, such as `n_bins`.

    Returns:
        [`Calibrator`]

    Example:
        ```python
        >>> fit_calibrator("rapl", [1.0, 2.0], [0.25, 0.5]).kind
        'isotonic'
        ```
    """
    if kind == "rapl":
        kind = "platt" if np.isin(np.asarray(correct, dtype=np.float64), [0, 1]).all() else "isotonic"
    return _class_of(kind)(**settings).fit(scores, correct, fitted_on=fitted_on, arm=arm)


def calibrator_from_dict(config: dict[str, Any]) -> Calibrator:
    """Rebuilds a calibrator of any kind from what its `to_dict` wrote."""
    return _class_of(config.get("kind")).from_dict(config)


def load_calibrator(path: str | Path) -> Calibrator:
    """Reads a calibrator of any kind that its `save` wrote."""
    return calibrator_from_dict(load_json(path))
