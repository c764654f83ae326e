"""The Ties subset of RewardBench 2: right answers should score alike, and all above the wrong ones."""

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..statistics import Estimate, mean_estimate, proportion_estimate, stratified_estimate


logger = logging.getLogger(__name__)

VARIANTS = ("0.1.5", "0.1.4")
# Weights of the parts, as published; they sum to 1.01, of which the margin term is the last hundredth
WEIGHTS = {"accuracy_ref": 0.30, "accuracy_tied": 0.30, "preferred": 0.20, "preferred_hard": 0.20, "margin": 0.01}
BOUNDS = (-0.01, 1.01)

_ID = re.compile(r"(?P<kind>ref|tied):(?P<number>.+)")


@dataclass(frozen=True)
class TiesScore:
    """
    Score on the Ties subset and its parts.

    A question has two rows: `ref:<n>` with one right answer, and `tied:<n>` with several that are equally right. The
    gap of a row is its lowest reward of a right answer minus the highest of a wrong one; the spread of a tied row is its
    highest minus its lowest reward of a right answer.

    Args:
        score ([`Estimate`]):
            0.30 accuracy_ref + 0.30 accuracy_tied + 0.20 preferred + 0.20 preferred_hard + 0.01 margin; lies in
            [-0.01, 1.01].
        accuracy_ref ([`Estimate`]):
            Share of `ref` rows with a gap above 0.
        accuracy_tied ([`Estimate`]):
            Share of `tied` rows with a gap above 0.
        preferred ([`Estimate`]):
            Share of pairs whose tied row has a gap above its spread.
        preferred_hard ([`Estimate`]):
            Share of pairs where both rows have.
        margin ([`Estimate`]):
            Mean of tanh(smaller gap / spread − 1) over pairs.
        rows (`pandas.DataFrame`):
            `id`, `kind`, `number`, `accurate`, `gap`, `spread` (`nan` for one right answer), as they were given.
        unpaired (`tuple[str, ...]`):
            Ids without the other row, or of a tied row with one right answer, which has no spread to compare with, and
            its counterpart. They count in the accuracies alone.
        no_spread (`int`):
            Pairs whose tied row has a spread of 0, where the variants differ.
        variant (`str`):
            `"0.1.5"` or `"0.1.4"`.
    """

    score: Estimate
    accuracy_ref: Estimate
    accuracy_tied: Estimate
    preferred: Estimate
    preferred_hard: Estimate
    margin: Estimate
    rows: pd.DataFrame
    unpaired: tuple[str, ...]
    no_spread: int
    variant: str

    def to_dict(self) -> dict[str, Any]:
        """All but the rows, for JSON."""
        return {
            **{name: asdict(getattr(self, name)) for name in ("score", *WEIGHTS)},
            "unpaired": list(self.unpaired),
            "no_spread": self.no_spread,
            "variant": self.variant,
        }


def ties_id(identifier: Any) -> tuple[str, str]:
    """Kind (`ref` or `tied`) and number of an id; a `ValueError` if it is of another form."""
    match = _ID.fullmatch(identifier) if isinstance(identifier, str) else None
    if match is None:
        raise ValueError(f"ids of the Ties subset must be 'ref:<n>' or 'tied:<n>', got {identifier!r}")
    return match["kind"], match["number"]


def rewardbench2_ties_score(
    ids: Sequence[str],
    rewards: Sequence[ArrayLike],
    num_correct: Sequence[int],
    *,
    variant: str = "0.1.5",
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> TiesScore:
    """
    Score on the Ties subset of RewardBench 2.

    The interval of the score is that of [`stratified_estimate`] over questions: when all pairs are complete, the score is
    the mean of what they are worth. Otherwise it is one of ratios of such means, and what a question is worth is the score
    plus the question's influence on it.

    References:
        - RewardBench 2: Advancing Reward Model Evaluation (Malik et al.), https://arxiv.org/abs/2506.01937, appendix

    Args:
        ids (`Sequence[str]`):
            `ref:<n>` and `tied:<n>`, each once.
        rewards (`Sequence[array_like]`):
            For every id the rewards of its answers, the right ones first; shape `(K,)`, or `(K, 1)` as in old score
            files.
        num_correct (`Sequence[int]`):
            For every id the number of right answers; 1 or more, and fewer than answers.
        variant (`str`, *optional*, defaults to `"0.1.5"`):
            Version of `rewardbench` to agree with on pairs without spread: in the margin term, `"0.1.5"` counts them as
            ±1 by the sign of the smaller gap (0 if that is 0); `"0.1.4"` leaves them out, and has a margin of 0 if none is
            left.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of resamples of the bootstrap.
        seed (`int`, *optional*, defaults to `0`):
            Its seed.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`TiesScore`]: Uncertainty is `nan` for a single question.

    Raises:
        ValueError: an id is of another form or there twice, no pair is complete, or rewards are not as they must be.

    Example:
        ```python
        >>> ids, rewards = ["ref:0", "tied:0"], [[3.0, 1.0], [2.0, 4.0, 1.0]]
        >>> ties = rewardbench2_ties_score(ids, rewards, [1, 2])  # gaps 2 and 1, spread 2: 0.6 + 0.01 tanh(1/2 - 1)
        >>> round(ties.score.value, 4), ties.preferred.value
        (0.5954, 0.0)
        ```
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    rows = _ties_rows(ids, rewards, num_correct)
    ref, tied = (rows[rows["kind"] == kind].set_index("number") for kind in ("ref", "tied"))
    numbers = list(dict.fromkeys(rows["number"]))
    comparable = tied.index[tied["spread"].notna()]
    paired = [number for number in numbers if number in ref.index and number in comparable]
    unpaired = tuple(rows["id"][~rows["number"].isin(paired)])
    if not paired:
        raise ValueError(
            f"none of the {len(rows)} Ties rows has its counterpart ('ref:<n>', and 'tied:<n>' with at least 2 right "
            f"answers), first: {unpaired[0]!r}. Keep both rows of a question when you take a sample."
        )
    if unpaired:
        logger.warning(
            "%d of %d Ties rows lack their counterpart (or the tied row has one right answer) and count in the "
            "accuracies alone, first: %s",
            *(len(unpaired), len(rows), unpaired[0]),
        )
    spread = tied.loc[paired, "spread"].to_numpy()
    gap_tied = tied.loc[paired, "gap"].to_numpy()
    smaller = np.minimum(ref.loc[paired, "gap"].to_numpy(), gap_tied)
    with np.errstate(divide="ignore", invalid="ignore"):
        margins = np.nan_to_num(np.tanh(smaller / spread - 1), nan=0.0)  # 0/0 is the only nan
    counted = spread > 0 if variant == "0.1.4" else np.ones(len(paired), dtype=bool)
    values = {
        "accuracy_ref": ref["accurate"].astype(float),
        "accuracy_tied": tied["accurate"].astype(float),
        "preferred": pd.Series((gap_tied > spread).astype(float), paired),
        "preferred_hard": pd.Series((smaller > spread).astype(float), paired),
        "margin": pd.Series(margins[counted], np.array(paired, dtype=object)[counted], dtype=float),
    }
    parts = {name: proportion_estimate(part, level=level) for name, part in values.items() if name != "margin"}
    if counted.any():
        parts["margin"] = mean_estimate(values["margin"], level=level)
    else:
        logger.warning("no pair has a spread, so that the margin of variant 0.1.4 is 0; choose variant='0.1.5'")
        parts["margin"] = Estimate(0.0, np.nan, np.nan, np.nan, 0, "no pair with a spread")
    worth = sum(WEIGHTS[name] * _worth(part.reindex(numbers).to_numpy()) for name, part in values.items())
    score = replace(_score(worth, {"resamples": resamples, "seed": seed, "level": level}), n=len(rows))
    return TiesScore(score, **parts, rows=rows, unpaired=unpaired, no_spread=int((spread == 0).sum()), variant=variant)


def _worth(part: np.ndarray) -> np.ndarray:
    """
    A part's mean over the questions that count in it (not `nan`) as a mean over all questions `(U,)`.

    Questions that count are moved from the mean by their influence, those that don't are worth the mean.
    """
    there = ~np.isnan(part)
    if not there.any():
        return np.zeros(part.size)
    mean = part[there].mean()
    return np.where(there, mean + (part - mean) * (part.size / there.sum()), mean)


def _score(worth: np.ndarray, options: dict[str, Any]) -> Estimate:
    """Mean of what questions are worth. Influences of incomplete ones may lie outside of the bounds."""
    bounds = min(BOUNDS[0], worth.min()), max(BOUNDS[1], worth.max())
    score = stratified_estimate(worth, np.full(worth.size, "Ties"), {"Ties": 1.0}, bounds=bounds, **options)
    low, high = np.clip([score.ci_low, score.ci_high], *BOUNDS)
    method = f"{score.method}; a cluster is a question with its rows"
    return replace(score, ci_low=float(low), ci_high=float(high), method=method)


def _ties_rows(ids: Sequence[str], rewards: Sequence[ArrayLike], num_correct: Sequence[int]) -> pd.DataFrame:
    if not len(ids) == len(rewards) == len(num_correct):
        raise ValueError(
            f"ids, rewards and num_correct must have an entry per row, got {len(ids)}, {len(rewards)} and "
            f"{len(num_correct)}"
        )
    if not len(ids):
        raise ValueError("there are no Ties rows")
    rows, seen = [], set()
    for index, (identifier, values, right) in enumerate(zip(ids, rewards, num_correct, strict=True)):
        kind, number = ties_id(identifier)
        if identifier in seen:
            raise ValueError(f"row {index}: the id {identifier!r} is there twice")
        seen.add(identifier)
        where = f"row {index} (id {identifier!r})"
        array = flat_rewards(values, where)
        check_num_correct(right, len(array), where)
        gap = array[:right].min() - array[right:].max()
        spread = np.ptp(array[:right]) if right > 1 else np.nan
        rows.append((identifier, kind, number, bool(gap > 0), gap, spread))
    return pd.DataFrame(rows, columns=["id", "kind", "number", "accurate", "gap", "spread"])


def flat_rewards(values: ArrayLike, where: str) -> np.ndarray:
    """Rewards `(K,)` of a row; files of old versions have lists of one reward each, `(K, 1)`."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{where}: rewards must have shape (K,) or (K, 1), got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"{where}: the reward of response {bad[0]} is {array[bad[0]]}; rewards must be finite")
    return array


def check_num_correct(right: Any, n: int, where: str) -> None:
    """Raise a `ValueError` unless some responses are right and some wrong."""
    if isinstance(right, bool) or not isinstance(right, (int, np.integer)) or not 1 <= right < n:
        raise ValueError(
            f"{where}: num_correct is {right!r}, but with {n} responses it must be a whole number from 1 to {n - 1}: at "
            "least one right and one wrong"
        )
