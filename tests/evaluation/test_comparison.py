"""Paired comparison of models: tables, which test leads, alignment, corrections, tie bands."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.paired_test_size import best_in_band
from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation.comparison import comparison
from trl_ext.evaluation.comparison.comparison import compare_many, compare_paired
from trl_ext.evaluation.comparison.tie_band import reward_noise, reward_tie_band, tie_band
from trl_ext.evaluation.statistics import adjust_p_values, mcnemar_p_values, stratified_estimate


FAST = {"resamples": 200, "permutations": 999}


@pytest.mark.parametrize(
    "function",
    [compare_paired, compare_many, tie_band, reward_tie_band, reward_noise],
    ids=lambda function: function.__name__,
)
def test_examples(function):
    assert failed_examples(function, {"np": np, **vars(comparison)}) == 0


def right_or_wrong(seed=0, n=600, a=0.85, b=0.8):
    draw = np.random.default_rng(seed).random((2, n))
    shared = np.random.default_rng(seed + 1).random(n)
    mixed = np.where(np.random.default_rng(seed + 2).random((2, n)) < 0.7, shared, draw)
    return (mixed[0] < a).astype(float), (mixed[1] < b).astype(float)


class TestComparePaired:
    def test_right_and_wrong_rows(self):
        a = [1] * 50 + [1] * 12 + [0] * 4 + [0] * 10
        b = [1] * 50 + [0] * 12 + [1] * 4 + [0] * 10
        result = compare_paired(a, b)
        assert (result.n, result.both_right, result.only_a, result.only_b, result.neither) == (76, 50, 12, 4, 10)
        assert (result.mcnemar_exact_p, result.mcnemar_mid_p) == pytest.approx(
            tuple(map(float, mcnemar_p_values(12, 4)))
        )
        assert result.test == "McNemar mid-p" and result.p_value == result.mcnemar_mid_p
        # the same hypothesis by random signs
        assert result.permutation_p == pytest.approx(result.mcnemar_mid_p, abs=0.01)
        assert result.difference.value == pytest.approx(8 / 76)
        assert result.difference.ci_low < 8 / 76 < result.difference.ci_high

    def test_exchanged_models_turn_the_sign(self):
        a, b = right_or_wrong()
        first, second = compare_paired(a, b), compare_paired(b, a)
        assert first.difference.value == pytest.approx(-second.difference.value)
        assert first.difference.ci_low == pytest.approx(-second.difference.ci_high, abs=0.004)
        assert first.p_value == second.p_value
        assert first.minimum_detectable_effect == pytest.approx(second.minimum_detectable_effect)

    def test_a_model_with_itself(self):
        a, _ = right_or_wrong()
        result = compare_paired(a, a)
        assert result.p_value == result.permutation_p == 1.0
        assert result.difference.ci_low < 0 == result.difference.value < result.difference.ci_high

    def test_the_difference_is_weighted_as_the_figure(self):
        a, b = right_or_wrong()
        strata, weights = np.repeat(["x", "y", "z"], [100, 200, 300]), {"x": 1, "y": 5, "z": 1}
        result = compare_paired(a, b, strata=strata, weights=weights, **FAST)
        figures = [stratified_estimate(scores, strata, weights).value for scores in (a, b)]
        assert result.difference.value == pytest.approx(figures[0] - figures[1])
        assert result.test == "sign-flip permutation" and "weighted" in result.reason
        assert result.mcnemar_mid_p is not None
        # rows of y count five times as much as they are many: less can be told than of the plain mean
        assert result.minimum_detectable_effect > compare_paired(a, b, **FAST).minimum_detectable_effect

    def test_clusters_are_tested_as_a_whole(self):
        a, b = (np.repeat(scores[:60], 10) for scores in right_or_wrong())
        clusters = np.arange(600) // 10
        by_row, by_prompt = compare_paired(a, b), compare_paired(a, b, clusters=clusters)
        alone = compare_paired(a[::10], b[::10])
        assert by_prompt.test == "sign-flip permutation" and by_prompt.mcnemar_mid_p is None
        assert by_row.p_value < by_prompt.p_value
        assert by_prompt.p_value == pytest.approx(alone.p_value, abs=0.02)
        assert by_prompt.minimum_detectable_effect == pytest.approx(alone.minimum_detectable_effect)

    def test_scores_between(self):
        a, b = right_or_wrong()
        result = compare_paired(a * 0.5, b, **FAST)
        assert result.both_right is None and result.mcnemar_exact_p is None
        assert result.test == "sign-flip permutation"

    def test_interval_and_test_agree_away_from_the_border(self):
        for seed, (pa, pb) in enumerate([(0.85, 0.7), (0.8, 0.8)]):
            result = compare_paired(*right_or_wrong(seed, 1000, pa, pb))
            assert (result.p_value <= 0.05) == (not result.difference.ci_low <= 0 <= result.difference.ci_high)

    def test_goes_into_json(self):
        assert json.loads(json.dumps(compare_paired(*right_or_wrong(), **FAST).to_dict()))["n"] == 600

    @pytest.mark.parametrize(
        ("a", "b", "options", "message"),
        [
            ([1.0, 0.0], [1.0], {}, "same rows, got 2 and 1"),
            ([1.0, 7.5], [1.0, 0.0], {}, r"scores_a has 1 scores outside \[0, 1\]; first: row 1, value 7.5"),
            ([1.0, 0.0], [1.0, np.nan], {}, "scores_b has 1 values that are not finite"),
            ([1.0, 0.0], [1.0, 0.0], {"weights": {"a": 1}}, "give strata"),
            ([1.0, 0.0], [1.0, 0.0], {"strata": ["a"]}, "strata must have one label per row"),
            (pd.Series([1, 0], ["p", "q"]), pd.Series([1, 0], ["p", "r"]), {}, "row 1, id 'q' and 'r'"),
            (pd.Series([1, 0], ["p", "q"]), pd.Series([1, 0], ["q", "p"]), {}, "row 0, id 'p' and 'q'. Sort both"),
            (pd.Series([1, 0], ["p", "p"]), pd.Series([1, 0], ["p", "p"]), {}, "has the id 'p' twice"),
            (pd.Series([1, 0], ["p", "q"]), [1, 0], {}, "for all or for none"),
        ],
    )
    def test_refuses(self, a, b, options, message):
        with pytest.raises(ValueError, match=message):
            compare_paired(a, b, **options)


def three_models():
    a, b = right_or_wrong(a=0.9, b=0.88)
    return {"good": a, "near": b, "bad": right_or_wrong(5, a=0.6)[0]}


class TestCompareMany:
    def test_all_pairs(self):
        many = compare_many(three_models(), **FAST)
        assert list(many.scores)[-1] == "bad"
        assert len(many.comparisons) == 3
        raw = [comparison.p_value for comparison in many.comparisons.values()]
        assert list(many.adjusted_p_values.values()) == pytest.approx(adjust_p_values(raw).tolist())
        assert (many.table()["difference"] >= 0).all()
        assert many.table()["significant"].sum() == 2
        assert json.loads(json.dumps(many.to_dict()))["comparisons"][0]["test"] == "McNemar mid-p"

    def test_baseline(self):
        many = compare_many(three_models(), baseline="bad", correction="fdr_bh", **FAST)
        assert {b for _, b in many.comparisons} == {"bad"} and len(many.comparisons) == 2
        assert many.correction == "fdr_bh" and many.baseline == "bad"

    def test_names_the_models_that_are_not_aligned(self):
        scores = {name: pd.Series(values) for name, values in three_models().items()}
        scores["bad"] = scores["bad"].iloc[::-1]
        with pytest.raises(ValueError, match="good and bad are not of the same rows .* row 0, id 0 and 599"):
            compare_many(scores)

    @pytest.mark.parametrize(
        ("scores", "options", "message"),
        [
            ({"a": [1, 0]}, {}, "at least two"),
            ({"a": [1, 0], "b": [1, 1]}, {"baseline": "c"}, "'c' is not one of"),
            ({"a": [1, 0], "b": [1, 1]}, {"correction": "none"}, "holm, fdr_bh"),
        ],
    )
    def test_refuses(self, scores, options, message):
        with pytest.raises(ValueError, match=message):
            compare_many(scores, **options)


class TestTieBand:
    @pytest.mark.parametrize("rule", ["p_value", "interval"])
    def test_members(self, rule):
        band = tie_band(three_models(), rule=rule)
        assert set(band.members) == {"good", "near"} and band.members[0] == band.best
        assert ("0.05" in band.rule) if rule == "p_value" else ("contains 0" in band.rule)
        assert set(band.comparisons) == set(band.adjusted_p_values) == {"good", "near", "bad"} - {band.best}

    def test_holds_the_truly_best_model(self):
        # standard error of 5 % over 300: 1.3 %
        assert best_in_band(4, 0.0, 400, 300) >= 0.92

    def test_unknown_rule(self):
        with pytest.raises(ValueError, match="p_value, interval"):
            tie_band(three_models(), rule="eye")


class TestRewardTieBand:
    def test_counts(self):
        band = reward_tie_band([1.0, 1.0, 2.0, 0.0], [1.0, 0.5, 1.0, 3.0], tolerance=0.5)
        assert (band.n, band.equal, band.inside, band.right_inside, band.rows) == (4, 1, 2, 1, (0, 1))
        assert (band.accuracy_low, band.accuracy, band.accuracy_high) == (0.25, 0.5, 0.75)

    def test_noise_of_a_second_scoring_stays_in_the_band(self):
        rng = np.random.default_rng(0)
        chosen, rejected = rng.normal(0.1, 0.3, (2, 500))
        again = [scores + rng.uniform(-0.01, 0.01, 500) for scores in (chosen, rejected)]
        noise = reward_noise(np.concatenate([chosen, rejected]), np.concatenate(again))
        flipped = np.flatnonzero((chosen > rejected) != (again[0] > again[1]))
        assert flipped.size and set(flipped.tolist()) <= set(reward_tie_band(chosen, rejected, noise).rows)

    @pytest.mark.parametrize("tolerance", [-1.0, np.nan])
    def test_refuses(self, tolerance):
        with pytest.raises(ValueError, match="tolerance"):
            reward_tie_band([1.0], [0.0], tolerance)
        with pytest.raises(ValueError, match="same responses"):
            reward_noise([1.0], [1.0, 2.0])
