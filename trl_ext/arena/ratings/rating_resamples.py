"""Ratings of resampled battles."""

import numpy as np
from tqdm.auto import tqdm

from .paired_comparison import Comparisons, check_comparable
from .sequential_elo import run_elo


_BATTLES_AT_A_TIME = 4_000_000


def resampled_parameters(
    comparisons: Comparisons,
    parameters: np.ndarray,
    codes: np.ndarray | None,
    pairs: tuple[np.ndarray, np.ndarray],
    models: list[str],
    resamples: int,
    seed: int,
) -> np.ndarray:
    """
    Parameters `(B, P)` of multinomially reweighted battles, or clusters of battles.

    Args:
        comparisons ([`Comparisons`]): The rows.
        parameters (`np.ndarray` of shape `(P,)`): Their fit, where each resample starts.
        codes (`np.ndarray` of shape `(R,)`, *optional*): Number of the cluster of every row.
        pairs (`tuple` of two `np.ndarray` of shape `(R,)`): Numbers of the first and second models.
        models (`list[str]`): Names of the models.
        resamples (`int`): Number B of resamples.
        seed (`int`): Seed.

    Raises:
        ValueError: A resample has no finite ratings.
    """
    generator = np.random.default_rng(seed)
    counts = comparisons.counts
    units, shares = int(counts.sum()), counts / counts.sum()
    if codes is not None:
        units = int(codes.max()) + 1
        shares = np.full(units, 1 / units)
    fits = np.empty((resamples, len(parameters)))
    for number in tqdm(range(resamples), desc="bootstrap", disable=None, delay=5):
        weights = generator.multinomial(units, shares).astype(np.float64)
        if codes is not None:
            weights = weights[codes] * counts
        try:
            if not comparisons.penalty:
                drawn = weights > 0
                check_comparable(*(side[drawn] for side in pairs), comparisons.scores[drawn], models)
            fits[number] = comparisons.fit(weights, parameters)
        except ValueError as error:
            raise ValueError(
                f'resample {number} of {resamples} can\'t be rated, so use intervals="sandwich" or more battles: {error}'
            ) from None
    return fits


def resampled_elo(
    first: np.ndarray, second: np.ndarray, scores: np.ndarray, models: int, k: float, resamples: int, seed: int
) -> np.ndarray:
    """Sequential Elo `(B, M)`, from 0, of N battles drawn with replacement, in the order of drawing."""
    generator = np.random.default_rng(seed)
    batch = max(1, _BATTLES_AT_A_TIME // len(scores))
    parts = []
    for start in tqdm(range(0, resamples, batch), desc="bootstrap", disable=None, delay=5):
        rows = generator.integers(len(scores), size=(len(scores), min(batch, resamples - start)))
        parts.append(run_elo(first[rows], second[rows], scores[rows], models, k, 0.0))
    return np.concatenate(parts)
