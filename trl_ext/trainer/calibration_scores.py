"""Whether given rewards before training are those of the model that is trained."""

import logging

import numpy as np


logger = logging.getLogger(__name__)

_ROWS = 16
_TOLERANCE = 0.1  # of the standard deviation of reward differences: several times what bfloat16 makes of a reward


def rows_to_compare(groups: np.ndarray) -> np.ndarray:
    """Up to 16 rows, spread over those that are of a pair of models: `groups` `(N,)` are below 0 for the others."""
    rows = np.flatnonzero(groups >= 0)
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(_ROWS, len(rows))).round().astype(np.int64))]


def warn_of_other_scores(rewards: np.ndarray, scores: np.ndarray, sd: float) -> None:
    """
    Warn if scores differ from the rewards of the model.

    Args:
        rewards (`np.ndarray` of shape `(K, 2)`): Rewards of the model before training, of chosen and rejected.
        scores (`np.ndarray` of shape `(K, 2)`): What the training set says they are.
        sd (`float`): Standard deviation of the score differences within the pairs of models, in units of reward.
    """
    difference = np.abs(rewards.astype(np.float64) - scores)
    largest = float(difference.max())
    if largest <= _TOLERANCE * sd:
        return
    row, side = np.unravel_index(difference.argmax(), difference.shape)
    logger.warning(
        "`score_chosen` and `score_rejected` are not the rewards of the model that is trained: in %d rows that were compared "
        "they differ by up to %.4g (score %.4g, reward %.4g), where the standard deviation of score differences is %.4g. "
        "Temperature and anchor hold the model to them. Score the responses with this model, with the same max_length and "
        "template, or remove both columns, and they are computed.",
        len(rewards), largest, scores[row, side], rewards[row, side], sd,
    )  # fmt: skip
