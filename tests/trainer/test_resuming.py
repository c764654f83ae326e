"""A run that was stopped and resumed is the run that was not."""

import json
import math
import os
import shutil
import signal

import pytest
import torch
from transformers import TrainerCallback

from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer
from trl_ext.trainer import TrainingInterrupted, find_checkpoint
from trl_ext.trainer.checkpoints import MANIFEST, checkpoint_problem, remove_unfinished


CLOCK = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "train_loss"}
CLOCK |= {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def make(path, tokenizer, callbacks=(), **settings):
    settings = {
        "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "disable_tqdm": True,
        "learning_rate": 1e-2, "per_device_train_batch_size": 4, "num_train_epochs": 3, "logging_steps": 3,
        "save_steps": 2, "eval_strategy": "epoch", "disable_dropout": False,
    } | settings  # fmt: skip
    data = pairs(26, weight=[0.25 * (i % 5) for i in range(26)])
    return PairwiseRewardTrainer(
        tiny_reward_model(tokenizer, attention_dropout=0.2),
        PairwiseRewardConfig(str(path), **settings),
        train_dataset=data,
        eval_dataset=data.select(range(6)),
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


def history(trainer):
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in trainer.state.log_history]


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


class StopAt(TrainerCallback):
    """Send this process SIGTERM during a step."""

    def __init__(self, step):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


STRATEGIES = {
    "random": {},
    "group_by_length": {"train_sampling_strategy": "group_by_length"},
    "tokens": {"max_tokens_per_batch": 150},
    "accumulation": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2},
    "average": {"ema_decay": 0.9},
    "steps": {"eval_strategy": "steps", "eval_steps": 5, "eval_on_start": True},
}


class TestResumedRuns:
    @pytest.fixture(scope="class", params=STRATEGIES)
    def straight(self, request, tmp_path_factory, tokenizer):
        path = tmp_path_factory.mktemp(request.param)
        trainer = make(path, tokenizer, **STRATEGIES[request.param])
        trainer.train()
        return trainer, path, STRATEGIES[request.param]

    def test_every_checkpoint_leads_to_the_same_end_bit_for_bit(self, straight, tmp_path, tokenizer):
        trainer, path, settings = straight
        per_epoch = trainer.state.max_steps // 3
        # In the first epoch, at its end, in the second, and at the very end
        steps = {2, per_epoch - per_epoch % 2, per_epoch + 4 - per_epoch % 2, trainer.state.max_steps}
        for step in sorted(steps):
            resumed = make(tmp_path, tokenizer, **settings)
            resumed.train(resume_from_checkpoint=str(path / f"checkpoint-{step}"))
            assert history(resumed) == history(trainer), step
            assert torch.equal(weights(resumed), weights(trainer)), step

    def test_the_order_differs_between_epochs(self, straight):
        trainer, _, _ = straight
        loader = trainer.get_train_dataloader()
        orders = []
        for epoch in (0, 1, 0):
            trainer.state.epoch = epoch
            loader.set_epoch(epoch)
            trainer.callback_handler.on_epoch_begin(trainer.args, trainer.state, trainer.control)
            orders.append([batch["weight"].tolist() for batch in loader])
        assert orders[0] == orders[2] != orders[1]

    def test_a_checkpoint_at_the_end_of_an_epoch_has_its_evaluation(self, straight):
        trainer, path, _ = straight
        state = json.loads((path / f"checkpoint-{trainer.state.max_steps}" / "trainer_state.json").read_text())
        evaluated = [row["step"] for row in state["log_history"] if "eval_loss" in row]
        assert evaluated[-1] == trainer.state.max_steps

    def test_train_loss_after_resuming_is_that_of_the_steps_made(self, straight, tmp_path, tokenizer):
        trainer, path, settings = straight
        resumed = make(tmp_path, tokenizer, **(settings | {"logging_steps": 1, "save_strategy": "no"}))
        output = resumed.train(resume_from_checkpoint=str(path / "checkpoint-4"))
        losses = {row["step"]: row["loss"] for row in resumed.state.log_history if "loss" in row and row["step"] > 6}
        assert math.isfinite(output.training_loss) and losses
        first = make(tmp_path, tokenizer, **(settings | {"logging_steps": 1, "save_strategy": "no"}))
        first.train()
        own = {row["step"]: row["loss"] for row in first.state.log_history if "loss" in row}
        expected = sum(loss for step, loss in own.items() if step > 4) / (trainer.state.max_steps - 4)
        assert output.training_loss == pytest.approx(expected, abs=1e-6)


class TestSigterm:
    @pytest.mark.parametrize("step", [3, 6])
    def test_saves_a_checkpoint_and_ends_with_143(self, tmp_path, tokenizer, step):
        straight = make(tmp_path / "straight", tokenizer)
        straight.train()
        stopped = make(tmp_path / "out", tokenizer, [StopAt(step)])
        with pytest.raises(TrainingInterrupted) as caught:
            stopped.train()
        assert caught.value.code == 143
        assert caught.value.checkpoint == find_checkpoint(tmp_path / "out")
        # The total of a step is gathered before it begins, and the request came after that
        assert caught.value.step == step + 2
        resumed = make(tmp_path / "out", tokenizer)
        resumed.train(resume_from_checkpoint=True)
        assert history(resumed) == history(straight)
        assert torch.equal(weights(resumed), weights(straight))

    def test_the_checkpoint_comes_before_an_evaluation_that_is_due(self, tmp_path, tokenizer):
        found = []

        class Watch(TrainerCallback):
            def on_evaluate(self, args, state, control, **kwargs):
                found.append(find_checkpoint(tmp_path))

        settings = {"eval_strategy": "steps", "eval_steps": 5, "save_steps": 100}
        with pytest.raises(TrainingInterrupted):
            make(tmp_path, tokenizer, [StopAt(3), Watch()], **settings).train()
        assert found == [str(tmp_path / "checkpoint-5")]
        state = json.loads((tmp_path / "checkpoint-5" / "trainer_state.json").read_text())
        assert any("eval_loss" in row for row in state["log_history"])

    def test_nothing_is_evaluated_on_the_way_out(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, [StopAt(1)])
        with pytest.raises(TrainingInterrupted):
            trainer.train()
        assert not any("eval_loss" in row for row in trainer.state.log_history)

    @pytest.fixture
    def received(self):
        """Whether SIGTERM has come to the handler that the caller had installed."""
        got = []
        previous = signal.signal(signal.SIGTERM, lambda *args: got.append(1))
        yield got
        signal.signal(signal.SIGTERM, previous)

    def test_the_handler_of_the_caller_is_restored(self, tmp_path, tokenizer, received):
        make(tmp_path, tokenizer, max_steps=1).train()
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == [1]

    def test_a_signal_in_the_last_step_is_passed_on(self, tmp_path, tokenizer, received):
        trainer = make(tmp_path, tokenizer, [StopAt(2)], max_steps=3)
        trainer.train()  # done: there was no step left to stop after
        assert received == [1] and trainer.state.global_step == 3

    def test_without_checkpoints_the_signal_means_what_it_always_did(self, tmp_path, tokenizer, received):
        make(tmp_path, tokenizer, [StopAt(1)], save_strategy="no", max_steps=3).train()
        assert received == [1] and find_checkpoint(tmp_path) is None


class TestCheckpoints:
    @pytest.fixture(scope="class")
    def finished(self, tmp_path_factory, tokenizer):
        path = tmp_path_factory.mktemp("finished")
        make(path, tokenizer, max_steps=6, eval_strategy="no").train()
        return path

    def copy(self, finished, tmp_path):
        return shutil.copytree(finished, tmp_path / "run")

    def test_nothing_unfinished_stays(self, finished):
        names = {path.name for path in finished.iterdir() if path.is_dir()}
        assert names == {"checkpoint-2", "checkpoint-4", "checkpoint-6"}
        assert find_checkpoint(finished) == str(finished / "checkpoint-6")

    @pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "rng_state.pth", "scheduler.pt"])
    @pytest.mark.parametrize("damage", ["missing", "short"])
    def test_a_damaged_checkpoint_is_passed_over(self, finished, tmp_path, caplog, file, damage):
        run = self.copy(finished, tmp_path)
        path = run / "checkpoint-6" / file
        path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-1])
        assert file in checkpoint_problem(run / "checkpoint-6")
        with caplog.at_level("WARNING"):
            assert find_checkpoint(run) == str(run / "checkpoint-4")
        assert file in caplog.text

    def test_a_damaged_checkpoint_by_name_is_an_error(self, finished, tmp_path, tokenizer):
        run = self.copy(finished, tmp_path)
        (run / "checkpoint-6" / "optimizer.pt").unlink()
        with pytest.raises(ValueError, match="optimizer.pt is missing"):
            make(run, tokenizer).train(resume_from_checkpoint=str(run / "checkpoint-6"))

    def test_no_checkpoint_is_an_error(self, tmp_path, tokenizer):
        with pytest.raises(ValueError, match="no complete checkpoint"):
            make(tmp_path, tokenizer).train(resume_from_checkpoint=True)

    def test_a_half_deleted_checkpoint_is_passed_over(self, finished, tmp_path):
        run = self.copy(finished, tmp_path)
        files = sorted((run / "checkpoint-6").iterdir(), key=lambda path: path.name != MANIFEST)
        for file in files[:-1]:  # the manifest first, so that it does not tell
            file.unlink()
            assert checkpoint_problem(run / "checkpoint-6") is not None or file.name == MANIFEST or file.suffix not in (
                ".pt", ".pth", ".safetensors"
            )  # fmt: skip
        assert find_checkpoint(run) == str(run / "checkpoint-4")

    def test_other_names_are_no_checkpoints(self, finished, tmp_path):
        run = self.copy(finished, tmp_path)
        shutil.copytree(run / "checkpoint-2", run / "checkpoint-99-backup")
        assert find_checkpoint(run) == str(run / "checkpoint-6")

    def test_the_newest_is_kept_whatever_the_clock_says(self, tmp_path, tokenizer):
        class Future(TrainerCallback):
            def on_save(self, args, state, control, **kwargs):
                if state.global_step == 2:
                    os.utime(tmp_path / "checkpoint-2", (4e9, 4e9))

        make(tmp_path, tokenizer, [Future()], max_steps=6, save_total_limit=1, eval_strategy="no").train()
        assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-6"]

    def test_a_checkpoint_of_the_model_alone_is_not_resumed_from(self, tmp_path, tokenizer):
        make(tmp_path, tokenizer, max_steps=2, save_only_model=True).train()
        with pytest.raises(ValueError, match="optimizer is missing"):
            make(tmp_path, tokenizer).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))

    def test_without_a_manifest_the_trainer_state_decides(self, finished, tmp_path):
        run = self.copy(finished, tmp_path)
        (run / "checkpoint-6" / MANIFEST).unlink()
        assert checkpoint_problem(run / "checkpoint-6") is None
        (run / "checkpoint-6" / "trainer_state.json").write_text("{")
        assert "trainer_state.json" in checkpoint_problem(run / "checkpoint-6")

    def test_a_checkpoint_that_was_being_replaced_comes_back(self, finished, tmp_path):
        run = self.copy(finished, tmp_path)
        (run / ".incomplete").mkdir()
        (run / "checkpoint-6").rename(run / ".incomplete" / "checkpoint-6.replaced")
        remove_unfinished(run)
        assert find_checkpoint(run) == str(run / "checkpoint-6") and not (run / ".incomplete").exists()

    def test_old_ones_are_removed(self, tmp_path, tokenizer):
        make(tmp_path, tokenizer, max_steps=6, save_total_limit=1).train()
        assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-6"]

    def test_the_best_model_is_found_after_resuming(self, tmp_path, tokenizer):
        settings = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2, "logging_steps": 2}
        straight = make(tmp_path / "a", tokenizer, **settings)
        straight.train()
        assert straight.state.best_model_checkpoint == str(
            tmp_path / "a" / f"checkpoint-{straight.state.best_global_step}"
        )
        state = json.loads((tmp_path / "a" / "checkpoint-4" / "trainer_state.json").read_text())
        assert ".incomplete" not in state["best_model_checkpoint"]
        resumed = make(tmp_path / "a", tokenizer, **settings)
        resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-4"))
        assert resumed.state.best_model_checkpoint == straight.state.best_model_checkpoint
        assert torch.equal(weights(resumed), weights(straight))
