"""The amount that, added to the scores of an over-valued model, makes it win as often as its rating says."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit

from ..mismatch.intervals import relative_mismatch
from ..mismatch.paired_outcomes import (
    check_expected_win_rate,
    check_paired_scores,
    check_ties,
    paired_outcomes,
)
from .exact_offset import exact_offset
from .unpaired_win_rates import (
    REFERENCE_BLOCK_SIZE,
    REFERENCE_TEMPERATURE,
    check_block_size,
    check_temperature,
    unpaired_rate,
)


OFFSET_METHODS = ("paired", "soft_paired", "reference")


@dataclass(frozen=True)
class OffsetSolution:
    """
    An offset of an over-valued model against a reference model, and what it does to their pairs.

    Args:
        offset (`float`):
            Added to the scores of the over-valued model, in their unit.
        interval_low (`float`):
            Offsets above this and up to `interval_high` are as good; `-inf` where there is no bound. The soft methods
            have one root: both ends are the offset.
        interval_high (`float`):
            See `interval_low`; `inf` where there is no bound.
        method (`str`):
            How it was obtained, one of `OFFSET_METHODS`.
        n (`int`):
            Number of prompts.
        ties_before, ties_after (`int`):
            Prompts with equal scores.
        win_rate_before, win_rate_after (`float`):
            Share of the prompts that the over-valued model wins.
        mismatch_before, mismatch_after (`float`):
            Mismatch degree, see [`mismatch_degree`].
        flipped (`int`):
            Prompts whose chosen response changes; of equal scores the over-valued model's is chosen, as in the original.
        attainable (`bool`):
            Whether the win rate is within half a win of the expected one. Tied differences can make it unattainable for
            the exact method; the nearest attainable one is then taken. The soft methods always have their root.
        temperature (`float` or `None`):
            Temperature of the soft methods, in the unit of the scores.
    """

    offset: float
    interval_low: float
    interval_high: float
    method: str
    n: int
    ties_before: int
    ties_after: int
    win_rate_before: float
    win_rate_after: float
    mismatch_before: float
    mismatch_after: float
    flipped: int
    attainable: bool
    temperature: float | None = None

    def __float__(self) -> float:
        return self.offset

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self)


def solve_offset(
    scores_overvalued: ArrayLike,
    scores_reference: ArrayLike,
    expected_win_rate: float,
    *,
    method: str = "paired",
    temperature: float | str | None = None,
    ties: str = "loss",
    block_size: int = REFERENCE_BLOCK_SIZE,
) -> OffsetSolution:
    r"""
    The offset of an over-valued model with which it wins as often against a reference model as their ratings say.

    - `"paired"` counts wins prompt by prompt, which is what the mismatch degree measures. The count of wins is a step
      function of the offset, so any offset between two neighbouring order statistics of \( s_R - s_O \) is as good; the
      midpoint is taken. Beyond the first or the last of them, the offset lies the mean gap between them further on.
      \( |MD| \le 1/N \) unless tied differences forbid it.
    - `"soft_paired"` solves \( \frac1N \sum_i \sigma((s_{iO} + d - s_{iR}) / T) = P \), the paper's equation 3. It
      depends on the scale of the scores, `temperature="std"` does not.
    - `"reference"` solves the original's unpaired objective, see [`soft_unpaired_win_rates`]. It over-corrects where
      the scores of a prompt are correlated.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045

    Args:
        scores_overvalued (`array_like` of shape `(N,)`):
            Rewards of the over-valued model's responses. An under-valued one gets a positive offset.
        scores_reference (`array_like` of shape `(N,)`):
            Rewards of the reference model's responses to the same prompts.
        expected_win_rate (`float`):
            P, strictly between 0 and 1, see [`elo_win_probability`].
        method (`str`, *optional*, defaults to `"paired"`):
            `"paired"`, `"soft_paired"` or `"reference"`.
        temperature (`float` or `"std"`, *optional*):
            T of the soft methods, in the unit of the scores; `"std"` is the standard deviation of the paired differences.
            By default 1 for `"soft_paired"` and 0.1 for `"reference"`, as published.
        ties (`str`, *optional*, defaults to `"loss"`):
            A tie counts as a `"loss"` of the over-valued model, as in the original, or `"half"` a win, as in the ratings.
        block_size (`int`, *optional*, defaults to `1000`):
            Rows of a block of `"reference"`.

    Returns:
        [`OffsetSolution`]: The offset, with win rates and mismatch degrees before and after.

    Raises:
        ValueError: Scores are empty, not finite or not as many, the win rate is not inside (0, 1), or an option is unknown.

    Example:
        ```python
        >>> from trl_ext.arena import solve_offset
        >>> solution = solve_offset([3.0, 2.0, 4.0, 1.0], [1.0, 1.5, 2.5, 2.0], 0.5)
        >>> solution.offset, solution.win_rate_before, solution.win_rate_after, solution.flipped
        (-1.0, 0.75, 0.5, 1)

        ```
    """
    overvalued, reference = check_paired_scores(scores_overvalued, scores_reference)
    expected = check_expected_win_rate(expected_win_rate)
    check_ties(ties)
    if method not in OFFSET_METHODS:
        raise ValueError(f"`method` must be one of {', '.join(map(repr, OFFSET_METHODS))}, got {method!r}")
    if method == "paired":
        if temperature is not None:
            raise ValueError('`temperature` is of the methods "soft_paired" and "reference"; "paired" has none')
        exact = exact_offset(overvalued, reference, expected, ties)
        offset, low, high, attainable = exact.offset, exact.interval_low, exact.interval_high, exact.attainable
    else:
        temperature = resolve_temperature(
            1.0 if method == "soft_paired" and temperature is None else temperature, overvalued - reference
        )
        if method == "soft_paired":
            offset = soft_paired_root(overvalued - reference, expected, temperature)
        else:
            check_block_size(block_size)
            offset = _reference_root(overvalued, reference, expected, temperature, block_size)
        low, high, attainable = offset, offset, True
    before, after = (paired_outcomes(overvalued, reference, amount) for amount in (0.0, offset))
    return OffsetSolution(
        offset=offset,
        interval_low=low,
        interval_high=high,
        method=method,
        n=before.n,
        ties_before=before.ties,
        ties_after=after.ties,
        win_rate_before=before.win_rate(ties),
        win_rate_after=after.win_rate(ties),
        mismatch_before=float(relative_mismatch(before.win_rate(ties), expected)),
        mismatch_after=float(relative_mismatch(after.win_rate(ties), expected)),
        flipped=int(np.count_nonzero((overvalued >= reference) != (overvalued + offset >= reference))),
        attainable=attainable,
        temperature=temperature,
    )


def resolve_temperature(temperature: float | str | None, differences: np.ndarray) -> float:
    """A temperature in the unit of the scores: the number itself, the original's by default, or `"std"` of differences."""
    if temperature is None:
        return REFERENCE_TEMPERATURE
    if isinstance(temperature, str):
        if temperature != "std":
            raise ValueError(f'`temperature` must be a positive number or "std", got {temperature!r}')
        temperature = float(np.std(differences))
        if not temperature > 0:
            raise ValueError(
                'all paired differences are equal, so that temperature="std" is zero: give a number, or use the method '
                '"paired"'
            )
    check_temperature(temperature)
    return float(temperature)


def soft_paired_root(differences: np.ndarray, expected: float, temperature: float) -> float:
    """The `d` at which the mean of `sigmoid((differences + d) / temperature)` is `expected`."""
    return _root(
        lambda offset: float(np.mean(expit((differences + offset) / temperature))) - expected,
        low=temperature * logit(expected) - differences.max(),
        high=temperature * logit(expected) - differences.min(),
        scale=temperature,
    )


def _reference_root(
    overvalued: np.ndarray, reference: np.ndarray, expected: float, temperature: float, block_size: int
) -> float:
    return _root(
        lambda offset: unpaired_rate(overvalued, reference, offset, temperature, block_size)[0] - expected,
        low=temperature * logit(expected) + reference.min() - overvalued.max(),
        high=temperature * logit(expected) + reference.max() - overvalued.min(),
        scale=temperature,
    )


def _root(function: Callable[[float], float], *, low: float, high: float, scale: float) -> float:
    """Root of a growing function that is at most 0 at `low` and at least 0 at `high`, but for rounding."""
    margin = scale + 1e-9 * max(abs(low), abs(high))
    return float(
        brentq(function, low - margin, high + margin, xtol=1e-12 * scale, rtol=4 * np.finfo(float).eps, maxiter=1000)
    )
