"""Commitment from reward differences: against brute force, against the truth, and where the data say little."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from trl_ext.reliability import estimate_commitment


FLAT = (1.0, 1.0)


def labels(eta, n, seed, spread=3.0, bias=None):
    """Differences (chosen minus rejected), annotators, and differences of length, from annotators of known η."""
    rng = np.random.default_rng(seed)
    eta = np.asarray(eta)
    annotator = np.arange(n) % len(eta)
    difference, length = rng.normal(scale=spread, size=n), rng.normal(size=n)
    felt = difference if bias is None else difference + np.asarray(bias)[annotator] * length
    sign = np.where(rng.random(n) < (1 + eta[annotator] * np.tanh(felt / 2)) / 2, 1, -1)
    return difference * sign, annotator, length * sign


def test_mode_by_hand():
    # t = tanh(40) = 1, flat prior: 3 of 4 labels agree, (1 + eta)^3 (1 - eta) has its maximum at eta = 1/2
    found = estimate_commitment([80.0, 80.0, 80.0, -80.0], ["a"] * 4, scale=1, prior=FLAT)
    assert found.table["eta"][0] == pytest.approx(0.5, abs=1e-9)
    # information at q = 3/4: n / (q (1 - q)) / 4 = 16 / 3
    assert found.table["se"][0] == pytest.approx(np.sqrt(3 / 16), abs=1e-9)


def test_sign_test_by_hand():
    # three labels against sure differences: one of the 8 patterns of signs
    found = estimate_commitment([-80.0] * 3, ["a"] * 3, scale=1)
    assert found.table["p_adversarial"][0] == pytest.approx(1 / 8)
    assert found.table["p_chance"][0] == 1


def brute_force(difference, annotator, prior, drop):
    """Mode and profile interval of the first of two annotators, by general-purpose optimisation."""

    def negative(eta_a, eta_b, log_scale):
        t = np.tanh(np.exp(log_scale) * difference / 2)
        eta = np.where(annotator == 0, eta_a, eta_b)
        q = (1 + np.array([eta_a, eta_b])) / 2
        return -np.log1p(eta * t).sum() - ((prior[0] - 1) * np.log(q) + (prior[1] - 1) * np.log(1 - q)).sum()

    inner = {"method": "L-BFGS-B", "options": {"ftol": 1e-13, "gtol": 1e-9}}
    best = minimize(lambda x: negative(*x), [0.5, 0.5, 0], bounds=[(-0.999, 0.999)] * 2 + [(-4, 4)], **inner)

    def profile(eta):
        return minimize(lambda x: negative(eta, *x), best.x[1:], bounds=[(-0.999, 0.999), (-4, 4)], **inner).fun

    grid = np.linspace(-0.99, 0.99, 397)
    inside = grid[[profile(eta) - best.fun <= drop for eta in grid]]
    return best.x, inside.min(), inside.max()


def test_agrees_with_brute_force():
    difference, annotator, _ = labels([0.4, 0.8], 160, seed=3)
    found = estimate_commitment(difference, annotator, prior=(2.0, 1.25))
    mode, low, high = brute_force(difference, annotator, (2.0, 1.25), drop=1.9207)
    np.testing.assert_allclose(found.table["eta"], mode[:2], atol=1e-3)
    assert np.log(found.scale.value) == pytest.approx(mode[2], abs=2e-3)
    assert found.table["ci_low"][0] == pytest.approx(low, abs=0.012)
    assert found.table["ci_high"][0] == pytest.approx(high, abs=0.012)


def test_finds_the_truth_and_says_how_well():
    eta = np.linspace(0.1, 0.95, 12)
    covered, correlations = [], []
    for seed in range(40):
        difference, annotator, _ = labels(eta, 2000, seed)
        table = estimate_commitment(difference, annotator, scale=1).table
        covered.append((table["ci_low"] <= eta) & (eta <= table["ci_high"]))
        correlations.append(np.corrcoef(table["eta"], eta)[0, 1])
    assert np.mean(correlations) > 0.9
    assert 0.90 <= np.mean(covered) <= 0.98


def test_the_scale_of_the_rewards_does_not_matter_when_it_is_estimated():
    difference, annotator, _ = labels(np.linspace(0.2, 0.9, 6), 900, seed=1)
    found, scaled = (estimate_commitment(factor * difference, annotator) for factor in (1.0, 10.0))
    np.testing.assert_allclose(scaled.table["eta"], found.table["eta"], atol=1e-4)
    np.testing.assert_allclose(scaled.table["ci_low"], found.table["ci_low"], atol=1e-3)
    assert scaled.scale.value == pytest.approx(found.scale.value / 10, rel=1e-3)
    assert found.scale.ci_low < 1 < found.scale.ci_high


def test_small_rewards_leave_the_level_of_eta_open(caplog):
    difference, annotator, _ = labels([0.3, 0.6, 0.9], 600, seed=0, spread=0.05)
    found = estimate_commitment(difference, annotator)
    assert "scale of the rewards is not determined" in caplog.text
    assert (found.table["ci_high"] - found.table["ci_low"]).min() > 1


def test_adversaries_are_found_and_nobody_else():
    eta = [-0.6, 0.1, 0.3, 0.5, 0.7, 0.9]
    flagged = []
    for seed in range(10):
        difference, annotator, _ = labels(eta, 900, seed)
        flagged.append(estimate_commitment(difference, annotator, scale=1).table["adversarial"])
    np.testing.assert_array_equal(np.mean(flagged, axis=0), [1, 0, 0, 0, 0, 0])


def test_the_prior_does_not_enter_the_tests():
    difference, annotator, _ = labels([-0.6, 0.1, 0.9], 90, seed=2)
    tables = [estimate_commitment(difference, annotator, scale=1, prior=prior).table for prior in (FLAT, (30.0, 2.0))]
    np.testing.assert_array_equal(tables[0]["p_adversarial"], tables[1]["p_adversarial"])
    assert tables[0]["eta"][0] < tables[1]["eta"][0]


def test_coin_flips_are_flagged_as_often_as_stated():
    rng = np.random.default_rng(0)
    flags = []
    for _ in range(200):
        difference = rng.normal(scale=3, size=40)  # of either sign: a coin decided what was chosen
        flags.append(estimate_commitment(difference, np.zeros(40, int), scale=1).table["adversarial"][0])
    assert np.mean(flags) < 0.10


def test_few_pairs_shrink_to_the_prior():
    sure = estimate_commitment([8.0] * 2 + [8.0] * 60, ["new"] * 2 + ["known"] * 60, scale=1, prior=(3.0, 2.0)).table
    # the mode of Beta(3, 2) is q = 2/3: eta = 1/3. Two labels for it, 60 for it
    assert 1 / 3 < sure["eta"][0] < 0.7 < 0.9 < sure["eta"][1]
    assert sure["ci_high"][0] - sure["ci_low"][0] > 4 * (sure["ci_high"][1] - sure["ci_low"][1])
    told_nothing = estimate_commitment([0.0, 0.0], ["a", "a"], scale=1, prior=(3.0, 2.0)).table
    assert told_nothing["eta"][0] == pytest.approx(1 / 3, abs=1e-9)
    assert told_nothing["p_adversarial"][0] == told_nothing["p_chance"][0] == 1


def test_one_annotator():
    difference, annotator, _ = labels([0.7], 400, seed=5)
    row = estimate_commitment(difference, annotator, scale=1).table.iloc[0]
    assert row["n"] == 400
    assert row["ci_low"] < 0.7 < row["ci_high"]
    wide = estimate_commitment(difference, annotator).table.iloc[0]
    assert wide["ci_high"] - wide["ci_low"] > row["ci_high"] - row["ci_low"]  # the scale is not known


@settings(max_examples=25, deadline=None)
@given(
    difference=st.lists(st.floats(-6, 6), min_size=2, max_size=30),
    seed=st.integers(0, 1000),
)
def test_order_does_not_matter_and_contrary_labels_turn_the_sign(difference, seed):
    rng = np.random.default_rng(seed)
    annotator = rng.integers(3, size=len(difference))
    order = rng.permutation(len(difference))
    found, shuffled, opposite = (
        estimate_commitment(d, a, scale=1, prior=FLAT).table.set_index("annotator_id").sort_index()
        for d, a in (
            (difference, annotator),
            (np.array(difference)[order], annotator[order]),
            (-np.array(difference), annotator),
        )
    )
    np.testing.assert_allclose(shuffled["eta"], found["eta"], atol=1e-6)
    np.testing.assert_allclose(opposite["eta"], -found["eta"], atol=1e-6)
    np.testing.assert_allclose(opposite["ci_low"], -found["ci_high"], atol=1e-6)
    assert (found["ci_low"] <= found["eta"]).all() and (found["eta"] <= found["ci_high"]).all()


def test_length_biases_are_told_from_commitment():
    eta, bias = np.array([0.9, 0.9, 0.6, 0.6]), np.array([1.5, -1.0, 0.0, 1.0])
    difference, annotator, length = labels(eta, 2400, seed=4, bias=bias)
    table = estimate_commitment(difference, annotator, scale=1, length_differences=length, length_bias_sd=1.0).table
    assert (np.abs(table["length_bias"] - bias) < 3 * table["length_bias_se"]).all()
    assert (table["ci_low"] <= eta).all() and (eta <= table["ci_high"]).all()
    without = estimate_commitment(difference, annotator, scale=1).table
    assert without["eta"][0] < table["eta"][0]  # what length decided looked like guessing


@pytest.mark.parametrize(
    "change, message",
    [
        ({"differences": [1.0, np.nan]}, "differences has 1 values that are not finite; first: row 1"),
        ({"differences": [[1.0, 2.0]]}, r"shape \(N,\)"),
        ({"annotators": ["a", None]}, "1 missing ids .*row 1"),
        ({"annotators": ["a", " "]}, "1 missing ids .*row 1"),
        ({"annotators": pd.Series(["a", None], dtype="string")}, "1 missing ids .*row 1, value <NA>"),
        ({"annotators": ["a"]}, "one id per difference"),
        ({"prior": (0.5, 1)}, "prior must be two numbers of at least 1"),
        ({"scale": 0}, "scale must be positive"),
        ({"level": 95}, "level must lie strictly between 0 and 1"),
        ({"length_bias_sd": 1.0}, "belong together"),
        ({"length_bias_sd": -1.0, "length_differences": [1.0, 2.0]}, "length_bias_sd must be positive"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"differences": [1.0, 2.0], "annotators": ["a", "b"]} | change
    with pytest.raises(ValueError, match=message):
        estimate_commitment(**arguments)


def test_mixed_ids_are_refused():
    with pytest.raises(TypeError, match="row 1, value 2"):
        estimate_commitment([1.0, 2.0], ["a", 2])
