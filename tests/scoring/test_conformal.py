"""Conformal intervals and preference sets: coverage by simulation, and what must hold for any numbers."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.scoring.uncertainty import (
    ConformalIntervals,
    PreferenceSets,
    fit_conformal_intervals,
    fit_preference_sets,
)
from trl_ext.scoring.uncertainty.quantiles import conformal_quantile


REPEATS = 2000


class TestQuantile:
    def test_by_hand(self):
        # n = 9, alpha = 0.1: the ceil(0.9 * 10) = 9th smallest of 9
        assert conformal_quantile(np.arange(1.0, 10.0), 0.1) == 9
        # n = 19, alpha = 0.2: the 16th
        assert conformal_quantile(np.arange(1.0, 20.0), 0.2) == 16

    @given(st.floats(0.01, 0.5))
    def test_refuses_just_where_it_would_be_infinite(self, alpha):
        needed = math.ceil(1 / alpha - 1 - 1e-9)
        conformal_quantile(np.arange(float(needed)), alpha)
        with pytest.raises(ValueError, match="needs at least"):
            conformal_quantile(np.arange(float(needed - 1)), alpha)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_coverage(alpha, normalized):
    """Mean coverage of 2000 calibration sets of n = 49 is (k)/(n+1), k = ceil((1 - alpha) 50), whatever the noise."""
    generator = np.random.default_rng(1)
    n = 49
    sd = generator.uniform(0.5, 3, (REPEATS, n + 1))
    d = generator.normal(size=(REPEATS, n + 1))
    target = d + sd * generator.standard_t(3, (REPEATS, n + 1))
    covered = np.empty(REPEATS)
    for i in range(REPEATS):
        spread = sd[i] if normalized else None
        fitted = fit_conformal_intervals(
            d[i, :n], target[i, :n], alpha=alpha, sds=None if spread is None else spread[:n]
        )
        low, high = fitted.intervals(d[i, n:], None if spread is None else spread[n:])
        covered[i] = low[0] <= target[i, n] <= high[0]
    expected = math.ceil((1 - alpha) * (n + 1) - 1e-9) / (n + 1)
    standard_error = math.sqrt(expected * (1 - expected) / REPEATS)
    assert covered.mean() == pytest.approx(expected, abs=4 * standard_error)


def clustered(generator, clusters: int, size: int):
    shared = generator.normal(size=(clusters, 1)) * 3
    d = np.zeros((clusters, size))
    return d, shared + generator.normal(size=(clusters, size))


def test_pairs_of_a_prompt_count_once():
    """Errors that pairs of a prompt share: one of each cluster covers, the worst of each covers all pairs at once."""
    generator = np.random.default_rng(2)
    labels = np.repeat(np.arange(30), 5)
    one = np.empty(800)
    all_of_cluster = np.empty(800)
    for i in range(800):
        d, target = clustered(generator, 31, 5)
        arguments = {"alpha": 0.2, "clusters": labels}
        fitted = fit_conformal_intervals(d[:30].ravel(), target[:30].ravel(), seed=i, **arguments)
        low, high = fitted.intervals(d[30])
        one[i] = low[0] <= target[30, 0] <= high[0]
        worst = fit_conformal_intervals(
            d[:30].ravel(), target[:30].ravel(), cluster_rule="cluster_maximum", **arguments
        )
        low, high = worst.intervals(d[30])
        all_of_cluster[i] = ((low <= target[30]) & (target[30] <= high)).all()
    expected = math.ceil(0.8 * 31) / 31
    error = 4 * math.sqrt(expected * (1 - expected) / 800)
    assert one.mean() == pytest.approx(expected, abs=error)
    assert all_of_cluster.mean() == pytest.approx(expected, abs=error)


def test_every_group_is_covered():
    generator = np.random.default_rng(3)
    covered = {"easy": [], "hard": []}
    groups = ["easy", "hard"] * 40
    noise = np.where(np.array(groups) == "easy", 0.1, 5.0)
    for _ in range(500):
        target = generator.normal(size=80) * noise
        fitted = fit_conformal_intervals(np.zeros(80), target, alpha=0.25, groups=groups)
        for name, scale in (("easy", 0.1), ("hard", 5.0)):
            low, high = fitted.intervals([0.0], groups=[name])
            covered[name].append(low[0] <= generator.normal() * scale <= high[0])
    expected = math.ceil(0.75 * 41) / 41
    for found in covered.values():
        assert np.mean(found) == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 500))


numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(numbers, numbers), min_size=9, max_size=60), st.floats(0.1, 0.9), st.floats(0.1, 10))
def test_intervals_cover_their_calibration_pairs(rows, alpha, scale):
    d, target = np.array(rows).T
    fitted = fit_conformal_intervals(d, target, alpha=alpha, scale=scale)
    low, high = fitted.intervals(d)
    slack = 1e-9 * (1 + np.abs(scale * d) + np.abs(target))
    assert ((low - slack <= target) & (target <= high + slack)).mean() >= 1 - alpha - 1e-12
    # a stricter alpha is never narrower
    if len(rows) >= 19:
        stricter = fit_conformal_intervals(d, target, alpha=max(alpha / 2, 0.05), scale=scale)
        assert stricter.quantiles[""] >= fitted.quantiles[""]
    assert ConformalIntervals(**json.loads(json.dumps(fitted.to_dict()))) == fitted


def test_coverage_of_one_calibration_set():
    fitted = fit_conformal_intervals(np.zeros(199), np.linspace(0, 1, 199), alpha=0.1)
    low, high = fitted.coverage_range()
    # Beta(180, 20): mean 0.9, sd 0.0212
    assert 0.85 < low < 0.9 < high < 0.945
    assert "at least 0.9" in fitted.statement and "exchangeable" in fitted.statement


class TestPreferenceSets:
    def test_error_is_bounded(self):
        generator = np.random.default_rng(4)
        d = generator.normal(0.7, 1, (REPEATS, 60))
        wrong = [
            (fit_preference_sets(row[:59], alpha=0.1).decide(row[59:]) == -1).item() for row in d
        ]  # the wrong order is in 24 % of the pairs
        assert np.mean(wrong) == pytest.approx(6 / 60, abs=4 * math.sqrt(0.09 / REPEATS))

    def test_a_good_model_states_everything(self):
        d = np.linspace(-0.01, 1, 100)
        sets = fit_preference_sets(d, alpha=0.1)
        assert sets.thresholds[""] == 0 and set(sets.decide(d).tolist()) == {-1, 1}

    def test_selective_error_of_statements(self):
        generator = np.random.default_rng(5)
        repeats, failures, stated = 150, 0, []
        for _ in range(repeats):
            signed = generator.normal(0.7, 1, 400)
            sets = fit_preference_sets(signed, alpha=0.1, guarantee="selective")
            threshold = sets.thresholds[""]
            if math.isinf(threshold):
                continue
            upper = 0.5 * math.erfc((threshold - 0.7) / math.sqrt(2))
            lower = 0.5 * math.erfc((threshold + 0.7) / math.sqrt(2))
            stated.append(upper + lower)
            failures += lower / (upper + lower) > 0.1
        assert failures / repeats <= 0.05 and np.mean(stated) > 0.15

    @given(st.lists(st.floats(-100, 100), min_size=19, max_size=60), st.sampled_from(["marginal", "selective"]))
    def test_swapping_both_responses_swaps_the_decision(self, d, guarantee):
        sets = fit_preference_sets(d, alpha=0.1, guarantee=guarantee)
        np.testing.assert_array_equal(sets.decide(d), -sets.decide(-np.array(d)))
        assert PreferenceSets.from_dict(json.loads(json.dumps(sets.to_dict()))) == sets


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"alpha": 0.0}, "strictly between 0 and 1"),
        ({"alpha": 0.01}, "needs at least 99"),
        ({"sds": [1.0, -1.0] * 10}, "10 values below 0; first: row 1, value -1.0"),
        ({"sds": [0.0] * 20, "targets": np.ones(20)}, "20 of 20 calibration pairs have the standard deviation 0"),
        ({"targets": [math.nan] * 20}, "targets has 20 values that are not finite"),
        ({"groups": ["a"] * 19 + [None]}, "row 19"),
        ({"groups": ["a"] * 19 + ["b"]}, "1 calibration pair of group 'b'"),
        ({"clusters": [0] * 20}, "clusters count once"),
        ({"clusters": [0] * 19 + [None]}, "first without: row 19"),
        ({"cluster_rule": "mean", "clusters": range(20)}, "one_per_cluster, cluster_maximum"),
        ({"scale": 0.0}, "not 0"),
    ],
)
def test_bad_input(arguments, match):
    targets = arguments.pop("targets", np.zeros(20))
    with pytest.raises(ValueError, match=match):
        fit_conformal_intervals(np.zeros(20), targets, **arguments)


def test_applied_as_it_was_fitted():
    fitted = fit_conformal_intervals(np.zeros(20), np.ones(20), sds=np.ones(20), groups=["a"] * 20)
    with pytest.raises(ValueError, match="give `sds`"):
        fitted.intervals([0.0], groups=["a"])
    with pytest.raises(ValueError, match="give the `groups`"):
        fitted.intervals([0.0], [1.0])
    with pytest.raises(ValueError, match="group 'c', of which no pair was there"):
        fitted.intervals([0.0], [1.0], ["c"])
    with pytest.raises(ValueError, match="no group '': known are 'a'"):
        fitted.coverage_range()


def test_a_standard_deviation_of_zero_is_a_certain_difference():
    """Of equal responses: they are no preference, and an interval of width 0 at 0."""
    generator = np.random.default_rng(6)
    d, sd = generator.normal(size=99), generator.uniform(0.5, 2, 99)
    d[:3] = sd[:3] = 0
    target = d + sd * generator.normal(size=99)
    fitted = fit_conformal_intervals(d, target, sds=sd, alpha=np.float32(0.1))
    low, high = fitted.intervals(d, sd)
    assert (low[:3] == 0).all() and (high[:3] == 0).all()
    assert ((low - 1e-12 <= target) & (target <= high + 1e-12)).mean() >= 0.9
    for guarantee in ("marginal", "selective"):
        decided = fit_preference_sets(np.abs(d), sds=sd, alpha=0.3, guarantee=guarantee).decide([0.0, 3.0], [0.0, 0.0])
        assert decided.tolist() == [0, 1]


@pytest.mark.parametrize("guarantee", ["marginal", "selective"])
def test_no_pairs(guarantee):
    with pytest.raises(ValueError, match="no calibration pairs|0 calibration pairs"):
        fit_preference_sets([], guarantee=guarantee)
