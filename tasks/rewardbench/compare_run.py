"""One run of `tasks/rewardbench/compare.py`: read results, rank and compare the models, draw, write."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.atomic_files import remove_stale
from tasks.json_files import write_json
from tasks.provenance import command, hash_file, package_versions
from tasks.rewardbench.compare_plots import PLOT_FILES, draw_plots
from trl_ext.atomic_files import write_text_atomically
from trl_ext.evaluation.leaderboards import leaderboard as tables
from trl_ext.evaluation.leaderboards.leaderboard import ModelResult
from trl_ext.evaluation.rewardbench_layout import model_name


_FILES = ("leaderboard.md", "leaderboard.tex", "leaderboard.csv", "comparisons.csv", "comparisons.md", "compare.json")


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    Compare models as `tasks/rewardbench/compare.py` configures it.

    Returns:
        `dict[str, Any]`: the leaderboard's rank and figure by model.
    """
    folder = Path(config["output_dir"]).expanduser()
    results = tables.of_benchmark(tables.collect_results(config["results"]), config["benchmark"])
    options = {key: config[key] for key in ("correction", "level", "seed")}
    pairs = tables.compare_models(results, **options)
    table = tables.leaderboard(results, comparisons=pairs, level=config["level"])
    results.sort(key=lambda result: table["model"].tolist().index(result.model))
    if config["baseline"] is not None:
        pairs = tables.compare_models(results, baseline=_baseline(config["baseline"], results), **options)
    remove_stale(folder, *_FILES, *(f"{name}.{suffix}" for name in PLOT_FILES for suffix in ("png", "csv")))
    _write_leaderboard(table, folder, config["formats"], config["level"])
    _write_comparisons(pairs, folder)
    drawn = draw_plots(results, table, folder, config["plots"], config["level"])
    write_json(folder / "compare.json", _record(results, table, pairs, drawn, config))
    print(f"{table.attrs['benchmark']}, per cent:\n{tables.display_table(table).to_string(index=False)}")
    if len(pairs):
        print(f"\n{_summary(pairs)}")
    for name in [name for name, file in drawn.items() if not file.endswith(".png")]:
        print(f"\nPlot {name!r} was {drawn[name]}.")
    print(f"\nWritten to {folder}")
    return {
        row.model: {"rank": None if pd.isna(row.rank) else int(row.rank), "value": float(row.value)}
        for row in table.itertuples()
    }


def _baseline(name: str, results: list[ModelResult]) -> str:
    """Name of the baseline in the tables, where a path is its last parts."""
    names = [result.model for result in results]
    if name in names or model_name(name) in names:
        return name if name in names else model_name(name)
    ends = [shown for shown in names if name.rstrip("/").endswith(f"/{shown}")]
    return ends[0] if len(ends) == 1 else name


def _write_leaderboard(table: pd.DataFrame, folder: Path, formats: list[str], level: float) -> None:
    shown, notes = tables.display_table(table), _notes(table, level)
    benchmark = table.attrs["benchmark"]
    contents = {
        "md": f"# {benchmark}\n\n{tables.to_markdown(shown)}\n{notes}\n",
        "tex": tables.to_latex(shown, caption=f"{benchmark}. {notes}"),
        "csv": table.to_csv(index=False),
    }
    for suffix in formats:
        write_text_atomically(folder / f"leaderboard.{suffix}", contents[suffix])


def _write_comparisons(pairs: pd.DataFrame, folder: Path) -> None:
    write_text_atomically(folder / "comparisons.csv", pairs.to_csv(index=False))
    shown = pairs.drop(columns=["method", "correction"])
    text = tables.to_markdown(shown) if len(pairs) else "Fewer than two models have rows: nothing was compared.\n"
    notes = f"\n{_summary(pairs)}\n\n{'; '.join(pairs['method'].unique())}.\n" if len(pairs) else ""
    write_text_atomically(folder / "comparisons.md", f"# Paired comparisons\n\n{text}{notes}")


def _notes(table: pd.DataFrame, level: float) -> str:
    notes = f"Figures in per cent; interval: {table.attrs['method']}."
    if (table["tie_group"] != "").any():
        notes += f" Groups: {tables.TIE_RULE} (level {level:g})."
    return notes


def _summary(pairs: pd.DataFrame) -> str:
    significant = int(pairs["significant"].sum())
    return (
        f"{significant} of {len(pairs)} pairs differ significantly, on {pairs['n'].iloc[0]:,} rows that all have "
        f"(p-values corrected by {pairs['correction'].iloc[0]})."
    )


def _record(
    results: list[ModelResult],
    table: pd.DataFrame,
    pairs: pd.DataFrame,
    plots: dict[str, str],
    config: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "benchmark": table.attrs["benchmark"],
        "figure": table.attrs["figure"],
        "leaderboard": table.astype(object).where(table.notna(), None).to_dict("records"),
        "comparisons": pairs.to_dict("records"),
        "tie_rule": tables.TIE_RULE,
        "plots": plots,
        "provenance": {
            "command": command("tasks/rewardbench/compare.py"),
            "config": dict(config),
            "versions": package_versions(),
            "sources": {
                result.model: {
                    **{"file": result.source, "sha256": hash_file(result.source), "data_sha256": result.data_hash},
                    "rows": None if result.rows is None else len(result.rows),
                }
                for result in results
            },
        },
    }
