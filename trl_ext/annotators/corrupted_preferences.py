"""Preference datasets with the labels of annotators of known commitment."""

import dataclasses
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.statistics import Estimate, wilson_interval
from ._checks import in_range
from .assignment import AnnotatorAssignment, assign_annotators, check_annotators
from .corruption import LABEL_KINDS, LabelKind, corrupt_labels
from .selection import SelectionMethod, select_pairs
from .swapping import plan_swap, swap_responses


if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CorruptionReport:
    """
    What corruption did to a dataset.

    Args:
        rows (`int`): Rows that came out.
        left_out (`int`): Rows that selection with `"fixed_size"` left out.
        corrupted (`int`): Rows whose annotator was given an η; the other ones are labelled with η = 1.
        decided (`int`): Rows where neither the label nor the true probability is one half.
        against_oracle (`int`): Decided rows whose label is on the other side than the true probability.
        share_against_oracle ([`~trl_ext.evaluation.Estimate`]): Their share of the decided rows.
        swapped (`int`): Rows whose responses changed places; 0 unless `as_chosen`.
        annotators (`list[dict]`): `annotator_id`, `rows`, `decided` and `against_oracle` of each annotator; empty if there
            is one η for all.
    """

    rows: int
    left_out: int
    corrupted: int
    decided: int
    against_oracle: int
    share_against_oracle: Estimate
    swapped: int
    annotators: list[dict[str, Any]]

    def describe(self) -> str:
        """One sentence for logs and reports."""
        share = self.share_against_oracle
        return (
            f"{self.rows} pairs labelled, {self.corrupted} of them with the annotators' commitment and the others with "
            f"full commitment, {self.left_out} left out; {self.against_oracle} of {self.decided} labels against the "
            f"oracle's likelier side ({share.value:.3f}, {share.ci_low:.3f} to {share.ci_high:.3f}), {self.swapped} pairs swapped."
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields, for a JSON record."""
        return dataclasses.asdict(self)


def corrupt_preferences(
    dataset: "Dataset",
    p_column: str,
    eta: float | Mapping[str, float] | Mapping[int, float],
    *,
    kind: LabelKind = "hard",
    clean_ratio: float = 0.0,
    selection: SelectionMethod = "uniform",
    gap_column: str | None = None,
    shares: Mapping[str, float] | Mapping[int, float] | None = None,
    annotator_column: str | None = None,
    as_chosen: bool = False,
    complement_columns: Sequence[str] = (),
    negate_columns: Sequence[str] = (),
    seed: int = 0,
    name: str = "train",
) -> tuple["Dataset", CorruptionReport]:
    r"""
    Label preference pairs as annotators would whose commitment is known, by [`corrupt_labels`].

    Args:
        dataset ([`~datasets.Dataset`]):
            Preference pairs with a column of true probabilities, such as a calibrated oracle gives.
        p_column (`str`):
            Column with P(chosen is better) in [0, 1]. It becomes `oracle_probability`.
        eta (`float` or `Mapping[str | int, float]`):
            Commitment in [0, 1]: one for all, or one for each annotator by id.
        kind (`"hard"`, `"soft"`, `"ordinal3"` or `"ordinal5"`, *optional*, defaults to `"hard"`):
            What annotators report.
        clean_ratio (`float`, *optional*, defaults to `0.0`):
            Share of the pairs in [0, 1] that stays clean: they are labelled with η = 1, which is still a draw from the true
            probability, whoever the annotator.
        selection (`"uniform"`, `"ambiguous"` or `"fixed_size"`, *optional*, defaults to `"uniform"`):
            Which stay clean, as in [`select_pairs`].
        gap_column (`str`, *optional*):
            Column with the gap of each pair for `"ambiguous"`, such as a difference of scores; by default, the probability
            minus one half. Name it in `negate_columns` as well if its sign depends on the order of the responses.
        shares (`Mapping[str | int, float]`, *optional*):
            Share of the pairs of each annotator, as in [`assign_annotators`]. By default all have as many.
        annotator_column (`str`, *optional*):
            Column that says who labelled each pair, if annotators are not to be drawn. It becomes `annotator_id`.
        as_chosen (`bool`, *optional*, defaults to `False`):
            Whether to swap the responses where the label is below one half, so that `chosen` is what the annotator
            reported and `label` is at least one half (1 for hard labels): the form of published preference data. All
            columns of a side are swapped (`chosen_score` with `rejected_score`, `source_chosen` with `source_rejected`),
            probabilities that chosen is better become one minus themselves (`oracle_probability`, `preference_probability`,
            `preference_score`), and `margin` its negative.
        complement_columns (`Sequence[str]`, *optional*, defaults to `()`):
            Further columns that become one minus themselves in swapped rows.
        negate_columns (`Sequence[str]`, *optional*, defaults to `()`):
            Further columns that become their negative in swapped rows.
        seed (`int`, *optional*, defaults to `0`):
            Seed. Selection, assignment and labels are drawn from independent streams, so that changing one leaves the
            others.
        name (`str`, *optional*, defaults to `"train"`):
            Name of the dataset in messages.

    Returns:
        `tuple[Dataset, CorruptionReport]`: The pairs in their order, with the columns

        - `label`: what the annotator reported of P(chosen is better), in [0, 1];
        - `eta`: the commitment that the label was drawn with, what a loss that corrects noise needs;
        - `annotator_id`: who labelled the pair, unless `eta` is a number;
        - `oracle_probability`: the true P(chosen is better), after swapping if `as_chosen`;
        - `is_corrupted`: whether the pair was selected for corruption. Its label may be right all the same;
        - `is_swapped`: whether the responses changed places, if `as_chosen`;

        and what was done, which is logged as well.

    Raises:
        ValueError: Missing columns, columns that are made here, values out of range, ids without an η, or columns that speak
            of one side only and can't be swapped.
        TypeError: Not a dataset, or columns of the wrong type.

    Example:
        ```python
        >>> from datasets import Dataset
        >>> from trl_ext.annotators import corrupt_preferences
        >>> pairs = Dataset.from_dict({"chosen": ["4", "Paris"], "rejected": ["5", "Rome"], "p": [0.9, 0.8]})
        >>> labelled, report = corrupt_preferences(pairs, "p", eta={"ann": 0.9, "bob": 0.0}, as_chosen=True, seed=6)
        >>> labelled[1]["annotator_id"], labelled[1]["chosen"], round(labelled[1]["oracle_probability"], 6)
        ('bob', 'Rome', 0.2)
        >>> report.against_oracle, report.decided
        (1, 2)
        ```
    """
    from ..data.checks import check_is_dataset
    from ..data.preference import validate_preferences

    if kind not in LABEL_KINDS:
        raise ValueError(f"kind must be one of {', '.join(LABEL_KINDS)}, got {kind!r}")
    if (complement_columns or negate_columns) and not as_chosen:
        raise ValueError("`complement_columns` and `negate_columns` say what swapping does; they need as_chosen=True")
    check_is_dataset(dataset, f"{name} dataset")
    reverse = {"complement_columns": complement_columns, "negate_columns": negate_columns}
    plan = plan_swap(dataset, name, **reverse, replaced=(p_column, annotator_column)) if as_chosen else None
    if gap_column is not None and selection != "ambiguous":
        raise ValueError(f"`gap_column` is for selection='ambiguous', got selection={selection!r}")
    ranges = {gap_column: (-math.inf, math.inf)} if gap_column is not None else {}
    ranges |= {p_column: (0.0, 1.0)} | (plan.ranges() if plan else {})
    dataset = validate_preferences(dataset, name=name, numeric_columns=ranges, identical="keep").with_format(None)
    made_here = ["label", "eta", "is_corrupted", "oracle_probability"]
    made_here += ["annotator_id"] * isinstance(eta, Mapping) + ["is_swapped"] * as_chosen
    _check_not_there(dataset, name, set(made_here) - {p_column, annotator_column})

    selecting, assigning, labelling = np.random.SeedSequence(seed).spawn(3)
    p = np.asarray(dataset[p_column][:], dtype=np.float64)
    gaps = p - 0.5 if gap_column is None else dataset[gap_column][:]
    selected = select_pairs(gaps, clean_ratio, selection, seed=selecting)
    assignment = _assign(dataset, name, eta, shares, annotator_column, assigning)
    is_corrupted = np.isin(np.arange(len(dataset)), selected.corrupted)
    etas = np.where(is_corrupted, assignment.eta, 1.0)
    columns = {"label": corrupt_labels(p, etas, kind=kind, seed=labelling), "eta": etas, "is_corrupted": is_corrupted}
    if isinstance(eta, Mapping):
        columns["annotator_id"] = assignment.annotator_id

    rows = selected.kept
    columns = {column: values[rows] for column, values in columns.items()}
    report = _report(p[rows], columns, selected.left_out, as_chosen)
    logger.info("%s dataset: %s", name, report.describe())
    made = dataset.select(rows).remove_columns([c for c in (p_column, annotator_column) if c is not None])
    columns["oracle_probability"] = p[rows]
    if plan:
        swapped = columns["label"] < 0.5
        for column in ("label", "oracle_probability"):
            columns[column] = np.where(swapped, 1 - columns[column], columns[column])
        columns["is_swapped"] = swapped
        made = swap_responses(made, swapped, plan)
    for column, values in columns.items():
        made = made.add_column(column, values.tolist())
    return made, report


def _check_not_there(dataset: "Dataset", name: str, columns: Collection[str]) -> None:
    taken = [column for column in dataset.column_names if column in columns]
    if taken:
        raise ValueError(
            f"{name} dataset has columns that are made here: {', '.join(map(repr, taken))}. Remove or rename them."
        )


def _assign(
    dataset: "Dataset",
    name: str,
    eta: float | Mapping,
    shares: Mapping | None,
    annotator_column: str | None,
    seed: np.random.SeedSequence,
) -> AnnotatorAssignment:
    n = len(dataset)
    if not isinstance(eta, Mapping):
        if shares is not None or annotator_column is not None:
            raise ValueError("`shares` and `annotator_column` need an eta for each annotator: eta={id: value, ...}")
        if np.ndim(eta) != 0:
            raise TypeError(f"eta must be a number or map annotators to numbers, got {type(eta).__name__}")
        return AnnotatorAssignment(np.zeros(n, dtype=np.int64), np.full(n, float(in_range(eta, "eta", 0, 1))))
    if annotator_column is None:
        return assign_annotators(n, eta, shares=shares, seed=seed)
    if shares is not None:
        raise ValueError("`shares` assigns annotators, but `annotator_column` says who they are; give one of them")
    if annotator_column not in dataset.column_names:
        raise ValueError(f"{name} dataset has no column '{annotator_column}'; its columns are {dataset.column_names}")
    check_annotators(eta)
    ids = dataset[annotator_column][:]
    unknown = [row for row, annotator in enumerate(ids) if annotator not in eta]
    if unknown:
        raise ValueError(
            f"{name} dataset: column '{annotator_column}' has {len(unknown)} annotators without an eta; first: row "
            f"{unknown[0]}, value {ids[unknown[0]]!r}. `eta` has {list(eta)[:10]}."
        )
    return AnnotatorAssignment(np.array(ids), np.array([eta[annotator] for annotator in ids], dtype=np.float64))


def _report(p: np.ndarray, columns: Mapping[str, np.ndarray], left_out: int, as_chosen: bool) -> CorruptionReport:
    label = columns["label"]
    decided = (label != 0.5) & (p != 0.5)
    against = decided & ((label > 0.5) != (p > 0.5))
    count, total = int(against.sum()), int(decided.sum())
    if total:
        share = wilson_interval(count, total)
    else:
        share = Estimate(np.nan, np.nan, np.nan, np.nan, 0, "no label and no true probability off one half")
    ids = columns.get("annotator_id", np.array([]))
    annotators = [
        {
            "annotator_id": annotator.item(),
            "rows": int((ids == annotator).sum()),
            "decided": int((decided & (ids == annotator)).sum()),
            "against_oracle": int((against & (ids == annotator)).sum()),
        }
        for annotator in np.unique(ids)
    ]
    return CorruptionReport(
        rows=label.size,
        left_out=left_out,
        corrupted=int(columns["is_corrupted"].sum()),
        decided=total,
        against_oracle=count,
        share_against_oracle=share,
        swapped=int((label < 0.5).sum()) if as_chosen else 0,
        annotators=annotators,
    )
