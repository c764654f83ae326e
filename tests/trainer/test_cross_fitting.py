"""Held-out differences: nothing leaks between folds, and finished folds are those of the same training."""

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext.reliability import estimate_commitment
from trl_ext.trainer import AnnotatorAwareRewardConfig, AnnotatorAwareRewardTrainer, cross_fit_differences


IDS = ["ann", "bob", "cyd"]
SETTINGS = {
    "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
    "disable_tqdm": True, "learning_rate": 1e-2, "per_device_train_batch_size": 4, "max_steps": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def labelled(count=24, **columns):
    return pairs(count, annotator_id=[IDS[i % len(IDS)] for i in range(count)], **columns)


def trainer_maker(tokenizer, model_seed=0, new_model=None, seen=None, commitment=None, **settings):
    def make_trainer(rows, output_dir):
        if seen is not None:
            seen.append(set(rows["id"]))
        return AnnotatorAwareRewardTrainer(
            tiny_reward_model(tokenizer, model_seed) if new_model is None else new_model(),
            AnnotatorAwareRewardConfig(output_dir, **(SETTINGS | settings)),
            train_dataset=rows,
            processing_class=tokenizer,
            commitment=commitment,
        )

    return make_trainer


def test_no_pair_is_scored_by_a_model_that_saw_it(tmp_path, tokenizer):
    data, seen = labelled(), []
    make_trainer = trainer_maker(tokenizer, seen=seen)
    found = cross_fit_differences(make_trainer, data, tmp_path, folds=3)
    assert found["row"].tolist() == list(range(24))
    assert found["annotator_id"].tolist() == data["annotator_id"]
    for fold, rows in found.groupby("fold"):
        assert seen[fold] == set(data["id"]) - {data["id"][row] for row in rows["row"]}
        # the pairs of each annotator are spread evenly
        assert rows["annotator_id"].value_counts().between(2, 3).all()
    report = make_trainer(data, str(tmp_path / "report")).annotator_report(found["difference"], found["annotator_id"])
    pd.testing.assert_frame_equal(report.table, estimate_commitment(found["difference"], found["annotator_id"]).table)


class TestGroups:
    def labelled_by_all(self, **changes):
        """12 pairs, each labelled by two annotators who disagree."""
        plain = pairs(12).to_dict()
        rows = {name: [value for value in plain[name] for _ in range(2)] for name in plain}
        rows["annotator_id"] = ["ann", "bob"] * 12
        rows["chosen"][1::2], rows["rejected"][1::2] = rows["rejected"][::2], rows["chosen"][::2]
        return Dataset.from_dict(rows | changes)

    def assert_together(self, found):
        assert found["fold"].iloc[::2].tolist() == found["fold"].iloc[1::2].tolist()
        assert found["fold"].nunique() == 2

    def test_labels_of_the_same_pair_stay_together_by_default(self, tmp_path, tokenizer):
        data = self.labelled_by_all()
        for number, rows in enumerate((data, data.remove_columns("prompt"))):
            found = cross_fit_differences(trainer_maker(tokenizer), rows, tmp_path / str(number), folds=2)
            self.assert_together(found)

    def test_pairs_of_one_prompt_stay_together_by_default(self, tmp_path, tokenizer):
        data = self.labelled_by_all(chosen=[f"It is {i}." for i in range(24)])
        self.assert_together(cross_fit_differences(trainer_maker(tokenizer), data, tmp_path, folds=2))

    def test_groups_of_a_column_stay_together(self, tmp_path, tokenizer):
        data = labelled(12, question=[f"q{i // 2}" for i in range(12)])
        found = cross_fit_differences(trainer_maker(tokenizer), data, tmp_path, folds=2, group_column="question")
        self.assert_together(found)

    def test_missing_groups(self, tmp_path):
        with pytest.raises(ValueError, match="group column 'question' has 1 missing .* row 2"):
            data = labelled(4, question=["a", "b", None, "a"])
            cross_fit_differences(None, data, tmp_path, folds=2, group_column="question")

    def test_nothing_to_group_by(self, tmp_path):
        data = labelled(4).remove_columns(["prompt", "chosen"])
        with pytest.raises(ValueError, match="name a column in `group_column`"):
            cross_fit_differences(None, data, tmp_path, folds=2)

    @pytest.mark.parametrize("folds, message", [(1, "at least 2"), (30, "too few")])
    def test_impossible_folds(self, folds, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            cross_fit_differences(None, labelled(), tmp_path, folds=folds)


class TestFinishedFolds:
    @pytest.fixture(scope="class")
    def finished(self, tmp_path_factory, tokenizer):
        folder = tmp_path_factory.mktemp("folds")
        return folder, cross_fit_differences(trainer_maker(tokenizer), labelled(12), folder, folds=2)

    def test_are_not_trained_again(self, finished, tokenizer, monkeypatch):
        folder, found = finished
        monkeypatch.setattr(AnnotatorAwareRewardTrainer, "train", lambda *_: pytest.fail("trained again"))
        reported_otherwise = trainer_maker(tokenizer, logging_steps=3, run_name="again")
        again = cross_fit_differences(reported_otherwise, labelled(12), folder, folds=2)
        pd.testing.assert_frame_equal(again, found)

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"learning_rate": 2e-2}, r"arguments.learning_rate \(0.01 and 0.02\)"),
            ({"seed": 7}, r"arguments.seed \(42 and 7\)"),
            ({"model_seed": 1}, "differs in model"),
            ({"commitment": dict.fromkeys(IDS, 0.2)}, "differs in commitment"),
            ({"max_length": 24, "max_length_policy": "truncate_prompt_left"}, ", tokens "),
        ],
    )
    def test_of_another_training_are_refused(self, change, message, finished, tokenizer):
        with pytest.raises(ValueError, match=message):
            cross_fit_differences(trainer_maker(tokenizer, **change), labelled(12), finished[0], folds=2)

    def test_of_other_data_are_refused(self, finished, tokenizer):
        with pytest.raises(ValueError, match="other data"):
            cross_fit_differences(trainer_maker(tokenizer), labelled(11), finished[0], folds=2)

    def test_a_model_that_was_trained_already_is_refused(self, tmp_path, tokenizer):
        model = tiny_reward_model(tokenizer)
        with pytest.raises(ValueError, match="fold 1 starts from another model"):
            cross_fit_differences(trainer_maker(tokenizer, new_model=lambda: model), labelled(12), tmp_path, folds=2)


def test_length_differences_for_the_report(tmp_path, tokenizer):
    data = labelled()
    make_trainer = trainer_maker(tokenizer, length_bias_sd=0.5)
    found = cross_fit_differences(make_trainer, data, tmp_path, folds=2)
    ratios = np.log([len(text) for text in data["chosen"]]) - np.log([len(text) for text in data["rejected"]])
    np.testing.assert_allclose(found["length_difference"], ratios / ratios.std(), rtol=1e-5, atol=1e-6)
    report = make_trainer(data, str(tmp_path / "report")).annotator_report(
        found["difference"], found["annotator_id"], length_differences=found["length_difference"]
    )
    assert {"length_bias", "length_bias_se"} <= set(report.table)
