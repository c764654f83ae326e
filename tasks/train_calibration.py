"""The calibration of a run of `tasks/train.py`: what it takes is known before the training, it is fitted after it."""

import dataclasses
import logging
from typing import Any

import pandas as pd

from tasks.held_out import HeldOut, check_enough, find_held_out
from tasks.pair_calibration import MeasuredCalibration, cross_calibrate_pairs
from tasks.train_data import TrainingData
from tasks.train_report import known_truth
from trl_ext import NoiseAwareRewardTrainer, PairwiseRewardTrainer


logger = logging.getLogger("tasks.train")


def prepare_calibration(config: dict[str, Any], data: TrainingData, defaults: dict[str, Any]) -> HeldOut | str | None:
    """
    Before the training: pairs for the calibration; the reason, if they are too few; `None` if none is asked for, or by default
    where there are no pairs.

    Raises:
        ConfigError: They are too few for the calibration that was asked for.
        ValueError: The column of the truth has other values.
    """
    truth = config["correctness_label_col_name"]
    for part in (data.test, data.evaluation):
        if part is not None and truth in part.column_names:
            known_truth(part.select_columns(truth).to_pandas(), truth)
    if config["calibrate"] is None:
        return None
    held_out = find_held_out(data)
    if data.test is None and config["calibrate"] == defaults["calibrate"]:
        return None
    few = check_enough(config, defaults["calibrate"], held_out)
    if few is not None:
        logger.warning("The model will get no calibration: %s.", few)
        return few
    if held_out.trained:
        logger.warning(
            "%d evaluation or test pairs trained the model; the calibration leaves them out.", held_out.trained
        )
    if held_out.trained_questions:
        logger.warning(
            "%d of the %d pairs for the calibration have a question that the model is trained on: on new questions, its "
            "probabilities may be less good.",
            held_out.trained_questions,
            len(held_out),
        )
    return held_out


def calibrate_trained(
    trainer: PairwiseRewardTrainer,
    config: dict[str, Any],
    data: TrainingData,
    scored: pd.DataFrame | None,
    held_out: HeldOut | str | None,
) -> MeasuredCalibration | str | None:
    """
    Probabilities of reward differences, from pairs that did not train; the reason, if the pairs don't allow it. All processes
    must call it; only the main one gets the calibration.
    """
    if held_out is None or isinstance(held_out, str):
        return None if held_out is None else f"none: {held_out}"
    whole = scored is not None and len(scored) == len(data.test)  # else some were not scored, and positions differ
    parts = [scored.iloc[held_out.test]] if whole else []
    for dataset, rows in ((None if whole else data.test, held_out.test), (data.evaluation, held_out.evaluation)):
        if dataset is not None and rows.size:  # scored by all processes
            parts.append(trainer.predict_pairs(dataset.select(rows)).to_pandas())
    if not trainer.is_world_process_zero():
        return None
    pairs = pd.concat(parts, ignore_index=True)
    if not isinstance(
        trainer, NoiseAwareRewardTrainer
    ):  # for the others, as in every figure of theirs, chosen is preferred
        pairs = pairs.drop(columns="label", errors="ignore")
    try:
        measured = cross_calibrate_pairs(
            pairs,
            name=f"held-out pairs of {data.name}",
            method=config["calibrate"],
            truth_column=config["correctness_label_col_name"],
            processing_class=trainer.processing_class,
            seed=config["seed"],
        )
    except ValueError as error:
        logger.warning("The model gets no calibration: %s", error)
        return f"none: {error}"
    selected = {"chosen_by_evaluation_pairs": bool(trainer.args.load_best_model_at_end)}
    return dataclasses.replace(measured, measured_on=measured.measured_on | held_out.facts() | selected)
