"""Ensembles and Gaussian rewards: two processes with shared prefixes are one with padded batches."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.processes import ROOT, launch


SCRIPT = ROOT / "tests" / "distributed" / "evaluate_and_train.py"


def run(config: str, output: Path, **settings) -> dict:
    launch(config, SCRIPT, output, json.dumps(settings))
    return json.loads(output.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("head", ["ensemble", "gaussian"])
def test_two_processes_are_one(head, tmp_path):
    one = run("cpu.yaml", tmp_path / "one.json", reward_head=head, shared_prefix=False)
    two = run("cpu_2proc.yaml", tmp_path / "two.json", reward_head=head)
    assert np.shape(two["predictions"]) == (13, 2)
    for name in ("predictions", "difference_sd", "train_loss", "parameters"):
        np.testing.assert_allclose(two[name], one[name], atol=3e-6, err_msg=name)
    if head == "gaussian":
        assert one["thresholds"] != [-1.0, 1.0]
        np.testing.assert_allclose(two["thresholds"], one["thresholds"], atol=1e-5)
