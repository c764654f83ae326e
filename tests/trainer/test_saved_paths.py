"""Adapters and checkpoints without the home directory in them load and resume."""

import json
import logging
from pathlib import Path

import pytest
from peft import LoraConfig

from tests.tiny import pairs, tiny_checkpoint
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer, RewardScorer
from trl_ext.data.bundled import DEFAULT_MODEL
from trl_ext.hub import verify_round_trip


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRL_EXT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "home"


def trainer(model: str, output: Path, **settings) -> PairwiseRewardTrainer:
    args = PairwiseRewardConfig(
        str(output), use_cpu=True, bf16=False, report_to="none", max_steps=4, logging_steps=1, eval_steps=2,
        save_steps=2, eval_strategy="steps", per_device_train_batch_size=4, load_best_model_at_end=True, **settings,
    )  # fmt: skip
    return PairwiseRewardTrainer(
        model, args, train_dataset=pairs(16), eval_dataset=pairs(8), peft_config=LoraConfig(target_modules=["q_proj"])
    )


@pytest.mark.parametrize("bundled", [False, True], ids=["local", "bundled"])
def test_an_adapter_is_loaded_with_its_base(bundled, home, tmp_path):
    path = tmp_path / "cache" / "models" / "smollm2-135m-instruct-0.1.2" if bundled else home / "tiny"
    trained = trainer(tiny_checkpoint(path), home / "out")
    trained.train()
    trained.save_model()
    trained.create_model_card()
    config = json.loads((home / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == (DEFAULT_MODEL if bundled else "~/tiny")
    assert "load_reward_model" in (home / "out" / "README.md").read_text()
    texts = trained.processing_class.batch_decode(trained.train_dataset["chosen_ids"][:4])
    assert verify_round_trip(trained.model, trained.processing_class, home / "out", texts).max_difference < 1e-5
    assert len(RewardScorer(str(home / "out")).score(["Question?"], [[" Yes.", " No."]])[0]) == 2


def test_the_best_checkpoint_is_known_after_resuming(home, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    model = tiny_checkpoint(home / "tiny")
    # The margin grows, so that the first of two checkpoints has the smallest
    settings = {"learning_rate": 1e-2, "metric_for_best_model": "margin", "greater_is_better": False}
    trainer(model, home / "out", **settings).train()
    checkpoint = home / "out" / "checkpoint-2"
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == "~/out/checkpoint-2"
    assert str(home) not in (checkpoint / "README.md").read_text()
    resumed = trainer(model, home / "out", **settings)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert resumed.state.best_model_checkpoint == str(checkpoint)
    assert "does not exist anymore" not in caplog.text
