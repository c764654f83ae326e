"""Correlations between models: those of scipy, intervals that know prompts, agreement of decisions."""

import json

import numpy as np
import pytest
from scipy import stats

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation.comparison.correlations import reward_correlations, spearman_statistic


SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}


def models(n_prompts=60, size=5, seed=0, prompt_sd=2.0):
    """Two models that share the level of a prompt, and little else."""
    rng = np.random.default_rng(seed)
    prompts = np.repeat(np.arange(n_prompts), size)
    level = rng.normal(0, prompt_sd, n_prompts)[prompts]
    return {name: level + rng.normal(size=prompts.size) for name in ("x", "y")}, prompts


def test_example():
    assert failed_examples(reward_correlations) == 0


@pytest.mark.parametrize("kind", SCIPY)
def test_values_are_those_of_scipy(kind):
    rewards, _ = models()
    rewards["z"] = np.round(rewards["y"])  # ties
    found = reward_correlations(rewards, kind=kind)
    for (a, b), estimate in found.correlations.items():
        assert estimate.value == pytest.approx(SCIPY[kind](rewards[a], rewards[b]).statistic)
    assert found.agreement is None
    matrix = found.matrix()
    assert (np.diag(matrix) == 1).all() and (matrix == matrix.T).all().all()


def test_fisher_interval_is_that_of_scipy():
    rewards, _ = models()
    estimate = reward_correlations(rewards).correlations["x", "y"]
    expected = stats.pearsonr(rewards["x"], rewards["y"]).confidence_interval(0.95)
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx((expected.low, expected.high))


def test_weighted_ranks_are_those_of_repeated_rows():
    rng = np.random.default_rng(1)
    x, y, weights = rng.integers(0, 6, 40), rng.normal(size=40), rng.integers(0, 4, (3, 40))
    found = spearman_statistic(x, y)(weights.astype(float))
    for row, value in zip(weights, found, strict=True):
        assert value == pytest.approx(stats.spearmanr(np.repeat(x, row), np.repeat(y, row)).statistic)


def test_shared_levels_of_prompts_are_no_agreement_on_responses():
    rewards, prompts = models()
    plain = reward_correlations(rewards, prompts=prompts)
    centred = reward_correlations(rewards, prompts=prompts, centre_prompts=True)
    assert plain.correlations["x", "y"].ci_low > 0.6
    assert centred.correlations["x", "y"].ci_low < 0 < centred.correlations["x", "y"].ci_high
    assert plain.agreement["x", "y"].ci_low < 0.5 < plain.agreement["x", "y"].ci_high
    # whole prompts are drawn: the interval is wider than that of independent rows
    rows = reward_correlations(rewards).correlations["x", "y"]
    assert plain.correlations["x", "y"].se > 1.3 * rows.se


def test_agreement_by_hand():
    # prompt p: y orders (0, 1) and (0, 2) as x does, (1, 2) not; prompt q: x ties
    rewards = {"x": [3.0, 2.0, 1.0, 5.0, 5.0], "y": [9.0, 1.0, 2.0, 0.0, 1.0]}
    found = reward_correlations(rewards, prompts=list("pppqq"))
    assert found.pairs == 4
    assert found.agreement["x", "y"].value == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert found.matrix("agreement").loc["y", "x"] == pytest.approx(2.5 / 4)
    json.dumps(found.to_dict())


@pytest.mark.parametrize("centre", [False, True])
def test_intervals_cover(centre):
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        prompts = np.repeat(np.arange(50), 4)
        shared, own = rng.normal(size=200), rng.normal(size=(2, 200))
        rewards = {name: shared + noise for name, noise in zip("xy", own, strict=True)}
        options = {"prompts": prompts, "centre_prompts": centre, "resamples": 200, "seed": seed}
        estimate = reward_correlations(rewards, **options).correlations["x", "y"]
        covered += estimate.ci_low <= 0.5 <= estimate.ci_high
    assert 0.87 <= covered / 100 <= 0.995


def test_constant_rewards():
    estimate = reward_correlations({"x": [1.0, 1.0], "y": [1.0, 2.0]}).correlations["x", "y"]
    assert np.isnan(estimate.value) and "constant" in estimate.method


@pytest.mark.parametrize(
    ("rewards", "options", "message"),
    [
        ({"x": [1.0]}, {}, "at least two models"),
        ({"x": [1.0, 2.0], "y": [1.0]}, {}, "x has 2, y 1"),
        ({"x": [1.0], "y": [np.inf]}, {}, "rewards of y has 1 values that are not finite"),
        ({"x": [1.0], "y": [2.0]}, {"kind": "kendall"}, "pearson, spearman"),
        ({"x": [1.0], "y": [2.0]}, {"centre_prompts": True}, "needs prompts"),
        ({"x": [1.0], "y": [2.0]}, {"centre_prompts": True, "prompts": ["p"]}, "at least two responses"),
    ],
)
def test_refuses(rewards, options, message):
    with pytest.raises(ValueError, match=message):
        reward_correlations(rewards, **options)
