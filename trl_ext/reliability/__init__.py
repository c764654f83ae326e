"""
How far to believe a label, and what a loss makes of it.

What annotators leave behind (`arms`) is normalised, calibrated to P(correct) and converted to the weights of a loss. P(correct)
also comes from a model that has learned it (`correctness`), from a language model that rates how hard a comparison is
(`llm_arms`), or from several annotators of the same item (`aggregation`). `commitment` estimates how far to believe each annotator.
"""

from ..lazy_exports import lazy_exports


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

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
