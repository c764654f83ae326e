"""Metrics against the oracle are those of every pair once, on two processes with ragged last batches."""

import json

import numpy as np
import pytest

from tests.distributed.evaluate_oracle import ORACLE
from tests.processes import ROOT, launch
from trl_ext.evaluation import oracle_scores


def test_metrics_are_those_of_the_thirteen_pairs(tmp_path):
    launch("cpu_2proc.yaml", ROOT / "tests" / "distributed" / "evaluate_oracle.py", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    rewards = np.array(found["rewards"])
    assert rewards.shape == (13, 2)
    scores = oracle_scores(rewards[:, 0], rewards[:, 1], ORACLE)
    for name, figure in scores.figures().items():
        assert found["metrics"][f"eval_{name}"] == pytest.approx(figure.value, abs=1e-6)
    assert found["metrics"]["eval_oracle_ties"] == scores.oracle_ties == 1
