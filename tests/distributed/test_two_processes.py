"""One process with padded batches and two with shared prefixes give the same predictions, metrics and parameters."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.processes import ROOT, launch


SCRIPT = ROOT / "tests" / "distributed" / "evaluate_and_train.py"


def run(config: str, output: Path, **settings) -> dict:
    launch(config, SCRIPT, output, json.dumps(settings))
    return json.loads(output.read_text())


@pytest.fixture(scope="module", params=["random", pytest.param("group_by_length", marks=pytest.mark.slow)])
def runs(request, tmp_path_factory):
    return [
        run(
            config, tmp_path_factory.mktemp(name) / "found.json", train_sampling_strategy=request.param,
            shared_prefix=shared_prefix,
        )
        for name, config, shared_prefix in (("one", "cpu.yaml", False), ("two", "cpu_2proc.yaml", True))
    ]  # fmt: skip


def test_thirteen_pairs_at_batch_size_four_give_thirteen_predictions(runs):
    for found in runs:
        assert np.shape(found["predictions"]) == (13, 2)
    np.testing.assert_allclose(runs[1]["predictions"], runs[0]["predictions"], atol=2e-6)


def test_accuracy_and_loss_are_those_of_the_thirteen_pairs(runs):
    rewards = np.array(runs[0]["predictions"])
    difference = rewards[:, 0] - rewards[:, 1]
    for found in runs:
        assert found["accuracy"] == pytest.approx((difference > 0).mean(), abs=1e-9)
        assert found["loss"] == pytest.approx(np.logaddexp(0, -difference).mean(), abs=1e-6)


def test_batches_by_tokens_hold_every_pair_once(tmp_path):
    found = run("cpu_2proc.yaml", tmp_path / "found.json", max_tokens_per_batch=100)
    first, second = found["batches"]  # weights of the pairs, of each process
    assert len(first) == len(second) > 1
    assert sorted(sum(first + second, [])) == sorted(0.25 * (i % 5) for i in range(16))


def test_training_is_the_same(runs):
    np.testing.assert_allclose(runs[1]["train_loss"], runs[0]["train_loss"], atol=2e-6)
    np.testing.assert_allclose(runs[1]["train_accuracy"], runs[0]["train_accuracy"], atol=1e-9)
    np.testing.assert_allclose(runs[1]["parameters"], runs[0]["parameters"], atol=2e-6)
