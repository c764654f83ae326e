"""Whether a calibration brought a reward model nearer to the leaderboard: mismatch degrees before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..evaluation.statistics import Estimate, _check_level, _cluster_codes
from .rating_table import RatingTable
from .score_table import ScoreTable
from .win_probability import elo_win_probability


GROUPS = ("calibrated", "partly", "held_out", "all")
TIES = {"loss": 0.0, "half": 0.5}
# Standard errors by which a true mismatch may be nearer to 0 than the estimate, for the error at most
_NEARER = 1.5
_BLOCK = 2_000_000  # outcomes at a time


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
    that a model that wins everywhere has an interval with width. In simulations, 93 to 99 % of the 95 % intervals hold the
    truth, where percentiles of a bootstrap do in 82 to 100 %: see docs/calibration_evaluation.md.

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
    _check_level(level)
    if ties not in TIES:
        raise ValueError(f"`ties` must be one of {', '.join(map(repr, TIES))}, got {ties!r}")
    if draws < 2:
        raise ValueError(f"`draws` must be at least 2, got {draws}")
    after = aligned_after(before, after)
    groups = _groups(before.models, calibrated)
    means, tied, covariance, units = _outcomes(before, after, ties, clusters)
    generator = np.random.default_rng(seed)
    models = before.models
    order = list(permutations(range(len(models)), 2))
    first, second = np.array(order).T
    values = ratings.of(models)
    expected = np.asarray(elo_win_probability(values[first], values[second]))
    # Half an imaginary prompt for each of the four outcomes
    smooth = (units * means + 1) / (units + 2)
    errors = _draw_errors(covariance, means, units, draws, generator)
    mismatch, centre = _mismatch(means, expected), _mismatch(smooth, expected)
    errors = errors / np.maximum(expected, 1 - expected)
    if rating_uncertainty:
        drawn = ratings.draws(models, draws, generator)
        expected_drawn = np.asarray(elo_win_probability(drawn[:, first], drawn[:, second]))
        errors += _mismatch(smooth[:, None, :], expected_drawn[None]) - centre[:, None, :]
    size = _Sizes(mismatch, centre, errors, level)

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


def _outcomes(
    before: ScoreTable, after: ScoreTable, ties: str, clusters: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """
    Win rates `(2, K)` and counts of ties `(2, K)` of the K ordered pairs, covariance `(2K, 2K)` of the win rates, and the
    number of clusters.
    """
    n = len(before)
    codes, units = (np.arange(n), n) if clusters is None else _cluster_codes(clusters, n)
    if units < 2:
        what = "prompt" if clusters is None else "cluster of prompts"
        raise ValueError(f"there is one {what} only: no interval can be given. Evaluate on more held-out prompts.")
    rows = np.argsort(codes, kind="stable")
    scores = np.stack([before.scores, after.scores])[:, rows]
    first, second = np.array(list(permutations(range(len(before.models)), 2))).T
    count = 2 * len(first)

    def wins(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        difference = scores[:, start:stop, first] - scores[:, start:stop, second]
        tied = difference == 0
        return (difference > 0) + TIES[ties] * tied, tied

    # Blocks end where clusters do
    starts = np.flatnonzero(np.diff(codes[rows], prepend=-1))
    step = max(1, _BLOCK // count)
    edges = [0]
    while edges[-1] < n:
        reach = np.searchsorted(starts, edges[-1] + step)
        edge = n if reach >= len(starts) else int(starts[reach])
        edges.append(edge if edge > edges[-1] else n)
    totals, tied_counts = np.zeros((2, len(first))), np.zeros((2, len(first)), dtype=np.int64)
    for start, stop in zip(edges, edges[1:], strict=False):
        won, tied = wins(start, stop)
        totals += won.sum(axis=1)
        tied_counts += tied.sum(axis=1)
    means = totals / n
    products = np.zeros((count, count))
    for start, stop in zip(edges, edges[1:], strict=False):
        residuals = np.concatenate(list(wins(start, stop)[0] - means[:, None, :]), axis=1)
        inside = starts[(starts >= start) & (starts < stop)] - start
        sums = residuals if inside.size == stop - start else np.add.reduceat(residuals, inside, axis=0)
        products += sums.T @ sums
    return means, tied_counts, units / (units - 1) * products / n**2, units


def _draw_errors(
    covariance: np.ndarray, means: np.ndarray, units: int, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Errors of the win rates `(2, draws, K)`: t with as many degrees of freedom as there are clusters less one."""
    pairs = means.shape[1]
    # The imaginary prompts of a pair have outcomes of its own
    covariance = covariance * (units / (units + 2)) ** 2
    both = 0.5 * (1 - 2 * means[0]) * (1 - 2 * means[1]) / (units + 2) ** 2
    index = np.arange(pairs)
    for side in (0, 1):
        rows = side * pairs + index
        covariance[rows, rows] += (means[side] ** 2 + (1 - means[side]) ** 2) / (units + 2) ** 2
        covariance[rows, (1 - side) * pairs + index] += both
    errors = generator.multivariate_normal(np.zeros(2 * pairs), covariance, size=draws, method="eigh")
    errors /= np.sqrt(generator.chisquare(units - 1, size=(draws, 1)) / (units - 1))
    return errors.reshape(draws, 2, pairs).swapaxes(0, 1)


def _mismatch(win_rates: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return (win_rates - expected) / np.maximum(expected, 1 - expected)


class _Sizes:
    """
    Intervals of absolute mismatches and their means, of the values and estimates `(2, K)` and errors `(2, draws, K)`.

    With a few prompts, the imaginary ones may take the estimate so far from the value that the interval about it leaves
    the value out: it is then made wider.
    """

    def __init__(self, values: np.ndarray, centre: np.ndarray, errors: np.ndarray, level: float):
        self.values, self.centre, self.errors = values, centre, errors
        self.tails = [(1 - level) / 2, (1 + level) / 2]
        signs = np.where(centre >= 0, 1.0, -1.0)[:, None, :]
        # An estimate may lie above the true size by chance: as near to 0 as is plausible, an error folds
        near = np.maximum(np.abs(centre) - _NEARER * errors.std(axis=1), 0.0)[:, None, :]
        # What the error of the absolute value is at least, and at most
        self.least = signs * errors
        self.most = np.abs(near + self.least) - near

    def signed(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the intervals of the mismatches, each `(K,)`."""
        ends = self.centre[side] - np.quantile(self.errors[side], self.tails[::-1], axis=0)
        return (
            np.minimum(np.clip(ends[0], -1.0, 1.0), self.values[side]),
            np.maximum(np.clip(ends[1], -1.0, 1.0), self.values[side]),
        )

    def mean(self, side: int, pairs: np.ndarray) -> dict[str, float]:
        """Standard error and interval of the mean absolute mismatch of some pairs."""
        value, centre = (np.abs(part[side, pairs]).mean() for part in (self.values, self.centre))
        least, most = (errors[side][:, pairs].mean(axis=1) for errors in (self.least, self.most))
        low, high = centre - np.quantile(most, self.tails[1]), centre - np.quantile(least, self.tails[0])
        return {
            "se": float(least.std(ddof=1)),
            "low": float(min(max(low, 0.0), value)),
            "high": float(max(min(high, 1.0), value)),
        }

    def change(self, pairs: np.ndarray) -> dict[str, float]:
        """Standard error and interval of the change of the mean absolute mismatch of some pairs."""
        value, centre = (np.diff(np.abs(part[:, pairs]).mean(axis=1))[0] for part in (self.values, self.centre))
        least, most = ([part[:, pairs].mean(axis=1) for part in errors] for errors in (self.least, self.most))
        low = centre - np.quantile(most[1] - least[0], self.tails[1])
        high = centre - np.quantile(least[1] - most[0], self.tails[0])
        return {
            "se": float((least[1] - least[0]).std(ddof=1)),
            "ci_low": float(min(low, value)),
            "ci_high": float(max(high, value)),
        }


def _verdict(low: float, high: float) -> str:
    return "falls" if high < 0 else "rises" if low > 0 else "unclear"
