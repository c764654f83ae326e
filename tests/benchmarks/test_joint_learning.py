"""Joint learning finds the annotators and the truth: the acceptance of the method, through the real trainers."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.joint_learning import run, summarise


pytestmark = pytest.mark.slow


def test_beats_standard_learning_over_ten_seeds(tmp_path):
    results = [
        run(method, "honest", seed, 3.0, tmp_path)
        for seed in range(20, 30)
        for method in ("standard", "joint", "oracle")
    ]
    figures = summarise(results)
    assert figures["joint - standard"]["ci_low"] > 0
    assert figures["correlation of eta, joint"]["value"] > 0.9
    assert figures["honest flagged, joint"]["value"] == 0


def test_cross_fitted_intervals_cover_the_truth(tmp_path):
    results = [
        run(method, "honest", seed, 3.0, tmp_path) for seed in range(20, 24) for method in ("standard", "cross_fitted")
    ]
    figures = summarise(results)
    assert figures["correlation of eta, cross_fitted"]["value"] > 0.9
    # 48 intervals: 95 % of them with two standard errors to each side
    assert figures["coverage of 95% intervals, cross_fitted"]["value"] > 0.88


def test_adversaries_are_identified_and_nobody_else_is(tmp_path):
    for seed in range(20, 23):
        table = pd.DataFrame(run("joint", "adversarial", seed, 3.0, tmp_path)["annotators"])
        np.testing.assert_array_equal(table["adversarial"], table["true_eta"] < 0)
