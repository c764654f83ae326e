"""One run of `tasks/annotators/section3.py`: load probabilities, compute tables, draw them, write."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.annotators import section3_tables as tables
from tasks.annotators.oracle_calibration import expert_information, turned
from tasks.annotators.probability_sets import SYNTHETIC_SCALES, load_prepared, load_probabilities
from tasks.annotators.section3_config import dataset_name
from tasks.atomic_files import atomic_path, remove_stale
from tasks.json_files import write_json
from tasks.provenance import command, hash_rows, package_versions
from trl_ext import reporting
from trl_ext.evaluation import calibration_report, reliability_diagram


PLOTS = {
    "histograms": reporting.plot_probability_histograms,
    "lower_bounds": reporting.plot_error_lower_bounds,
    "monitor_errors": reporting.plot_monitor_errors,
    "incentives": reporting.plot_incentives,
    "information_bounds": reporting.plot_information_bounds,
}


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    Make the figures of section 3 as `tasks/annotators/section3.py` configures it.

    Returns:
        `dict[str, Any]`: c̄ of every dataset, and samples that the sum of errors needs.
    """
    folder = Path(config["output_dir"]).expanduser()
    sources = {dataset_name(source): source for source in config["datasets"]}
    probabilities = {name: load_probabilities(source) for name, source in sources.items()}
    n = np.arange(config["n_min"], config["n_max"] + 1, config["n_step"])
    steps = np.arange(config["n_min"], config["n_max"] + 1, config["incentive_step"])
    flips = (config["flips0"], config["flips1"])
    results = {
        "histograms": tables.folded_histogram(probabilities, config["probability_bins"]),
        "lower_bounds": tables.lower_bounds(probabilities, *flips, n),
        "monitor_errors": tables.monitor_errors(
            probabilities, config["eta0"], config["eta1"], config["deltas"], n, config["delta_convention"]
        ),
        "incentives": tables.incentives(probabilities, config["incentive_etas"], steps),
        "information_bounds": tables.information_bounds(
            probabilities, config["separations"], n, legacy=config["legacy_information"], seed=config["seed"]
        ),
    }
    names = [*results, "calibration_*_preference_score", "calibration_*_preference_probability"]
    remove_stale(folder, *(f"{name}.{suffix}" for name in names for suffix in ("png", "csv")))
    for name, table in results.items():
        _write(table, folder, name, None if config["skip_plots"] else PLOTS[name])
    needed = tables.samples_needed(probabilities, *flips, config["error"])
    _write(needed, folder, "samples_needed", None)
    calibration = {
        name: _calibration(source, name, folder, config)
        for name, source in sources.items()
        if source not in SYNTHETIC_SCALES
    }
    c_bar = {name: _c_bar(source, probabilities[name], config["level"]) for name, source in sources.items()}
    write_json(
        folder / "results.json",
        {
            "c_bar": c_bar,
            "samples_needed": needed.to_dict("records"),
            "calibration": {name: figures for name, figures in calibration.items() if figures is not None},
            "files": sorted([*(f"{name}.csv" for name in results), "samples_needed.csv"]),
            "provenance": {
                "command": command("tasks/annotators/section3.py"),
                "config": dict(config),
                "versions": package_versions(),
                "probabilities_sha256": {
                    name: hash_rows(pd.DataFrame({"p": p}), ["p"]) for name, p in probabilities.items()
                },
            },
        },
    )
    pivot = needed.pivot_table("n", ["eta0", "eta1"], "dataset", sort=False)[list(sources)]
    print(f"Samples until the sum of errors can be {config['error']:g}:\n{pivot.to_string(float_format='%.0f')}")
    print("\nc_bar  " + "  ".join(f"{name} {figure['value']:.4f}" for name, figure in c_bar.items()))
    print(f"\nWritten to {folder}")
    return {"c_bar": {name: figure["value"] for name, figure in c_bar.items()}}


def _write(table: pd.DataFrame, folder: Path, name: str, plot: Any) -> None:
    if plot is not None:
        plot(table, folder / f"{name}.png")
        return
    with atomic_path(folder / f"{name}.csv") as temporary:
        table.to_csv(temporary, index=False)


def _c_bar(source: str, p: np.ndarray, level: float) -> dict[str, Any]:
    if source in SYNTHETIC_SCALES:  # quantiles of a distribution, not a sample
        return {
            "value": float(np.mean(np.abs(2 * p - 1))),
            "n": p.size,
            "method": "by formula, without sampling error",
        }
    pairs = load_prepared(source)
    clusters = np.asarray(pairs["prompt_id"]) if "prompt_id" in pairs.column_names else np.arange(p.size)
    return expert_information(p, clusters, level).to_dict()


def _calibration(source: str, name: str, folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The calibration plots of prepared pairs, whose labels are known; `None` for pairs that were not calibrated."""
    pairs = load_prepared(source)
    if "swapped" not in pairs.column_names:
        return None
    swapped = np.asarray(pairs["swapped"])
    clusters = np.asarray(pairs["prompt_id"])
    figures = {}
    for column in ("preference_score", "preference_probability"):
        p = turned(np.asarray(pairs[column], dtype=np.float64), swapped)
        options = {name: config[name] for name in ("level", "resamples", "seed")}
        figures[column] = calibration_report(p, 1.0 - swapped, clusters, **options).to_dict()
        diagram = reliability_diagram(p, 1.0 - swapped, clusters=clusters, level=config["level"])
        path = folder / f"calibration_{name}_{column}.png"
        if config["skip_plots"]:
            with atomic_path(path.with_suffix(".csv")) as temporary:
                diagram.to_frame().to_csv(temporary, index=False)
        else:
            title = f"{name}: {column.replace('_', ' ')}"
            reporting.plot_reliability_diagram(diagram, path, title=title, event="first is preferred")
    return figures
