"""
How far to believe a label, and what a loss makes of it.

What annotators leave behind (`arms`) is normalised, calibrated to P(correct) and converted to the weights of a loss. P(correct)
also comes from a model that has learned it (`correctness`), from a language model that rates how hard a comparison is
(`llm_arms`), or from several annotators of the same item (`aggregation`). `commitment` estimates how far to believe each annotator.
"""

import importlib


_EXPORTS = {
    "ArmNormalizer": "normalizers",
    "BetaCalibrator": "calibrators",
    "CommitmentEstimate": "commitment",
    "HistogramCalibrator": "calibrators",
    "IsotonicCalibrator": "calibrators",
    "MinMaxNormalizer": "normalizers",
    "PlattCalibrator": "calibrators",
    "PlattHistogramCalibrator": "calibrators",
    "RankNormalizer": "normalizers",
    "TemperatureCalibrator": "calibrators",
    "WeightStatistics": "weights",
    "ZScoreNormalizer": "normalizers",
    "confidence_from_scale": "normalizers",
    "estimate_commitment": "commitment",
    "fit_calibrator": "calibrators",
    "flip_mask": "conversions",
    "get_arm": "arms",
    "load_calibrator": "calibrators",
    "load_normalizer": "normalizers",
    "reliability_to_beta": "conversions",
    "reliability_to_label": "conversions",
    "reliability_to_margin": "conversions",
    "reliability_to_p": "conversions",
    "weight_statistics": "weights",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
