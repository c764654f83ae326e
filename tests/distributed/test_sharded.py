"""One padded process, DistributedDataParallel, FSDP2, ZeRO-2 and ZeRO-3 with shared prefixes end with the same model."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load, load_file

from tests.processes import ROOT, launch, skip_without_compiler
from tests.servers.hub import LoopbackHub
from tests.tiny import tiny_checkpoint
from trl_ext import RewardScorer


# What accelerate must report, and whether every process holds a share of each weight only
CONFIGS = {
    "cpu_2proc.yaml": ("MULTI_CPU", False),
    "fsdp2_cpu_2proc.yaml": ("FSDP", True),
    "zero2_cpu_2proc.yaml": ("DEEPSPEED", False),
    "zero3_cpu_2proc.yaml": ("DEEPSPEED", True),
}
SCRIPT = ROOT / "tests" / "distributed" / "train_losses.py"
# Weighted pairs, 8 of 13 in a step, so that the last step of an epoch has rows that are there twice
CASES = {
    "accumulation-checkpointing": {"gradient_checkpointing": True, "accumulate": 2},
    "plain": {"gradient_checkpointing": False},
    "lora": {"gradient_checkpointing": False, "lora": True},
    "lora-accumulation-checkpointing": {"gradient_checkpointing": True, "lora": True, "accumulate": 2},
}
METRICS = ("loss", "accuracy", "margin", "mean_reward", "min_reward", "max_reward", "num_tokens", "learning_rate")
IN_MAKE_TEST = "accumulation-checkpointing"


def train(config: str, folder: Path, base: str, batch_size: int, accumulate: int = 1, **settings) -> dict:
    skip_without_compiler(config)
    output = folder / "found.json"
    settings |= {
        "per_device_train_batch_size": batch_size // accumulate,
        "gradient_accumulation_steps": accumulate,
    }
    launch(config, SCRIPT, output, base, json.dumps(settings), timeout=600)
    found = json.loads(output.read_text())
    return found | {"weights": load_file(next(folder.glob("*model.safetensors")))}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("base"))


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, marks=[] if case == IN_MAKE_TEST else pytest.mark.slow) for case in CASES],
)
def one_process(request, base, tmp_path_factory):
    case = CASES[request.param]
    alone = {key: value for key, value in case.items() if key != "accumulate"}
    found = train("cpu.yaml", tmp_path_factory.mktemp("one"), base, 8, **alone, shared_prefix=False)
    assert not found["report"]["enabled"]
    return case, found


@pytest.mark.parametrize("config", CONFIGS)
def test_same_model_as_one_process_with_padded_batches(config, one_process, base, tmp_path):
    case, expected = one_process
    found = train(config, tmp_path, base, 4, **case)
    assert (found["distributed_type"], found["divided"]) == CONFIGS[config]
    assert found["report"]["enabled"], found["report"]
    assert found["report"]["max_relative_difference"] < 1e-5
    for metric in METRICS:
        curves = ([row[metric] for row in run["logs"]] for run in (found, expected))
        np.testing.assert_allclose(*curves, atol=1e-5, err_msg=metric)
    np.testing.assert_allclose(found["rewards"], expected["rewards"], atol=1e-5)
    assert found["weights"].keys() == expected["weights"].keys()
    for name, weight in expected["weights"].items():
        torch.testing.assert_close(found["weights"][name], weight, atol=1e-5, rtol=0, msg=name)


@pytest.mark.slow
def test_every_process_ends_with_the_best_model(base, tmp_path):
    best = {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps", "save_steps": 1}
    best |= {"eval_steps": 1, "learning_rate": 0.1, "metric_for_best_model": "loss"}
    found = train("cpu_2proc.yaml", tmp_path, base, 4, **best)
    assert found["sums"][0] == found["sums"][1]
    assert found["best"].startswith(str(tmp_path / "checkpoint-"))


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_rewards_are_not_rounded_to_bfloat16(config, base, tmp_path):
    found = train(config, tmp_path, base, 4, bf16=True)
    rewards = torch.tensor(found["rewards"])
    assert (rewards != rewards.bfloat16().float()).any(), rewards


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_resumed_in_the_second_epoch(config, base, tmp_path):
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    straight.mkdir()
    resumed.mkdir()
    saving = {"save_strategy": "steps", "save_steps": 1}
    expected = train(config, straight, base, 4, **saving)
    found = train(config, resumed, base, 4, **saving, checkpoint=str(straight / "checkpoint-3"))
    assert [row["step"] for row in found["logs"]] == [1, 2, 3, 4]
    for metric in METRICS:
        assert [row[metric] for row in found["logs"]] == [row[metric] for row in expected["logs"]], metric
    assert all(torch.equal(found["weights"][name], weight) for name, weight in expected["weights"].items())


@pytest.mark.slow
def test_a_model_whose_weights_are_divided_is_pushed_whole(base, tmp_path):
    skip_without_compiler("zero3")
    with LoopbackHub() as hub:
        script = ROOT / "tests" / "distributed" / "push_divided.py"
        launch("zero3_cpu_2proc.yaml", script, tmp_path / "out", base, **hub.environment(tmp_path / "cache"))
        repository = hub.model("tester/divided")
    assert (
        repository.private
        and {"README.md", "model.safetensors", "tokenizer.json"} <= repository.find("main").files.keys()
    )
    pushed = repository.find("main").files["model.safetensors"].content
    saved = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert pushed == saved and load(saved)["score.weight"].shape == (1, 32)


@pytest.mark.slow
@pytest.mark.parametrize("use_peft", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("config", ["zero2_cpu_2proc.yaml", "zero3_cpu_2proc.yaml"])
def test_what_the_main_job_saves_gives_the_rewards_it_reported(config, use_peft, base, tmp_path):
    settings = [f"model_name={base}", f"output_dir={tmp_path}", f"use_peft={use_peft}", "lora_last_layers=None"]
    settings += ["max_length=512", "trainer.max_steps=2"]
    skip_without_compiler(config)
    result = launch(config, ROOT / "tasks" / "train.py", "with", *settings, timeout=600, cwd=tmp_path)
    assert "Reloaded and compared" in result.stdout
    reported = pd.read_csv(tmp_path / "test_rewards.csv").head(8)
    pairs = reported[["chosen", "rejected"]].to_numpy().tolist()
    rewards = RewardScorer(str(tmp_path)).score(reported["prompt"].tolist(), pairs)
    np.testing.assert_allclose(rewards, reported[["reward_chosen", "reward_rejected"]], atol=1e-6)
