"""A scorer as TRL's reward function, in a genuine GRPOTrainer too."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl import GRPOConfig, GRPOTrainer

from tests.processes import launch
from tests.scoring.grpo_rewards import ROWS, rewards_of
from tests.tiny import tiny_config, tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.scoring import CalibratedScorer, LengthCurve, RewardCalibration, reward_function


CURVE = RewardCalibration(length_curve=LengthCurve((0, 20), (-2, 2), "tokens", "linear"))
OFFSET = RewardCalibration({"policy": 3.0, "other": 0.0}, "reference")


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def scorer(tokenizer):
    return RewardScorer(tiny_reward_model(tokenizer), tokenizer)


def test_texts_equal_the_scorer_and_equal_prompts_are_computed_once(scorer):
    prompts, completions = map(list, zip(*ROWS, strict=True))
    reward = reward_function(scorer)
    found = reward(prompts=prompts, completions=completions, completion_ids=[[1]] * 4, answer=["x"] * 4)
    assert all(type(value) is float for value in found) and reward.__name__ == "reward"
    assert not scorer.progress
    expected = scorer.score(prompts[:3], [[text] for text in completions[:3]])
    np.testing.assert_allclose(found[:3], np.concatenate(expected), rtol=1e-5)
    assert np.isfinite(found[3])  # an empty completion
    assert reward(prompts=[], completions=[]) == []

    long = "Question: what is the capital of France? " * 5
    reward(prompts=[long, "Q: b? ", long], completions=["Paris.", "bad", "a good answer"])
    assert scorer.timing.computed_tokens < 0.7 * scorer.timing.sequence_tokens


def test_messages_equal_the_scorer(scorer):
    prompts = [[{"role": "user", "content": text}] for text in ("a?", "b?", "a?")]
    completions = [[{"role": "assistant", "content": text}] for text in ("Paris.", "bad", "a good answer")]
    found = reward_function(scorer, name="judge")(prompts=prompts, completions=completions)
    expected = scorer.score(prompts, [[completion] for completion in completions])
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-5)


def test_a_source_adds_a_constant_and_a_curve_does_not(scorer):
    prompts, completions = map(list, zip(*ROWS, strict=True))
    raw = np.array(reward_function(scorer)(prompts, completions))
    by_source = reward_function(CalibratedScorer(scorer, OFFSET), source="policy")
    np.testing.assert_allclose(by_source(prompts, completions), raw + 3, rtol=1e-5)
    by_length = reward_function(CalibratedScorer(scorer, CURVE))
    assert by_length.__name__ == "calibrated_reward"
    assert np.ptp(by_length(prompts, completions) - raw) > 0.5


def test_completions_beyond_the_curve_are_logged_and_warned_of_once(scorer, caplog):
    reward = reward_function(
        CalibratedScorer(scorer, RewardCalibration(length_curve=LengthCurve((1, 2), (0, 1), "words")))
    )
    prompts, completions = map(list, zip(*ROWS, strict=True))
    logged = {}
    for _ in range(2):
        reward(prompts, completions, log_metric=logged.__setitem__)
    assert logged == {"calibration/shorter": 0.25, "calibration/longer": 0.25}
    assert caplog.text.count("1 of 4 responses are shorter, and 1 longer") == 1


def test_what_is_refused(scorer):
    for source in (None, "gpt"):
        with pytest.raises(
            ValueError, match=f"none for the policy {source!r}: `source` must be one of 'policy', 'other'"
        ):
            reward_function(CalibratedScorer(scorer, OFFSET), source=source)
    with pytest.raises(ValueError, match="a prompt per completion, got 2 and 1"):
        reward_function(scorer)(prompts=["a", "b"], completions=["c"])


@pytest.mark.slow
def test_two_processes_give_each_its_own(tmp_path):
    launch("cpu_2proc.yaml", "tests/scoring/grpo_rewards.py", tmp_path)
    found = [json.loads((tmp_path / f"{index}.json").read_text()) for index in range(2)]
    assert list(map(len, found)) == [1, 3]
    np.testing.assert_allclose(sum(found, []), rewards_of(ROWS), rtol=1e-5)


def advantages(tokenizer, reward, folder, chat: bool) -> tuple[torch.Tensor, dict]:
    """Advantages of the completions of one step of a genuine trainer, and what it logged."""
    seen = []

    class Recorder(GRPOTrainer):
        def _compute_loss(self, model, inputs):
            seen.append(inputs["advantages"].clone())
            return super()._compute_loss(model, inputs)

    torch.manual_seed(0)
    policy = AutoModelForCausalLM.from_config(tiny_config(tokenizer))
    texts = ["What is the answer?", "The capital of France"]
    prompts = [[{"role": "user", "content": text}] for text in texts] if chat else texts
    trainer = Recorder(
        policy,
        reward_funcs=[reward],
        args=GRPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=12,
            max_steps=1,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            bf16=False,
            seed=1,
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=tokenizer,
    )
    trainer.train()
    return torch.cat(seen), next(row for row in trainer.state.log_history if "reward" in row)


@pytest.mark.parametrize("chat", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["text", "messages"])
def test_a_genuine_trainer_an_offset_changes_no_advantage_a_curve_does(tokenizer, scorer, tmp_path, chat):
    raw, log = advantages(tokenizer, reward_function(scorer), tmp_path, chat)
    shifted, log_shifted = advantages(
        tokenizer, reward_function(CalibratedScorer(scorer, OFFSET), source="policy"), tmp_path, chat
    )
    bent, log_bent = advantages(tokenizer, reward_function(CalibratedScorer(scorer, CURVE)), tmp_path, chat)
    assert raw.shape == (8,) and raw.abs().max() > 0.1
    shift = log_shifted["rewards/calibrated_reward/mean"] - log["rewards/reward/mean"]
    assert shift == pytest.approx(3, abs=1e-4)
    torch.testing.assert_close(shifted, raw, atol=1e-3, rtol=1e-3)
    assert (bent - raw).abs().max() > 0.05
    assert log_bent["calibration/shorter"] == 0 and 0 <= log_bent["calibration/longer"] <= 1
