"""Which of two models the reward model prefers, prompt by prompt, when an amount is added to the scores of one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


TIES = {"loss": 0.0, "half": 0.5}  # what a tie counts
_LARGEST_SCORE = 1e150  # differences and their squares stay finite


@dataclass(frozen=True)
class PairedOutcomes:
    """
    How often the first of two models has the higher score.

    Args:
        wins (`int`): Prompts on which its score is higher.
        ties (`int`): Prompts with equal scores.
        n (`int`): All prompts.
    """

    wins: int
    ties: int
    n: int

    def points(self, ties: str) -> float:
        """Wins, with half a win per tie if `ties` is `"half"`."""
        return self.wins + TIES[ties] * self.ties

    def win_rate(self, ties: str) -> float:
        """Share of the prompts that are won."""
        return self.points(ties) / self.n


def paired_outcomes(scores: np.ndarray, opponent_scores: np.ndarray, offset: float = 0.0) -> PairedOutcomes:
    """Outcomes of `scores + offset` (N,) against `opponent_scores` (N,), as float64 evaluates the sum."""
    moved = scores + offset
    wins = int(np.count_nonzero(moved > opponent_scores))
    return PairedOutcomes(wins, int(np.count_nonzero(moved == opponent_scores)), len(scores))


def check_ties(ties: str) -> None:
    """Raise a `ValueError` unless `ties` is a key of `TIES`."""
    if ties not in TIES:
        raise ValueError(f"`ties` must be one of {', '.join(map(repr, TIES))}, got {ties!r}")


def check_expected_win_rate(expected_win_rate: float) -> float:
    """The win rate as a `float` strictly between 0 and 1; a `ValueError` otherwise."""
    try:
        value = float(expected_win_rate)
    except (TypeError, ValueError):
        raise TypeError(f"`expected_win_rate` must be a number, got {expected_win_rate!r}") from None
    if not 0 < value < 1:
        raise ValueError(
            f"`expected_win_rate` must lie strictly between 0 and 1, got {value}: ratings that differ by a finite amount "
            "give nothing else"
        )
    return value


def check_paired_scores(scores: ArrayLike, opponent_scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as finite float64 arrays of the same shape (N,), N at least 1; a `ValueError` otherwise."""
    arrays = []
    for name, values in (("scores_overvalued", scores), ("scores_reference", opponent_scores)):
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 1:
            raise ValueError(f"`{name}` must have shape (N,), got {array.shape}")
        if not array.size:
            raise ValueError(f"`{name}` is empty: there are no prompts")
        bad = np.flatnonzero(~np.isfinite(array) | (np.abs(array) > _LARGEST_SCORE))
        if bad.size:
            raise ValueError(
                f"`{name}` has {bad.size} values that are not finite or beyond {_LARGEST_SCORE:g}; first: row {bad[0]}, "
                f"value {array[bad[0]]}. Score these responses again, or remove the prompts from both models."
            )
        arrays.append(array)
    if arrays[0].shape != arrays[1].shape:
        raise ValueError(
            f"there are {len(arrays[0])} scores of the over-valued model and {len(arrays[1])} of the reference: both must "
            "answer the same prompts, in the same order"
        )
    return arrays[0], arrays[1]
