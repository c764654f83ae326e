"""Labels and what is known of their noise become the loss of the noise-aware trainer."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

from tests.evaluation.doc_examples import failed_examples
from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import NoiseAwareRewardConfig, NoiseAwareRewardTrainer
from trl_ext.annotators import monitor_annotators
from trl_ext.evaluation import oracle_scores
from trl_ext.losses import BradleyTerryTiesLoss, FocalLoss, HingeLoss, OrdinalLoss, SymmetricLoss
from trl_ext.trainer import EtaSummary, read_annotator_eta
from trl_ext.trainer.noise_aware_config import NOISE_METHODS


ETA = [0.5, 0.6, 0.9, 1.0, 0.75, 0.3]
LABEL = [1.0, 0.0, 0.7, 0.25, 1.0, 0.5]
ORACLE = [0.9, 0.2, 0.5, 0.7, 0.6, 0.35]
ANNOTATORS = ["anna", "ben", "anna", "cleo", "ben", "cleo"]
BY_ANNOTATOR = {"anna": 0.9, "ben": 0.4, "cleo": 0.0}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def make(path, tokenizer, train=None, eval_dataset=None, annotator_eta=None, **kwargs):
    defaults = {
        "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
        "disable_tqdm": True,
    }  # fmt: skip
    return NoiseAwareRewardTrainer(
        model=tiny_reward_model(tokenizer),
        args=NoiseAwareRewardConfig(str(path), **(defaults | kwargs)),
        annotator_eta=annotator_eta,
        train_dataset=pairs(6, eta=ETA, label=LABEL) if train is None else train,
        eval_dataset=eval_dataset,
        processing_class=tokenizer,
    )


def differences(trainer, data):
    rewards = trainer.predict(data).predictions.astype(float)
    return rewards[:, 0] - rewards[:, 1]


def softplus(x):
    return np.logaddexp(0, x)


def forward(d, eta, label):
    q = (1 + np.array(eta) * np.tanh(d / 2)) / 2
    return -np.array(label) * np.log(q) - (1 - np.array(label)) * np.log(1 - q)


def backward(d, eta, label):
    eta, label = np.array(eta), np.array(label)
    of = [softplus(-x) - (1 - eta) / (2 * eta) * x for x in (d, -d)]
    return label * of[0] + (1 - label) * of[1]


def soft(d, eta, label):
    return np.array(label) * softplus(-d) + (1 - np.array(label)) * softplus(d)


class TestLosses:
    @pytest.mark.parametrize(
        ("method", "formula"),
        [
            ("forward", forward),
            ("backward", backward),
            ("soft_label", soft),
            ("none", soft),
            ("label_smoothing", lambda d, eta, label: soft(d, eta, 0.1 + 0.8 * np.array(label))),
        ],
    )
    def test_the_evaluation_loss_is_that_of_the_formula(self, method, formula, tmp_path, tokenizer):
        data = pairs(6, eta=ETA, label=LABEL)
        trainer = make(tmp_path, tokenizer, noise_method=method, per_device_eval_batch_size=4)
        expected = formula(differences(trainer, data), ETA, LABEL)
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected.mean(), abs=1e-6)

    @pytest.mark.parametrize("method", ["forward", "backward", "label_smoothing", "none"])
    def test_a_label_of_zero_is_the_exchanged_pair(self, method, tmp_path, tokenizer):
        data = pairs(6, eta=ETA)
        exchanged = data.rename_columns({"chosen": "rejected", "rejected": "chosen"}).add_column("label", [0] * 6)
        trainer = make(tmp_path, tokenizer, train=data, noise_method=method, center_rewards_coefficient=0.01)
        one, other = trainer.evaluate(data), trainer.evaluate(exchanged)
        assert one["eval_loss"] == pytest.approx(other["eval_loss"], abs=1e-6)

    def test_without_labels_chosen_is_the_better_one(self, tmp_path, tokenizer):
        data = pairs(6, eta=ETA)
        trainer = make(tmp_path, tokenizer, train=data)
        expected = forward(differences(trainer, data), ETA, np.ones(6))
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected.mean(), abs=1e-6)

    def test_weights_count(self, tmp_path, tokenizer):
        weight = [1.0, 0.0, 2.0, 1.0, 0.5, 3.0]
        data = pairs(6, eta=ETA, label=LABEL, weight=weight)
        trainer = make(tmp_path, tokenizer, train=data)
        expected = np.average(forward(differences(trainer, data), ETA, LABEL), weights=weight)
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize(
        ("kwargs", "loss"),
        [
            ({"noise_method": "hinge", "hinge_margin": 2.0}, HingeLoss(margin=2.0)),
            ({"noise_method": "ties", "tie_theta": 1.5}, BradleyTerryTiesLoss(theta=1.5)),
            (
                {"noise_method": "ordinal", "ordinal_levels": [0, 0.25, 0.5, 0.75, 1]},
                OrdinalLoss((0, 0.25, 0.5, 0.75, 1)),
            ),
            ({"noise_method": "focal", "focal_gamma": 1.0}, FocalLoss(gamma=1.0)),
            ({"noise_method": "symmetric", "symmetric_alpha": 1.0, "symmetric_beta": 0.5}, SymmetricLoss(1.0, 0.5)),
        ],
        ids=lambda value: value["noise_method"] if isinstance(value, dict) else "",
    )
    def test_parameters_reach_the_loss(self, kwargs, loss, tmp_path, tokenizer):
        data = pairs(6, label=[1.0, 0.0, 0.5, 1.0, 0.0, 0.5])
        trainer = make(tmp_path, tokenizer, data, **kwargs)
        d, label = torch.tensor(differences(trainer, data)), torch.tensor(data["label"], dtype=torch.float64)
        expected = loss(d, torch.zeros_like(d), label=label).mean().item()
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize("method", NOISE_METHODS)
    def test_every_method_trains(self, method, tmp_path, tokenizer):
        data = pairs(6, eta=ETA, label=[1.0, 0.0, 0.5, 1.0, 0.0, 0.5])
        trainer = make(tmp_path, tokenizer, data, noise_method=method, max_steps=2, learning_rate=1e-3)
        before = trainer.model.score.weight.clone()
        assert np.isfinite(trainer.train().training_loss)
        assert not before.equal(trainer.model.score.weight)

    def test_committed_annotators_decide_where_labels_conflict(self, tmp_path, tokenizer):
        """The same pair with labels 1 and 0: the annotator of the larger eta must win, whichever comes first."""
        for eta in ([0.95, 0.2], [0.2, 0.95]):
            data = Dataset.from_dict(
                {
                    "prompt": ["2 + 2? "] * 2,
                    "chosen": ["It is four."] * 2,
                    "rejected": ["It is seven."] * 2,
                    "label": [1, 0],
                    "eta": eta,
                }
            )
            trainer = make(tmp_path, tokenizer, train=data, learning_rate=1e-2, max_steps=40)
            trainer.train()
            assert (differences(trainer, data)[0] > 0) == (eta[0] > eta[1])


class TestEta:
    def test_from_annotators(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, pairs(6, annotator_id=ANNOTATORS), annotator_eta=BY_ANNOTATOR)
        assert trainer.train_dataset["eta"] == [0.9, 0.4, 0.9, 0.0, 0.4, 0.0]
        assert trainer.eta_summary == EtaSummary("annotators", 6, 3, pytest.approx(2.6 / 6), 0.0, 0.9, 2)

    @pytest.mark.parametrize("suffix", ["json", "csv"])
    def test_from_a_file(self, suffix, tmp_path, tokenizer):
        path = tmp_path / f"eta.{suffix}"
        if suffix == "json":
            path.write_text(json.dumps(BY_ANNOTATOR))
        else:
            table = pd.DataFrame({"annotator_id": BY_ANNOTATOR.keys(), "n": 3, "eta": BY_ANNOTATOR.values()})
            table.to_csv(path, index=False)
        trainer = make(tmp_path, tokenizer, pairs(6, annotator_id=ANNOTATORS), annotator_eta=path)
        assert trainer.train_dataset["eta"] == [0.9, 0.4, 0.9, 0.0, 0.4, 0.0]

    @pytest.mark.parametrize("suffix", ["json", "csv"])
    def test_from_monitoring(self, suffix, tmp_path, tokenizer):
        # pairs of labels of the same item by one annotator: agreements (58 of 60 and 33 of 60) tell who looks
        labels = [("ann", 1, 1)] * 58 + [("ann", 1, 0)] * 2 + [("bob", 1, 1)] * 33 + [("bob", 1, 0)] * 27
        rows = [(item, who, label) for item, (who, *both) in enumerate(labels) for label in both]
        report = monitor_annotators(pd.DataFrame(rows, columns=["item_id", "annotator_id", "label"]))
        report.save(tmp_path / f"eta.{suffix}")
        data = pairs(4, annotator_id=["ann", "bob"] * 2)
        trainer = make(tmp_path, tokenizer, data, annotator_eta=tmp_path / f"eta.{suffix}")
        eta = report.to_mapping()
        assert trainer.train_dataset["eta"] == pytest.approx([eta["ann"], eta["bob"]] * 2)
        assert eta["ann"] > 0.8 and eta["bob"] < 0.4

    def test_ids_may_be_numbers(self, tmp_path, tokenizer):
        data = pairs(4, annotator_id=[7, 8, 7, 8])
        for mapping in ({7: 0.9, 8: 0.5}, {"7": 0.9, "8": 0.5}):
            trainer = make(tmp_path, tokenizer, data, annotator_eta=mapping)
            assert trainer.train_dataset["eta"] == [0.9, 0.5, 0.9, 0.5]

    def test_a_constant_is_for_training_pairs(self, tmp_path, tokenizer):
        data = pairs(6, label=LABEL)
        trainer = make(tmp_path, tokenizer, data, eta=0.5, eval_dataset=data)
        assert trainer.train_dataset["eta"] == [0.5] * 6
        assert trainer.eta_summary.source == "constant"
        expected = soft(differences(trainer, data), None, LABEL)
        assert trainer.evaluate()["eval_loss"] == pytest.approx(expected.mean(), abs=1e-6)

    def test_arguments_take_precedence_over_the_column(self, tmp_path, tokenizer, caplog):
        caplog.set_level("INFO")
        data = pairs(6, eta=ETA, annotator_id=ANNOTATORS)
        assert make(tmp_path, tokenizer, data).eta_summary.source == "column"
        assert "not used" not in caplog.text
        assert make(tmp_path, tokenizer, data, eta=0.5).train_dataset["eta"] == [0.5] * 6
        assert "column 'eta' is not used, as `eta` is set" in caplog.text
        assert make(tmp_path, tokenizer, data, annotator_eta=BY_ANNOTATOR).train_dataset["eta"][0] == 0.9
        assert "column 'eta' is not used, as `annotator_eta` is set" in caplog.text

    def test_missing_annotators_are_named(self, tmp_path, tokenizer):
        with pytest.raises(
            ValueError, match=r"lacks 2 annotators.*labelled 4 of 6 pairs: 'ben', 'cleo'; first: row 1"
        ):
            make(tmp_path, tokenizer, pairs(6, annotator_id=ANNOTATORS), annotator_eta={"anna": 0.9})

    def test_evaluation_pairs_of_others_use_bradley_terry_and_say_so(self, tmp_path, tokenizer, caplog):
        data = pairs(6, annotator_id=["anna", "dora"] * 3)
        trainer = make(
            tmp_path, tokenizer, pairs(6, annotator_id=ANNOTATORS), annotator_eta=BY_ANNOTATOR, eval_dataset=data
        )
        assert "'dora'" in caplog.text and "Bradley–Terry" in caplog.text
        metrics = trainer.evaluate()
        assert metrics["eval_loss"] == pytest.approx(metrics["eval_log_loss"], abs=1e-6)
        known = trainer.evaluate(pairs(6, annotator_id=["anna", "ben"] * 3))
        assert abs(known["eval_loss"] - known["eval_log_loss"]) > 1e-3

    def test_evaluation_without_anything_uses_bradley_terry(self, tmp_path, tokenizer):
        for method in ("forward", "backward", "soft_label"):
            metrics = make(tmp_path, tokenizer, noise_method=method, eval_dataset=pairs(5)).evaluate()
            assert metrics["eval_loss"] == pytest.approx(metrics["eval_log_loss"], abs=1e-6)

    def test_backward_ignores_coin_flips_and_refuses_what_is_near(self, tmp_path, tokenizer, caplog):
        trainer = make(tmp_path, tokenizer, pairs(4, eta=[0.0, 0.5, 0.0, 1.0]), noise_method="backward", max_steps=1)
        assert trainer.train_dataset["weight"] == [0, 1, 0, 1]
        assert "2 of 4 pairs get weight 0" in caplog.text
        assert trainer.eta_summary.n_zero == 2
        trainer.train()
        # in evaluation data it gets weight 0
        near = trainer.evaluate(pairs(4, eta=[0.005, 0.5, 0.005, 1.0]))
        assert near["eval_loss"] == pytest.approx(trainer.evaluate(pairs(4, eta=[0.0, 0.5, 0.0, 1.0]))["eval_loss"])
        with pytest.raises(
            ValueError, match=r"1 values in \(0, min_eta=0.01\); first: row 2 \(id 'pair-2'\), value 0.005"
        ):
            make(tmp_path, tokenizer, pairs(4, eta=[0.0, 0.5, 0.005, 1.0]), noise_method="backward")

    def test_columns_can_be_renamed(self, tmp_path, tokenizer):
        names = {"eta": "commitment", "label": "vote", "oracle_probability": "truth"}
        train = pairs(6, commitment=ETA, vote=LABEL)
        data = pairs(6, commitment=ETA, vote=LABEL, truth=ORACLE)
        trainer = make(tmp_path, tokenizer, train, columns=names, eval_dataset=data)
        metrics = trainer.evaluate()
        assert metrics["eval_loss"] == pytest.approx(forward(differences(trainer, data), ETA, LABEL).mean(), abs=1e-6)
        assert "eval_oracle_cross_entropy" in metrics


class TestOracle:
    @pytest.mark.parametrize("method", ["forward", "soft_label", "none"])
    @pytest.mark.parametrize("batch", [1, 4, 16])  # ragged last batches
    def test_metrics_are_those_of_the_rewards(self, method, batch, tmp_path, tokenizer):
        train = pairs(6, eta=ETA, label=LABEL)
        data = train.add_column("oracle_probability", ORACLE)
        trainer = make(tmp_path, tokenizer, train, data, noise_method=method, per_device_eval_batch_size=batch)
        metrics = trainer.evaluate()
        scores = oracle_scores(differences(trainer, data), np.zeros(6), ORACLE)
        for name, figure in scores.figures().items():
            assert metrics[f"eval_{name}"] == pytest.approx(figure.value, abs=1e-6)
        assert metrics["eval_oracle_ties"] == 1 and scores.accuracy.n == 5
        assert metrics["eval_oracle_excess"] == pytest.approx(
            metrics["eval_oracle_cross_entropy"] - metrics["eval_oracle_entropy"]
        )

    def test_the_loss_does_not_see_it(self, tmp_path, tokenizer):
        data = pairs(6, eta=ETA, label=LABEL)
        with_oracle = data.add_column("oracle_probability", ORACLE)
        trainer = make(tmp_path, tokenizer, with_oracle)
        assert trainer.evaluate(with_oracle)["eval_loss"] == pytest.approx(trainer.evaluate(data)["eval_loss"])
        assert not any("oracle" in name for name in trainer.evaluate(data))

    def test_accuracy_to_the_labels_leaves_out_those_of_one_half(self, tmp_path, tokenizer):
        data = pairs(6, eta=ETA, label=LABEL)
        trainer = make(tmp_path, tokenizer, data)
        d, label = differences(trainer, data), np.array(LABEL)
        expected = np.mean((d > 0)[label != 0.5] == (label > 0.5)[label != 0.5])
        assert trainer.evaluate(data)["eval_label_accuracy"] == pytest.approx(expected)
        assert "eval_label_accuracy" not in trainer.evaluate(pairs(6))

    def test_predicted_pairs_keep_it(self, tmp_path, tokenizer):
        data = pairs(6, oracle_probability=ORACLE)
        assert make(tmp_path, tokenizer).predict_pairs(data)["oracle_probability"] == ORACLE


class TestBadInput:
    """Refused before a model is loaded: the model given here does not exist."""

    def refuse(self, error, message, data, tokenizer, tmp_path, annotator_eta=None, **kwargs):
        with pytest.raises(error, match=message):
            NoiseAwareRewardTrainer(
                model="no/such-model",
                args=NoiseAwareRewardConfig(str(tmp_path), use_cpu=True, bf16=False, report_to="none", **kwargs),
                annotator_eta=annotator_eta,
                train_dataset=data,
                processing_class=tokenizer,
            )

    def test_missing_eta(self, tmp_path, tokenizer):
        self.refuse(
            ValueError, "'eta'.*set `eta` for all pairs, or pass `annotator_eta`", pairs(3), tokenizer, tmp_path
        )

    def test_missing_label(self, tmp_path, tokenizer):
        self.refuse(ValueError, "soft_label.*'label'", pairs(3), tokenizer, tmp_path, noise_method="soft_label")

    def test_missing_annotator_id(self, tmp_path, tokenizer):
        self.refuse(ValueError, "'annotator_id'", pairs(3), tokenizer, tmp_path, annotator_eta={"anna": 0.5})

    @pytest.mark.parametrize("value", [float("nan"), 1.2, -0.1])
    @pytest.mark.parametrize("column", ["eta", "label", "oracle_probability"])
    def test_values(self, column, value, tmp_path, tokenizer):
        columns = {"eta": [0.5] * 4, column: [0.5, 0.6, value, 0.7]}
        self.refuse(ValueError, rf"(?s)'{column}'.*row 2.*pair-2", pairs(4, **columns), tokenizer, tmp_path)

    @pytest.mark.parametrize("method", ["ties", "ordinal"])
    def test_labels_off_the_scale(self, method, tmp_path, tokenizer):
        data = pairs(4, label=[0.0, 0.5, 0.7, 1.0])
        self.refuse(
            ValueError, rf"'label' has 1 values that noise_method='{method}'.*row 2 \(id 'pair-2'\), value 0.7.*0, 0.5, 1",
            data, tokenizer, tmp_path, noise_method=method,
        )  # fmt: skip

    def test_nothing_but_coin_flips(self, tmp_path, tokenizer):
        self.refuse(ValueError, "eta is 0 for all", pairs(3, eta=[0.0] * 3), tokenizer, tmp_path)

    def test_two_sources(self, tmp_path, tokenizer):
        data = pairs(3, annotator_id=["anna"] * 3)
        self.refuse(ValueError, "set one", data, tokenizer, tmp_path, annotator_eta={"anna": 0.5}, eta=0.5)

    def test_sources_without_effect(self, tmp_path, tokenizer):
        self.refuse(
            ValueError, "no effect", pairs(3), tokenizer, tmp_path, annotator_eta={"anna": 1}, noise_method="none"
        )

    @pytest.mark.parametrize(
        ("kwargs", "error", "message"),
        [
            ({"noise_method": "both"}, ValueError, "one of forward, backward"),
            ({"eta": 1.5}, ValueError, r"`eta` must be in \(0, 1\]"),
            ({"eta": 0.0}, ValueError, r"`eta` must be in \(0, 1\]"),
            ({"eta": "half"}, TypeError, "`eta` must be a number"),
            ({"eta": 0.5, "noise_method": "none"}, ValueError, "no effect"),
            ({"noise_method": "backward", "min_eta": 0.0}, ValueError, "min_eta"),
            ({"noise_method": "label_smoothing", "smoothing_epsilon": 0.5}, ValueError, "epsilon"),
            ({"noise_method": "ties", "tie_theta": 0.5}, ValueError, "theta"),
            ({"noise_method": "ordinal", "ordinal_levels": [0.0, 0.7, 1.0]}, ValueError, "symmetric"),
        ],
    )
    def test_arguments(self, kwargs, error, message):
        with pytest.raises(error, match=message):
            NoiseAwareRewardConfig("x", use_cpu=True, bf16=False, **kwargs)

    def test_a_loss_of_ones_own(self, tokenizer):
        with pytest.raises(TypeError, match="noise_method"):
            NoiseAwareRewardTrainer(model="no/such-model", loss=None, train_dataset=pairs(3))


class TestReadAnnotatorEta:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("eta.json", '{"a": 0.5, "a": 0.6}', "'a' twice"),
            ("eta.json", '{"a": 1.5}', r"'a' must be a number in \[0, 1\], got 1.5"),
            ("eta.json", '{"a": NaN}', "'a' is missing"),
            ("eta.json", '{"a": true}', "got True"),
            ("eta.json", "[0.5]", "one JSON object"),
            ("eta.json", "{}", "no annotators|one JSON object"),
            ("eta.json", "{", "not JSON"),
            ("eta.csv", "annotator_id,eta\na,0.5\na,0.6\n", "'a' twice"),
            ("eta.csv", "annotator,eta\na,0.5\n", "no column 'annotator_id'; its columns are annotator, eta"),
            ("eta.csv", "annotator_id,eta\na,-0.1\n", r"'a' must be a number in \[0, 1\], got -0.1"),
            ("eta.csv", "annotator_id,eta\na,\n", "'a' is missing"),
            ("eta.csv", "annotator_id,eta\na,high\n", "'a' must be a number"),
            ("eta.txt", "", "json or a .csv"),
        ],
    )
    def test_bad_files(self, name, content, message, tmp_path):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=message):
            read_annotator_eta(tmp_path / name)

    def test_no_file(self, tmp_path):
        with pytest.raises(ValueError, match="no such file"):
            read_annotator_eta(tmp_path / "eta.json")
        with pytest.raises(TypeError, match="mapping or a path"):
            read_annotator_eta(0.5)

    def test_ids_of_a_table_stay_text(self, tmp_path):
        path = tmp_path / "eta.csv"
        path.write_text("annotator_id,eta\n007,0.5\nNA,1\n")
        assert read_annotator_eta(path) == {"007": 0.5, "NA": 1.0}

    def test_the_example_is_right(self):
        assert failed_examples(read_annotator_eta) == 0


def test_summary_counts():
    eta = np.array([0.0, 0.5, 1.0])
    assert Counter(EtaSummary.of(eta, "column").to_dict()) == Counter(
        {"source": "column", "n": 3, "n_annotators": None, "mean": 0.5, "minimum": 0.0, "maximum": 1.0, "n_zero": 1}
    )
