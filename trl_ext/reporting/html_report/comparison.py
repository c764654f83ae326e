"""Several reward models on the same rows: paired differences."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from ...evaluation import PairedComparison, compare_models, compare_paired
from ..forest import draw_forest
from ..run_folder import RunEvidence
from .blocks import ChartMaker, Table, Text, frame_table, interval, number
from .evaluation_sections import benchmark_title


_COLUMNS = {"agrees_with_truth": "accuracy to the truth", "agrees_with_label": "accuracy to the labels"}
_KEYS = ("id", "prompt", "chosen", "rejected")


def comparison_blocks(runs: Sequence[RunEvidence], names: Sequence[str], chart: ChartMaker) -> list[Any]:
    """
    Runs beside one another: figures of each, and differences on the rows that they share.

    Args:
        runs (`Sequence[RunEvidence]`): Two or more.
        names (`Sequence[str]`): What they are called.
        chart ([`ChartMaker`]): For charts.
    """
    differences = [*_test_pairs(runs, names), *_benchmarks(runs, names)]
    blocks: list[Any] = [_beside(runs, names)]
    if not differences:
        return [*blocks, Text("No two runs share rows that both have scored: there are no paired differences.")]
    table = pd.DataFrame(differences)
    blocks.append(
        chart(
            "Paired differences",
            lambda width: draw_forest(
                table.rename(columns={"difference": "value"}).assign(label=table["pair"], group=table["figure"]),
                width=width, reference=0.0, reference_label="no difference", xlabel="first minus second", digits=3,
            ),
            caption="On the same rows, which is far more precise than the difference of two separate intervals. p-values of "
            "benchmarks are corrected by Holm's method.",
            table=frame_table(table, ("figure", "pair", "difference", "ci_low", "ci_high", "p_value", "n", "verdict"), most=200),
        )
    )  # fmt: skip
    return blocks


def _beside(runs: Sequence[RunEvidence], names: Sequence[str]) -> Table:
    figures = list(dict.fromkeys(name for run in runs for name in run.figures if name.startswith("after_")))
    rows = []
    for figure in figures:
        cells = []
        for run in runs:
            one = run.figures.get(figure)
            cells.append("–" if one is None else f"{number(one.value)} {interval(one.ci_low, one.ci_high)}")
        rows.append((figure.removeprefix("after_").replace("_", " "), *cells))
    return Table(
        ("after training", *names), tuple(rows), (False, *(True,) * len(names)), "Figures with 95 % intervals"
    )


def _test_pairs(runs: Sequence[RunEvidence], names: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for column, title in _COLUMNS.items():
        for (first, a), (second, b) in combinations(zip(names, runs, strict=True), 2):
            both = _common_rows(a.test_rewards, b.test_rewards, column)
            if both is None:
                continue
            clusters = both["cluster"].to_numpy() if "cluster" in both else None
            comparison = compare_paired(both["a"].to_numpy(), both["b"].to_numpy(), clusters=clusters)
            found.append(_row(f"test pairs, {title}", first, second, comparison))
    return found


def _common_rows(first: pd.DataFrame | None, second: pd.DataFrame | None, column: str) -> pd.DataFrame | None:
    """Scores of both on the rows that they share: same texts, and same id where there is one."""
    if first is None or second is None or column not in first or column not in second:
        return None
    keys = [key for key in _KEYS if key in first and key in second]
    if not keys or first.duplicated(keys).any() or second.duplicated(keys).any():
        return None
    cluster = next((name for name in ("question_id", "prompt_id") if name in first), None)
    left = first[[*keys, column, *([cluster] if cluster else [])]].rename(columns={column: "a", cluster: "cluster"})
    both = left.merge(second[[*keys, column]].rename(columns={column: "b"}), on=keys).dropna(subset=["a", "b"])
    return both if len(both) else None


def _benchmarks(runs: Sequence[RunEvidence], names: Sequence[str]) -> list[dict[str, Any]]:
    from dataclasses import replace

    results: dict[str, list] = {}
    for name, run in zip(names, runs, strict=True):
        for result in run.evaluations:
            if result.rows is not None:
                results.setdefault(result.benchmark, []).append(replace(result, model=name))
    found = []
    for own in results.values():
        if len({result.model for result in own}) < 2 or len({result.model for result in own}) < len(own):
            continue
        for row in compare_models(own).to_dict("records"):
            found.append(
                {"figure": benchmark_title(own[0]), "pair": f"{row['model_a']} − {row['model_b']}", "difference": row["difference"],
                 "ci_low": row["ci_low"], "ci_high": row["ci_high"], "p_value": row["adjusted_p_value"], "n": row["n"],
                 "verdict": _verdict(row["significant"], row["difference"], row["model_a"], row["model_b"])}
            )  # fmt: skip
    return found


def _row(figure: str, first: str, second: str, comparison: PairedComparison) -> dict[str, Any]:
    difference = comparison.difference
    significant = comparison.p_value <= 1 - comparison.level
    return {"figure": figure, "pair": f"{first} − {second}", "difference": difference.value, "ci_low": difference.ci_low,
            "ci_high": difference.ci_high, "p_value": comparison.p_value, "n": comparison.n,
            "verdict": _verdict(significant, difference.value, first, second)}  # fmt: skip


def _verdict(significant: bool, difference: float, first: str, second: str) -> str:
    return f"{first if difference > 0 else second} is better" if significant else "not told apart"
