"""Which over-valued model to calibrate against which reference, from the intervals of mismatch degrees."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from ..evaluation.multiple_testing import adjust_p_values
from ..evaluation.statistics import _check_level


PAPER_PAIR = ("gemma-2-9b-it-SimPO", "GPT-4o-mini-2024-07-18")  # over-valued model, reference
CHOICES = ("automatic", "paper")
_COLUMNS = ("model", "reference", "n", "ties", "mismatch", "ci_low", "ci_high", "p_value")


@dataclass(frozen=True)
class ChosenPair:
    """
    An over-valued model and its reference.

    Args:
        overvalued (`str`):
            Model whose scores take the offset.
        reference (`str`):
            Model that keeps its scores.
        mismatch (`float`):
            Mismatch degree of the first against the second.
        ci_low (`float`):
            Lower end of its confidence interval.
        ci_high (`float`):
            Upper end.
        p_value (`float`):
            Of no mismatch, corrected for the number of pairs of models (Holm).
        significant (`bool`):
            Whether the interval excludes 0 and the corrected p-value is at most 1 − level.
        reason (`str`):
            Why this pair.
    """

    overvalued: str
    reference: str
    mismatch: float
    ci_low: float
    ci_high: float
    p_value: float
    significant: bool
    reason: str


@dataclass(frozen=True)
class PairChoice:
    """
    Pairs to calibrate, the most over-valued model first.

    Args:
        pairs (`tuple[ChosenPair, ...]`):
            One per over-valued model, all with one reference; empty where none is significantly over-valued.
        placement (`dict[str, float]`):
            Mean |mismatch degree| of every model against the others, the best placed first.
        reason (`str`):
            How they were chosen, or why there is none.
    """

    pairs: tuple[ChosenPair, ...]
    placement: dict[str, float]
    reason: str

    @property
    def best(self) -> ChosenPair | None:
        """The pair with the largest mismatch degree, or `None`."""
        return self.pairs[0] if self.pairs else None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self)


def significant_pairs(table: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """
    Which mismatch degrees differ from 0, all pairs of models taken together.

    Both orders of a pair ask the same question, so a pair is one test: of the order in which the mismatch degree is larger.
    p-values are corrected for their number by Holm's method, and the interval of a row must exclude 0 as well.

    Args:
        table (`pandas.DataFrame`):
            Of [`mismatch_table`], or some of its rows.
        level (`float`, *optional*, defaults to `0.95`):
            1 − probability that any pair without mismatch is called significant.

    Returns:
        `pandas.DataFrame`: Columns `p_adjusted` and `significant`, with the index of `table`.
    """
    _check_level(level)
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise ValueError(f"table has no column {', '.join(missing)}: give the table of `mismatch_table`")
    if table.empty:
        raise ValueError("table has no rows: there is no pair of models")
    twice = table.duplicated(["model", "reference"])
    if twice.any():
        row = table[twice].iloc[0]
        raise ValueError(f"pair {row['model']!r} against {row['reference']!r} occurs more than once in the table")
    pair = pd.Series(
        [tuple(sorted(names)) for names in zip(table["model"], table["reference"], strict=True)], index=table.index
    )
    tested = table.assign(pair=pair).sort_values("mismatch", ascending=False, kind="stable").drop_duplicates("pair")
    # a single cluster has no p-value, and can't be significant
    corrected = pd.Series(adjust_p_values(tested["p_value"].fillna(1.0)), index=tested["pair"])
    adjusted = pair.map(corrected)
    excludes = (table["ci_low"] > 0) | (table["ci_high"] < 0)
    return pd.DataFrame({"p_adjusted": adjusted, "significant": excludes & (adjusted <= 1 - level)})


def choose_pairs(
    table: pd.DataFrame,
    *,
    choice: str = "automatic",
    overvalued: str | None = None,
    reference: str | None = None,
    level: float = 0.95,
) -> PairChoice:
    """
    Choose over-valued models and their reference.

    Scores alone can't tell which of two models is misplaced, only that they are, relative to each other. So the reference
    comes first: the model with the smallest mean |mismatch degree| against all others, or the given one. The over-valued
    models are those whose mismatch degree against it is above 0 and significant ([`significant_pairs`]), the largest first.
    Where nothing is over-valued against the best placed model, the next best is tried; `reason` says so.

    Args:
        table (`pandas.DataFrame`):
            Of [`mismatch_table`].
        choice (`str`, *optional*, defaults to `"automatic"`):
            `"automatic"`, or `"paper"`: gemma-2-9b-it-SimPO against GPT-4o-mini-2024-07-18.
        overvalued (`str`, *optional*):
            Over-valued model to take, significant or not; needs `reference`.
        reference (`str`, *optional*):
            Reference to take.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level for all pairs together.

    Returns:
        [`PairChoice`]: without pairs where nothing is significant.

    Raises:
        ValueError: A name is not in the table, or the arguments contradict each other.

    Example:
        ```python
        >>> from trl_ext.arena import RatingTable, ScoreTable, choose_pairs, mismatch_table
        >>> scores = ScoreTable.from_columns(
        ...     {"loud": range(9, 109), "fair": [(7 * i) % 100 for i in range(100)], "plain": range(100)}
        ... )
        >>> table = mismatch_table(scores, RatingTable.from_ratings({"loud": 1100, "fair": 1100, "plain": 1100}))
        >>> found = choose_pairs(table)
        >>> found.best.overvalued, found.best.reference, round(found.best.mismatch, 2)
        ('loud', 'plain', 1.0)

        ```
    """
    if choice not in CHOICES:
        raise ValueError(f"`choice` must be one of {', '.join(map(repr, CHOICES))}, got {choice!r}")
    verdicts = significant_pairs(table, level=level)
    rows = table.assign(**verdicts).set_index(["model", "reference"])
    names = list(dict.fromkeys([*table["model"], *table["reference"]]))
    if choice == "paper":
        if overvalued is not None or reference is not None:
            raise ValueError('`choice="paper"` names both models: leave `overvalued` and `reference` out')
        overvalued, reference = PAPER_PAIR
    overvalued, reference = (name and _named(name, names) for name in (overvalued, reference))
    placement = _placement(table, names)
    if overvalued is not None:
        if reference is None or overvalued == reference:
            raise ValueError(f"`overvalued={overvalued!r}` needs another model as `reference`, got {reference!r}")
        source = "the choice of the paper" if choice == "paper" else "given by name"
        pair = _chosen(rows, overvalued, reference, source)
        return PairChoice((pair,), placement, f"{source}; {_verdict(pair, level)}")

    for candidate in [reference] if reference is not None else placement:
        found = rows[rows["significant"] & (rows["mismatch"] > 0)].reset_index()
        found = found[found["reference"] == candidate].sort_values("mismatch", ascending=False, kind="stable")
        if len(found):
            how = _how(candidate, reference, placement)
            pairs = tuple(
                _chosen(rows, model, candidate, f"significantly over-valued against {candidate!r}, {how}")
                for model in found["model"]
            )
            overvalued = ", ".join(repr(pair.overvalued) for pair in pairs)
            return PairChoice(pairs, placement, f"reference {candidate!r}: {how}; over-valued: {overvalued}")
    return PairChoice((), placement, _nothing(rows, reference, len(names), level))


def _named(name: str, names: Sequence[str]) -> str:
    if name in names:
        return name
    same = [other for other in names if other.lower() == name.lower()]
    if len(same) != 1:
        raise ValueError(f"model {name!r} is not in the table; there are {', '.join(map(repr, names))}")
    return same[0]


def _placement(table: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Mean |mismatch degree| by model, in either order of its pairs, the smallest first."""
    size = table["mismatch"].abs()
    both = pd.concat([size.set_axis(table["model"]), size.set_axis(table["reference"])])
    return both.groupby(level=0).mean().reindex(names).sort_values(kind="stable").to_dict()


def _how(candidate: str, reference: str | None, placement: dict[str, float]) -> str:
    mean = f"mean |mismatch degree| {placement[candidate]:.3f} against the others"
    if reference is not None:
        return f"given, {mean}"
    rank = list(placement).index(candidate)
    if rank == 0:
        return f"the best placed model, {mean}"
    return f"the best placed model against which any is over-valued, number {rank + 1} of {len(placement)}, {mean}"


def _chosen(rows: pd.DataFrame, overvalued: str, reference: str, reason: str) -> ChosenPair:
    if (overvalued, reference) not in rows.index:
        raise ValueError(f"the table has no row of {overvalued!r} against {reference!r}")
    row = rows.loc[(overvalued, reference)]
    return ChosenPair(
        overvalued, reference, float(row["mismatch"]), float(row["ci_low"]), float(row["ci_high"]),
        float(row["p_adjusted"]), bool(row["significant"]), reason,
    )  # fmt: skip


def _verdict(pair: ChosenPair, level: float) -> str:
    interval = f"mismatch degree {pair.mismatch:+.3f} [{pair.ci_low:+.3f}, {pair.ci_high:+.3f}]"
    if not pair.significant:
        return f"{interval} is not significant at level {level:g} with all pairs of models in view"
    return f"{interval}: {pair.overvalued!r} is {'over' if pair.mismatch > 0 else 'under'}-valued"


def _nothing(rows: pd.DataFrame, reference: str | None, count: int, level: float) -> str:
    against = "" if reference is None else f" against {reference!r}"
    reason = f"no model is significantly over-valued{against}: {count * (count - 1) // 2} pairs, Holm's correction, level {level:g}"
    if (rows["significant"] & (rows["mismatch"] < 0)).any():
        reason += "; some are significantly under-valued"
        if rows["ties"].any():
            reason += ", to which ties counting as losses may add: see `ties='half'`"
    return reason
