"""Fit a calibration on scored pairs, measure it on others, and write both: for `tasks/train.py` and `tasks/calibrate.py`."""

import dataclasses
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit
from transformers import PreTrainedTokenizerBase

from tasks.json_files import write_json
from tasks.train_report import mark_pairs
from trl_ext.evaluation import PreferenceCalibrationChange, preference_calibration_change
from trl_ext.scoring import (
    RewardCalibration,
    fit_length_calibration,
    fit_preference_calibration,
    response_lengths,
)


METHODS = ("temperature", "platt", "isotonic", "lapse")
FOLDER = "calibration"
_FIGURES = ("ece", "brier", "log_loss")


@dataclasses.dataclass(frozen=True)
class MeasuredCalibration:
    """
    A calibration and what it changed on other pairs than those it was fitted on.

    Args:
        calibration ([`RewardCalibration`]): The calibration.
        to_labels ([`PreferenceCalibrationChange`]): Against the labels.
        to_truth ([`PreferenceCalibrationChange`] or `None`): P(better) against the truth, where it is known.
        fitted_on, measured_on (`dict`): Description of the pairs.
    """

    calibration: RewardCalibration
    to_labels: PreferenceCalibrationChange
    to_truth: PreferenceCalibrationChange | None
    fitted_on: dict[str, Any]
    measured_on: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """For `calibration/calibration.json`."""
        record = self.calibration.provenance["preference"]
        changes = self.to_labels.to_dict()
        return {
            "method": record["method"],
            "fitted_on": self.fitted_on,
            "measured_on": self.measured_on,
            **{name: changes[name] for name in ("raw", "calibrated", "ece_change", "brier_change", "log_loss_change")},
            "truth": self.to_truth and self.to_truth.to_dict(),
            "parameters": record["parameters"],
            "calibration": self.calibration.to_dict(),
        }


def question_groups(pairs: pd.DataFrame) -> np.ndarray:
    """What pairs share: their question, their prompt's identifier, or the text of the prompt; else each is on its own."""
    for column in ("question_id", "prompt_id", "prompt"):
        if column in pairs.columns:
            return np.array([json.dumps(value, default=str) for value in pairs[column]], dtype=object)
    return np.arange(len(pairs)).astype(str).astype(object)


def split_by_question(pairs: pd.DataFrame, fit_share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs to fit on and pairs to measure on, without a question in both."""
    groups = question_groups(pairs)
    if len(set(groups)) < 2:
        raise ValueError("all pairs are of one question: there must be others to measure on")
    fit, rest = next(GroupShuffleSplit(1, train_size=fit_share, random_state=seed).split(pairs, groups=groups))
    return pairs.iloc[np.sort(fit)], pairs.iloc[np.sort(rest)]


def calibrate_pairs(
    fit: pd.DataFrame,
    measure: pd.DataFrame,
    *,
    method: str,
    names: tuple[str, str],
    truth_column: str,
    base: RewardCalibration | None = None,
    offsets: bool = False,
    length: str | None = None,
    eta: float | None = None,
    processing_class: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
) -> MeasuredCalibration:
    """
    Fit on scored pairs and measure on others, both clustered by question.

    Args:
        fit, measure (`pd.DataFrame`): Pairs with `reward_chosen`, `reward_rejected`; optionally `label`, `weight` (used in the
            fit; in the figures every pair counts once), `source_chosen`, `source_rejected`, texts, and the truth.
        method (`str`): Of [`fit_preference_calibration`].
        names (`tuple[str, str]`): What `fit` and `measure` are, for the record.
        truth_column (`str`): Whether chosen is truly better, where that is known: for figures, never for the fit.
        base (`RewardCalibration`, *optional*): Applied first.
        offsets (`bool`): Fit an offset per source.
        length (`str`, *optional*): Unit; a curve of length is fitted within prompts first.
        eta (`float`, *optional*): Known share of labels that are no guesses, for `"lapse"`.
        processing_class (`PreTrainedTokenizerBase`, *optional*): For lengths in tokens.
        seed (`int`): Of the bootstrap.

    Raises:
        ValueError: The pairs allow no calibration; the message says why.
    """
    if length is not None:
        base = _with_length_curve(fit, base, length, processing_class)
    sides = ("chosen", "rejected")
    calibration = fit_preference_calibration(
        fit["reward_chosen"],
        fit["reward_rejected"],
        fit["label"] if "label" in fit.columns else None,
        method=method,
        base=base,
        fit_offsets=offsets,
        weights=fit["weight"] if "weight" in fit.columns else None,
        clusters=list(question_groups(fit)),
        eta=eta,
        description=names[0],
        **{f"sources_{side}": _sources(fit, side) for side in sides},
        **{f"lengths_{side}": _lengths(fit, side, base, processing_class) for side in sides},
    )
    rewards = [
        calibration.apply(
            measure[f"reward_{side}"], _sources(measure, side), _lengths(measure, side, calibration, processing_class)
        )
        for side in sides
    ]
    differences = (measure["reward_chosen"] - measure["reward_rejected"]).to_numpy(dtype=np.float64)
    clusters = question_groups(measure)
    to_labels = preference_calibration_change(
        differences,
        calibration.preference_probability(*rewards),
        measure["label"] if "label" in measure.columns else None,
        clusters,
        seed=seed,
    )
    to_truth = None
    if truth_column in measure.columns:
        known = mark_pairs(measure, truth_column)["agrees_with_truth"].notna().to_numpy()
        if known.any():
            better = calibration.preference_probability(*rewards, better=True)
            truth = measure[truth_column].astype(float).to_numpy()
            to_truth = preference_calibration_change(
                differences[known], better[known], truth[known], clusters[known], seed=seed
            )
    shared = set(question_groups(fit)) & set(clusters)
    return MeasuredCalibration(
        calibration,
        to_labels,
        to_truth,
        {"data": names[0], "pairs": len(fit), "questions": len(set(question_groups(fit)))},
        {
            "data": names[1],
            "pairs": len(measure),
            "questions": len(set(clusters)),
            "questions_of_the_fit": len(shared),
        },
    )


def _with_length_curve(
    fit: pd.DataFrame, base: RewardCalibration | None, unit: str, processing_class
) -> RewardCalibration:
    texts = [*fit["chosen"], *fit["rejected"]]
    rewards = np.concatenate([fit["reward_chosen"], fit["reward_rejected"]])
    prompts = list(np.tile(question_groups(fit), 2))
    curve = fit_length_calibration(
        rewards, response_lengths(texts, unit, processing_class), unit=unit, prompts=prompts
    )
    if base is None:
        return curve
    return dataclasses.replace(base, length_curve=curve.length_curve, provenance=base.provenance | curve.provenance)


def _sources(pairs: pd.DataFrame, side: str) -> list[Any] | None:
    name = f"source_{side}"
    return list(pairs[name]) if name in pairs.columns else None


def _lengths(
    pairs: pd.DataFrame, side: str, calibration: RewardCalibration | None, processing_class
) -> np.ndarray | None:
    if calibration is None or calibration.length_curve is None:
        return None
    return response_lengths(list(pairs[side]), calibration.length_curve.unit, processing_class)


def write_calibration(folder: Path, measured: MeasuredCalibration, provenance: Mapping[str, Any]) -> None:
    """Write `calibration.json`, and reliability diagrams before and after with their numbers, into a folder."""
    write_json(folder / "calibration.json", {**measured.to_dict(), "provenance": dict(provenance)})
    for name in ("raw", "calibrated"):
        diagram = getattr(measured.to_labels, name).diagram
        if find_spec("matplotlib") is None:
            diagram.to_frame().to_csv(folder / f"{name}.csv", index=False)
            continue
        from trl_ext.reporting import plot_reliability_diagram

        title = f"{name.capitalize()} rewards, {measured.measured_on['pairs']} held-out pairs"
        plot_reliability_diagram(diagram, folder / f"{name}.png", title=title, event="the label agrees with the model")


def format_calibration(measured: MeasuredCalibration) -> str:
    """The table that is printed: figures raw, calibrated, and their paired change."""
    parameters = measured.calibration.provenance["preference"]["parameters"]
    shown = {name: value for name, value in parameters.items() if isinstance(value, dict) and "value" in value}
    numbers = [f"{name} {_cell(value)}" for name, value in shown.items()]
    numbers += [f"{name} {value}" for name, value in parameters.items() if isinstance(value, int)]
    method = measured.calibration.provenance["preference"]["method"]
    lines = [
        f"Calibration by {method}: {', '.join(numbers)}; fitted on {measured.fitted_on['pairs']} pairs, measured on "
        f"{measured.measured_on['pairs']} others.",
        f"{'':26}{'raw':24}{'calibrated':24}change",
    ]
    for title, change in (("to the labels", measured.to_labels), ("to the truth", measured.to_truth)):
        for name in _FIGURES if change is not None else ():
            cells = [getattr(change.raw, name), getattr(change.calibrated, name), getattr(change, f"{name}_change")]
            texts = ["infinite" if cell is None else _cell(cell.to_dict()) for cell in cells]
            lines.append(f"{name.replace('_', '-') + ' ' + title:26}{texts[0]:24}{texts[1]:24}{texts[2]}")
    return "\n".join([*lines, "(95 % confidence intervals, clustered by question; a change below 0 is better)"])


def _cell(figure: Mapping[str, Any]) -> str:
    value, low, high = (float(figure[key]) for key in ("value", "ci_low", "ci_high"))
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
