"""Pairwise metrics, through the evaluate library."""

import evaluate
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss

from trl_ext.evaluation.accuracy.pairwise import PairwiseRewardMetric, pairwise_metrics


def test_by_hand():
    # differences 1, -2, 0: one right, one wrong, one tie; mean -1/3
    # -log sigma: log(1 + e^-1) = 0.313262, log(1 + e^2) = 2.126928, log 2 = 0.693147; mean 1.044446
    found = pairwise_metrics(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]))
    assert found == pytest.approx(
        {"accuracy": 1 / 3, "tie_rate": 1 / 3, "margin": -1 / 3, "log_loss": 1.044446}, abs=1e-6
    )


@given(arrays(np.float64, (7, 2), elements=st.floats(-15, 15)))
def test_log_loss_is_that_of_scikit_learn(rewards):
    probability = 1 / (1 + np.exp(rewards[:, 1] - rewards[:, 0]))
    expected = log_loss(np.ones(7), probability, labels=[0, 1])
    assert pairwise_metrics(rewards)["log_loss"] == pytest.approx(expected, abs=1e-9)


def test_large_differences_stay_finite():
    assert pairwise_metrics(np.array([[0.0, 1e4]]))["log_loss"] == pytest.approx(1e4)


def test_it_is_an_evaluate_metric(tmp_path):
    metric = PairwiseRewardMetric(cache_dir=str(tmp_path))
    assert isinstance(metric, evaluate.Metric)
    metric.add_batch(predictions=[[1.0, 0.0]])
    metric.add_batch(predictions=[[0.0, 1.0], [2.0, 1.0]])
    assert metric.compute()["accuracy"] == pytest.approx(2 / 3)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        pairwise_metrics(np.zeros((3, 3)))
