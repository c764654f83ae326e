"""One run of `tasks/annotators/prepare_oracle_data.py`: read, score what is not scored yet, calibrate, write."""

import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from datasets import Dataset
from scipy.special import expit

from tasks.annotators.oracle_calibration import (
    CrossFit,
    brier_gain,
    calibration_figures,
    calibrator_settings,
    cross_fit,
    expert_information,
)
from tasks.annotators.oracle_scores import score_pairs
from tasks.annotators.oracle_sources import load_source
from tasks.annotators.probability_sets import PAIRS_DIR
from tasks.atomic_files import remove_stale
from tasks.json_files import write_json
from tasks.provenance import command, hash_pairs, package_versions
from trl_ext.evaluation import mean_estimate
from trl_ext.reporting import plot_reliability_diagram
from trl_ext.scoring.processes import process_state


logger = logging.getLogger("tasks.annotators.prepare_oracle_data")


def run(config: Mapping[str, Any]) -> dict[str, float]:
    """
    Prepare oracle data as `tasks/annotators/prepare_oracle_data.py` configures it.

    Returns:
        `dict[str, float]`: The headline figures.
    """
    transformers.utils.logging.set_verbosity_warning()
    logger.setLevel(logging.INFO)
    folder = Path(config["output_dir"]).expanduser()
    source = load_source(
        config["source"],
        data_path=config["data_path"],
        split=config["split"],
        columns=config["columns"],
        preference=config["preference"],
        max_rows=config["max_rows"],
        seed=config["seed"],
    )
    pairs = source.pairs
    for reason, count in source.dropped.items():
        logger.warning("%s: left out %d: %s", config["source"], count, reason)
    chosen, rejected, scoring = score_pairs(pairs, config, folder / "scores")
    raw = expit(chosen - rejected)
    clusters = np.asarray(pairs["prompt_id"])
    fitted = None
    if config["calibration"] != "none":
        settings = calibrator_settings(config["calibration"], config["n_bins"], config["smoothing"])
        order = {"both_orders": config["both_orders"], "seed": config["seed"]}
        fitted = cross_fit(chosen - rejected, clusters, config["calibration"], settings, **order)
    table = _with_scores(pairs, chosen, rejected, raw, fitted)
    if not process_state().is_main_process:
        return {}
    _save_atomically(table, folder / PAIRS_DIR)
    figures = _figures(raw, fitted, chosen - rejected, clusters, config, folder)
    report = {
        "figures": figures,
        "rows": len(pairs),
        "prompts": int(np.unique(clusters).size),
        "dropped": source.dropped,
        "layout": source.layout,
        "scoring": scoring,
        "provenance": {
            "command": command("tasks/annotators/prepare_oracle_data.py"),
            "config": dict(config),
            "versions": package_versions(),
            "pairs_sha256": hash_pairs(pairs),
        },
    }
    write_json(folder / "report.json", report)
    headline = _headline(figures)
    print(_format(headline))
    print(f"\nWritten to {folder}: {len(pairs)} pairs in {PAIRS_DIR}, all figures in report.json")
    return {name: figure["value"] for name, figure in headline.items()}


def _with_scores(
    pairs: Dataset, chosen: np.ndarray, rejected: np.ndarray, raw: np.ndarray, fitted: CrossFit | None
) -> Dataset:
    columns = {"chosen_score": chosen, "rejected_score": rejected, "preference_score": raw}
    if fitted is not None:
        columns |= {
            "preference_probability": fitted.probabilities,
            "swapped": fitted.swapped,
            "calibration_fold": fitted.fold,
        }
    for name, values in columns.items():
        pairs = pairs.add_column(name, values)
    return pairs


def _save_atomically(table: Dataset, path: Path) -> None:
    """The directory is complete, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        table.save_to_disk(scratch / "new")
        if path.exists():
            path.rename(scratch / "old")
        (scratch / "new").rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _figures(
    raw: np.ndarray,
    fitted: CrossFit | None,
    differences: np.ndarray,
    clusters: np.ndarray,
    config: Mapping[str, Any],
    folder: Path,
) -> dict[str, Any]:
    level = config["level"]
    remove_stale(folder, "calibrator.json", "calibrator_half_[01].json")
    remove_stale(
        folder, *(f"calibration_{name}.{suffix}" for name in ("raw", "calibrated") for suffix in ("png", "csv"))
    )
    ordered = (differences > 0) + 0.5 * (differences == 0)
    figures: dict[str, Any] = {
        "accuracy": mean_estimate(ordered, clusters, level).to_dict(),
        "ties": int(np.sum(differences == 0)),
        "c_bar": {"raw": expert_information(raw, clusters, level).to_dict()},
    }
    if fitted is None:
        return figures
    options = {"level": level, "resamples": config["resamples"], "seed": config["seed"]}
    figures["calibration"] = {}
    for name, probabilities in (("raw", raw), ("calibrated", fitted.probabilities)):
        report, values = calibration_figures(probabilities, fitted.swapped, clusters, **options)
        figures["calibration"][name] = values
        if not config["skip_plots"]:
            title = f"{config['source']} by {_short(config['oracle'])}: {name}"
            plot_reliability_diagram(
                report.diagram, folder / f"calibration_{name}.png", title=title, event="first is preferred"
            )
    figures["c_bar"]["calibrated"] = expert_information(fitted.probabilities, clusters, level).to_dict()
    figures["brier_gain"] = brier_gain(raw, fitted.probabilities, clusters, level).to_dict()
    fitted.calibrator.save(folder / "calibrator.json")
    for half, calibrator in enumerate(fitted.by_fold):
        calibrator.save(folder / f"calibrator_half_{half}.json")
    figures["calibrator"] = {
        "kind": config["calibration"],
        "note": (
            "preference_probability of a pair is by calibrator_half_<calibration_fold>.json, fitted on the other half of "
            "the prompts; calibrator.json was fitted on all pairs and is for new data, its values here would be in-sample"
        ),
    }
    return figures


def _short(oracle: str) -> str:
    return oracle.rstrip("/").rsplit("/", maxsplit=1)[-1]


def _headline(figures: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    headline = {"accuracy": figures["accuracy"]}
    headline |= {f"c_bar.{name}": figure for name, figure in figures["c_bar"].items()}
    for name, values in figures.get("calibration", {}).items():
        headline |= {f"{key}.{name}": values[key] for key in ("ece", "brier", "rms_calibration_error")}
    return headline | ({"brier_gain": figures["brier_gain"]} if "brier_gain" in figures else {})


def _format(headline: Mapping[str, Mapping[str, Any]]) -> str:
    width = max(map(len, headline))
    return "\n".join(
        f"{name.ljust(width)}  {figure['value']:7.4f}  [{figure['ci_low']:.4f}, {figure['ci_high']:.4f}]"
        for name, figure in headline.items()
    )
