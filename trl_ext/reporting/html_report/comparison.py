"""Several reward models on the same rows: paired differences."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import pandas as pd

from ...evaluation import compare_models, compare_paired
from ...evaluation.statistics import adjust_p_values
from ..forest import draw_forest
from ..run_folder import RunEvidence
from .blocks import ChartMaker, Table, Text, frame_table, interval, number
from .evaluation_sections import benchmark_title
from .model_sections import figure_title
from .same_evidence import is_of_test_pairs


_COLUMNS = {"agrees_with_truth": "accuracy to the truth", "agrees_with_label": "accuracy to the labels"}
_KEYS = ("id", "prompt", "chosen", "rejected")
_LEVEL = 0.95  # of all verdicts together
_LABEL = 26  # characters of a pair of names beside its interval on a phone
_COLOURS = {"told apart": "#D55E00", "not told apart": "#0072B2"}


def comparison_blocks(runs: Sequence[RunEvidence], names: Sequence[str], chart: ChartMaker) -> list[Any]:
    """
    Runs beside one another: figures of each, and differences on the rows that they share.

    Args:
        runs (`Sequence[RunEvidence]`): Two or more.
        names (`Sequence[str]`): What they are called.
        chart ([`ChartMaker`]): For charts.
    """
    short = _short(names)
    differences = [*_test_pairs(runs, names), *_benchmarks(runs, names)]
    blocks: list[Any] = [_beside(runs, [name if short[name] == name else f"{short[name]}: {name}" for name in names])]
    if not differences:
        return [*blocks, Text("No two runs share rows that both have scored: there are no paired differences.")]
    table = _with_verdicts(pd.DataFrame(differences))
    forest = pd.DataFrame({"label": [f"{short[a]} − {short[b]}" for a, b in zip(table["first"], table["second"], strict=True)],
                           "group": table["figure"], "value": table["difference"], "ci_low": table["ci_low"], "ci_high": table["ci_high"],
                           "series": ["not told apart" if verdict == "not told apart" else "told apart" for verdict in table["verdict"]]})  # fmt: skip
    tests = "one test" if len(table) == 1 else f"all {len(table)} differences together (Holm's method)"
    numbered = "" if short[names[0]] == names[0] else " Runs have the numbers of the table above."
    blocks.append(
        chart(
            "Paired differences",
            lambda width: draw_forest(
                forest, width=width, reference=0.0, reference_label="no difference", xlabel="first minus second", digits=3,
                colours=_COLOURS,
            ),
            caption="On the same rows, which is far more precise than the difference of two separate intervals. Intervals are 95 % for "
            f"each difference by itself; “told apart” is corrected for {tests}.{numbered}",
            table=frame_table(table, ("figure", "pair", "difference", "ci_low", "ci_high", "p_value", "p_adjusted", "n", "verdict"), most=200),
        )
    )  # fmt: skip
    return blocks


def _short(names: Sequence[str]) -> dict[str, str]:
    """What runs are called where two of them share a line: their numbers, if the names are too long for it."""
    longest = sorted(map(len, names))[-2:]
    if sum(longest) + 3 <= _LABEL:
        return {name: name for name in names}
    return {name: str(place) for place, name in enumerate(names, 1)}


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Verdicts of all differences shown, as one family."""
    adjusted = adjust_p_values(table["p_value"].tolist(), "holm")
    verdicts = [
        (row.first if row.difference > 0 else row.second) + " is better" if p <= 1 - _LEVEL else "not told apart"
        for row, p in zip(table.itertuples(), adjusted, strict=True)
    ]
    return table.assign(p_adjusted=adjusted, verdict=verdicts, pair=table["first"] + " − " + table["second"])


def _beside(runs: Sequence[RunEvidence], names: Sequence[str]) -> Table:
    figures = list(dict.fromkeys(name for run in runs for name in run.figures if name.startswith("after_")))
    rows = []
    for figure in figures:
        cells = []
        for run in runs:
            one = run.figures.get(figure)
            cells.append("–" if one is None else f"{number(one.value)} {interval(one.ci_low, one.ci_high)}")
        rows.append((figure_title(figure.removeprefix("after_")), *cells))
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
            compared = compare_paired(both["a"].to_numpy(), both["b"].to_numpy(), clusters=clusters)
            difference = compared.difference
            found.append({"figure": f"test pairs, {title}", "first": first, "second": second, "difference": difference.value,
                          "ci_low": difference.ci_low, "ci_high": difference.ci_high, "p_value": compared.p_value, "n": compared.n})  # fmt: skip
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
    order = {name: place for place, name in enumerate(names)}
    results: dict[str, list] = {}
    for name, run in zip(names, runs, strict=True):
        for result in run.evaluations:
            if result.rows is not None and not is_of_test_pairs(result, run):
                results.setdefault(result.benchmark, []).append(replace(result, model=name))
    found = []
    for own in results.values():
        if len({result.model for result in own}) < 2 or len({result.model for result in own}) < len(own):
            continue
        for row in compare_models(own).to_dict("records"):
            first, second, sign = row["model_a"], row["model_b"], 1
            low, high = row["ci_low"], row["ci_high"]
            if order[first] > order[second]:  # as in the other charts: the run that was named first comes first
                first, second, sign, low, high = second, first, -1, -high, -low
            found.append({"figure": benchmark_title(own[0]), "first": first, "second": second, "difference": sign * row["difference"],
                          "ci_low": low, "ci_high": high, "p_value": row["p_value"], "n": row["n"]})  # fmt: skip
    return found
