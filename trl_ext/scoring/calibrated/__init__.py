"""
Calibration of a reward model at inference: an offset per known source, a curve of length, probabilities of preferences,
and what applies them.
"""

from .calibration import GAUGES, RewardCalibration
from .length_curve import LengthCurve
from .length_fit import fit_length_calibration
from .lengths import LENGTH_UNITS, response_lengths
from .preference_curve import PREFERENCE_METHODS, PreferenceCurve
from .preference_fit import fit_preference_calibration
from .scorer import CalibratedScorer
from .storage import ADAPTER_FILE, CONFIG_KEY, read_calibration, remove_calibration, save_calibration


__all__ = [
    "ADAPTER_FILE",
    "CONFIG_KEY",
    "GAUGES",
    "LENGTH_UNITS",
    "CalibratedScorer",
    "PREFERENCE_METHODS",
    "LengthCurve",
    "PreferenceCurve",
    "RewardCalibration",
    "fit_length_calibration",
    "fit_preference_calibration",
    "read_calibration",
    "remove_calibration",
    "response_lengths",
    "save_calibration",
]
