"""Unusable data and arguments are refused before a model is loaded, with the reason and the fix."""

import logging

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from tests.calibration_data import RATINGS, human_pairs, model_pairs
from tests.tiny import pairs, tiny_tokenizer
from trl_ext import CalibrationRewardConfig, CalibrationRewardTrainer
from trl_ext.arena import RatingTable
from trl_ext.trainer.calibration_columns import CalibrationColumns, ModelPairs, with_human_pairs


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def without(column, dataset=None):
    return (model_pairs() if dataset is None else dataset).remove_columns(column)


def with_value(column, row, value, start):
    values = list(start)
    values[row] = value
    return model_pairs(**{column: values})


SCORES = {"score_chosen": [0.3] * 40, "score_rejected": [0.3] * 40}
TARGETS = [
    0.4 if a < b else 0.6 for a, b in zip(*(model_pairs()[f"source_{c}"] for c in ("chosen", "rejected")), strict=True)
]
BAD = {
    "no source": ({"train": without("source_rejected")}, "train dataset has no column 'source_rejected', which calibration_method='matching' needs.*columns={'source_rejected': <name"),
    "no source at all": ({"train": without("source_chosen", without("source_rejected"))}, "^train.*columns={'source_chosen': <name"),
    "a source of another name": ({"train": model_pairs().rename_column("source_chosen", "source_chosn")}, "Did you mean 'source_chosn'"),
    "no target": ({"ratings": None}, "no column 'target_win_rate'.*Or pass `ratings`"),
    "no label": ({"calibration_method": "soft"}, "no column 'label', which.*'soft' needs"),
    "source is missing": ({"train": with_value("source_chosen", 3, None, ["ant"] * 40)}, "source_chosen.*row 3"),
    "same source": ({"train": with_value("source_chosen", 2, "cow", ["ant"] * 40)}, "equal to 'source_chosen'.*row 1.*'ant'"),
    "unknown model": ({"ratings": {"ant": 1.0, "bee": 2.0}}, "column 'source_chosen'.*row 3.*no rating of model 'cow'"),
    "target of 1": ({"ratings": None, "train": with_value("target_win_rate", 4, 1.0, TARGETS)}, "0 or 1.*row 4.*inside"),
    "target of 1.2": ({"ratings": None, "train": with_value("target_win_rate", 4, 1.2, TARGETS)}, r"outside \[0, 1\].*row 4"),
    "targets differ": ({"ratings": None, "train": with_value("target_win_rate", 5, 0.7, TARGETS)}, "'ant' and 'bee'; first"),
    "frozen score is NaN": (
        {"train": model_pairs(score_chosen=[0.0] * 7 + [np.nan] * 33, score_rejected=[1.0] * 40)},
        "score_chosen.*NaN.*row 7",
    ),
    "scores without a scale": ({"train": model_pairs(**SCORES)}, "no scale: the differences of 40 pairs.*anchor_coefficient=0"),
    "a label temperature of 0": (
        {"calibration_method": "soft", "train": model_pairs(label=[0.7] * 40, label_temperature=[2.0] * 39 + [0.0])},
        "label_temperature.*0.*row 39",
    ),
    "two temperatures": (
        {
            "calibration_method": "soft", "temperature": 1.0,
            "train": model_pairs(label=[0.7] * 40, label_temperature=[1.0] + [2.0] * 39),
        },
        "label_temperature.*other than temperature=1.*row 1.*value 2.0.*leave `temperature` out",
    ),
    "one score": ({"train": model_pairs(score_chosen=[0.0] * 40)}, "'score_chosen' but none 'score_rejected'"),
    "label of 2": ({"calibration_method": "soft", "train": with_value("label", 1, 2.0, [1.0] * 40)}, "label.*row 1"),
    "hard labels in the wrong order": (
        {"calibration_method": "hard", "train": with_value("label", 1, 0.3, [1.0] * 40)}, "label.*row 1.*exchange",
    ),
    "one row of a pair of models": ({"train": model_pairs(4)}, "have fewer than 2 rows.*add rows"),
    "few human pairs": ({"human": human_pairs(2)}, "`human_dataset` has 2 of 42.*batch of 8 has 0.38"),
    "human pairs with human labels": (
        {"human": human_pairs(), "calibration_method": "source_offset"}, "Put all pairs into `train_dataset`",
    ),
    "human pairs by length": (
        {"human": human_pairs(), "calibration_method": "hard", "train_sampling_strategy": "group_by_length"},
        "chooses the batches.*human_dataset",
    ),
    "variance without ratings": ({"ratings": None, "use_rating_variance": True, "train": model_pairs(target_win_rate=TARGETS)}, "use_rating_variance.*needs"),
    "variance without intervals": ({"use_rating_variance": True}, "interval for every rating.*'ant' has none"),
    "one row of weight of a pair of models": (
        {"train": model_pairs(weight=[float("cow" in pair) for pair in zip(*(model_pairs()[f"source_{c}"] for c in ("chosen", "rejected")), strict=True)])},
        "1 pairs of models have fewer.*'ant', 'bee'.*which have 0",
    ),
    "no weight": ({"calibration_method": "hard", "train": model_pairs(weight=[0.0] * 40)}, "'weight' is 0 in all 40 rows"),
    "no weight of people": ({"human": human_pairs().add_column("weight", [0.0] * 12)}, "human dataset: column 'weight' is 0"),
    "batches of one row": (
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16}, "1 per win rate, but at least 2.*accumulation does not",
    ),
    "a pair of models for every row": ({"pairs_of_models_per_batch": 50, "per_device_train_batch_size": 5}, "3 pairs of models: 1.67 per win rate"),
    "batches of one human and one other row": (
        {"per_device_train_batch_size": 2, "human": human_pairs(40)}, "2 rows, 1 of them.*1 per win rate",
    ),
    "no variance to hold": (
        {"per_device_train_batch_size": 1, "win_rate_ema_decay": 0.9}, "variance within a model.*anchor_coefficient=0",
    ),
    "a weight below 0": ({"train": model_pairs(weight=[-1.0] * 40)}, "weight.*row 0"),
    "rating of a text": ({"ratings": {"ant": "x", "bee": 1, "cow": 2}}, "could not convert"),
}  # fmt: skip


@pytest.mark.parametrize("settings, message", BAD.values(), ids=BAD)
def test_bad_input_is_refused_before_the_model_is_loaded(tmp_path, tokenizer, settings, message):
    settings = dict(settings)
    data = {
        "train_dataset": settings.pop("train", None) or model_pairs(),
        "human_dataset": settings.pop("human", None),
    }
    ratings = settings.pop("ratings", RATINGS)
    args = CalibrationRewardConfig(
        str(tmp_path), report_to="none", use_cpu=True, bf16=False, **({"calibration_method": "matching"} | settings)
    )
    with pytest.raises(ValueError, match=f"(?s){message}"):
        CalibrationRewardTrainer("/no/model", args, ratings=ratings, processing_class=tokenizer, **data)


ARGUMENTS = {
    "calibration_method": ("elo", "one of hard, soft, matching, source_offset"),
    "win_rate_divergence": ("js", "one of squared, kl"),
    "temperature": (0.0, "positive"),
    "anchor_coefficient": (-1.0, "at least 0"),
    "human_coefficient": (float("nan"), "at least 0"),
    "win_rate_ema_decay": (1.0, r"\[0, 1\)"),
    "pairs_of_models_per_batch": (0, "integer of at least 1, got 0"),
    "source_offset_update_steps": (5, "no effect with calibration_method='matching': it is for 'source_offset'"),
    "max_tokens_per_batch": (100, "chooses the batches.*'matching'"),
    "train_sampling_strategy": ("group_by_length", "chooses the batches.*'matching'"),
    "dataloader_drop_last": (True, "leave it off"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments_are_refused(tmp_path, name):
    value, message = ARGUMENTS[name]
    settings = {"calibration_method": "matching", "bf16": False, "use_cpu": True} | {name: value}
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        CalibrationRewardConfig(str(tmp_path), **settings)


@pytest.mark.parametrize(
    ("method", "name"), [("matching", "pairs_of_models_per_batch"), ("source_offset", "source_offset_update_steps")]
)
def test_a_count_is_an_integer(tmp_path, method, name):
    for value in (1.5, 2.0, True):
        with pytest.raises(ValueError, match=f"{name}.*integer.*{value}"):
            CalibrationRewardConfig(
                str(tmp_path), calibration_method=method, use_cpu=True, bf16=False, **{name: value}
            )


def test_a_stream_and_a_loss_are_refused(tmp_path):
    with pytest.raises(TypeError, match="streamed"):
        CalibrationRewardTrainer("/no/model", train_dataset=model_pairs().to_iterable_dataset())
    with pytest.raises(TypeError, match="calibration_method"):
        CalibrationRewardTrainer("/no/model", train_dataset=model_pairs(), loss=object())
    with pytest.raises(TypeError, match="RatingTable or a mapping"):
        args = CalibrationRewardConfig(str(tmp_path), use_cpu=True, bf16=False)
        CalibrationRewardTrainer("/no/model", args, train_dataset=model_pairs(), ratings=[1200])


def refused_late(tokenizer, tmp_path, caplog, train, ratings=RATINGS, **settings):
    """What is logged about data that are fine, until the missing model ends it."""
    args = CalibrationRewardConfig(str(tmp_path), report_to="none", use_cpu=True, bf16=False, **settings)
    with caplog.at_level(logging.INFO, logger="trl_ext"), pytest.raises(Exception, match="/no/model"):
        CalibrationRewardTrainer("/no/model", args, train_dataset=train, ratings=ratings, processing_class=tokenizer)
    return caplog.text


def test_the_standard_error_of_a_win_rate_is_said(tokenizer, tmp_path, caplog):
    text = refused_late(tokenizer, tmp_path, caplog, model_pairs(), calibration_method="matching")
    # 8 of the pairs of ant and bee in a batch: sqrt(0.415 * 0.585 / 8) = 0.174
    assert "at most 8 pairs" in text and "up to 0.174 (ant and bee, 16 rows)" in text


def test_ratings_win_over_the_column_and_it_is_said(tokenizer, tmp_path, caplog):
    train = model_pairs(target_win_rate=[0.5] * 40)
    assert "'target_win_rate' is not used" in refused_late(tokenizer, tmp_path, caplog, train)


def test_pairs_without_a_preference_are_noticed(tokenizer, tmp_path, caplog):
    rows = [row for row in model_pairs(100) if row["source_chosen"] < row["source_rejected"]]
    text = refused_late(tokenizer, tmp_path, caplog, Dataset.from_list(rows), calibration_method="hard")
    assert "without a preference" in text


def test_variances_of_win_rates_follow_from_those_of_ratings(tokenizer, tmp_path):
    table = pd.DataFrame({"model": list(RATINGS), "rating": list(RATINGS.values())})
    covariance = np.array([[100.0, 20.0, 0.0], [20.0, 50.0, 0.0], [0.0, 0.0, 30.0]])
    columns = CalibrationColumns(RatingTable(table, covariance))
    args = CalibrationRewardConfig(str(tmp_path), calibration_method="matching", use_cpu=True, bf16=False)
    found = ModelPairs(columns.prepare(model_pairs(), args, "train"), columns, use_rating_variance=True)
    draws = np.random.default_rng(0).multivariate_normal([1200, 1260, 1100], covariance, 200_000)
    for (first, second), variance, target in zip(found.names, found.variances, found.targets, strict=True):
        a, b = (draws[:, list(RATINGS).index(name)] for name in (first, second))
        rates = 1 / (1 + 10 ** ((b - a) / 400))
        assert target == pytest.approx(rates.mean(), abs=1e-3)
        assert variance == pytest.approx(rates.var(), rel=0.02)


def test_human_rows_may_have_other_columns(tmp_path, tokenizer):
    extra = pairs(
        12, label=[0.5] * 12, annotator=list("abcdefghijkl"), score_chosen=[9.0] * 12, score_rejected=[0.0] * 12
    )
    ids = {"chosen_ids": [[1, 2]] * 12, "rejected_ids": [[3]] * 12}
    human = Dataset.from_dict(extra.to_dict() | ids | {"is_human": [1.0] * 12})
    both = with_human_pairs(Dataset.from_dict({**ids, "source_chosen_code": [1] * 12}), human)
    assert both["is_human"] == [0.0] * 12 + [1.0] * 12
    assert both["label"] == [1.0] * 12 + [0.5] * 12 and "annotator" not in both.column_names
    assert "score_chosen" not in both.column_names  # they are not known of the others
