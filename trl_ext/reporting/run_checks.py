"""What the report needs of the files of a run: a file that lacks it is named, with what it lacks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .run_files import DamagedEvidence, as_estimate, is_estimate


def _expect(holds: bool, path: Path, words: str) -> None:
    if not holds:
        raise DamagedEvidence(f"{path}: {words}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(content: Any, path: Path, name: str, keys: Sequence[str] = ()) -> Mapping[str, Any]:
    _expect(isinstance(content, Mapping), path, f"{name!r} must be an object, found {type(content).__name__}")
    missing = [key for key in keys if key not in content]
    _expect(not missing, path, f"{name!r} has no {', '.join(map(repr, missing))}")
    return content


def check_results(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """`results.json`: provenance, annotators, weights, and the comparison with the saved model."""
    provenance = _mapping(content.get("provenance") or {}, path, "provenance")
    for part in ("config", "versions", "data_sha256", "model", "length"):
        _mapping(provenance.get(part) or {}, path, part)
    for split, length in (provenance.get("length") or {}).items():
        _mapping(length, path, f"length of {split}", ("rows", "over_length", "truncated", "dropped", "max_length", "policy"))  # fmt: skip
    if content.get("annotators"):
        annotators = _mapping(content["annotators"], path, "annotators", ("table", "method"))
        table = annotators["table"]
        _expect(isinstance(table, list) and all(isinstance(row, dict) for row in table), path, "'table' of the annotators must be a list of rows")  # fmt: skip
    if content.get("weights"):
        _mapping(content["weights"], path, "weights")
    if content.get("round_trip"):
        trip = _mapping(content["round_trip"], path, "round_trip", ("rows", "max_difference", "tolerance"))
        for name in ("max_difference", "tolerance"):
            try:
                float(trip[name])
            except (TypeError, ValueError) as error:
                raise DamagedEvidence(f"{path}: {name!r} of 'round_trip' is no number: {trip[name]!r}") from error
    return content


def check_health(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """`data_health.json`: counts, and histograms by column."""
    for name in ("rows", "distinct_pairs", "repeated_rows", "contradicted_pairs"):
        _expect(_is_number(content[name]), path, f"{name!r} must be a number, found {content[name]!r:.40}")
    for part in ("lengths", "columns"):
        for name, one in _mapping(content[part], path, part).items():
            if name != "unit":
                _mapping(one, path, f"{part} of {name}", ("counts", "edges", "quantiles", "mean"))
    if content["longer_chosen"]:
        as_estimate(content["longer_chosen"], path)
    if content["annotators"]:
        _mapping(content["annotators"], path, "annotators", ("count", "rows", "labels_per_pair"))
    return content


def check_log(rows: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """`training_log.json`: steps and times are numbers."""
    for row in rows:
        _expect(_is_number(row["step"]), path, f"a row of the log has step {row['step']!r}")
        if "train_runtime" in row:
            _expect(_is_number(row["train_runtime"]), path, f"'train_runtime' is no number: {row['train_runtime']!r}")
    return rows


def check_calibration(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """`calibration/calibration.json`: two reports with a diagram, and the change."""
    for side in ("raw", "calibrated"):
        report = content[side]
        for name in ("ece", "brier", "log_loss", "ece_if_calibrated", "bias", "auc"):
            if report.get(name) is not None:
                _expect(is_estimate(report[name]), path, f"{name!r} of {side!r} is no estimate")
                as_estimate(report[name], path)
        bins = _mapping(report["diagram"], path, f"diagram of {side}", ("bins", "level", "method"))["bins"]
        names = ("bin_low", "bin_high", "mean_predicted", "observed", "ci_low", "ci_high", "n")
        _expect(isinstance(bins, list) and bool(bins), path, f"the diagram of {side!r} has no bins")
        for one in bins:
            _mapping(one, path, f"a bin of {side}", names)
    change = content.get("ece_change")
    if change is not None:
        _expect(is_estimate(change), path, "'ece_change' is no estimate")
        as_estimate(change, path)
    for name in ("fitted_on", "measured_on"):
        _mapping(content.get(name) or {}, path, name)
    return content


def check_calibration_history(rows: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """`calibration/training.json`: a step and an estimate in every row."""
    for row in rows:
        _expect(_is_number(row.get("step")), path, f"a row has the step {row.get('step')!r}")
        if isinstance(row.get("ece"), Mapping):
            _expect(is_estimate(row["ece"]), path, f"'ece' at step {row['step']} is no estimate")
            as_estimate(row["ece"], path)
    return rows


def check_mislabels(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """`mislabels/mislabels.json`: figures, and the comparison with the truth."""
    for name, figure in _mapping(content.get("figures") or {}, path, "figures").items():
        if is_estimate(figure):
            as_estimate(figure, path)
        else:
            _expect(not (isinstance(figure, Mapping) and "ci_low" in figure), path, f"the figure {name!r} is no estimate")  # fmt: skip
    rows = content.get("comparison") or []
    _expect(isinstance(rows, list) and all(isinstance(row, dict) and {"evidence", "measure", "share"} <= set(row) for row in rows),
            path, "'comparison' must be a list of rows with evidence, measure and share")  # fmt: skip
    return content


def check_monitoring(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """`monitoring/results.json`: the figure of all annotators, and how many are above and below."""
    pooled = content["pooled_eta"]
    if pooled:
        _expect(is_estimate(pooled), path, f"'pooled_eta' is no estimate: {pooled!r:.60}")
        as_estimate(pooled, path)
    _mapping(content.get("decisions") or {}, path, "decisions")
    _mapping((_mapping(content.get("provenance") or {}, path, "provenance")).get("config") or {}, path, "config")
    return content


def check_numbers(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    """A table whose columns are numbers, as such: the first cell that is none is named."""
    for name in columns:
        if name in table and not pd.api.types.is_numeric_dtype(table[name]):
            numbers = pd.to_numeric(table[name], errors="coerce")
            wrong = table[name][numbers.isna() & table[name].notna()]
            if len(wrong):
                raise DamagedEvidence(f"{path}: column {name!r} has {wrong.iloc[0]!r} in row {wrong.index[0] + 1}, which is no number")  # fmt: skip
            table = table.assign(**{name: numbers})
    return table
