"""Calibrators: from a reliability score to the probability that the annotator is correct."""

from .base import Calibrator
from .beta import BetaCalibrator
from .histogram import HistogramCalibrator
from .inputs import FitRecord, logit_difference
from .isotonic import IsotonicCalibrator
from .platt import PlattCalibrator
from .platt_histogram import PlattHistogramCalibrator
from .registry import CALIBRATORS, calibrator_from_dict, fit_calibrator, load_calibrator
from .temperature import TemperatureCalibrator


__all__ = [
    "CALIBRATORS",
    "BetaCalibrator",
    "Calibrator",
    "FitRecord",
    "HistogramCalibrator",
    "IsotonicCalibrator",
    "PlattCalibrator",
    "PlattHistogramCalibrator",
    "TemperatureCalibrator",
    "calibrator_from_dict",
    "fit_calibrator",
    "load_calibrator",
    "logit_difference",
]
