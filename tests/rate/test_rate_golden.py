"""The original program's numbers, in its own mode; and the paired ones it can print."""

import json

import numpy as np
import pytest

from trl_ext.rate import correlated_counts, estimate_effects, normalised_effects
from trl_ext.rate.experiments.simulation import SCENARIOS
from trl_ext.rate.experiments.sweep import slope_weights


# Not refused, but with one group, one row of a group, or rewards without variance
EDGES = ("all_treated", "one_treated", "constant")
CASES = (
    "tiny6",
    "S2_null_confounded",
    "S4_heterogeneous_unbalanced",
    "S6_partial_correction_carry",
    "S8_high_prompt_variance",
    "large_offset_1e6",
    "notebook_rows_armorm_12",
)


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "rate.json").read_text())


def columns(case):
    inputs = case["inputs"]
    names = {"w": "w", "original": "r_original", "rewrite": "r_rewrite", "rewritten_rewrite": "r_rewritten_rewrite"}
    return {name: inputs[key] for name, key in names.items()}


def number(value):
    return None if value == "nan" else value


def assert_close(found, wanted, name):
    # The file's tolerance: relative 1e-9, and absolute 1e-6 for the case of a large offset
    absolute = 1e-6 if name == "large_offset_1e6" else 1e-15
    if wanted is None:
        assert found is None or np.isnan(found)
    else:
        assert found == pytest.approx(wanted, rel=1e-9, abs=absolute)


@pytest.mark.parametrize("name", CASES)
class TestCases:
    @pytest.fixture
    def case(self, golden, name):
        return next(case for case in golden["cases"] if case["name"] == name)

    def test_reference(self, case, name):
        effects = estimate_effects(columns(case), se="reference")
        original = effects.to_original()
        assert list(original) == list(case["outputs"]["pipeline"])
        for key, wanted in case["outputs"]["pipeline"].items():
            assert_close(original[key], number(wanted), name)
        for key, (low, high) in case["outputs"]["ci95_z1.96"].items():
            assert_close(effects[key].ci_low, low, name)
            assert_close(effects[key].ci_high, high, name)
        rewrite = case["outputs"]["rewrite_effect"]
        for key in ("rewrite_effect_w_1", "rewrite_effect_w_0"):
            assert_close(effects[key].value, rewrite[key], name)
            assert_close(effects[key].se, rewrite[f"{key}_stderr"], name)
        for key, (value, se) in case["outputs"]["normalised_by_reward_std"].items():
            assert_close(effects[key].value / effects.reward_std, value, name)
            assert_close(effects[key].se / effects.reward_std, se, name)

    def test_paired(self, case, name):
        effects = estimate_effects(columns(case))
        assert effects.se == "paired"
        for group, (value, se) in case["outputs"]["rate_with_paired_true"].items():
            assert_close(effects[f"{group}_rewritten_rewrite"].value, value, name)
            assert_close(effects[f"{group}_rewritten_rewrite"].se, se, name)

    def test_values_of_normalised_effects(self, case, name):
        found = normalised_effects(columns(case), method="delta")
        for key, (value, _) in case["outputs"]["normalised_by_reward_std"].items():
            assert_close(found[key].value, value, name)

    def test_identities(self, case, name):
        effects = estimate_effects(columns(case))
        value = {key: estimate.value for key, estimate in effects.items()}
        n1, n0 = effects.Y1_count, effects.Y0_count
        for kind in ("single_rewrite", "rewritten_rewrite"):
            mean = (n1 * value[f"ATT_{kind}"] + n0 * value[f"ATU_{kind}"]) / (n1 + n0)
            assert_close(value[f"ATE_{kind}"], mean, name)
        single = value["ATT_rewritten_rewrite"] - value["rewrite_effect_w_1"]
        assert value["ATT_single_rewrite"] == pytest.approx(single, abs=1e-9)
        single = value["ATU_rewritten_rewrite"] + value["rewrite_effect_w_0"]
        assert value["ATU_single_rewrite"] == pytest.approx(single, abs=1e-9)


@pytest.mark.parametrize("name", EDGES)
def test_edges_as_the_original(golden, name):
    case = next(case for case in golden["edge_cases"] if case["name"] == name)
    original = estimate_effects(columns(case), se="reference").to_original()
    for key, wanted in case["outputs"]["pipeline"].items():
        assert_close(original[key], number(wanted), name)
        assert original[key] is None if wanted == "nan" else original[key] is not None
    effects = estimate_effects(columns(case))
    for group, (value, se) in case["outputs"]["rate_with_paired_true"].items():
        estimate = effects.to_dict()[f"{group}_rewritten_rewrite"] or {"value": None, "se": None}
        assert_close(estimate["value"], number(value), name)
        assert_close(estimate["se"], number(se), name)


def test_unknown_attribute_is_refused_that_the_original_takes_for_absent(golden):
    case = next(case for case in golden["edge_cases"] if case["name"] == "w_none_counts_as_untreated")
    with pytest.raises(ValueError, match="'w' must be 1 .* or 0; 2 values are not, first: row 1, value None"):
        estimate_effects(columns(case))


@pytest.mark.parametrize("name", ["S1", "S3", "S5", "S7"])
def test_closed_forms(golden, name):
    scenario = next(s for s in golden["simulation"] if s["scenario"].startswith(name))
    expected = SCENARIOS[name].expectations()
    keys = {"naive": "naive_effect", "single": "single_rewrite", "rate": "rewritten_rewrite"}
    for key, wanted in scenario["closed_form_expectation"].items():
        group, _, kind = key.rpartition("_")
        assert expected["_".join(filter(None, (group, keys[kind])))] == pytest.approx(wanted)
    assert SCENARIOS[name].true_effects() == pytest.approx(scenario["true"])
    wanted = scenario["estimators"]["ATE_rate"]
    assert expected["ATE_rewritten_rewrite"] == pytest.approx(wanted["mean"], abs=4 * wanted["mc_se_of_mean"])


@pytest.mark.parametrize("name", ["S2", "S4", "S6", "S8"])
def test_parameters_of_scenarios(golden, name):
    case = next(case for case in golden["cases"] if case["name"].startswith(name))
    process = SCENARIOS[name]
    assert {key: getattr(process, key) for key in case["dgp_params"]} == case["dgp_params"]
    assert process.true_effects() == pytest.approx(case["true_effects"])
    # One draw of the original's: its effects are those of the process
    effects = estimate_effects(columns(case))
    for key, expected in process.expectations().items():
        assert abs(effects[key].value - expected) < 4 * effects[key].se


def test_published_runs_hold_the_identities(golden):
    held = 0
    for run in golden["published_notebook_effects"]["per_dataset"]:
        found = run["pipeline_2025_01_10"]
        n1, n0 = found["Y1_count"], found["Y0_count"]
        mean = (n1 * found["ATT_rewritten_rewrite"] + n0 * found["ATU_rewritten_rewrite"]) / (n1 + n0)
        held += abs(found["ATE_rewritten_rewrite"] - mean) < 1e-9
    assert held == 15


def test_published_slopes(golden):
    levels = np.arange(11) / 10
    published = golden["published_notebook_effects"]
    runs = [run["effects"] for run in published["synthetic_sweeps"]["imdb_length_distilbert_positive_logit"]]
    for key in ("ATE_rewritten_rewrite", "ATE_single_rewrite", "naive_effect"):
        values = [run[key] / run["reward_std"] for run in runs]
        assert slope_weights(levels) @ values == pytest.approx(golden["slope_imdb_distilbert"][key], rel=1e-9)


def test_counts_of_correlated_subsets(golden):
    wanted = golden["published_notebook_effects"]["correlated_resampling_counts"]
    # The file's order: long and positive, long and negative, short and positive, short and negative
    size = wanted["max_per_group"]
    assert correlated_counts(size, same_total=False).tolist() == wanted["counts"]
    assert correlated_counts(size).tolist() == wanted["adjusted"]
