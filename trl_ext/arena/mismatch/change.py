"""Whether a calibration brought a reward model nearer to the leaderboard: mismatch degrees before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...evaluation.statistics import Estimate, check_level
from ..ratings.rating_table import RatingTable
from ..ratings.win_probability import elo_win_probability
from ..score_table import ScoreTable
from .folded_errors import AbsoluteSizes, draw_win_rate_errors, paired_win_rates
from .intervals import relative_mismatch
from .paired_outcomes import check_ties


GROUPS = ("calibrated", "partly", "held_out", "all")


@dataclass(frozen=True)
class MismatchChange:
    """
    Mismatch degrees of a reward model before and after a calibration, on the same responses.

    Args:
        pairs (`pandas.DataFrame`):
            A row per ordered pair: `model, reference, group, n, win_rate_before, win_rate_after, ties_before, ties_after,
            expected_win_rate, mismatch_before, mismatch_before_low, mismatch_before_high, mismatch_after,
            mismatch_after_low, mismatch_after_high`, `change` of the absolute mismatch with `se, ci_low, ci_high`, and
            `verdict`: `falls` or `rises` if the interval excludes no change, else `unclear`.
        summary (`pandas.DataFrame`):
            A row per group of pairs: `group, pairs, before, before_low, before_high, after, after_low, after_high, change,
            se, ci_low, ci_high, verdict`, of the mean absolute mismatch. Groups without pairs are left out.
        calibrated (`tuple[tuple[str, str], ...]`):
            Pairs of models that were calibrated.
        method (`str`):
            How the intervals were obtained.
    """

    pairs: pd.DataFrame
    summary: pd.DataFrame
    calibrated: tuple[tuple[str, str], ...]
    method: str

    def figure(self, group: str = "all", column: str = "change") -> Estimate:
        """
        Mean absolute mismatch of a group of pairs `"before"` or `"after"`, or its `"change"`.

        Raises:
            ValueError: The group has no pairs.
        """
        rows = self.summary[self.summary["group"] == group]
        if not len(rows):
            raise ValueError(f"there are no pairs of group {group!r}; there are {', '.join(self.summary['group'])}")
        row = rows.iloc[0]
        ends = (
            ("se", "ci_low", "ci_high") if column == "change" else [f"{column}_{end}" for end in ("se", "low", "high")]
        )
        return Estimate(float(row[column]), *(float(row[end]) for end in ends), int(row["n"]), self.method)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return {
            "pairs": self.pairs.to_dict("records"),
            "summary": {
                group: {
                    **{"pairs": int(self.summary["pairs"][row])},
                    **{column: self.figure(group, column).to_dict() for column in ("before", "after", "change")},
                    "verdict": self.summary["verdict"][row],
                }
                for row, group in enumerate(self.summary["group"])
            },
            "calibrated": [list(pair) for pair in self.calibrated],
            "method": self.method,
        }


def compare_mismatch(
    before: ScoreTable,
    after: ScoreTable,
    ratings: RatingTable,
    *,
    calibrated: Sequence[tuple[str, str]] = (),
    ties: str = "loss",
    clusters: ArrayLike | None = None,
    rating_uncertainty: bool = True,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> MismatchChange:
    r"""
    Mismatch degrees of all ordered pairs of models before and after a calibration, and whether their size falls.

    With win rate \( w \) and expected win rate \( P \), the mismatch is \( (w - P) / \max(P, 1 - P) \); what is compared is
    \( |b| - |a| \), with \( a \) before and \( b \) after. An absolute value is not smooth at 0, where a good calibration
    ends: resampled values of \( |b| \) lie above it, and percentiles of a bootstrap miss a true 0. Here the errors
    \( h \) of the signed mismatches of all pairs are drawn together, from a t distribution with their covariance over
    prompts (cluster-robust with `clusters`). Then \( s h \le |b + h| - |b| \le |h| \), with \( s \) the sign of
    \( b \). One end of the interval takes \( s h \), the other \( |b' + h| - |b'| \), with \( b' \) 1.5 standard errors
    nearer to 0 than the estimate. Half a prompt is added to each of the four outcomes (won or not, before and after), so
    that a model that wins everywhere has an interval with width. In simulations, 94 to 100 % of the 95 % intervals hold the
    truth; of percentile intervals of a bootstrap 85 to 99 % do, and of means over pairs 34 to 97 %: see
    docs/calibration_evaluation.md.

    The value of a mean absolute mismatch is that of the sample: near 0 it is above the true one, so that an improvement
    is understated.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045: mismatch degree.
        - Fang and Santos, Inference on Directionally Differentiable Functions, 2019.
        - Agresti and Min, Simple Improved Confidence Intervals for Comparing Matched Proportions, 2005.

    Args:
        before ([`ScoreTable`]):
            Rewards before.
        after ([`ScoreTable`]):
            Rewards of the same responses after: the same prompts and models, in any order.
        ratings ([`RatingTable`]):
            Ratings of all models.
        calibrated (sequence of pairs of `str`, *optional*):
            Pairs of models that were calibrated, in any order. Pairs are `calibrated`, `partly` (one model is in a calibrated
            pair, or both in different ones) or `held_out` (neither is).
        ties (`str`, *optional*, defaults to `"loss"`):
            What an equal reward is worth to the model: `"loss"` nothing, `"half"` one half.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every prompt of `before`.
        rating_uncertainty (`bool`, *optional*, defaults to `True`):
            Draw the ratings too, from their intervals or covariance. The same draw counts before and after.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        draws (`int`, *optional*, defaults to `2000`):
            Number of draws of the errors.
        seed (`int`, *optional*, defaults to `0`):
            Their seed.

    Returns:
        [`MismatchChange`]

    Raises:
        ValueError: Prompts or models differ between the tables, a calibrated model has no scores or a model no rating, or
            there is one prompt (or cluster) only.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.arena import RatingTable, ScoreTable, compare_mismatch
        >>> rng = np.random.default_rng(0)
        >>> weak, strong = rng.normal(size=(2, 500))
        >>> before = ScoreTable.from_columns({"weak": weak + 1, "strong": strong})
        >>> after = ScoreTable.from_columns({"weak": weak, "strong": strong})
        >>> ratings = RatingTable.from_ratings({"weak": 1000.0, "strong": 1000.0})
        >>> found = compare_mismatch(before, after, ratings, calibrated=[("weak", "strong")])
        >>> [round(found.figure("calibrated", when).value, 2) for when in ("before", "after", "change")]
        [0.57, 0.04, -0.53]

        ```
    """
    check_level(level)
    check_ties(ties)
    if draws < 2:
        raise ValueError(f"`draws` must be at least 2, got {draws}")
    after = aligned_after(before, after)
    groups = _groups(before.models, calibrated)
    means, tied, covariance, units = paired_win_rates(before, after, ties, clusters)
    generator = np.random.default_rng(seed)
    models = before.models
    order = list(permutations(range(len(models)), 2))
    first, second = np.array(order).T
    values = ratings.of(models)
    expected = np.asarray(elo_win_probability(values[first], values[second]))
    # Half an imaginary prompt for each of the four outcomes
    smooth = (units * means + 1) / (units + 2)
    errors = draw_win_rate_errors(covariance, means, units, draws, generator)
    mismatch, centre = relative_mismatch(means, expected), relative_mismatch(smooth, expected)
    errors = errors / np.maximum(expected, 1 - expected)
    if rating_uncertainty:
        drawn = ratings.draws(models, draws, generator)
        expected_drawn = np.asarray(elo_win_probability(drawn[:, first], drawn[:, second]))
        errors += relative_mismatch(smooth[:, None, :], expected_drawn[None]) - centre[:, None, :]
    size = AbsoluteSizes(mismatch, centre, errors, level)

    names = np.array(models, dtype=object)
    table = pd.DataFrame(
        {
            **{"model": names[first], "reference": names[second], "group": groups, "n": len(before)},
            **{f"win_rate_{when}": means[side] for side, when in enumerate(("before", "after"))},
            **{f"ties_{when}": tied[side] for side, when in enumerate(("before", "after"))},
            "expected_win_rate": expected,
        }
    )
    for side, when in enumerate(("before", "after")):
        low, high = size.signed(side)
        table = table.assign(
            **{f"mismatch_{when}": mismatch[side], f"mismatch_{when}_low": low, f"mismatch_{when}_high": high}
        )
    absolute = np.abs(mismatch)
    own = [size.change(np.array([pair])) for pair in range(len(order))]
    table = table.assign(
        change=absolute[1] - absolute[0], **{name: [row[name] for row in own] for name in ("se", "ci_low", "ci_high")}
    )
    table["verdict"] = [_verdict(row["ci_low"], row["ci_high"]) for row in own]

    rows = []
    for group in GROUPS:
        members = np.flatnonzero(np.ones(len(order), dtype=bool) if group == "all" else np.array(groups) == group)
        if not members.size:
            continue
        row = {"group": group, "pairs": members.size, "n": len(before)}
        for side, when in enumerate(("before", "after")):
            row[when] = absolute[side, members].mean()
            row |= {f"{when}_{end}": value for end, value in size.mean(side, members).items()}
        change = size.change(members)
        row |= {"change": row["after"] - row["before"], **change}
        rows.append(row | {"verdict": _verdict(change["ci_low"], change["ci_high"])})
    unit = f"{units} clusters, " if clusters is not None else ""
    uncertain = rating_uncertainty and bool(np.any(ratings.covariance_of(models)))
    method = (
        f"joint t errors over prompts{' and of the ratings' if uncertain else ''}, folded near 0 "
        f"({unit}{draws} draws, seed {seed}, {level:g} level), ties: {ties}"
    )
    return MismatchChange(table, pd.DataFrame(rows), tuple(map(tuple, calibrated)), method)


def aligned_after(before: ScoreTable, after: ScoreTable) -> ScoreTable:
    """
    Scores after a calibration in the order of those before.

    Raises:
        ValueError: They are of other models or prompts; the first is named.
    """
    for what, ours, theirs in (
        ("model", before.models, after.models),
        ("prompt", before.prompt_ids, after.prompt_ids),
    ):
        known, other = set(ours), set(theirs)
        only = {"before": [name for name in ours if name not in other], "after": [n for n in theirs if n not in known]}
        for when, missing in only.items():
            if missing:
                there = {"before": "after", "after": "before"}[when]
                raise ValueError(
                    f"scores before and after must be of the same {what}s: {len(missing)} have scores {when} the "
                    f"calibration but not {there}; first: {what} {missing[0]!r}. Score the same responses with both "
                    "reward models."
                )
    return after.select(before.models, before.prompt_ids)


def _groups(models: Sequence[str], calibrated: Sequence[tuple[str, str]]) -> list[str]:
    """Group of every ordered pair."""
    chosen = set()
    for pair in calibrated:
        if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(f"`calibrated` must hold pairs of two different models, got {pair!r}")
        for model in pair:
            if model not in models:
                raise ValueError(f"calibrated model {model!r} has no scores; there are {', '.join(map(repr, models))}")
        chosen.add(frozenset(pair))
    touched = {model for pair in chosen for model in pair}

    def group(a: str, b: str) -> str:
        if frozenset((a, b)) in chosen:
            return "calibrated"
        return "partly" if touched & {a, b} else "held_out"

    return [group(a, b) for a, b in permutations(models, 2)]


def _verdict(low: float, high: float) -> str:
    return "falls" if high < 0 else "rises" if low > 0 else "unclear"
