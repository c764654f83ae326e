"""Which chains of rewrites are left out of an estimate, why, and whether that depends on the attribute."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ...evaluation.statistics import Estimate, mean_estimate, proportion_estimate
from ..chains.steps import step_names
from ..chains.text_chains import TextChains
from ..estimators.effects import estimate_to_dict
from .text_faults import text_faults


@dataclass(frozen=True)
class Exclusion:
    """
    Rows that are left out for one reason.

    Args:
        rows (`int`): Rows of which it is the first reason. These numbers add up to the rows left out.
        all_rows (`int`): Rows that have it among others.
        w_1 (`int`): Of `rows`, those whose original has the attribute.
        w_0 (`int`): The others of `rows`.
    """

    rows: int
    all_rows: int
    w_1: int
    w_0: int

    def to_dict(self) -> dict[str, int]:
        """Plain types, for JSON."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Selection:
    """
    Whether rows with the attribute are left out more often than those without.

    Args:
        w_1, w_0 ([`Estimate`], *optional*): Share of rows left out, in [0, 1], by `w`; `None` without such rows.
        p_value (`float`, *optional*): Of the test that both are equal: Fisher's exact test, or with clusters the t test of
            their difference with a CR1 standard error. `None` if there is but one group, or one cluster.
        method (`str`): Which test.
    """

    w_1: Estimate | None
    w_0: Estimate | None
    p_value: float | None
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {
            "w_1": estimate_to_dict(self.w_1),
            "w_0": estimate_to_dict(self.w_0),
            "p_value": self.p_value,
            "method": self.method,
        }


def chain_faults(chains: TextChains, *, max_length_ratio: float) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """
    Faults of every rewrite: of a text, those of [`text_faults`] against the text it was made of; of a missing one, why it
    failed. What is missing because an earlier one is has none.

    Args:
        chains ([`TextChains`]): N chains of K rewrites.
        max_length_ratio (`float`): See [`text_faults`].

    Returns:
        `tuple`: N rows of K tuples of faults.
    """
    result = []
    for texts, failures, reasons in zip(chains.texts, chains.failures, chains.finish_reasons, strict=True):
        row: list[tuple[str, ...]] = []
        for step in range(1, len(texts)):
            text, source = texts[step], texts[step - 1]
            if source is None:
                row.append(())
            elif text is None:
                row.append((failures[step - 1],))
            else:
                found = text_faults(text, source, finish_reason=reasons[step - 1], max_length_ratio=max_length_ratio)
                row.append(tuple(found))
        result.append(tuple(row))
    return tuple(result)


def count_faults(faults: Sequence[Sequence[Sequence[str]]], steps: int) -> dict[str, dict[str, int]]:
    """Texts by step and fault, of all rows."""
    names = step_names(steps + 1)[1:]
    return {name: dict(Counter(fault for row in faults for fault in row[k])) for k, name in enumerate(names)}


def reasons_of(
    chains: TextChains, faults: Sequence[Sequence[Sequence[str]]], exclude: Collection[str]
) -> list[list[str]]:
    """For every row the reasons to leave it out, each once, that of the earliest rewrite first."""
    rows = []
    for texts, row in zip(chains.texts, faults, strict=True):
        found = [
            fault
            for text, step_faults in zip(texts[1:], row, strict=True)
            for fault in step_faults
            if text is None or fault in exclude
        ]
        rows.append(list(dict.fromkeys(found)))
    return rows


def count_exclusions(reasons: Sequence[Sequence[str]], w: np.ndarray) -> dict[str, Exclusion]:
    """Rows by reason, the most frequent first."""
    first = [row[0] if row else None for row in reasons]
    every = Counter(reason for row in reasons for reason in row)
    counts = {}
    for reason, total in every.items():
        mine = np.array([name == reason for name in first])
        counts[reason] = Exclusion(int(mine.sum()), total, int((mine & w).sum()), int((mine & ~w).sum()))
    return dict(sorted(counts.items(), key=lambda item: (-item[1].rows, -item[1].all_rows, item[0])))


def measure_selection(
    left_out: np.ndarray, w: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95
) -> Selection:
    """
    Compare how often rows are left out between those with and without the attribute.

    Args:
        left_out, w (`np.ndarray` of shape `(N,)`, bool): Rows left out; rows with the attribute.
        clusters (`np.ndarray` of shape `(N,)`, *optional*): Label of what rows belong together.
        level (`float`, *optional*, defaults to `0.95`): Level of the intervals.

    Returns:
        [`Selection`]

    Example:
        ```python
        >>> left_out, w = np.repeat([True, False, True, False], [9, 11, 1, 19]), np.repeat([True, False], 20)
        >>> selection = measure_selection(left_out, w)
        >>> selection.w_1.value, selection.w_0.value, round(selection.p_value, 4)
        (0.45, 0.05, 0.0084)

        ```
    """
    shares = [
        proportion_estimate(left_out[side].astype(float), None if clusters is None else clusters[side], level)
        if side.any()
        else None
        for side in (w, ~w)
    ]
    if None in shares:
        return Selection(*shares, None, "there is but one group")
    if clusters is None:
        table = [[int((left_out & side).sum()), int((~left_out & side).sum())] for side in (w, ~w)]
        return Selection(*shares, float(stats.fisher_exact(table).pvalue), "Fisher's exact test")
    # influence of every row on the difference of both means: its mean is 0, its standard error that of the difference
    n, excess = len(w), left_out - np.where(w, shares[0].value, shares[1].value)
    influence = n * np.where(w, excess / w.sum(), -excess / (~w).sum())
    se, units = mean_estimate(influence, clusters, level).se, len(set(clusters.tolist()))
    if units < 2:
        return Selection(*shares, None, "there is but one cluster")
    difference = shares[0].value - shares[1].value
    p_value = 1.0 if difference == 0 else float(2 * stats.t.sf(np.inf if se == 0 else abs(difference) / se, units - 1))
    return Selection(*shares, p_value, f"t test of the difference, CR1 ({units} clusters)")
