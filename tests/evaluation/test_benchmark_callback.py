"""Benchmarks during training: when they are evaluated, what is logged, and that training does not notice."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import TrainerCallback, set_seed
from trl import RewardConfig, RewardTrainer

from tests.processes import ROOT, launch, skip_without_compiler
from tests.tiny import chat_pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer, RewardScorer
from trl_ext.evaluation.benchmarks.preference_benchmark import PreferenceBenchmark
from trl_ext.evaluation.training.callbacks import RewardBenchmarkCallback
from trl_ext.evaluation.training.training_scores import TrainingScorer
from trl_ext.shared_prefix.forward import has_plan


CLOCK = ("runtime", "per_second")
NAME = "eval_preferences/overall"


def benchmark_rows(count: int = 12) -> Dataset:
    return Dataset.from_dict(
        {
            "prompt": [f"What is {i} and {i}?" * (1 + i % 3) for i in range(count)],
            "chosen": [f"It is {2 * i}." + " Yes." * (i % 4) for i in range(count)],
            "rejected": [f"It is {2 * i + 1}." + " No." * (i % 5) for i in range(count)],
            "subset": ["even", "odd"] * (count // 2),
        }
    )


CHOICE = (PreferenceBenchmark(), benchmark_rows())


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def make(path, tokenizer, ours: bool = True, **settings):
    settings = {
        "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "disable_tqdm": True,
        "learning_rate": 1e-2, "per_device_train_batch_size": 4, "num_train_epochs": 2, "logging_steps": 1,
        "save_strategy": "no", "disable_dropout": False,
    } | settings  # fmt: skip
    data = chat_pairs(16)
    trainer_class, config_class = (
        (PairwiseRewardTrainer, PairwiseRewardConfig) if ours else (RewardTrainer, RewardConfig)
    )
    return trainer_class(
        tiny_reward_model(tokenizer, attention_dropout=0.2 if settings.get("dropout") else 0.0),
        config_class(str(path), **{name: value for name, value in settings.items() if name != "dropout"}),
        train_dataset=data,
        eval_dataset=data.select(range(4)),
        processing_class=tokenizer,
    )


def train(trainer, resume: bool = False, **options):
    callback = RewardBenchmarkCallback(trainer, [CHOICE], **options)
    trainer.add_callback(callback)
    set_seed(1)
    trainer.train(resume_from_checkpoint=resume)
    return callback


def evaluated_steps(trainer) -> list[int]:
    """Steps of the rows of the log that are the callback's."""
    return [row["step"] for row in trainer.state.log_history if NAME in row and "eval_loss" not in row]


def history(trainer) -> list[dict]:
    return [
        {name: value for name, value in row.items() if not name.endswith(CLOCK)}
        for row in trainer.state.log_history
        if NAME not in row or "eval_loss" in row
    ]


def weights(trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


class TestTrainingDoesNotNotice:
    @pytest.mark.parametrize("ours", [True, False], ids=["ours", "trl"])
    @pytest.mark.parametrize(
        "settings",
        [
            {"dropout": True, "gradient_accumulation_steps": 2, "eval_strategy": "steps", "eval_steps": 2},
            pytest.param({"dropout": True}, marks=pytest.mark.slow),
            pytest.param({"bf16": True, "gradient_checkpointing": True}, marks=pytest.mark.slow),
        ],
        ids=["dropout-accumulation-evaluation", "dropout", "bf16-checkpointing"],
    )
    def test_weights_and_losses_are_equal_bit_for_bit(self, tmp_path, tokenizer, ours, settings):
        plain = make(tmp_path / "plain", tokenizer, ours, **settings)
        set_seed(1)
        plain.train()
        watched = make(tmp_path / "watched", tokenizer, ours, **settings)
        train(watched, every_n_steps=1, at_start=True)
        assert torch.equal(weights(watched), weights(plain))
        assert [row.get("loss") for row in history(watched)] == [row.get("loss") for row in history(plain)]
        ours_removed = [{k: v for k, v in row.items() if "preferences" not in k} for row in history(watched)]
        assert ours_removed == history(plain)
        assert len(evaluated_steps(watched)) == plain.state.global_step + 1

    def test_the_model_is_left_as_it_was(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, ours=False)
        trainer.model.train()
        trainer.model.model.layers[0].eval()

        class Draws(PreferenceBenchmark):
            def evaluate(self, rows, rewards):
                np.random.random(), torch.rand(1)
                return super().evaluate(rows, rewards)

        callback = RewardBenchmarkCallback(trainer, [(Draws(), CHOICE[1])])
        before = {name: module.training for name, module in trainer.model.named_modules()}
        states = torch.get_rng_state(), np.random.get_state()[1].copy()
        attention, use_cache = trainer.model.config._attn_implementation, trainer.model.config.use_cache
        callback.evaluate()
        assert {name: module.training for name, module in trainer.model.named_modules()} == before
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.array_equal(np.random.get_state()[1], states[1])
        assert trainer.model.config._attn_implementation == attention
        assert trainer.model.config.use_cache == use_cache
        assert "forward" not in vars(trainer.model.score)
        assert not has_plan(trainer.model)


class TestFigures:
    @pytest.mark.parametrize("ours", [True, False], ids=["ours", "trl"])
    def test_are_those_of_the_scorer(self, tmp_path, tokenizer, ours):
        trainer = make(tmp_path, tokenizer, ours)
        callback = train(trainer)  # at the end
        benchmark, rows = CHOICE[0], CHOICE[0].load(CHOICE[1])
        rewards = RewardScorer(trainer.model, tokenizer, shared_prefix=False, progress=False).score(
            rows["prompt"][:], rows["responses"][:]
        )
        expected = benchmark.evaluate(rows, rewards)
        found = callback.results["preferences"]
        np.testing.assert_allclose(found.rows["margin"], expected.rows["margin"], atol=1e-5)
        row = next(row for row in trainer.state.log_history if NAME in row)
        assert row[NAME] == expected.overall.value
        assert row[f"{NAME}_ci_low"] == expected.overall.ci_low
        assert row[f"{NAME}_ci_high"] == expected.overall.ci_high

    def test_average_of_the_weights_is_evaluated(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, ema_decay=0.9)
        margins = []

        class Record(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                margins.append(callback.results["preferences"].rows["margin"].to_numpy())

        callback = RewardBenchmarkCallback(trainer, [CHOICE], every_n_steps=1)
        trainer.add_callback(callback)
        trainer.add_callback(Record())
        trainer.train()
        # Training leaves the average in the model: what is there now was evaluated at the last step
        callback.evaluate()
        np.testing.assert_allclose(callback.results["preferences"].rows["margin"], margins[-1], atol=1e-6)

    def test_reach_the_services_that_the_trainer_reports_to(self, tmp_path, tokenizer):
        seen = []

        class Service(TrainerCallback):
            def on_log(self, args, state, control, logs=None, **kwargs):
                seen.append(logs)

        trainer = make(tmp_path, tokenizer)
        trainer.add_callback(Service())
        train(trainer, every_n_steps=4)
        assert sum(NAME in logs for logs in seen) == 2
        assert sum("loss" in logs for logs in seen) == 8  # of every step, those with an evaluation among them

    def test_subsample_keeps_subsets(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer)
        callback = RewardBenchmarkCallback(trainer, [CHOICE], subsample=6, seed=3)
        assert sorted(callback.rows["preferences"]["subset"]) == ["even"] * 3 + ["odd"] * 3
        figures = callback.evaluate()
        assert callback.results["preferences"].overall.n == 6
        assert figures[f"{NAME}_ci_low"] < figures[NAME] + 1e-9 < figures[f"{NAME}_ci_high"] + 1e-9
        again = RewardBenchmarkCallback(trainer, [CHOICE], subsample=6, seed=3)
        assert again.rows["preferences"]["id"][:] == callback.rows["preferences"]["id"][:]


class TestSchedule:
    @pytest.mark.parametrize(
        ("options", "settings", "steps"),
        [
            ({"every_n_steps": 3}, {}, [3, 6, 8]),
            ({"every_n_steps": 3, "at_start": True, "at_end": False}, {}, [0, 3, 6]),
            ({"every_n_steps": 1}, {"gradient_accumulation_steps": 2}, [1, 2, 3, 4]),
            ({"at_start": True}, {"eval_strategy": "epoch", "eval_on_start": True}, [0, 4, 8]),
            ({"every_n_steps": 4}, {"eval_strategy": "steps", "eval_steps": 2}, [4, 8]),
        ],
    )
    def test_every_step_once(self, tmp_path, tokenizer, options, settings, steps):
        trainer = make(tmp_path, tokenizer, **settings)
        train(trainer, **options)
        assert evaluated_steps(trainer) == steps

    def test_nothing_outside_training(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer)
        trainer.add_callback(RewardBenchmarkCallback(trainer, [CHOICE]))
        assert NAME not in trainer.evaluate()

    @pytest.mark.parametrize("ours", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["ours", "trl"])
    def test_resumed_run_evaluates_no_step_twice(self, tmp_path, tokenizer, ours):
        settings = {"save_strategy": "steps", "save_steps": 4}
        straight = make(tmp_path / "straight", tokenizer, ours, **settings)
        train(straight, every_n_steps=2)
        trainer = make(tmp_path / "stopped", tokenizer, ours, **settings)

        class StopAtFour(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                control.should_training_stop = state.global_step == 4

        trainer.add_callback(StopAtFour())
        train(trainer, every_n_steps=2)
        assert evaluated_steps(trainer) == [2, 4]
        resumed = make(tmp_path / "stopped", tokenizer, ours, **settings)
        train(resumed, resume=True, every_n_steps=2)
        assert evaluated_steps(resumed) == [2, 4, 6, 8]
        found, expected = ([row[NAME] for row in run.state.log_history if NAME in row] for run in (resumed, straight))
        assert found == expected


class TestBestModel:
    @pytest.mark.parametrize("ours", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["ours", "trl"])
    def test_is_chosen_by_a_benchmark(self, tmp_path, tokenizer, ours):
        trainer = make(
            tmp_path, tokenizer, ours, save_strategy="steps", save_steps=2, eval_strategy="steps", eval_steps=2,
            load_best_model_at_end=True, metric_for_best_model="preferences/overall", learning_rate=0.03,
        )  # fmt: skip
        callback = train(trainer, every_n_steps=1, at_end=False)
        figures = {row["step"]: row[NAME] for row in trainer.state.log_history if NAME in row and row["step"] % 2 == 0}
        assert trainer.state.best_metric == max(figures.values())
        assert trainer.state.best_global_step == max(figures, key=figures.get)
        assert callback.evaluate()[NAME] == trainer.state.best_metric  # of the model that was loaded


class TestRefusals:
    def test_settings(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer)
        with pytest.raises(ValueError, match="every_n_steps"):
            RewardBenchmarkCallback(trainer, [CHOICE], every_n_steps=0)
        with pytest.raises(ValueError, match="give at least one"):
            RewardBenchmarkCallback(trainer, [])
        with pytest.raises(ValueError, match="two benchmarks 'preferences'"):
            RewardBenchmarkCallback(trainer, [CHOICE, CHOICE])
        with pytest.raises(TypeError, match="put it in a list"):
            RewardBenchmarkCallback(trainer, "rewardbench")
        with pytest.raises(ValueError, match="there is no benchmark 'rewardbanch'"):
            RewardBenchmarkCallback(trainer, ["rewardbanch"])

    def test_a_mapping_names_two_of_one_kind(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer)
        figures = RewardBenchmarkCallback(trainer, {"first": CHOICE, "second": CHOICE}).evaluate()
        assert figures["eval_first/overall"] == figures["eval_second/overall"]

    def test_too_long_rows_are_found_at_once_or_truncated_and_counted(self, tmp_path, tokenizer, caplog):
        trainer = make(tmp_path, tokenizer)
        with pytest.raises(ValueError, match=r"benchmark 'preferences': prompt .*max_length=40"):
            RewardBenchmarkCallback(trainer, [CHOICE], max_length=40)
        rows = CHOICE[0].load(CHOICE[1])
        chats = [
            [*prompt, {"role": "assistant", "content": response}]
            for prompt, responses in zip(rows["prompt"], rows["responses"], strict=True)
            for response in responses
        ]
        limit = max(map(len, tokenizer.apply_chat_template(chats, tokenize=True, return_dict=True)["input_ids"])) - 1
        RewardBenchmarkCallback(trainer, [CHOICE], max_length=limit, max_length_policy="truncate_prompt_left")
        assert f"2 responses are truncated to max_length={limit}" in caplog.text

    def test_models_with_several_outputs(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer)
        trainer.model.config.num_labels = 2
        with pytest.raises(ValueError, match="num_labels=2"):
            RewardBenchmarkCallback(trainer, [CHOICE])


SCRIPT = ROOT / "tests" / "distributed" / "benchmark_while_training.py"


def launched(config: str, folder: Path, watched: bool) -> dict:
    output = folder / f"{watched}.json"
    launch(config, SCRIPT, output, json.dumps(watched), timeout=600)
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict:
    return launched("cpu.yaml", tmp_path_factory.mktemp("alone"), True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", ["cpu_2proc.yaml", "fsdp2_cpu_2proc.yaml", "zero2_cpu_2proc.yaml", "zero3_cpu_2proc.yaml"]
)
def test_two_processes(config, alone, tmp_path):
    skip_without_compiler(config)
    plain, watched = (launched(config, tmp_path, watched) for watched in (False, True))
    assert watched["losses"] == plain["losses"]
    assert watched["parameters"] == plain["parameters"]
    # The same figures in both processes, and the rewards of one process
    assert alone["steps"] == [[0, 2, 4, 6, 8]]
    assert watched["steps"] == [[0, 2, 4, 6, 8]] * 2
    assert watched["figures"][0] == watched["figures"][1]
    assert watched["margins"][0] == watched["margins"][1]
    np.testing.assert_allclose(watched["margins"][0], alone["margins"][0], atol=1e-4)


@pytest.mark.parametrize("head", ["ensemble", "gaussian"])
def test_a_model_with_several_outputs_is_scored_while_it_trains(tmp_path, tokenizer, head):
    data = chat_pairs(8)
    data = data.add_column("anchor_chosen", [2] * 8)
    args = PairwiseRewardConfig(
        str(tmp_path), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False, disable_tqdm=True,
        save_strategy="no", max_steps=2, learning_rate=1e-2, reward_head=head,
    )  # fmt: skip
    base = tiny_checkpoint(tmp_path / "base", tokenizer)
    trainer = PairwiseRewardTrainer(base, args, train_dataset=data)
    train(trainer, every_n_steps=1)
    assert evaluated_steps(trainer) == [1, 2]
    rows = benchmark_rows()
    responses = [list(pair) for pair in zip(rows["chosen"], rows["rejected"], strict=True)]
    found = TrainingScorer(trainer, rows["prompt"], responses).score()
    expected = RewardScorer(trainer.model, tokenizer, progress=False).score(rows["prompt"], responses)
    np.testing.assert_allclose(found, expected, atol=1e-5)
