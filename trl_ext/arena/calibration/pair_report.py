"""What became of the candidates of a pair of models: counts, offset, win rates and mismatch degrees."""

from typing import Any

import numpy as np
import pandas as pd

from ...evaluation.statistics import Estimate, wilson_interval
from ..mismatch.intervals import relative_mismatch
from ..mismatch.paired_outcomes import PairedOutcomes, paired_outcomes
from ..ratings.rating_table import RatingTable
from ..score_table import ScoreTable
from .pair_candidates import Candidates


REASONS = ("empty", "identical", "tied", "below_margin")  # for which a pair is left out; the first that applies counts


def pair_report(
    scores: ScoreTable,
    group: Candidates,
    ratings: RatingTable,
    mismatch_ties: str,
    reason: np.ndarray,
    first_is_chosen: np.ndarray,
) -> dict[str, Any]:
    """
    A report for JSON; `reason` (K,) says why each candidate is left out, `""` for those that are kept, and `first_is_chosen`
    (K,) of which the first model's response is chosen.
    """
    first, second = scores.of(group.model), scores.of(group.reference)
    expected = ratings.win_probability(group.model, group.reference)
    before, after = (paired_outcomes(first, second, offset) for offset in (0.0, group.offset))
    kept = reason == ""
    return {
        "model": group.model,
        "reference": group.reference,
        "offset": group.offset,
        "solution": None if group.solution is None else group.solution.to_dict(),
        "expected_win_rate": expected,
        "candidates": len(group.prompts),
        "rows": int(kept.sum()),
        "chosen_per_model": {
            group.model: int((kept & first_is_chosen).sum()),
            group.reference: int((kept & ~first_is_chosen).sum()),
        },
        "flipped": int((kept & group.flipped).sum()),
        "left_out": {name: int((reason == name).sum()) for name in REASONS},
        "ties_before": before.ties,
        "ties_after": after.ties,
        "win_rate_before": before.win_rate(mismatch_ties),
        "win_rate_after": after.win_rate(mismatch_ties),
        "mismatch_before": float(relative_mismatch(before.win_rate(mismatch_ties), expected)),
        "mismatch_before_interval": _mismatch_estimate(before, expected, mismatch_ties).to_dict(),
        # no interval: the offset was fitted to these prompts, so that what is left says nothing of others
        "mismatch_after": float(relative_mismatch(after.win_rate(mismatch_ties), expected)),
    }


def _mismatch_estimate(outcomes: PairedOutcomes, expected: float, ties: str) -> Estimate:
    """Wilson's interval of the win rate, on the scale of the mismatch degree; ratings are taken as exact."""
    share = wilson_interval(outcomes.points(ties), outcomes.n)
    scale = max(expected, 1 - expected)
    ends = (float(relative_mismatch(end, expected)) for end in (share.value, share.ci_low, share.ci_high))
    value, low, high = ends
    return Estimate(value, share.se / scale, low, high, share.n, f"{share.method}; ratings taken as exact")


def ratings_used(ratings: RatingTable, models: list[str]) -> list[dict[str, Any]]:
    """What is known of the ratings of some models, for JSON."""
    records = ratings.select(models).table.to_dict("records")
    return [{name: value for name, value in record.items() if not pd.isna(value)} for record in records]
