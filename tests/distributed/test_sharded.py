"""One process, DistributedDataParallel, FSDP2, ZeRO-2 and ZeRO-3 give the same losses with shared prefixes."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.distributed.test_two_processes import ROOT, free_port
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


def accelerate_launch(config: str, *command: str) -> None:
    if "zero" in config:
        if importlib.util.find_spec("deepspeed") is None:
            pytest.skip("deepspeed is not installed")
        if shutil.which("ninja") is None or shutil.which("c++") is None:
            pytest.skip("deepspeed needs a C++ compiler and ninja")
    launcher = [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(ROOT / "accelerate_configs" / config),
        "--main_process_port", str(free_port()),
    ]  # fmt: skip
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    result = subprocess.run([*launcher, *command], env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]


def launch(config: str, folder: Path, base: str, **settings) -> dict:
    output = folder / "found.json"
    accelerate_launch(config, str(SCRIPT), str(output), base, json.dumps(settings))
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("base"))


@pytest.fixture(
    scope="module",
    params=[(False, False), (True, False), (True, True)],
    ids=["plain", "checkpointing", "lora-checkpointing"],
)
def settings_and_padded_losses(request, base, tmp_path_factory):
    checkpointing, lora = request.param
    settings = {"gradient_checkpointing": checkpointing, "lora": lora}
    found = launch(
        "cpu.yaml", tmp_path_factory.mktemp("one"), base, **settings,
        per_device_train_batch_size=8, shared_prefix=False,
    )  # fmt: skip
    assert not found["report"]["enabled"]
    return settings, found["loss"]


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_same_losses_as_padded_batches_on_one_process(config, settings_and_padded_losses, base, tmp_path):
    settings, losses = settings_and_padded_losses
    found = launch(config, tmp_path, base, **settings, per_device_train_batch_size=4)
    assert (found["distributed_type"], found["divided"]) == CONFIGS[config]
    assert found["report"]["enabled"], found["report"]
    assert found["report"]["max_relative_difference"] < 1e-5
    np.testing.assert_allclose(found["loss"], losses, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_rewards_are_not_rounded_to_bfloat16(config, base, tmp_path):
    found = launch(config, tmp_path, base, per_device_train_batch_size=4, bf16=True)
    rewards = torch.tensor(found["rewards"])
    assert (rewards != rewards.bfloat16().float()).any(), rewards


@pytest.mark.slow
@pytest.mark.parametrize("use_peft", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("config", ["zero2_cpu_2proc.yaml", "zero3_cpu_2proc.yaml"])
def test_what_the_main_job_saves_gives_the_rewards_it_reported(config, use_peft, base, tmp_path):
    settings = [f"model_name={base}", f"output_dir={tmp_path}", f"use_peft={use_peft}", "lora_last_layers=None"]
    settings += ["max_length=512", "trainer.max_steps=2"]
    accelerate_launch(config, str(ROOT / "tasks" / "train.py"), "with", *settings)
    reported = pd.read_csv(tmp_path / "test_rewards.csv").head(8)
    pairs = reported[["chosen", "rejected"]].to_numpy().tolist()
    rewards = RewardScorer(str(tmp_path)).score(reported["prompt"].tolist(), pairs)
    np.testing.assert_allclose(rewards, reported[["reward_chosen", "reward_rejected"]], atol=1e-6)
