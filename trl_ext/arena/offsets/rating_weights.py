"""How much the expected win rate of each pair of models is worth, from the uncertainty of their ratings."""

import logging
from collections.abc import Sequence

import numpy as np

from ..ratings.rating_table import RatingTable
from ..ratings.win_probability import ELO_SCALE
from ..score_table import ScoreTable


logger = logging.getLogger(__name__)


def expected_variances(ratings: RatingTable, models: Sequence[str]) -> np.ndarray:
    """Variances `(M, M)` of the expected win rates of all pairs, by the delta method; 0 where ratings have no interval."""
    expected = ratings.win_probabilities(models)
    covariance = ratings.covariance_of(models)
    variances = np.diag(covariance)
    of_difference = np.maximum(variances[:, None] + variances[None, :] - 2 * covariance, 0.0)
    return of_difference * (expected * (1 - expected) * np.log(10) / ELO_SCALE) ** 2


def rating_weights(scores: ScoreTable, ratings: RatingTable) -> np.ndarray:
    """Inverse of these variances `(M, M)` plus those of a share of N prompts."""
    missing = np.flatnonzero(np.isnan(ratings.standard_errors(scores.models)))
    if 0 < missing.size < len(scores.models):
        logger.warning(
            "%d of %d ratings have no interval and count as exact; first: model %r",
            missing.size,
            len(scores.models),
            scores.models[missing[0]],
        )
    expected = ratings.win_probabilities(scores.models)
    return 1 / (expected_variances(ratings, scores.models) + expected * (1 - expected) / len(scores))
