import json
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trl_ext.evaluation import lie_weights
from trl_ext.evaluation.biases.lie import COMPARISONS, RESPONSE_KINDS


def make_rewards(table) -> dict[str, np.ndarray]:
    """Rewards from a table (N, 4) in the order of RESPONSE_KINDS: SC, LC, SI, LI."""
    return dict(zip(RESPONSE_KINDS, np.asarray(table, dtype=float).T, strict=True))


def regression(rewards):
    """The original's way: OLS with intercept of 4N rewards on (is_detailed, is_correct)."""
    y = np.concatenate([rewards[kind] for kind in RESPONSE_KINDS])
    n = len(y) // 4
    x = np.stack([np.repeat([0, 1, 0, 1], n), np.repeat([1, 1, 0, 0], n)], axis=1)
    return sm.OLS(y, sm.add_constant(x)).fit()


rewards_tables = arrays(float, st.tuples(st.integers(2, 12), st.just(4)), elements=st.floats(-50, 50))


class TestValues:
    def test_by_hand(self):
        # rows SC, LC, SI, LI. W_length: ((3-1)+(2-0))/2 = 2 and ((4-2)+(6-1))/2 = 3.5, mean 2.75
        # W_correct: ((3-2)+(1-0))/2 = 1 and ((4-6)+(2-1))/2 = -0.5, mean 0.25
        weights = lie_weights(make_rewards([[1, 3, 0, 2], [2, 4, 1, 6]]))
        assert weights.length_weight.value == 2.75
        assert weights.correctness_weight.value == 0.25
        assert weights.ratio.value == pytest.approx(1 / 11)
        # LC>LI: 3>2, 4<6. SC>SI: 1>0, 2>1. SC>LI: 1<2, 2<6. LC>SI: 3>0, 4>1
        accuracies = {name: getattr(weights, name).value for name in COMPARISONS}
        assert accuracies == {"lc_over_li": 0.5, "sc_over_si": 1.0, "sc_over_li": 0.0, "lc_over_si": 1.0}
        assert weights.correct_over_incorrect.value == 0.625
        # rewards 1 3 0 2 2 4 1 6: mean 19/8, mean square 71/8
        assert weights.reward_sd == pytest.approx((71 / 8 - (19 / 8) ** 2) ** 0.5)
        assert weights.length_weight_per_sd.value == pytest.approx(2.75 / weights.reward_sd)

    @given(rewards_tables)
    def test_equals_the_regression(self, table):
        rewards = make_rewards(table)
        fit, weights = regression(rewards), lie_weights(rewards, resamples=2)
        assert [weights.length_weight.value, weights.correctness_weight.value] == pytest.approx(
            fit.params[1:].tolist(), abs=1e-9
        )
        if weights.reward_sd > 1e-6:
            per_sd = weights.length_weight_per_sd.value, weights.correctness_weight_per_sd.value
            assert np.square(per_sd).sum() / 4 == pytest.approx(fit.rsquared, abs=1e-9)

    def test_golden(self, shared_dir):
        cases = json.loads((shared_dir / "golden" / "rapl_evals.json").read_text())["lie_test"]["cases"]
        assert len(cases) == 2
        for case in cases:
            rewards = case.get("rewards") or make_rewards(np.tile([1, 1, 0, 0], (160, 1)))
            weights, expected = lie_weights(rewards), case["output"]
            assert weights.length_weight.value == pytest.approx(expected["length_weight"], abs=1e-9)
            assert weights.correctness_weight.value == pytest.approx(expected["correctness_weight"], abs=1e-9)
            # the original divides by rounding noise in the second case; the ratio of the paper's sums is infinite
            assert weights.ratio.value == pytest.approx(float(expected["paper_CLR"]), abs=1e-9)
            if case["name"] == "seeded_random_160":
                assert weights.ratio.value == pytest.approx(expected["ratio"], abs=1e-9)

    @given(rewards_tables, st.floats(0.1, 10), st.floats(-10, 10))
    def test_scale_free_figures_ignore_scale_and_offset(self, table, scale, offset):
        table = np.round(table)  # differences stay above rounding
        before = lie_weights(make_rewards(table), resamples=2)
        after = lie_weights(make_rewards(table * scale + offset), resamples=2)
        assert after.length_weight.value == pytest.approx(scale * before.length_weight.value, abs=1e-9)
        for name in ("length_weight_per_sd", "correctness_weight_per_sd"):
            assert getattr(after, name).value == pytest.approx(getattr(before, name).value, abs=1e-9, nan_ok=True)

    @given(rewards_tables)
    def test_swapping_correct_and_incorrect_mirrors_the_result(self, table):
        table = np.round(table)
        weights, mirrored = (lie_weights(make_rewards(t), resamples=2) for t in (table, table[:, [2, 3, 0, 1]]))
        assert mirrored.correctness_weight.value == pytest.approx(-weights.correctness_weight.value)
        assert mirrored.length_weight.value == pytest.approx(weights.length_weight.value)
        assert mirrored.lc_over_li.value == pytest.approx(1 - weights.lc_over_li.value)
        assert mirrored.correct_over_incorrect.value == pytest.approx(1 - weights.correct_over_incorrect.value)
        assert mirrored.ties == {
            **weights.ties,
            # LC against SI turns into LI against SC
            "sc_over_li": weights.ties["lc_over_si"],
            "lc_over_si": weights.ties["sc_over_li"],
        }

    def test_ties_count_half(self):
        weights = lie_weights(make_rewards([[1, 1, 1, 1], [2, 1, 1, 1]]))
        assert weights.ties == {
            "lc_over_li": 2,
            "sc_over_si": 1,
            "sc_over_li": 1,
            "lc_over_si": 2,
            "correct_over_incorrect": 6,
        }
        assert weights.sc_over_si.value == 0.75
        assert weights.correct_over_incorrect.value == (2 + 6 / 2) / 8

    def test_accepts_a_data_frame_with_other_columns(self):
        frame = pd.DataFrame({**make_rewards(np.eye(4)), "question_id": ["a", "a", "b", "b"]})
        weights = lie_weights(frame, clusters=frame["question_id"])
        assert (weights.n_rows, weights.n_clusters) == (4, 2)


class TestUncertainty:
    def test_clusters_by_question(self):
        # the same four rows of rewards for a question: no more information than one row
        rng = np.random.default_rng(0)
        questions = rng.normal(size=(30, 4)) + [1, 2, 0, 1]
        one, four = make_rewards(questions), make_rewards(np.repeat(questions, 4, axis=0))
        once, clustered = lie_weights(one), lie_weights(four, clusters=np.repeat(np.arange(30), 4))
        naive = lie_weights(four)
        for name in ("length_weight", "correctness_weight", "ratio", "length_weight_per_sd", "lc_over_li"):
            assert getattr(clustered, name).se == pytest.approx(getattr(once, name).se, rel=1e-9)
            assert getattr(naive, name).se == pytest.approx(getattr(once, name).se / 2, rel=0.1)
        # equal intervals too: an accuracy of four equal rows per question counts questions
        assert clustered.lc_over_li.ci_low == pytest.approx(once.lc_over_li.ci_low, abs=0.01)

    def test_coverage(self):
        rng = np.random.default_rng(1)
        clusters = np.repeat(np.arange(40), 4)
        # truth: length 1, correctness 0.5; each question has its own taste for both
        is_detailed, is_correct = np.array([0, 1, 0, 1]), np.array([1, 1, 0, 0])
        hits = dict.fromkeys(["length_weight", "correctness_weight", "ratio", "correctness_weight_per_sd"], 0)
        truth = {"length_weight": 1.0, "correctness_weight": 0.5, "ratio": 0.5}

        def sample(n_questions):
            taste = np.repeat(rng.normal([1.0, 0.5], 0.5, size=(n_questions, 2)), 4, axis=0)
            noise = rng.normal(0, 0.5, size=(4 * n_questions, 4))
            return taste[:, :1] * is_detailed + taste[:, 1:] * is_correct + noise

        # Var = sum over both factors of E[taste^2]/2 - (E[taste]/2)^2, plus noise:
        # (1.25/2 - 0.25) + (0.5/2 - 0.0625) + 0.25 = 0.8125
        truth["correctness_weight_per_sd"] = 0.5 / 0.8125**0.5
        for _ in range(200):
            weights = lie_weights(make_rewards(sample(40)), clusters, resamples=300)
            for name in hits:
                estimate = getattr(weights, name)
                hits[name] += estimate.ci_low <= truth[name] <= estimate.ci_high
        # standard error of 95% over 200 samples: 1.5%
        assert all(0.90 <= count / 200 <= 0.99 for count in hits.values()), hits

    def test_ratio_is_unbounded_without_a_length_effect(self):
        rng = np.random.default_rng(2)
        weights = lie_weights(make_rewards(rng.normal(size=(50, 4)) + [1, 1, 0, 0]))
        assert math.isfinite(weights.ratio.value)
        assert (weights.ratio.ci_low, weights.ratio.ci_high) == (-math.inf, math.inf)
        assert math.isfinite(weights.correctness_weight.ci_low)

    def test_rounding_noise_is_no_length_effect(self):
        # 0.1 + 0.2 exceeds 0.3 by 5.6e-17 in every row
        weights = lie_weights(make_rewards(np.tile([0.3 + 1, 0.1 + 0.2 + 1, 0.3, 0.1 + 0.2], (8, 1))))
        assert weights.ratio.value == math.inf
        assert (weights.ratio.ci_low, weights.ratio.ci_high) == (-math.inf, math.inf)

    def test_constant_rewards(self):
        weights = lie_weights(make_rewards(np.full((6, 4), 0.7)))
        assert weights.length_weight.value == weights.correctness_weight.value == 0
        for estimate in (weights.ratio, weights.length_weight_per_sd, weights.correctness_weight_per_sd):
            assert math.isnan(estimate.value)
        assert weights.correct_over_incorrect.value == 0.5
        assert weights.ties["correct_over_incorrect"] == 24

    def test_one_row(self):
        weights = lie_weights(make_rewards([[1, 3, 0, 2]]))
        assert weights.length_weight.value == 2
        assert math.isnan(weights.length_weight.ci_low)


class TestResult:
    def test_to_dict_is_json_in_the_result_form(self):
        result = lie_weights(make_rewards(np.random.default_rng(3).normal(size=(20, 4)) + [0, 2, 0, 2])).to_dict()
        assert json.loads(json.dumps(result)) == result
        assert set(result["ratio"]) == {"value", "se", "ci_low", "ci_high", "n", "method"}
        assert result["correct_over_incorrect"]["n"] == 80
        assert result["lc_over_li_ties"] == 0
        assert result["n_rows"] == 20

    def test_seed_decides_the_bootstrap(self):
        rewards = make_rewards(np.random.default_rng(4).normal(size=(20, 4)))
        assert lie_weights(rewards, seed=5) == lie_weights(rewards, seed=5)
        first, other = (lie_weights(rewards, seed=seed).length_weight_per_sd.ci_low for seed in (5, 6))
        assert first != other


class TestRefusals:
    def test_names_missing_kinds(self):
        rewards = make_rewards(np.ones((2, 4)))
        del rewards["correct_detailed"], rewards["incorrect_concise"]
        with pytest.raises(ValueError, match="lacks correct_detailed, incorrect_concise"):
            lie_weights(rewards)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([1.0], r"one value per kind in every row.*'incorrect_detailed': 1"),
            ([1.0, float("nan")], "'incorrect_detailed' has 1 values that are not finite; first: row 1, value nan"),
            ([1.0, -float("inf")], "row 1, value -inf"),
            ([[1.0], [2.0]], r"'incorrect_detailed' must have shape \(N,\), got \(2, 1\)"),
        ],
    )
    def test_names_the_kind_and_row(self, values, message):
        with pytest.raises(ValueError, match=message):
            lie_weights({**make_rewards(np.ones((2, 4))), "incorrect_detailed": values})

    def test_empty(self):
        with pytest.raises(ValueError, match="empty"):
            lie_weights({kind: [] for kind in RESPONSE_KINDS})

    def test_clusters_of_the_wrong_length(self):
        with pytest.raises(ValueError, match=r"one label per row, shape \(2,\), got \(3,\)"):
            lie_weights(make_rewards(np.ones((2, 4))), clusters=[1, 2, 3])
