import json
import logging
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import attribute_bias, rewards_of_a_and_b
from trl_ext.evaluation.biases.attribute_bias import ATTRIBUTES, encode_attributes


LETTERS = np.array(["A", "B", "C"], dtype=object)


def make_codes(n: int, columns, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {column: rng.choice(LETTERS, size=n) for column in columns}


def planted(codes, weights, noise=0.0, seed=0) -> np.ndarray:
    """Reward differences from planted coefficients."""
    features, _ = encode_attributes(codes, list(weights))
    return features @ list(weights.values()) + noise * np.random.default_rng(seed).normal(size=len(features))


WEIGHTS = {"longer": 0.7, "polite": -0.2, "truthful": 0.0}


class TestValues:
    def test_golden(self, shared_dir):
        golden = json.loads((shared_dir / "golden" / "rapl_evals.json").read_text())["anthropic_bias"]
        given = golden["input"]
        a, b = rewards_of_a_and_b(given["reward_chosen"], given["reward_rejected"], given["chosen_choice"])
        bias = attribute_bias(given["features"], a, b, other="B")
        assert list(ATTRIBUTES) == golden["columns"]
        for column in ATTRIBUTES:
            assert bias.coefficients[column].value == pytest.approx(golden["output"][f"{column}_feature"], abs=1e-9)
        assert sum(bias.other_codes.values()) == 391

    def test_by_hand(self):
        # one attribute: slope = cov(x, y) / var(x). x = 1, -1, 1, -1, y = 3, 0, 2, -1: slope 1.5, mean 1
        bias = attribute_bias({"longer": list("ABAB")}, [3, 0, 2, -1], np.zeros(4), columns=["longer"])
        assert bias.coefficients["longer"].value == pytest.approx(1.5)
        assert bias.intercept.value == pytest.approx(1.0)
        # y has variance (4 + 1 + 1 + 4) / 4
        assert bias.coefficients_per_sd["longer"].value == pytest.approx(1.5 / 2.5**0.5)

    @settings(max_examples=20)
    @given(st.lists(st.floats(-10, 10), min_size=3, max_size=3), st.floats(-5, 5), st.integers(0, 1000))
    def test_planted_coefficients_are_recovered(self, values, intercept, seed):
        weights = dict(zip(WEIGHTS, values, strict=True))
        codes = make_codes(60, weights, seed)
        bias = attribute_bias(codes, planted(codes, weights) + intercept, np.zeros(60), columns=list(weights))
        for name, value in weights.items():
            assert bias.coefficients[name].value == pytest.approx(value, abs=1e-9)
        assert bias.intercept.value == pytest.approx(intercept, abs=1e-9)

    @settings(max_examples=20)
    @given(st.permutations(range(40)))
    def test_the_order_of_rows_changes_nothing(self, order):
        codes, order = make_codes(40, WEIGHTS), np.array(order)
        y, clusters = planted(codes, WEIGHTS, noise=1.0), np.arange(40) // 4
        one = attribute_bias(codes, y, np.zeros(40), columns=list(WEIGHTS), clusters=clusters)
        shuffled = {name: values[order] for name, values in codes.items()}
        other = attribute_bias(shuffled, y[order], np.zeros(40), columns=list(WEIGHTS), clusters=clusters[order])
        for name in WEIGHTS:
            for field in ("coefficients", "coefficients_per_sd"):
                first, second = getattr(one, field)[name], getattr(other, field)[name]
                assert (first.value, first.se) == pytest.approx((second.value, second.se), abs=1e-9)

    def test_swapping_a_and_b_mirrors_codes_and_rewards(self):
        codes = make_codes(50, WEIGHTS)
        y = planted(codes, WEIGHTS, noise=1.0)
        swap = {"A": "B", "B": "A", "C": "C"}
        swapped = {name: [swap[code] for code in values] for name, values in codes.items()}
        one = attribute_bias(codes, y, np.zeros(50), columns=list(WEIGHTS))
        other = attribute_bias(swapped, np.zeros(50), y, columns=list(WEIGHTS))
        for name in WEIGHTS:
            assert one.coefficients[name].value == pytest.approx(other.coefficients[name].value)
        assert one.intercept.value == pytest.approx(-other.intercept.value)

    @settings(max_examples=20)
    @given(st.floats(0.01, 100))
    def test_per_sd_ignores_the_scale(self, scale):
        codes = make_codes(50, WEIGHTS)
        y = planted(codes, WEIGHTS, noise=1.0)
        one, other = (attribute_bias(codes, values, np.zeros(50), columns=list(WEIGHTS)) for values in (y, scale * y))
        for name in WEIGHTS:
            assert other.coefficients[name].value == pytest.approx(scale * one.coefficients[name].value)
            first, second = one.coefficients_per_sd[name], other.coefficients_per_sd[name]
            assert (first.value, first.se) == pytest.approx((second.value, second.se))


class TestUncertainty:
    @pytest.mark.parametrize("clustered", [False, True])
    def test_equals_statsmodels(self, clustered):
        codes = make_codes(120, ATTRIBUTES)
        rng = np.random.default_rng(1)
        y, clusters = rng.normal(size=120) * (1 + rng.random(120)), np.arange(120) // 3
        bias = attribute_bias(codes, y, np.zeros(120), clusters=clusters if clustered else None)
        fit = sm.OLS(y, sm.add_constant(encode_attributes(codes)[0])).fit()
        robust = (
            fit.get_robustcov_results("cluster", groups=clusters, use_t=True)
            if clustered
            else fit.get_robustcov_results("HC3", use_t=True)
        )
        for k, name in enumerate(ATTRIBUTES, start=1):
            estimate = bias.coefficients[name]
            assert estimate.value == pytest.approx(robust.params[k], abs=1e-9)
            assert estimate.se == pytest.approx(robust.bse[k], abs=1e-9)
            assert [estimate.ci_low, estimate.ci_high] == pytest.approx(robust.conf_int()[k].tolist(), abs=1e-9)
            assert bias.p_values[name] == pytest.approx(robust.pvalues[k], abs=1e-9)
        assert bias.r_squared == pytest.approx(fit.rsquared)

    def test_coverage_of_both_versions(self):
        truth, hits = 0.7, {"coefficients": 0, "coefficients_per_sd": 0}
        rng = np.random.default_rng(2)
        # A, B, C with chances 1/3: a feature has variance 2/3; noise has variance 1
        sd = math.sqrt((0.49 + 0.04) * 2 / 3 + 1)
        for seed in range(300):
            codes = make_codes(80, WEIGHTS, seed)
            y = planted(codes, WEIGHTS, noise=1.0, seed=rng.integers(1 << 30))
            bias = attribute_bias(codes, y, np.zeros(80), columns=list(WEIGHTS))
            for field, value in (("coefficients", truth), ("coefficients_per_sd", truth / sd)):
                estimate = getattr(bias, field)["longer"]
                hits[field] += estimate.ci_low <= value <= estimate.ci_high
        # standard error of 95% over 300 samples: 1.3%
        assert all(0.91 <= count / 300 <= 0.99 for count in hits.values()), hits

    def test_repeated_rows_in_one_cluster_add_no_information(self):
        codes = make_codes(60, WEIGHTS)
        y = planted(codes, WEIGHTS, noise=1.0)
        copies = {name: np.repeat(values, 3) for name, values in codes.items()}
        args = dict(columns=list(WEIGHTS))
        once = attribute_bias(codes, y, np.zeros(60), clusters=np.arange(60), **args)
        clustered = attribute_bias(
            copies, np.repeat(y, 3), np.zeros(180), clusters=np.repeat(np.arange(60), 3), **args
        )
        naive = attribute_bias(copies, np.repeat(y, 3), np.zeros(180), **args)
        for name in WEIGHTS:
            assert clustered.coefficients[name].se == pytest.approx(once.coefficients[name].se, rel=0.05)
            assert naive.coefficients[name].se < 0.7 * once.coefficients[name].se

    @pytest.mark.parametrize("clusters", [None, np.r_[0, 0, 0, np.arange(1, 38)]])
    def test_a_coefficient_that_one_unit_decides_has_no_error(self, clusters):
        codes = make_codes(40, ["longer", "polite"])
        codes["polite"] = np.array(["A"] + ["C"] * 39, dtype=object)
        y = planted(codes, {"longer": 1.0, "polite": 0.0}, noise=1.0)
        bias = attribute_bias(codes, y, np.zeros(40), columns=["longer", "polite"], clusters=clusters)
        assert bias.undetermined_error == ("polite",)
        assert math.isfinite(bias.coefficients["polite"].value) and math.isnan(bias.coefficients["polite"].se)
        assert math.isfinite(bias.coefficients["longer"].se)
        assert math.isnan(bias.adjusted_p_values["polite"]) and "polite" not in bias.significant

    def test_corrections(self):
        codes = make_codes(300, ATTRIBUTES)
        y = planted(codes, dict.fromkeys(ATTRIBUTES, 0.0) | {"longer": 0.5, "polite": 0.16}, noise=1.0, seed=3)
        holm, bh = (attribute_bias(codes, y, np.zeros(300), correction=name) for name in ("holm", "fdr_bh"))
        p = np.array(list(holm.p_values.values()))
        # Holm by hand: the smallest p times 25, the next times 24, ..., never falling
        order = np.argsort(p)
        expected = np.minimum(np.maximum.accumulate(p[order] * np.arange(25, 0, -1)), 1)
        assert np.array(list(holm.adjusted_p_values.values()))[order] == pytest.approx(expected)
        assert np.array(list(bh.adjusted_p_values.values())) == pytest.approx(multipletests(p, method="fdr_bh")[1])
        assert "longer" in holm.significant
        assert set(holm.significant) <= set(bh.significant)
        assert all(holm.adjusted_p_values[name] >= holm.p_values[name] for name in ATTRIBUTES)

    def test_family_wise_error_without_effects(self):
        false_alarms = 0
        for seed in range(100):
            y = np.random.default_rng(seed).normal(size=150)
            false_alarms += bool(attribute_bias(make_codes(150, ATTRIBUTES, seed), y, np.zeros(150)).significant)
        # 5% of 100 with a standard error of 2.2
        assert false_alarms <= 12


class TestDegenerateColumns:
    def test_constant_and_collinear_attributes_are_reported(self, caplog):
        codes = make_codes(60, ["longer", "polite", "funny"])
        codes["concise"] = np.array([{"A": "B", "B": "A", "C": "C"}[code] for code in codes["longer"]], dtype=object)
        codes["relevant"] = np.full(60, "A", dtype=object)
        columns = ["longer", "polite", "funny", "concise", "relevant"]
        y = planted(codes, {"polite": 0.5, "funny": -0.3})
        with caplog.at_level(logging.WARNING):
            bias = attribute_bias(codes, y, np.zeros(60), columns=columns)
        assert "relevant" in caplog.text and "concise" in caplog.text
        assert bias.constant == ("relevant",) and bias.collinear == ("longer", "concise")
        for name in ("longer", "concise", "relevant"):
            assert math.isnan(bias.coefficients[name].value)
            assert "not determined" in bias.coefficients[name].method
        # a constant attribute can't be told from the intercept
        assert math.isnan(bias.intercept.value)
        # the others are what they are without the columns that can't be determined
        assert bias.coefficients["polite"].value == pytest.approx(0.5)
        alone = attribute_bias(codes, y, np.zeros(60), columns=["longer", "polite", "funny"])
        assert bias.coefficients["funny"].value == pytest.approx(alone.coefficients["funny"].value)

    def test_too_few_rows(self):
        with pytest.raises(ValueError, match="5 rows with .* determine none of the 25 coefficients"):
            attribute_bias(make_codes(5, ATTRIBUTES), np.arange(5.0), np.zeros(5))

    def test_equal_rewards(self):
        bias = attribute_bias(make_codes(40, WEIGHTS), np.full(40, 0.1), np.full(40, 0.1), columns=list(WEIGHTS))
        assert bias.coefficients["longer"].value == pytest.approx(0, abs=1e-12)
        assert math.isnan(bias.coefficients_per_sd["longer"].value) and bias.significant == ()


class TestResult:
    def test_to_dict_is_json(self):
        codes = make_codes(60, WEIGHTS)
        result = attribute_bias(codes, planted(codes, WEIGHTS, 1.0), np.zeros(60), columns=list(WEIGHTS)).to_dict()
        assert json.loads(json.dumps(result)) == result
        assert set(result["longer"]) == {"value", "se", "ci_low", "ci_high", "n", "method"}
        assert {"longer_per_sd", "longer_p_value", "longer_adjusted_p_value", "intercept", "significant"} <= set(
            result
        )

    def test_accepts_a_data_frame(self):
        codes = make_codes(60, WEIGHTS)
        y = planted(codes, WEIGHTS, 1.0)
        frame, plain = (
            attribute_bias(data, y, np.zeros(60), columns=list(WEIGHTS)) for data in (pd.DataFrame(codes), codes)
        )
        assert frame.coefficients == plain.coefficients

    def test_the_docstring_example_runs(self):
        assert failed_examples(attribute_bias) == 0


class TestRefusals:
    @pytest.mark.parametrize("code", ["Z", "a", "", None, float("nan"), 1])
    def test_names_column_and_row_of_a_bad_code(self, code):
        codes = {name: values.copy() for name, values in make_codes(10, WEIGHTS).items()}
        codes["polite"][3] = code
        with pytest.raises(ValueError, match="attribute 'polite' has 1 codes other than A, B and C; first: row 3"):
            attribute_bias(codes, np.arange(10.0), np.zeros(10), columns=list(WEIGHTS))

    def test_other_codes_are_counted_when_taken_for_b(self, caplog):
        codes = {name: values.copy() for name, values in make_codes(30, WEIGHTS).items()}
        codes["polite"][3] = "Z"
        as_b = {name: values.copy() for name, values in codes.items()}
        as_b["polite"][3] = "B"
        y = np.random.default_rng(0).normal(size=30)
        lenient = attribute_bias(codes, y, np.zeros(30), columns=list(WEIGHTS), other="B")
        assert lenient.other_codes == {"polite": 1} and "polite" in caplog.text
        assert lenient.coefficients == attribute_bias(as_b, y, np.zeros(30), columns=list(WEIGHTS)).coefficients

    def test_missing_columns(self):
        with pytest.raises(ValueError, match=r"lacks the columns \['funny'\]"):
            attribute_bias(make_codes(10, WEIGHTS), np.zeros(10), np.zeros(10), columns=["longer", "funny"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"rewards_a": np.zeros(9)}, "9 rewards of A and 10 of B"),
            ({"rewards_a": np.r_[np.zeros(9), np.nan]}, "rewards_a has 1 values that are not finite; first: row 9"),
            ({"rewards_a": np.zeros((10, 1))}, r"rewards_a must have shape \(N,\)"),
            ({"clusters": [1, 2]}, "one label per row"),
            ({"correction": "bonferoni"}, "correction must be one of holm, fdr_bh"),
            ({"other": "A"}, "other must be one of error, B"),
            ({"level": 95}, "level must lie"),
            ({"columns": []}, "at least one attribute"),
        ],
    )
    def test_bad_arguments(self, change, message):
        arguments = {"rewards_a": np.zeros(10), "rewards_b": np.zeros(10), "columns": list(WEIGHTS)}
        with pytest.raises(ValueError, match=message):
            attribute_bias(make_codes(10, WEIGHTS), **(arguments | change))

    def test_bad_choice(self):
        with pytest.raises(ValueError, match="chosen_choice has 1 values other than A and B; first: row 1, value 'C'"):
            rewards_of_a_and_b([1.0, 2.0], [0.0, 0.0], ["A", "C"])
