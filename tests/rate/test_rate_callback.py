"""Effects of attributes during training: what is logged and kept, when, and that training does not notice."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import TrainerCallback, set_seed
from trl import RewardConfig, RewardTrainer

from tests.processes import ROOT, launch, skip_without_compiler
from tests.rate.chains import word_chains
from tests.tiny import chat_pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer, RewardScorer
from trl_ext.rate import (
    RateAuditCallback,
    RewardChains,
    TextChains,
    estimate_effects,
    normalised_effects,
    sample_rows,
)


NAME = "eval_rate/indeed"
CHAINS = word_chains(12, chat=True)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def make(path, tokenizer, ours: bool = True, dropout: float = 0.0, **settings):
    settings = {
        "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "disable_tqdm": True,
        "learning_rate": 1e-2, "per_device_train_batch_size": 4, "max_steps": 4, "logging_steps": 1,
        "save_strategy": "no", "disable_dropout": False,
    } | settings  # fmt: skip
    data = chat_pairs(16)
    trainer_class, config_class = (
        (PairwiseRewardTrainer, PairwiseRewardConfig) if ours else (RewardTrainer, RewardConfig)
    )
    return trainer_class(
        tiny_reward_model(tokenizer, attention_dropout=dropout),
        config_class(str(path), **settings),
        train_dataset=data,
        eval_dataset=data.select(range(4)),
        processing_class=tokenizer,
    )


def train(trainer, resume: bool = False, chains=CHAINS, **options) -> RateAuditCallback:
    callback = RateAuditCallback(trainer, chains, bootstrap=50, **options)
    trainer.add_callback(callback)
    set_seed(1)
    trainer.train(resume_from_checkpoint=resume)
    return callback


def steps_of_log(trainer) -> list[int]:
    return [row["step"] for row in trainer.state.log_history if NAME in row and "eval_loss" not in row]


def weights(trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


@pytest.fixture(scope="module")
def watched(tmp_path_factory, tokenizer):
    """A training with dropout, audited at every step, and its callback."""
    folder = tmp_path_factory.mktemp("watched")
    trainer = make(folder, tokenizer, dropout=0.2, eval_strategy="steps", eval_steps=2)
    return trainer, train(trainer, every_n_steps=1, at_start=True, path=folder / "effects.jsonl")


class TestTraining:
    def test_does_not_notice(self, watched, tmp_path, tokenizer):
        plain = make(tmp_path, tokenizer, dropout=0.2, eval_strategy="steps", eval_steps=2)
        set_seed(1)
        plain.train()
        trainer, _ = watched
        assert torch.equal(weights(trainer), weights(plain))
        losses = [[row["loss"] for row in run.state.log_history if "loss" in row] for run in (trainer, plain)]
        assert losses[0] == losses[1] and len(losses[0]) == 4

    def test_of_trl_does_not_notice(self, tmp_path, tokenizer):
        runs = [
            make(tmp_path / name, tokenizer, ours=False, dropout=0.2, max_steps=2) for name in ("plain", "watched")
        ]
        set_seed(1)
        runs[0].train()
        train(runs[1], every_n_steps=1, at_start=True)
        assert torch.equal(weights(runs[0]), weights(runs[1]))
        assert steps_of_log(runs[1]) == [0, 1, 2]


class TestFigures:
    def test_are_those_of_the_saved_model(self, watched, tokenizer):
        trainer, callback = watched
        scorer = RewardScorer(trainer.model, tokenizer, shared_prefix=False, progress=False)
        rewards = scorer.score(list(CHAINS.prompts), [list(texts) for texts in CHAINS.texts])
        np.testing.assert_allclose(callback.rewards["indeed"].rewards, np.stack(rewards), rtol=1e-5, atol=1e-5)
        table = RewardChains(CHAINS.w, callback.rewards["indeed"].rewards)
        effects, normalised = estimate_effects(table), normalised_effects(table, bootstrap=50)
        row = next(row for row in trainer.state.log_history if NAME in row and row["step"] == 4)
        for ending in ("", "_ATT", "_ATU"):
            effect = f"{ending[1:] or 'ATE'}_rewritten_rewrite"
            for figures, unit in ((normalised, ""), (effects, "_raw")):
                key = f"{NAME}{ending}{unit}"
                found = [row[key], row[f"{key}_ci_low"], row[f"{key}_ci_high"]]
                expected = figures[effect]
                np.testing.assert_allclose(found, [expected.value, expected.ci_low, expected.ci_high], rtol=1e-12)
        assert row[f"{NAME}_size"] == abs(row[NAME])

    def test_every_step_is_kept_once(self, watched):
        trainer, callback = watched
        assert steps_of_log(trainer) == list(callback.effects) == [0, 1, 2, 3, 4]
        lines = [json.loads(line) for line in callback.path.read_text().splitlines()]
        assert lines == [found["indeed"].to_dict() for found in callback.effects.values()]
        assert lines[2]["effects"]["Y1_count"] == 6

    def test_of_rows_with_one_value_alone(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer)
        figures = RateAuditCallback(trainer, CHAINS.select(CHAINS.w), bootstrap=50).evaluate()
        assert {NAME, f"{NAME}_ATT", f"{NAME}_ATT_raw_ci_low"} <= set(figures)
        assert not any("_ATU" in name for name in figures) and not any(np.isnan(list(figures.values())))

    @pytest.mark.slow
    def test_average_of_the_weights_is_audited(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, ema_decay=0.9)
        callback = train(trainer, every_n_steps=1)
        last = callback.rewards["indeed"].rewards.copy()
        callback.evaluate()  # training leaves the average in the model
        np.testing.assert_allclose(callback.rewards["indeed"].rewards, last, atol=1e-6)


class TestResuming:
    def test_evaluates_and_writes_no_step_twice(self, tmp_path, tokenizer):
        settings = {"save_strategy": "steps", "save_steps": 2}
        straight = make(tmp_path / "straight", tokenizer, **settings)
        train(straight, every_n_steps=1)

        class StopAtThree(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                control.should_training_stop = state.global_step == 3

        path = tmp_path / "effects.jsonl"
        stopped = make(tmp_path / "stopped", tokenizer, **settings)
        stopped.add_callback(StopAtThree())
        train(stopped, every_n_steps=1, path=path)
        assert steps_of_log(stopped) == [1, 2, 3]
        with path.open("a") as file:  # what a kill in the middle of a write leaves
            file.write('{"step": 3, "eff')
        resumed = make(tmp_path / "stopped", tokenizer, **settings)
        train(resumed, resume=True, every_n_steps=1, path=path)
        assert steps_of_log(resumed) == [1, 2, 3, 4]
        assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]
        found, expected = ([row[NAME] for row in run.state.log_history if NAME in row] for run in (resumed, straight))
        assert found == expected

    def test_a_file_of_something_else_is_left_alone(self, tmp_path, tokenizer):
        path = tmp_path / "precious.jsonl"
        path.write_text("precious\n")
        with pytest.raises(ValueError, match="is not a file of effects by step"):
            train(make(tmp_path, tokenizer), path=path)
        assert path.read_text() == "precious\n"


def test_the_best_model_is_that_of_the_smallest_effect(tmp_path, tokenizer):
    trainer = make(
        tmp_path, tokenizer, save_strategy="steps", save_steps=1, eval_strategy="steps", eval_steps=1, learning_rate=0.05,
        load_best_model_at_end=True, metric_for_best_model="rate/indeed_size", greater_is_better=False,
    )  # fmt: skip
    callback = train(trainer, every_n_steps=10, at_end=False)
    sizes = {row["step"]: row[f"{NAME}_size"] for row in trainer.state.log_history if NAME in row}
    assert trainer.state.best_metric == min(sizes.values())
    assert trainer.state.best_global_step == min(sizes, key=sizes.get)
    assert callback.evaluate()[f"{NAME}_size"] == trainer.state.best_metric


class TestRows:
    def test_both_sides_are_drawn(self):
        chains = word_chains(40)
        chains = chains.select([*range(0, 40, 2), 1, 3, 5])  # 20 with, 3 without
        drawn = sample_rows(chains, 7, seed=3)
        assert drawn.w.sum() == 5 and len(drawn) == 7  # in proportion 6.1 and 0.9, but at least 2
        assert drawn.ids == sample_rows(chains, 7, seed=3).ids != sample_rows(chains, 7, seed=4).ids
        assert [chains.ids.index(i) for i in drawn.ids] == sorted(chains.ids.index(i) for i in drawn.ids)
        assert sample_rows(chains, 22).w.sum() == 19
        assert sample_rows(chains, 23) is chains
        with pytest.raises(ValueError, match="must be at least 4, two with the attribute and two without; got 3"):
            sample_rows(chains, 3)
        with pytest.raises(TypeError, match="whole number"):
            sample_rows(chains, 0.5)

    def test_of_a_path_and_of_several(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer)
        first, second = CHAINS, TextChains("more", CHAINS.ids, CHAINS.prompts, CHAINS.w, CHAINS.texts)
        first.write(tmp_path / "rate" / "a" / "rewrites.jsonl")
        second.write(tmp_path / "rate" / "b" / "rewrites.jsonl")

        def names(source) -> list[str]:
            return list(RateAuditCallback(trainer, source).chains)

        assert names(tmp_path / "rate") == ["indeed", "more"]
        assert names(tmp_path / "rate" / "b") == names(str(tmp_path / "rate" / "b" / "rewrites.jsonl")) == ["more"]
        assert names({"x": first, "y": first}) == ["x", "y"]
        first.write(tmp_path / "rate" / "b" / "rewrites.jsonl")
        assert names(tmp_path / "rate") == ["a", "b"]
        used = RateAuditCallback(trainer, word_chains(12, steps=4), rows=6).chains["indeed"]
        assert len(used) == 6 and used.steps == 2

    def test_mistakes(self, tmp_path, tokenizer, caplog):
        trainer = make(tmp_path, tokenizer)
        precious = tmp_path / "precious.txt"
        precious.write_text("precious\n")
        failed = list(CHAINS.texts)
        failed[1] = (failed[1][0], None, None)
        reasons = [("refusal", "no_rewrite") if i == 1 else (None, None) for i in range(12)]
        failed = TextChains("indeed", CHAINS.ids, CHAINS.prompts, CHAINS.w, tuple(failed), tuple(reasons))
        for chains, options, error, message in (
            (failed, {}, ValueError, r"chains 'indeed': 1 of 12 rows have no 'rewritten_rewrite' \(refusal: 1\)"),
            (word_chains(steps=1), {}, ValueError, "chains 'indeed': there are 1 rewrites, can't keep 2"),
            (CHAINS, {"every_n_steps": 0}, ValueError, "`every_n_steps` must be None or at least 1, got 0"),
            (CHAINS, {"every_n_steps": 2.5}, TypeError, "`every_n_steps` must be None or a whole number, got 2.5"),
            (CHAINS, {"every_n_steps": "2"}, TypeError, "`every_n_steps` must be None or a whole number, got '2'"),
            (CHAINS, {"bootstrap": 1}, ValueError, "`bootstrap` must be at least 2, got 1"),
            (CHAINS, {"bootstrap": "5"}, TypeError, "`bootstrap` must be a whole number, got '5'"),
            (CHAINS, {"seed": -1}, ValueError, "`seed` must be at least 0, got -1"),
            (CHAINS, {"path": tmp_path}, ValueError, "`path` must be a file that can be written, got .*directory"),
            (CHAINS, {"path": precious / "a.jsonl"}, ValueError, "`path` must be a file that can be written"),
            (CHAINS, {"path": precious}, ValueError, "is not a file of effects by step"),
            (CHAINS, {"rows": 2}, ValueError, "chains 'indeed': `rows` must be at least 4"),
            (CHAINS, {"max_length": 20}, ValueError, "chains 'indeed': prompt .*max_length=20"),
            ({}, {}, ValueError, "give at least one"),
            (
                {"a": CHAINS, "a_ATT": CHAINS},
                {},
                ValueError,
                "'eval_rate/a_ATT' would be a figure of other chains, too",
            ),
            ({"a": 1}, {}, TypeError, "chains 'a' must be TextChains, got int"),
            (3, {}, TypeError, "must be TextChains, a mapping of them, or a path; got int"),
            (tmp_path / "nothing", {}, ValueError, "there is no such file, nor a folder with rewrites.jsonl"),
        ):
            with pytest.raises(error, match=message):
                RateAuditCallback(trainer, chains, **options)
        with pytest.raises(TypeError, match="`trainer` must be a transformers.Trainer, got NoneType"):
            RateAuditCallback(None, CHAINS)
        RateAuditCallback(trainer, CHAINS, path=tmp_path / "new" / "effects.jsonl")
        assert list((tmp_path / "new").iterdir()) == [] and precious.read_text() == "precious\n"
        assert len(RateAuditCallback(trainer, failed, on_failure="drop").chains["indeed"]) == 11
        assert "rows without all rewrites are left out: {'refusal': 1}" in caplog.text


SCRIPT = ROOT / "tests" / "distributed" / "audit_while_training.py"


def launched(config: str, folder: Path, watched: bool) -> dict:
    output = folder / f"{watched}.json"
    launch(config, SCRIPT, output, json.dumps(watched), timeout=600)
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict:
    return launched("cpu.yaml", tmp_path_factory.mktemp("alone"), True)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["cpu_2proc.yaml", "zero3_cpu_2proc.yaml"])
def test_two_processes(config, alone, tmp_path):
    skip_without_compiler(config)
    plain, watched = (launched(config, tmp_path, watched) for watched in (False, True))
    assert watched["losses"] == plain["losses"]
    assert watched["parameters"] == plain["parameters"]
    assert watched["steps"] == [[0, 2, 4]] * 2 and alone["steps"] == [[0, 2, 4]]
    assert watched["rewards"][0] == watched["rewards"][1]
    # After 4 steps, whose gradients are added up in another order
    np.testing.assert_allclose(watched["rewards"][0], alone["rewards"][0], rtol=1e-3, atol=1e-3)
    assert watched["figures"][0] == watched["figures"][1]
    assert watched["lines"] == [0, 2, 4]
