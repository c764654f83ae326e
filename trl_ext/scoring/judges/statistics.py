"""What can be said about a judge without knowing who is right: position bias, consistency, unusable answers, cost."""

import dataclasses
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...completions.ledger import Ledger
from ...evaluation.statistics import Estimate, proportion_estimate
from .questions import LABELS


@dataclass(frozen=True)
class JudgeStatistics:
    """
    How a judge answered.

    Args:
        prompts (`int`):
            Prompts that were judged.
        answers (`int`):
            Answers that were asked for: orders or responses times repetitions.
        outcomes (`dict[str, int]`):
            Answers by outcome: `verdict`, `tie`, `rating`, `reject` (can't be read), `failure` (no answer).
        rejects, failures (`dict[str, int]`):
            Those by reason.
        unusable (`Estimate` or `None`):
            Share of rejects and failures.
        undecided_prompts (`int`):
            Prompts on which the judge said nothing: no verdict at all, or a response without rating.
        positions (`dict[int, dict[str, Estimate]]`):
            For each number of responses, the share of verdicts that were for each place. Orders are balanced or random, so
            that a judge without position bias has 1/K everywhere.
        consistency (`Estimate` or `None`):
            Share of prompts (times repetitions) that were judged in several orders, with a verdict in all of them, on
            which all verdicts were for the same response.
        always_first, always_last (`int`):
            Those on which all verdicts were for the first, or for the last place.
        ratings (`dict[str, int]`):
            How often each rating was given.
        repetition_sd (`float` or `None`):
            Standard deviation of repeated ratings of the same response, pooled.
        ledger ([`~trl_ext.completions.Ledger`] or `None`):
            Tokens and cost of the answers, those that can't be read included.
    """

    prompts: int
    answers: int
    outcomes: dict[str, int]
    rejects: dict[str, int]
    failures: dict[str, int]
    unusable: Estimate | None
    undecided_prompts: int
    positions: dict[int, dict[str, Estimate]]
    consistency: Estimate | None
    always_first: int
    always_last: int
    ratings: dict[str, int]
    repetition_sd: float | None
    ledger: Ledger | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        fields = dataclasses.asdict(self)
        return fields | {"positions": {str(size): shares for size, shares in fields["positions"].items()}}


def judge_statistics(
    judgements: pd.DataFrame, *, ledger: Ledger | None = None, level: float = 0.95
) -> JudgeStatistics:
    """
    Statistics of a judge's answers. Shares have Wilson intervals for rows clustered by prompt.

    Args:
        judgements (`pandas.DataFrame`):
            A row per answer, as [`Judge.judgements`] gives them.
        ledger ([`~trl_ext.completions.Ledger`], *optional*):
            Tokens and cost.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`JudgeStatistics`]

    Example:
        ```python
        >>> import pandas as pd
        >>> from trl_ext.scoring.judges import judge_statistics
        >>> rows = [("p1", (0, 1), 0), ("p1", (1, 0), 0), ("p2", (0, 1), 0), ("p2", (1, 0), 1)]
        >>> table = pd.DataFrame(rows, columns=["prompt_id", "order", "choice"])
        >>> table = table.assign(repetition=0, key="", outcome="verdict", rating=None, reason=None)
        >>> found = judge_statistics(table)
        >>> found.positions[2]["A"].value, found.consistency.value, found.always_first
        (0.75, 0.5, 1)
        ```
    """
    judgements = judgements.reset_index(drop=True)
    is_usable = ~judgements["outcome"].isin(("reject", "failure"))
    verdicts = judgements[judgements["outcome"] == "verdict"]
    units = _judged_in_several_orders(judgements)
    return JudgeStatistics(
        prompts=int(judgements["prompt_id"].nunique()),
        answers=len(judgements),
        outcomes=_counts(judgements["outcome"]),
        rejects=_counts(judgements.loc[judgements["outcome"] == "reject", "reason"]),
        failures=_counts(judgements.loc[judgements["outcome"] == "failure", "reason"]),
        unusable=_share(~is_usable, judgements["prompt_id"], level),
        undecided_prompts=_undecided(judgements),
        positions=_positions(verdicts, level),
        consistency=_share(units["is_consistent"], units["prompt_id"], level),
        always_first=int(units["is_first"].sum()),
        always_last=int(units["is_last"].sum()),
        ratings={f"{value:g}": count for value, count in sorted(Counter(judgements["rating"].dropna()).items())},
        repetition_sd=_repetition_sd(judgements[judgements["outcome"] == "rating"]),
        ledger=ledger,
    )


def _counts(values: pd.Series) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _share(values: pd.Series, prompts: pd.Series, level: float) -> Estimate | None:
    if not len(values):
        return None
    return proportion_estimate(values.to_numpy(dtype=np.float64), prompts.astype(str).to_numpy(), level)


def _positions(verdicts: pd.DataFrame, level: float) -> dict[int, dict[str, Estimate]]:
    places = pd.Series(
        [order.index(int(choice)) for order, choice in zip(verdicts["order"], verdicts["choice"], strict=True)],
        index=verdicts.index,
        dtype=np.int64,
    )
    sizes = verdicts["order"].map(len)
    return {
        int(size): {
            LABELS[place]: _share(places[sizes == size] == place, verdicts.loc[sizes == size, "prompt_id"], level)
            for place in range(int(size))
        }
        for size in sorted(sizes.unique())
    }


def _judged_in_several_orders(judgements: pd.DataFrame) -> pd.DataFrame:
    """Prompts (times repetitions) with a verdict in each of several orders."""
    units = []
    for (prompt, _), rows in judgements.groupby(["prompt_id", "repetition"], sort=False):
        if rows["order"].nunique() < 2 or not (rows["outcome"] == "verdict").all():
            continue
        places = {order.index(int(choice)) for order, choice in zip(rows["order"], rows["choice"], strict=True)}
        last = {len(order) - 1 for order in rows["order"]}
        units.append((prompt, rows["choice"].nunique() == 1, places == {0}, places == last))
    return pd.DataFrame(units, columns=["prompt_id", "is_consistent", "is_first", "is_last"])


def _undecided(judgements: pd.DataFrame) -> int:
    """Prompts without a verdict or tie; of rated ones, those with a response that has no rating."""
    usable = ~judgements["outcome"].isin(("reject", "failure"))
    is_rated = judgements["order"].map(len) == 1
    # a verdict is on all responses together, a rating on one
    unit = judgements["order"].where(is_rated, None).map(str)
    has_any = usable.groupby([judgements["prompt_id"], unit], sort=False).any()
    return int((~has_any.groupby(level=0, sort=False).all()).sum())


def _repetition_sd(ratings: pd.DataFrame) -> float | None:
    """Pooled over responses, so that differences between responses do not count."""
    groups = ratings.groupby(["prompt_id", ratings["order"].map(str)], sort=False)["rating"]
    squares, degrees = (groups.var(ddof=1) * (groups.count() - 1)).sum(), int((groups.count() - 1).sum())
    return math.sqrt(squares / degrees) if degrees else None
