"""A calibration that was stopped and resumed is the one that was not."""

import pytest
import torch

from tests.calibration_data import RATINGS, SETTINGS, human_pairs, model_pairs
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import CalibrationRewardConfig, CalibrationRewardTrainer
from trl_ext.hub.files import files_to_upload
from trl_ext.trainer.calibration_offsets import OFFSETS_FILE
from trl_ext.trainer.calibration_state import STATE_FILE


CLOCK = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "train_loss"}
CLOCK |= {f"eval_{name}" for name in ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")}
RUNS = {
    "matching": {"calibration_method": "matching", "win_rate_ema_decay": 0.8, "gradient_accumulation_steps": 2},
    "source_offset": {"calibration_method": "source_offset", "source_offset_update_steps": 3},
}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def make(path, tokenizer, seed=0, **settings):
    settings = (
        SETTINGS | {"save_strategy": "steps", "save_steps": 4, "logging_steps": 3, "disable_dropout": False} | settings
    )
    settings |= {"eval_strategy": "epoch", "per_device_train_batch_size": 4}
    matching = settings["calibration_method"] == "matching"
    return CalibrationRewardTrainer(
        tiny_reward_model(tokenizer, attention_dropout=0.2, seed=seed),
        CalibrationRewardConfig(str(path), **settings),
        train_dataset=model_pairs(20, weight=[0.25 * (1 + i % 5) for i in range(20)]),
        eval_dataset=model_pairs(10),
        human_dataset=human_pairs(7) if matching else None,
        ratings=RATINGS,
        processing_class=tokenizer,
    )


def history(trainer):
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in trainer.state.log_history]


@pytest.mark.parametrize("run", ["matching", pytest.param("source_offset", marks=pytest.mark.slow)])
def test_a_resumed_run_is_the_straight_one(run, tmp_path, tokenizer):
    straight = make(tmp_path / "straight", tokenizer, **RUNS[run])
    straight.train()
    # Another initial model: the rewards before training are those of the first run, not of this one
    resumed = make(tmp_path / "resumed", tokenizer, seed=1, **RUNS[run])
    resumed.train(resume_from_checkpoint=str(tmp_path / "straight" / "checkpoint-4"))
    assert history(resumed) == history(straight)
    for one, other in zip(resumed.model.parameters(), straight.model.parameters(), strict=True):
        assert torch.equal(one, other)
    if run == "matching":
        assert torch.equal(resumed._matching.running, straight._matching.running)
        assert (resumed.temperature, resumed.anchor_weight) == (straight.temperature, straight.anchor_weight)
    else:
        assert resumed.source_offsets == straight.source_offsets
    uploaded = {str(path) for path in files_to_upload(tmp_path / "straight" / "checkpoint-4")}
    assert not any(path.endswith((STATE_FILE, OFFSETS_FILE)) for path in uploaded)


def test_a_checkpoint_of_another_method_or_other_data_is_refused(tmp_path, tokenizer):
    make(tmp_path, tokenizer, max_steps=4, **RUNS["source_offset"]).train()
    with pytest.raises(ValueError, match="not written with calibration_method='matching'"):
        make(tmp_path, tokenizer, **RUNS["matching"]).train(resume_from_checkpoint=True)
