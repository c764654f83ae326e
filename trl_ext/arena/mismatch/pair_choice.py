"""Which misplaced model to calibrate against which reference, from the intervals of mismatch degrees."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, product
from typing import Any

import pandas as pd

from ...evaluation.statistics import adjust_p_values, check_level
from ..ratings.rated_models import scored_name
from ..ratings.rating_table import RatingTable


PAPER_PAIR = ("gemma-2-9b-it-SimPO", "GPT-4o-mini-2024-07-18")  # over-valued model, reference
CHOICES = ("automatic", "paper")
_COLUMNS = ("model", "reference", "n", "ties", "mismatch", "ci_low", "ci_high", "p_value")


@dataclass(frozen=True)
class ChosenPair:
    """
    A misplaced model and its reference.

    Args:
        overvalued (`str`):
            Model whose scores take the offset: the over-valued one, or where `direction` says so an under-valued one, whose
            offset is positive.
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
        direction (`str`):
            `"over-valued"` if the mismatch degree is above 0, `"under-valued"` if it is below, `"as rated"` if it is 0.
    """

    overvalued: str
    reference: str
    mismatch: float
    ci_low: float
    ci_high: float
    p_value: float
    significant: bool
    reason: str
    direction: str


@dataclass(frozen=True)
class PairChoice:
    """
    Pairs to calibrate, the most misplaced model first.

    Args:
        pairs (`tuple[ChosenPair, ...]`):
            One per misplaced model, all with one reference and in one direction; empty where no mismatch is significant.
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
        """The pair with the largest |mismatch degree|, or `None`."""
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
    check_level(level)
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
    ratings: RatingTable | None = None,
) -> PairChoice:
    """
    Choose misplaced models and their reference.

    Scores alone can't tell which of two models is misplaced, only that they are, relative to each other. So the reference
    comes first: the model with the smallest mean |mismatch degree| against all others, or the given one. The over-valued
    models are those whose mismatch degree against it is above 0 and significant ([`significant_pairs`]), the largest first.

    Where nothing is over-valued against the best placed model, the models that are significantly under-valued against it
    are taken; their offset is positive, and `reason` and `direction` say so. Where there are none of these either, the next
    best placed model is tried, unless it is itself significantly mismatched against a better placed one: calibrating on a
    misplaced model would misplace the others.

    Args:
        table (`pandas.DataFrame`):
            Of [`mismatch_table`].
        choice (`str`, *optional*, defaults to `"automatic"`):
            `"automatic"`, or `"paper"`: gemma-2-9b-it-SimPO against GPT-4o-mini-2024-07-18.
        overvalued (`str`, *optional*):
            Model to take, significantly over-valued or not; needs `reference`.
        reference (`str`, *optional*):
            Reference to take. Both by any name that is known of the model: see
            [`~trl_ext.arena.ratings.model_names.known_aliases`].
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level for all pairs together.
        ratings ([`RatingTable`], *optional*):
            Those of the table, if they have further aliases.

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
    overvalued, reference = (name and _named(name, names, ratings) for name in (overvalued, reference))
    placement = _placement(table, names)
    if overvalued is not None:
        if reference is None or overvalued == reference:
            raise ValueError(f"`overvalued={overvalued!r}` needs another model as `reference`, got {reference!r}")
        source = "the choice of the paper" if choice == "paper" else "given by name"
        pair = _chosen(rows, overvalued, reference, source)
        return PairChoice((pair,), placement, f"{source}; {_verdict(pair, level)}")

    over = rows[rows["significant"] & (rows["mismatch"] > 0)].index
    candidates = _references(over, placement) if reference is None else [reference]
    # of models that are as well placed, as two alone always are, the over-valued one takes the offset
    for _, equally_placed in groupby(candidates, key=placement.get):
        for direction, candidate in product(("over-valued", "under-valued"), list(equally_placed)):
            if direction == "over-valued":
                found = [model for model, against in over if against == candidate]
            else:
                # a model against which the reference is over-valued: ties that count as losses of both don't make one
                found = [against for model, against in over if model == candidate]
            if found:
                return _found(rows, found, candidate, direction, _how(candidate, reference, placement), placement)
    return PairChoice((), placement, _nothing(rows, reference, len(names), level))


def _found(
    rows: pd.DataFrame, models: Sequence[str], reference: str, direction: str, how: str, placement: dict[str, float]
) -> PairChoice:
    why = f"significantly {direction} against {reference!r}, {how}"
    pairs = [_chosen(rows, model, reference, why) for model in models]
    pairs.sort(key=lambda pair: -abs(pair.mismatch))
    reason = f"reference {reference!r}: {how}; {direction}: {', '.join(repr(pair.overvalued) for pair in pairs)}"
    if direction == "under-valued":
        reason += ", raised by a positive offset as no model is significantly over-valued against it"
    return PairChoice(tuple(pairs), placement, reason)


def _references(over: pd.MultiIndex, placement: dict[str, float]) -> list[str]:
    """Models that are not significantly mismatched against any better placed one, the best placed first."""
    mismatched = {frozenset(pair) for pair in over}
    return [
        model
        for model, size in placement.items()
        if not any(placement[other] < size and frozenset((model, other)) in mismatched for other in placement)
    ]


def _named(name: str, names: Sequence[str], ratings: RatingTable | None) -> str:
    found = scored_name(name, names, ratings)
    if found is None:
        raise ValueError(f"model {name!r} is not in the table; there are {', '.join(map(repr, names))}")
    return found


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
    return f"the best placed model against which any is misplaced, number {rank + 1} of {len(placement)}, {mean}"


def _chosen(rows: pd.DataFrame, overvalued: str, reference: str, reason: str) -> ChosenPair:
    if (overvalued, reference) not in rows.index:
        raise ValueError(f"the table has no row of {overvalued!r} against {reference!r}")
    row = rows.loc[(overvalued, reference)]
    return ChosenPair(
        overvalued, reference, float(row["mismatch"]), float(row["ci_low"]), float(row["ci_high"]),
        float(row["p_adjusted"]), bool(row["significant"]), reason, _direction(float(row["mismatch"])),
    )  # fmt: skip


def _direction(mismatch: float) -> str:
    if mismatch == 0:
        return "as rated"
    return "over-valued" if mismatch > 0 else "under-valued"


def _verdict(pair: ChosenPair, level: float) -> str:
    interval = f"mismatch degree {pair.mismatch:+.3f} [{pair.ci_low:+.3f}, {pair.ci_high:+.3f}]"
    if not pair.significant:
        return f"{interval} is not significant at level {level:g} with all pairs of models in view"
    return f"{interval}: {pair.overvalued!r} is {pair.direction}"


def _nothing(rows: pd.DataFrame, reference: str | None, count: int, level: float) -> str:
    against = "" if reference is None else f" against {reference!r}"
    reason = f"no model is significantly over-valued{against}: {count * (count - 1) // 2} pairs, Holm's correction, level {level:g}"
    if (rows["significant"] & (rows["mismatch"] < 0)).any():
        reason += "; some are significantly under-valued"
        if rows["ties"].any():
            reason += ", to which ties counting as losses may add: see `ties='half'`"
    return reason
