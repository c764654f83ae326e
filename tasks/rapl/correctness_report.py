"""Figures of a TRUE model on rows it was neither trained, selected nor calibrated on, and the table that is printed."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from tasks.rapl.correctness_data import CorrectnessData
from trl_ext.evaluation.statistics import Estimate, area_under_curve
from trl_ext.reliability.correctness import CorrectnessModel, correctness_figures


def figures_of(model: CorrectnessModel, data: CorrectnessData, resamples: int, seed: int) -> dict[str, Estimate]:
    """
    Figures on `data.val`, before and after calibration, and of the context columns.

    The comparator always says the share of correct annotators in the training rows. For a context column: its AUC, and
    that of a logistic regression on the model's log-odds and the column, fitted on the calibration rows.
    """
    val_scores = model.scores(data.val, progress=True)
    model.check_held_out(data.val, val_scores, split="val")
    boot = {"resamples": resamples, "seed": seed}
    common = {
        "correct": data.val.labels,
        "clusters": data.val.clusters,
        "base_rate": float(data.train.labels.mean()),
        **boot,
    }
    figures = {}
    for when, calibrated in (("before", False), ("after", True)):
        found = correctness_figures(model.average(val_scores, calibrated=calibrated), **common)
        figures |= {f"{when}_{name}": estimate for name, estimate in found.items()}
    if data.context["val"]:
        cal_log_odds, val_log_odds = model.scores(data.cal).mean(axis=0), val_scores.mean(axis=0)
    for column, values in data.context["val"].items():
        figures[f"auc_{column}"] = area_under_curve(values, data.val.labels, data.val.clusters, **boot)
        cal = np.stack([cal_log_odds, data.context["cal"][column]], axis=1)
        val = np.stack([val_log_odds, values], axis=1)
        # unit variance on the calibration rows, so that the penalty treats both alike
        scale = np.where(cal.std(axis=0) > 0, cal.std(axis=0), 1.0)
        combined = LogisticRegression().fit(cal / scale, data.cal.labels).decision_function(val / scale)
        figures[f"auc_model_and_{column}"] = area_under_curve(combined, data.val.labels, data.val.clusters, **boot)
    return figures


def format_figures(figures: dict[str, Estimate]) -> str:
    """The figures as text, with their intervals."""
    width = max(map(len, figures))
    lines = [f"{'':{width}}  value    95% interval"]
    lines += [f"{name:{width}}  {e.value:.4f}  [{e.ci_low:.4f}, {e.ci_high:.4f}]" for name, e in figures.items()]
    return "\n".join(lines)
