"""The TRUE model: what it reads, what it learns, what it predicts, and what it refuses."""

import doctest
import logging
import re

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from scipy.special import expit, logit
from sklearn.exceptions import NotFittedError
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments, set_seed

from tests.tiny import chat_pairs, pairs, tiny_checkpoint, tiny_tokenizer
from trl_ext.reliability.calibrators import IsotonicCalibrator, PlattCalibrator
from trl_ext.reliability.correctness import (
    ComparisonFormat,
    CorrectnessModel,
    ValueHeadScorer,
    correctness_figures,
    load_correctness_model,
    read_comparisons,
    train_value_head,
)
from trl_ext.reliability.correctness.value_head_training import value_head_trainer


def rule_table(count: int, seed: int) -> pd.DataFrame:
    """The annotator is right where one answer is good and the other bad, in any order; wrong where both are good."""
    generator = np.random.default_rng(seed)
    correct = generator.integers(0, 2, count)
    sides = [("a good answer", "a bad answer" if y else "a good answer too") for y in correct]
    sides = [side if generator.random() < 0.5 else side[::-1] for side in sides]
    prompts = [f"what is the answer {seed}-{i}" for i in range(count)]
    a, b = zip(*sides, strict=True)
    return pd.DataFrame({"prompt": prompts, "response_a": a, "response_b": b, "correct": correct})


def arguments(folder, **options) -> TrainingArguments:
    defaults = {
        "output_dir": str(folder),
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "per_device_train_batch_size": 16,
        "num_train_epochs": 1,
        "logging_steps": 1,
        "seed": 1,
    }
    return TrainingArguments(**(defaults | options))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def trained(checkpoint, tmp_path_factory) -> ValueHeadScorer:
    scorer = ValueHeadScorer.from_pretrained(checkpoint, max_length=64)
    args = arguments(tmp_path_factory.mktemp("train"), learning_rate=5e-3, num_train_epochs=3)
    train_value_head(scorer, read_comparisons(rule_table(96, 0)), args)
    return scorer


class TestReading:
    def test_preferences_and_comparisons_and_messages_are_the_same_rows(self):
        plain = read_comparisons(pairs(4, correct_chosen=[1, 0, 1, 1]))
        frame = pairs(4).to_pandas().rename(columns={"chosen": "response_a", "rejected": "response_b"})
        other = read_comparisons(frame.assign(is_right=[True, False, True, True]), columns={"correct": "is_right"})
        chat = read_comparisons(chat_pairs(4))
        assert plain.prompt == other.prompt == chat.prompt
        assert plain.response_b == other.response_b == chat.response_b
        np.testing.assert_array_equal(plain.correct, [1, 0, 1, 1])
        np.testing.assert_array_equal(other.correct, plain.correct)

    def test_a_missing_prompt_is_what_both_responses_begin_with(self):
        table = Dataset.from_dict({"chosen": ["Q: one? A: 1"], "rejected": ["Q: one? A: 2"]})
        read = read_comparisons(table)
        assert read.prompt == ["Q: one? A:"] and read.response_a == [" 1"]

    @pytest.mark.parametrize("kind", [Dataset.from_dict, pd.DataFrame])
    @pytest.mark.parametrize("names", [{}, {"chosen": "better", "rejected": "worse"}])
    @pytest.mark.parametrize("chat", [False, True])
    def test_prompts_are_found_in_any_table_under_any_names(self, kind, names, chat):
        sides = {"chosen": "Q: one? A: 1", "rejected": "Q: one? A: 2"}
        if chat:
            question = {"role": "user", "content": "Q: one? A:"}
            sides = {side: [question, {"role": "assistant", "content": text[-2:]}] for side, text in sides.items()}
        table = kind({names.get(side, side): [text, text] for side, text in sides.items()})
        read = read_comparisons(table, columns=names)
        assert len(read.prompt) == 2 and read.prompt[0].removeprefix("Human: ") == "Q: one? A:"
        assert read.response_a == [" 1"] * 2 and read.response_b == [" 2"] * 2

    def test_a_row_without_text_is_named_where_prompts_are_found(self):
        table = pd.DataFrame({"better": ["Q: 1", None], "worse": ["Q: 2", "Q: 3"]})
        with pytest.raises(ValueError, match="column 'better' has no text or messages in row 1, value (None|nan)"):
            read_comparisons(table, columns={"chosen": "better", "rejected": "worse"})

    def test_both_orders_swap_the_responses_and_keep_the_labels(self):
        both = read_comparisons(rule_table(3, 0)).both_orders()
        assert both.response_a[3:] == both.response_b[:3] and both.response_b[3:] == both.response_a[:3]
        np.testing.assert_array_equal(both.correct[3:], both.correct[:3])

    def test_random_orders_keep_each_pair_once_and_swap_some(self):
        one = read_comparisons(pairs(40))
        drawn = one.random_orders(seed=0)
        swapped = [a != b for a, b in zip(drawn.response_a, one.response_a, strict=True)]
        assert 5 < sum(swapped) < 35
        for i in range(40):
            assert {drawn.response_a[i], drawn.response_b[i]} == {one.response_a[i], one.response_b[i]}

    def test_parts_share_no_question(self):
        one = read_comparisons(pd.concat([rule_table(20, 0)] * 2))
        train, held_out = one.split_by_question(0.2, seed=0)
        assert not set(train.clusters) & set(held_out.clusters)
        assert (len(train), len(held_out)) == (32, 8)

    @pytest.mark.parametrize(
        "change, match",
        [
            (lambda t: t.drop(columns="response_b"), "no column 'response_b'"),
            (lambda t: t.drop(columns="correct"), "no column 'correct'"),
            (lambda t: t.assign(correct=[1, 0, 0.5]), r"column 'correct' has 1 values.*first: row 2, value 0.5"),
            (lambda t: t.assign(response_a=["x", " ", "y"]), "column 'response_a' has an empty text in row 1"),
            (lambda t: t.assign(prompt=["x", "y", None]), "column 'prompt' has no text in row 2"),
            (lambda t: t.iloc[:0], "no rows"),
        ],
    )
    def test_bad_tables_are_refused(self, change, match):
        with pytest.raises(ValueError, match=match):
            read_comparisons(change(rule_table(3, 0)), need_correct=True)

    def test_a_message_without_text_is_refused(self):
        chat = [[{"role": "assistant", "content": [{"type": "image"}]}]]
        table = Dataset.from_dict({"prompt": ["x"], "chosen": chat, "rejected": chat})
        with pytest.raises(ValueError, match="column 'chosen'.*row 0.*not text"):
            read_comparisons(table)


class TestText:
    def test_marks_of_preference_data_change_nothing(self):
        render = ComparisonFormat().render
        assert render("Human: Why?\n\nAssistant:", " Yes", "No") == render("Why?", "Yes", "No")
        assert render("Why?", "Yes", "No") == "Human: Why?\n\nResponse A: Yes\n\nResponse B: No"

    def test_braces_in_texts_are_texts(self):
        assert ComparisonFormat().render("{response_a}", "{0}", "{").count("{") == 3

    @pytest.mark.parametrize("template", ["{prompt} {response_a}", "{prompt}{response_a}{response_b}{other}", "plain"])
    def test_a_template_needs_each_field_once(self, template):
        with pytest.raises(ValueError, match="once"):
            ComparisonFormat(template)

    def test_long_prompts_lose_their_beginning_and_are_counted(self, checkpoint, caplog):
        scorer = ValueHeadScorer.from_pretrained(checkpoint, max_length=60)
        table = rule_table(2, 0)
        table.loc[0, "prompt"] = "word " * 100 + "the end?"
        with caplog.at_level(logging.WARNING):
            encoded = scorer.encode(read_comparisons(table))
        assert max(map(len, encoded.ids)) <= 60
        assert (encoded.shortened_prompts, encoded.cut_responses) == (1, 0)
        text = scorer.tokenizer.decode(encoded.ids[0])
        assert "the end?" in text and table["response_a"][0] in text and table["response_b"][0] in text
        assert "1 of 2 comparisons" in caplog.text

    def test_long_responses_are_cut_and_counted(self, checkpoint):
        scorer = ValueHeadScorer.from_pretrained(checkpoint, max_length=40)
        table = rule_table(1, 0).assign(response_a="long " * 100)
        encoded = scorer.encode(read_comparisons(table))
        assert len(encoded.ids[0]) == 40 and encoded.cut_responses == 1
        assert encoded.ids[0][-1] == scorer.tokenizer.eos_token_id


class TestTraining:
    def test_learns_a_planted_rule_and_generalises(self, trained):
        model = CorrectnessModel(trained).calibrate(rule_table(64, 1))
        test = rule_table(64, 2)
        figures = correctness_figures(
            model.predict(test), test["correct"], test["prompt"], base_rate=0.5, resamples=200
        )
        assert figures["auc"].value > 0.95
        assert figures["brier_minus_base_rate"].ci_high < 0

    @pytest.mark.parametrize("batch, steps", [(8, 1), (4, 2), (2, 4), (1, 8)])
    def test_gradient_accumulation_does_not_change_the_loss_or_the_step(self, checkpoint, tmp_path, batch, steps):
        # 12 rows in windows of 8: the last window has fewer, so that a mean of means would differ
        def one_run(batch, steps):
            set_seed(0)  # of the fresh head
            scorer = ValueHeadScorer.from_pretrained(checkpoint, max_length=64)
            args = arguments(
                tmp_path / f"{batch}", per_device_train_batch_size=batch, gradient_accumulation_steps=steps,
                learning_rate=1e-2, optim="sgd", max_grad_norm=1e9,
            )  # fmt: skip
            trainer = value_head_trainer(scorer, read_comparisons(rule_table(6, 3)), args)
            trainer.train()
            return [row["loss"] for row in trainer.state.log_history if "loss" in row], scorer.model.score.weight

        losses, weight = one_run(batch, steps)
        expected, expected_weight = one_run(8, 1)
        assert losses == pytest.approx(expected, abs=1e-5)
        assert all(0.3 < loss < 1.5 for loss in losses)
        np.testing.assert_allclose(weight.detach(), expected_weight.detach(), atol=1e-5)

    def test_the_best_epoch_on_the_selection_rows_is_kept(self, checkpoint, tmp_path):
        scorer = ValueHeadScorer.from_pretrained(checkpoint, max_length=64)
        selection = read_comparisons(rule_table(16, 5))
        args = arguments(
            tmp_path, num_train_epochs=3, learning_rate=1e-2, eval_strategy="epoch", save_strategy="epoch",
            load_best_model_at_end=True, metric_for_best_model="eval_loss", greater_is_better=False,
        )  # fmt: skip
        trainer = train_value_head(scorer, read_comparisons(rule_table(32, 4)), args, selection=selection)
        losses = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
        probability = expit(scorer.score(selection.both_orders()))
        labels = selection.both_orders().correct
        loss = -np.log(np.where(labels == 1, probability, 1 - probability)).mean()
        assert loss == pytest.approx(min(losses), abs=1e-4)

    def test_lora_is_merged(self, checkpoint, tmp_path):
        from peft import LoraConfig

        scorer = ValueHeadScorer.from_pretrained(checkpoint, max_length=64)
        rows = read_comparisons(rule_table(16, 0))
        before = scorer.score(rows)
        train_value_head(
            scorer, rows, arguments(tmp_path, learning_rate=1e-2), peft_config=LoraConfig(task_type="SEQ_CLS", r=4)
        )
        assert np.abs(scorer.score(rows) - before).max() > 1e-3
        scores = scorer.score(rows)
        CorrectnessModel(scorer, PlattCalibrator(1.0, 0.0)).save(tmp_path / "saved")
        assert not list((tmp_path / "saved").glob("adapter*"))
        np.testing.assert_allclose(load_correctness_model(tmp_path / "saved").scorer.score(rows), scores, atol=1e-5)

    def test_encoders_are_read_where_their_own_head_reads(self, tmp_path):
        tokenizer = tiny_tokenizer()
        config = BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=64, num_labels=1, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
        tokenizer.save_pretrained(tmp_path / "bert")
        scorer = ValueHeadScorer.from_pretrained(str(tmp_path / "bert"), max_length=512)
        assert scorer.max_length == 64
        rows = read_comparisons(rule_table(8, 0))
        args = arguments(tmp_path / "train", learning_rate=1e-2)
        before = scorer.score(rows)
        train_value_head(scorer, rows, args)
        assert np.abs(scorer.score(rows) - before).max() > 1e-3

    def test_padding_does_not_change_the_scores(self, trained):
        rows = read_comparisons(pairs(9))
        together = trained.score(rows)
        alone = np.concatenate([trained.score(rows.select([i])) for i in range(9)])
        np.testing.assert_allclose(together, alone, atol=1e-5)


class TestPrediction:
    def test_swapping_the_responses_changes_nothing(self, trained):
        model = CorrectnessModel(trained).calibrate(rule_table(32, 1))
        table = rule_table(20, 2)
        swapped = table.rename(columns={"response_a": "response_b", "response_b": "response_a"})
        np.testing.assert_array_equal(model.predict(table), model.predict(swapped))
        scores = model.scores(table)
        assert np.abs(scores[0] - scores[1]).max() > 1e-3  # the model itself does see the order

    def test_probabilities_are_averaged_after_calibration(self, trained):
        model = CorrectnessModel(trained, PlattCalibrator(2.0, -1.0))
        table = rule_table(5, 2)
        by_hand = expit(2 * model.scores(table) - 1).mean(axis=0)
        np.testing.assert_allclose(model.predict(table), by_hand, rtol=1e-12)

    def test_the_calibrator_is_fitted_on_both_orders_of_the_calibration_rows(self, trained):
        cal, val = rule_table(40, 1), rule_table(40, 2).assign(correct=lambda t: 1 - t["correct"])
        model = CorrectnessModel(trained).calibrate(cal)
        expected = PlattCalibrator(standardize=True).fit(model.scores(cal).reshape(-1), np.tile(cal["correct"], 2))
        swapped = PlattCalibrator(standardize=True).fit(model.scores(val).reshape(-1), np.tile(val["correct"], 2))
        assert model.calibrator.coef == pytest.approx(expected.coef)
        assert model.calibrator.coef != pytest.approx(swapped.coef)
        assert model.calibrator.fit_record.fitted_on == "cal" and model.calibrator.fit_record.n == 80

    def test_nearly_constant_probabilities_are_announced(self, trained, checkpoint, caplog):
        with caplog.at_level(logging.WARNING, logger="trl_ext.reliability.correctness.model"):
            CorrectnessModel(trained).calibrate(rule_table(40, 1))
            assert "nearly the same" not in caplog.text
            untrained = ValueHeadScorer.from_pretrained(checkpoint, max_length=64, weight_scale=1e-3)
            CorrectnessModel(untrained).calibrate(rule_table(40, 1), calibrator=PlattCalibrator())
        assert "nearly the same for all rows" in caplog.text

    def test_figures_on_the_calibration_rows_are_refused(self, trained):
        cal, val = rule_table(40, 1), rule_table(40, 2)
        model = CorrectnessModel(trained).calibrate(cal)
        model.check_held_out(val, model.scores(val), split="val")
        with pytest.raises(ValueError, match="fitted on these rows"):
            model.check_held_out(cal, model.scores(cal))
        with pytest.raises(ValueError, match="'val'"):
            CorrectnessModel(trained).calibrate(cal, fitted_on="val").check_held_out(
                val, model.scores(val), split="val"
            )

    @pytest.mark.parametrize("calibrator", [PlattCalibrator(), IsotonicCalibrator()])
    def test_round_trip(self, trained, tmp_path, calibrator):
        model = CorrectnessModel(trained).calibrate(rule_table(32, 1), calibrator=calibrator)
        model.save(tmp_path)
        assert (tmp_path / "model.safetensors").is_file() and not list(tmp_path.glob("*.bin"))
        again = load_correctness_model(tmp_path)
        table = rule_table(10, 2)
        np.testing.assert_array_equal(again.predict(table), model.predict(table))
        assert again.scorer.text_format == trained.text_format and again.scorer.max_length == 64
        np.testing.assert_allclose(
            load_correctness_model([tmp_path, tmp_path]).predict(table), model.predict(table), rtol=1e-12
        )

    def test_saving_without_a_calibrator_leaves_none_of_another_model(self, trained, tmp_path):
        CorrectnessModel(trained, PlattCalibrator(1.0, 0.0)).save(tmp_path)
        CorrectnessModel(trained).save(tmp_path)
        assert load_correctness_model(tmp_path).calibrator is None

    def test_the_column_is_added_and_nothing_else_changes(self, trained):
        model = CorrectnessModel(trained, PlattCalibrator(1.0, 0.0))
        data = pairs(6)
        scored = model.add_reliability(data)
        assert scored.column_names == [*data.column_names, "reliability"]
        np.testing.assert_allclose(scored["reliability"], model.predict(data))
        assert scored.remove_columns("reliability")[:] == data[:]
        with pytest.raises(ValueError, match="column 'reliability' already"):
            model.add_reliability(scored)

    def test_uncalibrated_predictions_have_to_be_asked_for(self, trained):
        with pytest.raises(NotFittedError, match="calibrate"):
            CorrectnessModel(trained).predict(rule_table(2, 0))
        assert CorrectnessModel(trained).predict(rule_table(2, 0), calibrated=False).shape == (2,)

    def test_a_folder_without_a_model_is_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="correctness.json"):
            load_correctness_model(tmp_path)


class TestFigures:
    def test_base_rate_by_hand(self):
        # p = .75 for labels 1, 1, 1, 0: Brier (3 * .0625 + .5625) / 4; log-loss -(3 log .75 + log .25) / 4
        figures = correctness_figures([0.9, 0.8, 0.6, 0.1], [1, 1, 1, 0], range(4), base_rate=0.75, resamples=50)
        assert figures["brier_base_rate"].value == pytest.approx(0.1875)
        assert figures["log_loss_base_rate"].value == pytest.approx(-(3 * np.log(0.75) + np.log(0.25)) / 4)
        assert figures["accuracy_base_rate"].value == 0.75 and figures["accuracy"].value == 1.0

    def test_the_base_rate_against_itself_is_no_better(self):
        generator = np.random.default_rng(0)
        y = generator.random(200) < 0.7
        figures = correctness_figures(np.full(200, 0.7), y, range(200), base_rate=0.7, resamples=50)
        assert figures["auc"].value == 0.5
        assert figures["log_loss_minus_base_rate"].value == 0.0

    def test_an_informative_predictor_is_told_from_the_base_rate(self):
        generator = np.random.default_rng(0)
        p = expit(logit(0.7) + generator.normal(size=2000))
        y = generator.random(2000) < p
        figures = correctness_figures(p, y, range(2000), base_rate=y.mean(), resamples=50)
        assert figures["log_loss_minus_base_rate"].ci_high < 0 < figures["auc"].ci_low - 0.5


@pytest.mark.parametrize("documented", [ComparisonFormat, read_comparisons, correctness_figures])
def test_docstring_examples_run(documented):
    code = re.search(r"```python\n(.*?)```", documented.__doc__, re.S).group(1)
    test = doctest.DocTestParser().get_doctest(
        code, {documented.__name__: documented}, documented.__name__, None, None
    )
    assert test.examples and doctest.DocTestRunner().run(test).failed == 0
