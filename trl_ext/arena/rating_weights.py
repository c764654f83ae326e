"""How much the expected win rate of each pair of models is worth, from the uncertainty of their ratings."""

import logging

import numpy as np

from .rating_table import RatingTable
from .score_table import ScoreTable
from .win_probability import ELO_SCALE


logger = logging.getLogger(__name__)


def rating_weights(scores: ScoreTable, ratings: RatingTable, expected: np.ndarray) -> np.ndarray:
    """Inverse variances `(M, M)` of expected win rates, by the delta method, plus that of a share of N prompts."""
    missing = np.flatnonzero(np.isnan(ratings.standard_errors(scores.models)))
    if 0 < missing.size < len(scores.models):
        logger.warning(
            "%d of %d ratings have no interval and count as exact; first: model %r",
            missing.size,
            len(scores.models),
            scores.models[missing[0]],
        )
    covariance = ratings.covariance_of(scores.models)
    variances = np.diag(covariance)
    of_difference = np.maximum(variances[:, None] + variances[None, :] - 2 * covariance, 0.0)
    of_share = expected * (1 - expected)
    return 1 / (of_difference * (of_share * np.log(10) / ELO_SCALE) ** 2 + of_share / len(scores))
