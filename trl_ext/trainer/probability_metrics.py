"""Whether the probability of a preference can be believed: metrics of every evaluation, and their file."""

import json
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from ..atomic_files import write_text_atomically
from ..evaluation import Estimate, pair_calibration, preferred_orientation, reliability_diagram


logger = logging.getLogger(__name__)

FOLDER, FILE = "calibration", "training.json"
_RESAMPLES = 200  # an evaluation of 2000 pairs takes 20 ms
_BINS = 20  # over [0, 1], as of `pair_calibration`


def probability_figures(log_odds: np.ndarray, labels: np.ndarray | None) -> dict[str, Estimate]:
    """
    ECE, Brier score and log-loss of P(chosen is preferred). Every pair counts once, as in the other metrics of an
    evaluation, whatever its weight in the loss.

    Args:
        log_odds (`np.ndarray` of shape `(N,)`): Of that probability: the reward difference r_chosen − r_rejected, or what
            the reward head says.
        labels (`np.ndarray` of shape `(N,)`, *optional*): P(chosen is preferred) as reported; all 1 by default.

    Returns:
        `dict[str, Estimate]`: Empty if one of `log_odds` is not finite.
    """
    if not np.isfinite(log_odds).all():
        return {}
    return pair_calibration(log_odds, labels, resamples=_RESAMPLES)


def flat_metrics(figures: dict[str, Estimate]) -> dict[str, float]:
    """What is logged: each value under its name, and the ends of its interval, where there is one."""
    metrics = {}
    for name, figure in figures.items():
        metrics[name] = figure.value
        if np.isfinite([figure.ci_low, figure.ci_high]).all():
            metrics |= {f"{name}_ci_low": figure.ci_low, f"{name}_ci_high": figure.ci_high}
    return metrics


def write_probability_log(
    folder: str | Path,
    figures: dict[str, Estimate],
    log_odds: np.ndarray,
    labels: np.ndarray | None,
    *,
    step: int,
    prefix: str,
    log_history: Sequence[dict[str, Any]],
) -> None:
    """
    Add an evaluation to `calibration/training.json` of an output directory, a list of them. The last has its reliability
    `diagram`, which is also in `training.png` where matplotlib is installed. Rows that the log does not know are of another
    run and go.
    """
    folder = Path(folder, FOLDER)
    path = folder / FILE
    known = {(row["step"], key, value) for row in log_history for key, value in row.items() if key.endswith("_ece")}
    rows = [row for row in _rows(path) if (row["step"], f"{row['prefix']}_ece", row["ece"]["value"]) in known]
    rows = [row for row in rows if (row["step"], row["prefix"]) != (step, prefix)]
    confidence, agreement = preferred_orientation(expit(log_odds), labels)
    diagram = reliability_diagram(confidence, agreement, n_bins=_BINS)
    rows = [{key: value for key, value in row.items() if key != "diagram"} for row in rows]
    estimates = {name: figure.to_dict() for name, figure in figures.items()}
    rows.append({"step": step, "prefix": prefix, **estimates, "diagram": diagram.to_dict()})
    write_text_atomically(path, json.dumps(_plain(rows), indent=2, allow_nan=False) + "\n")
    if find_spec("matplotlib") is not None:
        from ..reporting import plot_reliability_diagram  # reports know the trainer's files, not the other way round

        plot_reliability_diagram(
            diagram, folder / "training.png", title=f"Step {step}", event="the label agrees with the model"
        )


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        return [row for row in json.loads(path.read_text(encoding="utf-8")) if {"step", "prefix", "ece"} <= row.keys()]
    except (ValueError, AttributeError, TypeError):
        logger.warning("%s can't be read and is written anew", path)
        return []


def _plain(value: Any) -> Any:
    """NaN and infinities spelled out: JSON has none."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
