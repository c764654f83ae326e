"""From the scores of `tasks/rapl/llm_arms.py` to its reliability column, with an honest look at what it is worth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from sklearn.model_selection import GroupShuffleSplit

from tasks.train_config import ConfigError
from trl_ext.evaluation.statistics import mean_estimate, paired_difference
from trl_ext.reliability.llm_arms import CriteriaCalibrator, difficulty_correlations


def read_correctness(rows: Dataset, column: str) -> np.ndarray:
    """0, 1, or NaN where it is not known, of shape `(N,)`."""
    values = np.array([np.nan if value is None else float(value) for value in rows[column]])
    bad = np.flatnonzero(~(np.isnan(values) | np.isin(values, (0, 1))))
    if bad.size:
        raise ConfigError(
            f"column {column!r} must hold 0, 1 or nothing; {bad.size} values are something else, first: row {bad[0]}, value "
            f"{values[bad[0]]:g}"
        )
    return values


def group_labels(rows: Dataset, config: Mapping[str, Any]) -> np.ndarray:
    """Group of every row: what must not be split, and what uncertainty is clustered by."""
    column = config["group_col_name"] or ("question_id" if "question_id" in rows.column_names else "id")
    return np.array([str(value) for value in rows[column]])


def rows_to_fit(rows: Dataset, known: np.ndarray, groups: np.ndarray, config: Mapping[str, Any]) -> tuple[Any, str]:
    """
    Which rows the calibrator is fitted on, and what to call them.

    Args:
        rows (`Dataset`): All rows.
        known (`numpy.ndarray` of shape `(N,)`): Rows with a score and known correctness.
        groups (`numpy.ndarray` of shape `(N,)`): From [`group_labels`].
        config (`Mapping`): The configuration.
    """
    column, value = config["calibration_split_col_name"], config["calibration_split"]
    if column is not None:
        return known & np.array([entry == value for entry in rows[column]]), f"rows with {column}={value!r}"
    fraction, seed = config["calibration_fraction"], config["calibration_seed"]
    where = np.flatnonzero(known)
    if np.unique(groups[where]).size < 2:
        raise ConfigError(
            f"a calibrator needs rows to be fitted on and others to be judged by: of {known.size} rows, {where.size} have a "
            "score and known correctness. Ask about more rows (max_rows)."
        )
    splitter = GroupShuffleSplit(1, train_size=fraction, random_state=seed)
    chosen, _ = next(splitter.split(where, groups=groups[where]))
    fit = np.zeros(known.size, dtype=bool)
    fit[where[chosen]] = True
    return fit, f"a random {fraction:g} of the groups (seed {seed})"


def calibrate(rows: Dataset, table: pd.DataFrame, config: Mapping[str, Any]) -> tuple[CriteriaCalibrator, dict, dict]:
    """
    Fit the calibrator, and judge it on the other rows.

    Args:
        rows (`Dataset`): The preference rows.
        table (`pandas.DataFrame`): Their scores, row by row; NaN where there are none.
        config (`Mapping`): The configuration.

    Returns:
        `tuple[CriteriaCalibrator, dict, dict]`: The calibrator; the columns `reliability` (NaN without scores) and
        `used_for_calibration`; and the figures: calibrator, correlations of all criteria on all rows with known
        correctness, and log loss on the rows it was not fitted on, beside that of a constant.
    """
    correct = read_correctness(rows, config["correctness_col_name"])
    groups = group_labels(rows, config)
    scored = table[list(config["criteria"])].notna().all(axis=1).to_numpy()
    known = scored & ~np.isnan(correct)
    fit, name = rows_to_fit(rows, known, groups, config)
    try:
        calibrator = CriteriaCalibrator(config["criteria"]).fit(table[fit], correct[fit], fitted_on=name)
    except ValueError as error:
        raise ConfigError(f"no calibrator can be fitted on {name} ({fit.sum()} rows): {error}") from error
    reliability = np.full(len(table), np.nan)
    reliability[scored] = calibrator.predict(table[scored])
    columns = {"reliability": reliability, "used_for_calibration": fit}
    correlations = difficulty_correlations(table[known], correct[known], groups[known])
    figures = {
        "calibrator": calibrator.to_dict(),
        "rows_with_known_correctness": int(known.sum()),
        "correlations_with_correctness": {key: value.to_dict() for key, value in correlations.items()},
        "held_out": _judge(reliability, correct, groups, known & ~fit, float(correct[fit].mean())),
        "below_half": int((reliability[scored] < 0.5).sum()),
    }
    return calibrator, columns, figures


def _judge(
    reliability: np.ndarray, correct: np.ndarray, groups: np.ndarray, rows: np.ndarray, constant: float
) -> dict[str, Any] | None:
    """Log loss on rows the calibrator has not seen; `None` if there are none."""
    if not rows.any():
        return None
    y, clusters = correct[rows], groups[rows]
    losses = _log_loss(reliability[rows], y)
    baseline = _log_loss(np.full(y.size, constant), y)
    return {
        "log_loss": mean_estimate(losses, clusters).to_dict(),
        "log_loss_of_a_constant": mean_estimate(baseline, clusters).to_dict(),
        "difference": paired_difference(losses, baseline, clusters).to_dict(),
    }


def _log_loss(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -np.where(y == 1, np.log(p), np.log1p(-p))
