"""One process with padded batches and two with shared prefixes give the same predictions, metrics and parameters."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def launch(config: str, output: Path, **settings) -> dict:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(ROOT / "accelerate_configs" / config),
        "--main_process_port", str(free_port()), str(ROOT / "tests" / "distributed" / "evaluate_and_train.py"), str(output), json.dumps(settings),
    ]  # fmt: skip
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(output.read_text())


@pytest.fixture(scope="module", params=["random", "group_by_length"])
def runs(request, tmp_path_factory):
    return [
        launch(
            config, tmp_path_factory.mktemp(name) / "found.json", train_sampling_strategy=request.param,
            shared_prefix=shared_prefix,
        )
        for name, config, shared_prefix in (("one", "cpu.yaml", False), ("two", "cpu_2proc.yaml", True))
    ]  # fmt: skip


def test_thirteen_pairs_at_batch_size_four_give_thirteen_predictions(runs):
    for run in runs:
        assert np.shape(run["predictions"]) == (13, 2)
    np.testing.assert_allclose(runs[1]["predictions"], runs[0]["predictions"], atol=2e-6)


def test_accuracy_and_loss_are_those_of_the_thirteen_pairs(runs):
    rewards = np.array(runs[0]["predictions"])
    difference = rewards[:, 0] - rewards[:, 1]
    for run in runs:
        assert run["accuracy"] == pytest.approx((difference > 0).mean(), abs=1e-9)
        assert run["loss"] == pytest.approx(np.logaddexp(0, -difference).mean(), abs=1e-6)


def test_batches_by_tokens_hold_every_pair_once(tmp_path):
    found = launch("cpu_2proc.yaml", tmp_path / "found.json", max_tokens_per_batch=100)
    first, second = found["batches"]  # weights of the pairs, of each process
    assert len(first) == len(second) > 1
    assert sorted(sum(first + second, [])) == sorted(0.25 * (i % 5) for i in range(16))


def test_training_is_the_same(runs):
    np.testing.assert_allclose(runs[1]["train_loss"], runs[0]["train_loss"], atol=2e-6)
    np.testing.assert_allclose(runs[1]["train_accuracy"], runs[0]["train_accuracy"], atol=1e-9)
    np.testing.assert_allclose(runs[1]["parameters"], runs[0]["parameters"], atol=2e-6)
