"""Length bias: bands by hand, planted biases are found, and what can't be computed says so."""

import json

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation.biases.length_bias import length_bias


FAST = {"resamples": 200}


def planted(slope: float, n: int = 800, seed: int = 0):
    """Rewards that pay for length, and lengths that say nothing about which response is chosen."""
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(5, 0.6, (2, n))
    rewards = rng.normal([[1.0], [0.0]], 1.0, (2, n)) + slope * np.log(lengths)
    return (*rewards, *lengths)


def test_example():
    assert failed_examples(length_bias) == 0


def test_bands_by_hand():
    # ratios 2, 1.05, 1/1.05, 1/2, 1.1: the last is on the border of the equal band
    bias = length_bias([1, 1, 0, 0, 1], [0, 0, 1, 1, 1], [200, 105, 100, 100, 110], [100, 100, 105, 200, 100], **FAST)
    assert {band: estimate.n for band, estimate in bias.accuracy.items()} == {
        **{"longer": 1, "equal": 3, "shorter": 1},
        "all": 5,
    }
    assert bias.accuracy["equal"].value == pytest.approx(1 / 3)
    assert (bias.ties, bias.ties_rule) == (1, "loss")
    assert bias.gap.value == 1.0 and bias.longer_wins.value == 1.0 and bias.longer_is_chosen.value == 0.5


@pytest.mark.parametrize("slope", [-1.0, 1.0])
def test_finds_a_planted_bias(slope):
    bias = length_bias(*planted(slope), resamples=500)
    for estimate in (bias.gap, bias.spearman, bias.log_odds):
        assert estimate.value * slope > 0
        assert (estimate.ci_low * slope > 0) and (estimate.ci_high * slope > 0)
    assert (bias.longer_wins.value - 0.5) * slope > 0.1
    assert bias.longer_is_chosen.ci_low < 0.5 < bias.longer_is_chosen.ci_high


def test_finds_none_where_there_is_none():
    bias = length_bias(*planted(0.0), resamples=500)
    for estimate, without in ((bias.gap, 0), (bias.spearman, 0), (bias.log_odds, 0), (bias.longer_wins, 0.5)):
        assert estimate.ci_low < without < estimate.ci_high


def test_agrees_with_others():
    rewards_chosen, rewards_rejected, chosen, rejected = planted(0.5, 400)
    bias = length_bias(rewards_chosen, rewards_rejected, chosen, rejected, **FAST)
    expected = stats.spearmanr(rewards_chosen - rewards_rejected, chosen - rejected).statistic
    assert bias.spearman.value == pytest.approx(expected)
    x = np.log(chosen / rejected)
    fit = sm.Logit((rewards_chosen > rewards_rejected).astype(float), sm.add_constant(x)).fit(disp=False)
    # per standard deviation
    assert bias.log_odds.value / bias.log_ratio_sd == pytest.approx(fit.params[1], rel=1e-6)
    assert bias.log_odds_equal.value == pytest.approx(fit.params[0], rel=1e-6)
    assert bias.log_odds.se / bias.log_ratio_sd == pytest.approx(fit.bse[1], rel=1e-4)


def test_repeated_pairs_are_no_new_information():
    once = planted(0.5, 300)
    repeated = [np.repeat(values, 4) for values in once]
    alone = length_bias(*once, resamples=1000)
    together = length_bias(*repeated, clusters=np.arange(1200) // 4, resamples=1000)
    for name in ("gap", "spearman", "log_odds"):
        assert getattr(together, name).se == pytest.approx(getattr(alone, name).se, rel=0.12)
        assert getattr(together, name).value == pytest.approx(getattr(alone, name).value)


@pytest.mark.parametrize(
    ("rewards", "lengths", "reason"),
    [
        ([1, 1, 1], [20, 10, 30], "decided alike"),
        ([1, -1, 1], [10, 10, 10], "same length ratio"),
        ([1, -1, 1], [20, 5, 30], "no bound"),
    ],
)
def test_says_why_there_is_no_regression(rewards, lengths, reason):
    bias = length_bias(rewards, [0, 0, 0], lengths, [10, 10, 10], **FAST)
    assert reason in bias.regression and np.isnan(bias.log_odds.value)
    json.dumps(bias.to_dict())


def test_a_band_without_rows():
    bias = length_bias([1, 0, 1, 0], [0, 1, 0, 1], [20, 30, 20, 40], [10, 10, 10, 10], **FAST)
    assert bias.accuracy["shorter"].n == 0 and np.isnan(bias.gap.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length_chosen": [0, 1]}, "length_chosen has 1 values that are not above 0; first: row 0"),
        ({"length_chosen": [1]}, "one value per pair"),
        ({"rewards_rejected": [np.nan, 1]}, "rewards_rejected has 1 values that are not finite"),
        ({"ties": "win"}, "loss, half"),
        ({"equal_within": -1}, "at least 0"),
    ],
)
def test_refuses(change, message):
    arguments = {
        "rewards_chosen": [1, 2],
        "rewards_rejected": [0, 3],
        "length_chosen": [1, 2],
        "length_rejected": [2, 1],
    }
    with pytest.raises(ValueError, match=message):
        length_bias(**(arguments | change))
