"""Corrections of RATE for rewrites that fail, that change other things, and that keep traces of the original."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_rewrites import SCENARIOS, planted, signed_difference

from trl_ext.rate import (
    RewardChains,
    compliance_corrected_effects,
    depth_test,
    estimate_effects,
    feature_adjusted_effects,
    sensitivity,
    symmetric_effects,
)
from trl_ext.rate.remedies.longer_chains import symmetric_weights


def rate(chains, *_):
    return estimate_effects(chains)["ATE_rewritten_rewrite"]


def adjusted(chains, _, measured):
    return feature_adjusted_effects(chains, signed_difference(chains, measured))["ATE"]


def wald(chains, state, _):
    return compliance_corrected_effects(chains, state[:, 1:3])["ATE"]


def symmetric(chains, *_):
    return symmetric_effects(chains)["ATE"]


REMEDIES = {
    **{"S5_rate": rate, "S5_adj": adjusted, "S6_rate": rate, "S6_chain": symmetric},
    **{"S7_rate": rate, "S7_wald": wald},
}


def replicate(name, repetitions, n=500):
    scenario = SCENARIOS[name[:2]]
    for seed in range(repetitions):
        yield REMEDIES[name](*planted(np.random.default_rng([seed, 7]), n, 3, **scenario))


def chains_of(seed=0, n=60, steps=3, clusters=None):
    rng = np.random.default_rng(seed)
    return RewardChains(np.arange(n) % 3 == 0, rng.normal(size=(n, steps + 1)), clusters, np.arange(n))


class TestGolden:
    """Means and deviations of golden/rate.json, made by another program with 1,000 repetitions of 500 rows."""

    @pytest.mark.parametrize("name", REMEDIES)
    def test_mean_and_deviation(self, shared_dir, name):
        golden = json.loads((shared_dir / "golden" / "rate.json").read_text())["remedies_simulation_not_original"]
        expected, repetitions = golden["results"][name], 60
        values = np.array([estimate.value for estimate in replicate(name, repetitions)])
        error = expected["sd"] * math.sqrt(1 / repetitions + 1 / golden["reps"])
        assert abs(values.mean() - expected["mean"]) < 4 * error
        # a deviation of 60 normal values has a relative error of 9 %
        assert values.std(ddof=1) == pytest.approx(expected["sd"], rel=0.37)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["S5_adj", "S7_wald"])
    def test_coverage(self, name):
        covered = [estimate.ci_low <= 1.0 <= estimate.ci_high for estimate in replicate(name, 2000)]
        assert 0.93 <= np.mean(covered) <= 0.97

    @pytest.mark.slow
    @pytest.mark.parametrize("remedy", [adjusted, wald, symmetric])
    def test_coverage_in_clusters(self, remedy):
        clusters = np.arange(240) // 4
        covered = []
        for seed in range(2000):
            drawn = planted(np.random.default_rng([seed, 8]), 240, 3, clusters=clusters, between=0.8, fail=0.1)
            if remedy is not wald:  # only its truth is the effect itself when rewrites fail
                drawn = planted(np.random.default_rng([seed, 8]), 240, 3, clusters=clusters, between=0.8)
            estimate = remedy(*drawn)
            covered.append(estimate.ci_low <= 1.0 <= estimate.ci_high)
        assert 0.93 <= np.mean(covered) <= 0.97


class TestCompliance:
    def test_by_hand(self):
        # effects 2, 0 (w = 1) and 1, 3 (w = 0); changes 1, 0 and 1, 1
        chains = RewardChains(np.array([1, 1, 0, 0]), np.array([[0, 0, 2], [0, 1, 1], [0, 2, 1], [0, 4, 1.0]]))
        found = compliance_corrected_effects(chains, [[0, 1], [1, 1], [1, 0], [True, False]])
        assert found["ATT"].value == pytest.approx(1.0 / 0.5)
        assert found["ATU"].value == pytest.approx(2.0)
        assert found["ATE"].value == pytest.approx(1.5 / 0.75)
        assert found.compliance["ATE"].value == 0.75
        # mean .75 with deviation 1/2: zero within 3.18 standard errors of .25, by a hair not
        assert found.compliance["ATE"].ci_low == pytest.approx(0.75 - 3.182446 * 0.25, abs=1e-5)
        assert (found["ATE"].ci_low, found["ATE"].ci_high) == (-math.inf, math.inf)

    def test_full_compliance_changes_nothing(self):
        chains = chains_of()
        found = compliance_corrected_effects(chains, np.stack([~chains.w, chains.w], axis=1))
        effects = estimate_effects(chains)
        for name in ("ATE", "ATT", "ATU"):
            plain = effects[f"{name}_rewritten_rewrite"]
            assert found[name].value == pytest.approx(plain.value)
            assert (found[name].ci_low, found[name].ci_high) == pytest.approx((plain.ci_low, plain.ci_high))

    def test_forms_of_measured_agree(self):
        chains, state, _ = planted(np.random.default_rng(0), 200, fail=0.1)
        expected = compliance_corrected_effects(chains, state[:, 1:3])["ATE"]
        assert compliance_corrected_effects(chains, state)["ATE"] == expected
        assert compliance_corrected_effects(chains, (state[:, 1].tolist(), state[:, 2].tolist()))["ATE"] == expected

    def test_unknown_rows_are_an_error_or_counted(self, caplog):
        chains, state, _ = planted(np.random.default_rng(0), 200, fail=0.1)
        measured = state[:, 1:3].astype(object)
        measured[7, 0] = measured[9, 1] = None
        with pytest.raises(ValueError, match=r"2 rows .* first: row 7 \(id 7\)"):
            compliance_corrected_effects(chains, measured)
        found = compliance_corrected_effects(chains, measured, unknown="drop")
        assert found.unknown == 2 and found["ATE"].n == 198 and "2 of 200 rows" in caplog.text
        kept = np.setdiff1d(np.arange(200), [7, 9])
        assert found["ATE"] == compliance_corrected_effects(chains.select(kept), state[kept, 1:3])["ATE"]

    def test_without_compliance_there_is_no_value(self):
        with np.errstate(divide="ignore"):
            corrected = compliance_corrected_effects(chains_of(), np.ones((60, 2)))
        assert corrected.to_dict()["estimates"]["ATE"]["value"] is None

    @pytest.mark.parametrize(
        ("measured", "message"),
        [
            (np.zeros(60), r"shape \(60, 2\)"),
            (np.zeros((59, 2)), r"got \(59, 2\)"),
            (np.full((60, 2), 2.0), r"outside \[0, 1\]; first: row 0, value 2"),
            ([["yes", 0]] * 60, "row 0 has 'yes'"),
            (np.full((60, 2), np.nan), "rows where the attribute"),
        ],
    )
    def test_bad_measurements(self, measured, message):
        with pytest.raises(ValueError, match=message):
            compliance_corrected_effects(chains_of(), measured)

    def test_needs_two_rewrites(self):
        with pytest.raises(ValueError, match="1 rewrites"):
            compliance_corrected_effects(chains_of(steps=1), np.zeros((60, 2)))


class TestFeatureAdjustment:
    @pytest.mark.parametrize("clusters", [None, np.arange(60) // 4])
    def test_is_that_of_statsmodels(self, clusters):
        chains = chains_of(clusters=clusters)
        features = np.random.default_rng(1).normal(1, 2, (60, 2))
        found = feature_adjusted_effects(chains, pd.DataFrame(features, columns=["length", "typos"]))
        for name, rows in (("ATE", slice(None)), ("ATT", chains.w)):
            model = sm.OLS(chains.sign[rows] * (chains.of(2) - chains.of(1))[rows], sm.add_constant(features[rows]))
            options = (
                {"cov_type": "HC1"}
                if clusters is None
                else {"cov_type": "cluster", "cov_kwds": {"groups": clusters[rows]}}
            )
            fit = model.fit(use_t=True, **options)
            estimates = [found[name], *found.coefficients[name].values()]
            assert [e.value for e in estimates] == pytest.approx(fit.params)
            assert [e.se for e in estimates] == pytest.approx(fit.bse)
            assert [e.ci_low for e in estimates] == pytest.approx(fit.conf_int()[:, 0])
        assert list(found.coefficients["ATE"]) == ["length", "typos"]

    def test_removed_is_what_coefficients_and_asymmetries_make(self):
        chains, _, measured = planted(np.random.default_rng(0), 400, **SCENARIOS["S5"])
        found = feature_adjusted_effects(chains, signed_difference(chains, measured), names=["xi"])
        product = found.coefficients["ATE"]["xi"].value * found.asymmetry["ATE"]["xi"].value
        assert found.removed["ATE"].value == pytest.approx(product)
        assert found.removed["ATE"].value == pytest.approx(found.unadjusted["ATE"].value - found["ATE"].value)
        assert found.removed["ATE"].ci_high < 0  # significant: -.2

    def test_collinear_features_have_no_coefficient(self, caplog):
        chains, feature = chains_of(), np.random.default_rng(1).normal(size=60)
        found = feature_adjusted_effects(chains, np.stack([feature, 2 * feature], axis=1), names=["a", "b"])
        alone = feature_adjusted_effects(chains, feature)
        assert found.coefficients["ATE"] == {"a": None, "b": None}
        assert found["ATE"].value == pytest.approx(alone["ATE"].value)
        assert found["ATE"].se == pytest.approx(alone["ATE"].se)
        assert "no coefficient for ['a', 'b']" in caplog.text

    def test_a_constant_feature_leaves_no_effect(self, caplog):
        found = feature_adjusted_effects(chains_of(), np.ones(60), names=["longer"])
        assert found["ATE"] is None and found.removed["ATE"] is None
        assert found.extrapolated["ATE"] == ("longer",) and "extrapolated" in caplog.text

    def test_more_features_than_rows_give_no_interval(self):
        chains = chains_of(n=6)
        found = feature_adjusted_effects(chains, np.random.default_rng(0).normal(size=(6, 9)))
        assert found["ATE"] is None or math.isnan(found["ATE"].se)
        json.dumps(found.to_dict(), allow_nan=False)

    @pytest.mark.parametrize(
        ("features", "names", "message"),
        [
            (np.zeros((5, 2)), None, r"each of the 60 rows .* got \(5, 2\)"),
            (np.full((60, 2), np.nan), ["a", "b"], "'a' is not finite in 60 rows; first: row 0"),
            (np.zeros((60, 2)), ["a", "a"], "once"),
            ([["x"]] * 60, None, "must be numbers"),
        ],
    )
    def test_bad_features(self, features, names, message):
        with pytest.raises(ValueError, match=message):
            feature_adjusted_effects(chains_of(), features, names=names)


class TestSymmetric:
    def test_weights_are_binomial(self):
        assert symmetric_weights(2).tolist() == [1.0]
        assert symmetric_weights(3).tolist() == [0.5, 0.5]
        assert symmetric_weights(5).tolist() == [0.125, 0.375, 0.375, 0.125]

    @pytest.mark.parametrize("steps", [3, 4, 5])
    def test_what_is_left_of_a_trace(self, steps):
        # xi halves with each rewrite, from 1: c (1 - c)^(K - 1) / 2^(K - 2) of it is left, with the sign of a loss
        rewards = np.array([[(k % 2 == 0) * 1.0 - 0.5 * 0.5**k for k in range(steps + 1)]] * 2)
        effect = symmetric_effects(RewardChains(np.array([1, 1]), rewards))["ATT"]
        assert effect.value == pytest.approx(1 + 0.5 * 0.5 * 0.5 ** (steps - 1) / 2 ** (steps - 2))
        assert symmetric_effects(RewardChains(np.array([1, 1]), rewards))["ATU"] is None

    def test_three_rewrites_by_name(self):
        chains = chains_of()
        expected = chains.sign * (chains.of(2) - (chains.of(1) + chains.of(3)) / 2)
        assert symmetric_effects(chains)["ATE"].value == pytest.approx(expected.mean())

    @pytest.mark.parametrize("function", [symmetric_effects, depth_test])
    def test_needs_three_rewrites(self, function):
        with pytest.raises(ValueError, match="there are 2 rewrites .* 3 are needed"):
            function(chains_of(steps=2))


class TestDepth:
    def test_finds_traces_and_failures_and_not_constant_asymmetry(self):
        p_values = {}
        for name in SCENARIOS:
            chains, *_ = planted(np.random.default_rng(3), 2000, 4, **SCENARIOS[name])
            p_values[name] = depth_test(chains)["ATE"].p_value
        assert p_values["S6"] < 1e-6
        assert p_values["S1"] > 0.01 and p_values["S5"] > 0.01

    def test_three_rewrites_are_a_t_test(self):
        chains = chains_of(clusters=np.arange(60) // 4)
        found = depth_test(chains)["ATE"]
        change = found.changes[3]
        assert found.statistic == pytest.approx((change.value / change.se) ** 2)
        assert found.degrees == (1.0, 14.0)
        assert change.value == pytest.approx(found.effects[3].value - found.effects[2].value)
        # the interval touches 0 at the level of the p-value
        at_level = depth_test(chains, level=1 - found.p_value)["ATE"].changes[3]
        assert min(abs(at_level.ci_low), abs(at_level.ci_high)) == pytest.approx(0, abs=1e-9)

    @pytest.mark.slow
    def test_size(self):
        p_values = [
            depth_test(planted(np.random.default_rng([seed, 1]), 40, 4)[0])["ATE"].p_value for seed in range(2000)
        ]
        assert 0.035 < np.mean(np.array(p_values) < 0.05) < 0.065

    def test_certain_and_missing(self):
        same = depth_test(RewardChains(np.ones(5), np.tile([0.0, 1, 2, 1], (5, 1))))
        assert same["ATT"].p_value == 1.0 and same["ATU"] is None
        differs = depth_test(RewardChains(np.ones(5), np.tile([0.0, 1, 2, 5], (5, 1))))
        assert differs["ATT"].p_value == 0.0
        one = depth_test(RewardChains(np.ones(1), np.array([[0.0, 1, 2, 5]])))
        assert json.loads(json.dumps(one.to_dict(), allow_nan=False))["ATT"]["p_value"] is None


class TestSensitivity:
    def test_given_rate_by_hand(self):
        # effect 1, standard error .0408, t(3) at 97.5 % 3.182: .870; at 2 rewards per unit half of that
        chains = {"w": [1] * 4, "original": [0] * 4, "rewrite": [0] * 4, "rewritten_rewrite": [0.9, 1.0, 1.1, 1.0]}
        found = sensitivity(chains, lam=2.0)["unmeasured"]
        assert found.tipping_asymmetry == pytest.approx(0.5)
        assert found.tipping_asymmetry_interval == pytest.approx(
            (1 - 3.182446 * math.sqrt(0.02 / 3 / 4)) / 2, abs=1e-6
        )
        table = found.table([0.0, found.tipping_asymmetry_interval, 0.5])
        assert table["ci_low"].iloc[1] == pytest.approx(0, abs=1e-9)
        assert table["effect"].iloc[2] == pytest.approx(0, abs=1e-12)
        assert table["significant"].tolist()[::2] == [True, False]

    def test_negative_rate_and_null_effect(self):
        chains = chains_of(n=400)
        assert sensitivity(chains, lam=-1.0)["unmeasured"].tipping_asymmetry_interval == 0.0
        shifted = RewardChains(np.ones(50), np.random.default_rng(0).normal(size=(50, 3)) * 0.1 + [0, 0, 1])
        assert sensitivity(shifted, lam=-2.0, estimand="ATT")["unmeasured"].tipping_asymmetry < 0

    @pytest.mark.parametrize("clusters", [None, np.arange(400) // 4])
    def test_estimated_rate_touches_zero_in_its_table(self, clusters):
        chains, _, measured = planted(np.random.default_rng(0), 400, clusters=clusters, mu_to1=0.4)
        difference = signed_difference(chains, measured)
        found = sensitivity(chains, feature_differences=difference, names=["xi"])["xi"]
        coefficient = feature_adjusted_effects(chains, difference, names=["xi"]).coefficients["ATE"]["xi"]
        assert found.lam == coefficient
        assert found.covariance[1, 1] == pytest.approx(coefficient.se**2)
        assert found.observed_asymmetry.value == pytest.approx(difference.mean())
        ends = found.table([found.tipping_asymmetry_interval])
        assert min(abs(ends["ci_low"][0]), abs(ends["ci_high"][0])) == pytest.approx(0, abs=1e-9)
        assert abs(found.tipping_asymmetry_interval) < abs(found.tipping_asymmetry)
        json.dumps(found.to_dict(), allow_nan=False)

    def test_contour(self):
        found = sensitivity(chains_of(), lam=0.5)["unmeasured"]
        contour = found.contour([0.0, 1.0], [0.0, 0.2, 0.4])
        assert contour["effect"].shape == (2, 3)
        assert contour["effect"][1] == pytest.approx(found.effect.value - np.array([0.0, 0.2, 0.4]))
        assert (contour["ci_low"][0, 0], contour["ci_high"][0, 0]) == pytest.approx(
            (found.effect.ci_low, found.effect.ci_high)
        )
        assert found.contour()["effect"].shape == (41, 41) and len(found.table()) == 41

    def test_features_without_a_price_are_left_out_with_a_warning(self, caplog):
        assert sensitivity(chains_of(), feature_differences=np.ones(len(chains_of())), names=["same"]) == {}
        assert "same: the data do not tell what is paid for it" in caplog.text

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "give lam"),
            ({"lam": 0.0}, "not 0"),
            ({"lam": {"a": 1.0}, "feature_differences": np.zeros(60), "names": ["b"]}, "each of"),
            ({"lam": 1.0, "estimand": "naive"}, "estimand must be one of"),
        ],
    )
    def test_bad_input(self, options, message):
        with pytest.raises(ValueError, match=message):
            sensitivity(chains_of(), **options)


ESTIMATORS = {
    "wald": lambda chains: compliance_corrected_effects(
        chains, np.stack([~chains.w, chains.w], axis=1) ^ (np.arange(2 * len(chains)).reshape(-1, 2) % 7 == 0)
    ),
    "adjusted": lambda chains: feature_adjusted_effects(chains, np.sin(np.arange(len(chains)))),
    "symmetric": symmetric_effects,
}


@pytest.mark.parametrize("name", ESTIMATORS)
@settings(max_examples=15)
@given(shift=st.floats(-1e3, 1e3), scale=st.floats(0.1, 10), seed=st.integers(0, 99))
def test_invariances(name, shift, scale, seed):
    chains = chains_of(seed, n=30, clusters=np.arange(30) // 2)
    before, estimator = ESTIMATORS[name](chains), ESTIMATORS[name]
    moved = estimator(RewardChains(chains.w, shift + scale * chains.rewards, chains.clusters))
    for effect in ("ATE", "ATT", "ATU"):
        for field in ("value", "se", "ci_low", "ci_high"):
            expected = scale * getattr(before[effect], field)
            assert getattr(moved[effect], field) == pytest.approx(expected, rel=1e-6, abs=1e-8, nan_ok=True)
    if name == "symmetric":  # features and measurements have a direction of their own
        turned = estimator(RewardChains(~chains.w, chains.rewards, chains.clusters))
        assert turned["ATT"].value == pytest.approx(-before["ATU"].value)
        assert turned["ATE"].value == pytest.approx(-before["ATE"].value)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_duplicated_rows_in_clusters_keep_their_error(name):
    chains = chains_of(n=40)
    alone = ESTIMATORS[name](RewardChains(chains.w, chains.rewards, np.arange(40)))["ATE"]
    twice = np.concatenate([np.arange(40)] * 2)
    if name == "wald":
        measured = np.stack([~chains.w, chains.w], axis=1) ^ (np.arange(80).reshape(-1, 2) % 7 == 0)
        doubled = compliance_corrected_effects(
            RewardChains(chains.w[twice], chains.rewards[twice], twice), measured[twice]
        )
    elif name == "adjusted":
        doubled = feature_adjusted_effects(RewardChains(chains.w[twice], chains.rewards[twice], twice), np.sin(twice))
    else:
        doubled = symmetric_effects(RewardChains(chains.w[twice], chains.rewards[twice], twice))
    assert doubled["ATE"].value == pytest.approx(alone.value)
    # (N - 1) / (N - K) of the regression knows the number of rows
    assert doubled["ATE"].se == pytest.approx(alone.se, rel=0.02 if name == "adjusted" else 1e-9)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_one_sided_data_have_no_att_or_no_atu(name):
    for w, absent in ((np.ones(20, dtype=bool), "ATU"), (np.zeros(20, dtype=bool), "ATT")):
        found = ESTIMATORS[name](RewardChains(w, chains_of(n=20).rewards))
        assert found[absent] is None
        assert found["ATE"] == found["ATT" if absent == "ATU" else "ATU"]
        if hasattr(found, "to_dict"):
            json.dumps(found.to_dict(), allow_nan=False)
