"""Fit a calibration on scored pairs and measure it on others: for `tasks/train.py` and `tasks/calibrate.py`."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from tasks.pair_groups import folds_by_question, question_groups
from tasks.train_report import known_truth, mark_pairs
from trl_ext.evaluation import PreferenceCalibrationChange, preference_calibration_change
from trl_ext.scoring import (
    RewardCalibration,
    fit_length_calibration,
    fit_preference_calibration,
    response_lengths,
)


FOLDS = 5


@dataclasses.dataclass(frozen=True)
class MeasuredCalibration:
    """
    A calibration and what it changed on other pairs than those it was fitted on.

    Args:
        calibration ([`RewardCalibration`]): The calibration.
        to_labels ([`PreferenceCalibrationChange`]): Against the labels.
        to_truth ([`PreferenceCalibrationChange`] or `None`): P(better) against the truth, where it is known.
        fitted_on, measured_on (`dict`): Description of the pairs.
        cross_fit (`dict` or `None`): Folds, where every pair was measured by a calibration that was fitted on the others: their
            number, seed, sizes and parameters.
    """

    calibration: RewardCalibration
    to_labels: PreferenceCalibrationChange
    to_truth: PreferenceCalibrationChange | None
    fitted_on: dict[str, Any]
    measured_on: dict[str, Any]
    cross_fit: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For `calibration/calibration.json`."""
        record = self.calibration.provenance["preference"]
        changes = self.to_labels.to_dict()
        return {
            "method": record["method"],
            "fitted_on": self.fitted_on,
            "measured_on": self.measured_on,
            "cross_fit": self.cross_fit,
            **changes,
            "truth": self.to_truth and self.to_truth.to_dict(),
            "parameters": record["parameters"],
            "calibration": self.calibration.to_dict(),
        }


def calibrate_pairs(
    fit: pd.DataFrame,
    measure: pd.DataFrame,
    *,
    names: tuple[str, str],
    truth_column: str,
    seed: int = 0,
    **options: Any,
) -> MeasuredCalibration:
    """
    Fit on scored pairs and measure on others, both clustered by question.

    Args:
        fit, measure (`pd.DataFrame`): Pairs with `reward_chosen`, `reward_rejected`, and a prompt or `question_id`; optionally
            `label`, `weight` (used in the fit; in the figures every pair counts once), `source_chosen`, `source_rejected`,
            texts, and the truth.
        names (`tuple[str, str]`): What `fit` and `measure` are, for the record.
        truth_column (`str`): Whether chosen is truly better, where that is known: for figures, never for the fit.
        seed (`int`): Of the bootstrap.
        **options: Of [`fit_pairs`].

    Raises:
        ValueError: A question is on both sides, or the pairs allow no calibration; the message says why.
    """
    groups = question_groups(pd.concat([fit, measure], ignore_index=True))
    own, others = groups[: len(fit)], groups[len(fit) :]
    shared = set(own) & set(others)
    if shared:
        raise ValueError(
            f"{len(shared)} questions are both in the {len(fit)} pairs of the fit and in the {len(measure)} that measure it: what "
            "was fitted would be praised for it"
        )
    calibration = fit_pairs(fit, description=names[0], **options)
    probabilities = _probabilities(calibration, measure, options.get("processing_class"))
    changes = measured_changes(measure, probabilities, others, truth_column, seed)
    fitted_on = {"data": names[0], "pairs": len(fit), "questions": len(set(own))}
    measured_on = {"data": names[1], "pairs": len(measure), "questions": len(set(others)), "questions_of_the_fit": 0}
    return MeasuredCalibration(calibration, *changes, fitted_on, measured_on)


def cross_calibrate_pairs(
    pairs: pd.DataFrame, *, name: str, truth_column: str, seed: int = 0, folds: int = FOLDS, **options: Any
) -> MeasuredCalibration:
    """
    Fit on all pairs, and measure by cross-fitting: the questions are divided into folds, and the pairs of each get their
    probabilities from a calibration that was fitted on the other folds. All figures are of these probabilities; the calibration
    of all pairs, which is kept, has a few more to learn from.

    Args:
        pairs (`pd.DataFrame`): As in [`calibrate_pairs`].
        name (`str`): What they are.
        truth_column (`str`): As there.
        seed (`int`): Of folds and bootstrap.
        folds (`int`): Their number.
        **options: Of [`fit_pairs`].

    Raises:
        ValueError: All pairs, or those without a fold, allow no calibration; the message says why.
    """
    calibration = fit_pairs(pairs, description=name, **options)
    groups = question_groups(pairs)
    probabilities, parts = cross_probabilities(pairs, name=name, seed=seed, folds=folds, **options)
    changes = measured_changes(pairs, probabilities, groups, truth_column, seed)
    counts = {"data": name, "pairs": len(pairs), "questions": len(set(groups))}
    how = f"cross-fitting: each of {len(parts)} folds of questions by a calibration of the other folds"
    return MeasuredCalibration(
        calibration,
        *changes,
        counts,
        counts | {"questions_of_the_fit": 0, "how": how},
        {"folds": len(parts), "seed": seed, "parts": parts},
    )


def cross_probabilities(
    pairs: pd.DataFrame, *, name: str, seed: int = 0, folds: int = FOLDS, **options: Any
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """
    P(chosen is preferred) and P(chosen is better) `(2, N)` of each pair by a calibration of the other folds, and the sizes and
    parameters of the folds. For arguments and errors see [`cross_calibrate_pairs`].
    """
    probabilities, parts = np.empty((2, len(pairs))), []
    for number, (others, own) in enumerate(folds_by_question(pairs, folds, seed), start=1):
        try:
            part = fit_pairs(pairs.iloc[others], description=f"{name}, without fold {number}", **options)
        except ValueError as error:
            raise ValueError(f"without fold {number} of {folds}, by which it would be measured: {error}") from error
        probabilities[:, own] = _probabilities(part, pairs.iloc[own], options.get("processing_class"))
        parameters = part.provenance["preference"]["parameters"]
        parts.append({"fitted_pairs": len(others), "measured_pairs": len(own), "parameters": parameters})
    return probabilities, parts


def fit_pairs(
    pairs: pd.DataFrame,
    *,
    method: str,
    description: str,
    base: RewardCalibration | None = None,
    offsets: bool = False,
    length: str | None = None,
    eta: float | None = None,
    processing_class: PreTrainedTokenizerBase | None = None,
) -> RewardCalibration:
    """
    [`fit_preference_calibration`] of scored pairs.

    Args:
        pairs (`pd.DataFrame`): As in [`calibrate_pairs`].
        method (`str`): Of [`fit_preference_calibration`].
        description (`str`): What the pairs are.
        base (`RewardCalibration`, *optional*): Applied first.
        offsets (`bool`): Fit an offset per source.
        length (`str`, *optional*): Unit; a curve of length is fitted within prompts first.
        eta (`float`, *optional*): Known share of labels that are no guesses, for `"lapse"`.
        processing_class (`PreTrainedTokenizerBase`, *optional*): For lengths in tokens.
    """
    groups = list(question_groups(pairs))
    if length is not None:
        base = _with_length_curve(pairs, groups, base, length, processing_class)
    sides = ("chosen", "rejected")
    return fit_preference_calibration(
        pairs["reward_chosen"],
        pairs["reward_rejected"],
        pairs["label"] if "label" in pairs.columns else None,
        method=method,
        base=base,
        fit_offsets=offsets,
        weights=pairs["weight"] if "weight" in pairs.columns else None,
        clusters=groups,
        eta=eta,
        description=description,
        **{f"sources_{side}": _sources(pairs, side) for side in sides},
        **{f"lengths_{side}": _lengths(pairs, side, base, processing_class) for side in sides},
    )


def _probabilities(calibration: RewardCalibration, pairs: pd.DataFrame, processing_class) -> np.ndarray:
    """P(chosen is preferred) and P(chosen is better) `(2, N)`."""
    rewards = [
        calibration.apply(
            pairs[f"reward_{side}"], _sources(pairs, side), _lengths(pairs, side, calibration, processing_class)
        )
        for side in ("chosen", "rejected")
    ]
    return np.stack([calibration.preference_probability(*rewards, better=better) for better in (False, True)])


def measured_changes(
    pairs: pd.DataFrame, probabilities: np.ndarray, groups: np.ndarray, truth_column: str, seed: int
) -> tuple[PreferenceCalibrationChange, PreferenceCalibrationChange | None]:
    """Against the labels, and against the truth where it is known."""
    differences = (pairs["reward_chosen"] - pairs["reward_rejected"]).to_numpy(dtype=np.float64)
    labels = pairs["label"] if "label" in pairs.columns else None
    to_labels = preference_calibration_change(differences, probabilities[0], labels, groups, seed=seed)
    if truth_column not in pairs.columns:
        return to_labels, None
    truth = known_truth(pairs, truth_column)
    known = (
        mark_pairs(pairs, truth_column)["agrees_with_truth"].notna().to_numpy()
    )  # not of two right or two wrong answers
    if not known.any():
        return to_labels, None
    return to_labels, preference_calibration_change(
        differences[known], probabilities[1][known], truth[known], groups[known], seed=seed
    )


def _with_length_curve(
    fit: pd.DataFrame, groups: list, base: RewardCalibration | None, unit: str, processing_class
) -> RewardCalibration:
    texts = [*fit["chosen"], *fit["rejected"]]
    rewards = np.concatenate([fit["reward_chosen"], fit["reward_rejected"]])
    curve = fit_length_calibration(
        rewards, response_lengths(texts, unit, processing_class), unit=unit, prompts=[*groups, *groups]
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
