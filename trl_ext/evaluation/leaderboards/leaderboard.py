"""Leaderboards with intervals, and groups of models that the data do not tell apart."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..results.collected_results import collect_results
from ..results.model_result import ModelResult
from ..statistics import Estimate, weighted_average
from ..table_formats import to_latex, to_markdown
from .comparisons import TIE_RULE, compare_models, tie_groups


__all__ = [
    "TIE_RULE",
    "ModelResult",
    "collect_results",
    "compare_models",
    "display_table",
    "leaderboard",
    "tie_groups",
    "to_latex",
    "to_markdown",
]

logger = logging.getLogger(__name__)


def leaderboard(
    results: Sequence[ModelResult], benchmark: str | None = None, *, comparisons: pd.DataFrame | None = None,
    level: float = 0.95,
) -> pd.DataFrame:  # fmt: skip
    """
    Rank models by their figure on a benchmark.

    The figure is the benchmark's overall one. If no model has it, it is the plain mean of the subsets that all have.

    Args:
        results (`Sequence[ModelResult]`):
            Of [`collect_results`].
        benchmark (`str`, *optional*):
            Which results to show. By default the only one that is there.
        comparisons (`pandas.DataFrame`, *optional*):
            All pairs of [`compare_models`], for the tie groups. Without it there are none.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level of the comparisons. The intervals of the figures are those of the evaluations.

    Returns:
        `pandas.DataFrame`: a row per model, the best first: `rank` (equal figures share the better one), `model`, `value`,
        `ci_low`, `ci_high`, `n`, `tie_group` (a letter, see `TIE_RULE`; empty without rows), a column per section, or per
        subset if there are no sections, and `source`. `attrs["figure"]` says what `value` is, `attrs["method"]` how its
        interval was made.

    Raises:
        ValueError: no result, or results of several benchmarks and none is named.

    Example:
        ```python
        >>> from trl_ext.evaluation import wilson_interval
        >>> def result(model, hits):
        ...     figure = wilson_interval(hits, 100)
        ...     return ModelResult(model, "rm-bench", figure, {}, {"chat": figure}, None, f"{model}.json")
        >>> table = leaderboard([result("small", 60), result("large", 80)])
        >>> table[["rank", "model", "value"]].values.tolist()
        [[1, 'large', 0.8], [2, 'small', 0.6]]
        ```
    """
    chosen = of_benchmark(results, benchmark)
    figure_name, figures = _figures(chosen)
    named = _named(chosen)
    rows = []
    for result in chosen:
        figure = figures[result.model]
        rows.append(
            {"model": result.model, **{key: getattr(figure, key) for key in ("value", "ci_low", "ci_high", "n")}}
            | {name: getattr(getattr(result, named[0]).get(name), "value", np.nan) for name in named[1]}
            | {"source": result.source}
        )
    table = pd.DataFrame(rows).sort_values(["value", "model"], ascending=[False, True], ignore_index=True)
    table.insert(0, "rank", table["value"].rank(ascending=False, method="min").astype("Int64"))
    groups = {} if comparisons is None else tie_groups(table["model"].tolist(), comparisons, level)
    table.insert(6, "tie_group", [groups.get(model, "") for model in table["model"]])
    methods = list(dict.fromkeys(figure.method for figure in figures.values()))
    table.attrs |= {"figure": figure_name, "method": "; ".join(methods), "benchmark": chosen[0].benchmark}
    return table


def of_benchmark(results: Sequence[ModelResult], benchmark: str | None) -> list[ModelResult]:
    """
    The results on one benchmark.

    Raises:
        ValueError: there is none, or there are several benchmarks and none is named.
    """
    names = list(dict.fromkeys(result.benchmark for result in results))
    if benchmark is None and len(names) != 1:
        raise ValueError(f"name one of the benchmarks {', '.join(names)}" if names else "there are no results")
    chosen = [result for result in results if benchmark in (None, result.benchmark)]
    if not chosen:
        raise ValueError(f"there are no results on {benchmark!r}, only on {', '.join(names) or 'nothing'}")
    return chosen


def display_table(table: pd.DataFrame, *, scale: float = 100.0) -> pd.DataFrame:
    """
    A leaderboard for readers: figures in per cent, the interval in one column, without sources.

    Args:
        table (`pandas.DataFrame`):
            Of [`leaderboard`].
        scale (`float`, *optional*, defaults to `100.0`):
            Factor of all figures.

    Returns:
        `pandas.DataFrame`
    """
    fixed = ("rank", "model", "value", "ci_low", "ci_high", "n", "tie_group", "source")
    shown = pd.DataFrame({"rank": table["rank"].astype(str).replace("<NA>", ""), "model": table["model"]})
    shown[table.attrs.get("figure", "value")] = [_scaled(value, scale) for value in table["value"]]
    shown["interval"] = [
        f"{low * scale:.1f} – {high * scale:.1f}" if np.isfinite(low) and np.isfinite(high) else ""
        for low, high in zip(table["ci_low"], table["ci_high"], strict=True)
    ]
    if (table["tie_group"] != "").any():
        shown["group"] = table["tie_group"]
    for name in table.columns.difference(fixed, sort=False):
        shown[name] = [_scaled(value, scale) for value in table[name]]
    return shown


def _scaled(value: float, scale: float) -> str:
    return f"{value * scale:.1f}" if np.isfinite(value) else ""


def _figures(results: Sequence[ModelResult]) -> tuple[str, dict[str, Estimate]]:
    known = [result for result in results if result.overall is not None]
    unknown = Estimate(np.nan, np.nan, np.nan, np.nan, 0, "parts of the benchmark are missing")
    if known:
        lacking = [result.model for result in results if result.overall is None]
        if lacking:
            logger.warning("no overall figure of %s: their results lack parts of the benchmark", ", ".join(lacking))
        parts = {tuple(result.sections) for result in known}
        if len(parts) > 1:
            logger.warning(
                "overall figures are means of different sections, and not comparable: %s",
                "; ".join(f"{result.model}: {', '.join(result.sections)}" for result in known),
            )
        return "overall", {result.model: result.overall or unknown for result in results}
    common = [name for name in results[0].subsets if all(name in result.subsets for result in results)]
    if not common:
        raise ValueError(
            f"{results[0].benchmark}: the models have no overall figure and no subset in common: nothing to rank them by"
        )
    logger.warning(
        "%s: no model has an overall figure; they are ranked by the mean of the %d subsets that all have",
        *(results[0].benchmark, len(common)),
    )
    return f"mean of {len(common)} subsets", {
        result.model: weighted_average([result.subsets[name] for name in common]) for result in results
    }


def _named(results: Sequence[ModelResult]) -> tuple[str, list[str]]:
    """Whether sections or subsets are shown, and which."""
    kind = "sections" if any(result.sections for result in results) else "subsets"
    return kind, list(dict.fromkeys(name for result in results for name in getattr(result, kind)))
