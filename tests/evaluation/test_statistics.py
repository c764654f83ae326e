import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

from trl_ext.evaluation import (
    Estimate,
    cluster_bootstrap,
    cluster_bootstraps,
    mean_estimate,
    paired_difference,
    proportion_estimate,
    ratio_estimate,
    wilson_interval,
)


def planted_clusters(rng, n_clusters=40, size=4, mean=1.0, between=1.0, within=0.5):
    """Rows that share a cluster effect: treating them as independent understates the error."""
    effects = rng.normal(mean, between, n_clusters)
    values = np.repeat(effects, size) + rng.normal(0, within, n_clusters * size)
    return values, np.repeat(np.arange(n_clusters), size)


def weighted_mean(x):
    return lambda w: w @ x / w.sum(axis=1)


def contains(estimate: Estimate, truth: float) -> bool:
    return estimate.ci_low <= truth <= estimate.ci_high


class TestMeanEstimate:
    def test_by_hand(self):
        # mean 2, sd 1, se 1/sqrt(3) = 0.57735; t with 2 df at 97.5% is 4.302653; half width 2.484138
        estimate = mean_estimate([1.0, 2.0, 3.0])
        assert estimate.value == 2.0
        assert estimate.se == pytest.approx(0.577350, abs=1e-6)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)
        assert estimate.n == 3

    def test_clustered_by_hand(self):
        # residuals -2, -2, 1, 3; cluster sums -4, 4; CR1 variance 2/1 * (16 + 16) / 4^2 = 4
        assert mean_estimate([1.0, 1.0, 4.0, 6.0], clusters=["a", "a", "b", "b"]).se == pytest.approx(2.0)

    @given(arrays(float, st.integers(2, 30), elements=st.floats(-100, 100)), st.integers(2, 6), st.randoms())
    def test_matches_statsmodels_cluster_robust_regression(self, values, n_clusters, random):
        clusters = np.array([random.randrange(n_clusters) for _ in values])
        clusters[:2] = 0, 1
        fit = sm.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
        estimate = mean_estimate(values, clusters)
        assert estimate.se == pytest.approx(fit.bse[0], rel=1e-6, abs=1e-7)
        # statsmodels too uses G - 1 degrees of freedom
        assert [estimate.ci_low, estimate.ci_high] == pytest.approx(fit.conf_int()[0].tolist(), rel=1e-6, abs=1e-5)

    @given(arrays(float, st.integers(2, 30), elements=st.floats(-100, 100)))
    def test_clusters_of_one_row_are_no_clusters(self, values):
        plain, clustered = mean_estimate(values), mean_estimate(values, np.arange(len(values)))
        assert (plain.se, plain.ci_low) == pytest.approx((clustered.se, clustered.ci_low), rel=1e-12, abs=1e-12)

    @given(arrays(float, 12, elements=st.floats(-100, 100)), st.floats(-10, 10), st.permutations(range(12)))
    def test_shift_and_order_change_nothing_else(self, values, shift, order):
        clusters = np.repeat([3, 1, 2], 4)
        before, after = mean_estimate(values, clusters), mean_estimate(values[order] + shift, clusters[list(order)])
        assert after.value - before.value == pytest.approx(shift, abs=1e-9)
        assert after.se == pytest.approx(before.se, abs=1e-9)

    def test_planted_clusters_widen_the_interval(self):
        values, clusters = planted_clusters(np.random.default_rng(0))
        # design effect 1 + (4 - 1) * 1 / (1 + 0.25) = 3.4: se grows by about 1.84
        assert mean_estimate(values, clusters).se / mean_estimate(values).se == pytest.approx(1.84, abs=0.2)

    def test_coverage_needs_the_clusters(self):
        rng = np.random.default_rng(1)
        hits = np.zeros(2)
        for _ in range(600):
            values, clusters = planted_clusters(rng, n_clusters=20)
            hits += contains(mean_estimate(values, clusters), 1.0), contains(mean_estimate(values), 1.0)
        clustered, naive = hits / 600
        # standard error of a coverage of 95% over 600 samples: 0.9%
        assert 0.92 <= clustered <= 0.98
        assert naive < 0.80

    @pytest.mark.parametrize("clusters", [None, ["q1"]])
    def test_one_row_has_unknown_uncertainty(self, clusters):
        estimate = mean_estimate([3.0], clusters)
        assert estimate.value == 3.0
        assert all(math.isnan(x) for x in (estimate.se, estimate.ci_low, estimate.ci_high))

    def test_one_cluster_has_unknown_uncertainty(self):
        assert math.isnan(mean_estimate([1.0, 2.0, 3.0], ["q", "q", "q"]).se)

    @pytest.mark.parametrize(
        "clusters", [["a", 1, 1, "1", "1", "a"], np.array(["a", 1, 1, "1", "1", "a"], dtype=object)]
    )
    def test_labels_of_several_kinds(self, clusters):
        values = [1.0, 4.0, 2.0, 8.0, 5.0, 7.0]
        assert mean_estimate(values, clusters) == mean_estimate(values, [0, 1, 1, 2, 2, 0])

    def test_a_table_of_two_labels(self):
        clusters = pd.DataFrame({"model": list("aabb"), "question": [1, 2, 1, 2]})
        values = [1.0, 4.0, 2.0, 8.0]
        assert mean_estimate(values, clusters) == mean_estimate(values, [[0, 1], [0, 2], [1, 1], [1, 2]])

    @pytest.mark.parametrize(
        ("values", "clusters", "message"),
        [
            ([], None, "empty"),
            ([1.0, float("nan")], None, r"row 1, value nan"),
            ([[1.0], [2.0]], None, r"shape \(N,\), got \(2, 1\)"),
            ([1.0, 2.0], ["a"], r"one label per row, shape \(2,\)"),
            ([1.0, 2.0], ["a", None], "missing labels; first: row 1"),
            ([1.0, 2.0], [0.0, float("nan")], "missing labels; first: row 1"),
            ([1.0, 2.0], ["a", float("nan")], "missing labels; first: row 1"),
            ([1.0, 2.0], pd.Series(["a", pd.NA], dtype=object), "missing labels; first: row 1"),
        ],
    )
    def test_refuses(self, values, clusters, message):
        with pytest.raises(ValueError, match=message):
            mean_estimate(values, clusters)

    def test_refuses_a_level_in_percent(self):
        with pytest.raises(ValueError, match="between 0 and 1, got 95"):
            mean_estimate([1.0, 2.0], level=95)

    def test_to_dict_has_the_result_form(self):
        result = mean_estimate(np.array([1.0, 2.0], dtype=np.float32)).to_dict()
        assert list(result) == ["value", "se", "ci_low", "ci_high", "n", "method"]
        assert [type(value) for value in result.values()] == [float, float, float, float, int, str]


class TestPairedDifference:
    def test_is_the_paired_t_test(self):
        rng = np.random.default_rng(2)
        a = rng.normal(size=30)
        b = a + rng.normal(0.1, 0.2, size=30)
        expected = stats.ttest_rel(a, b).confidence_interval(0.9)
        estimate = paired_difference(a, b, level=0.9)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((expected.low, expected.high))
        assert estimate.method.startswith("paired difference")

    def test_refuses_unpaired_rows(self):
        with pytest.raises(ValueError, match="3 and 1 rows"):
            paired_difference([1.0, 2.0, 3.0], [1.0])


class TestWilsonInterval:
    @pytest.mark.parametrize(("successes", "n"), [(0, 5), (3, 10), (10, 10), (188, 542)])
    def test_matches_scipy(self, successes, n):
        expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
        estimate = wilson_interval(successes, n)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((expected.low, expected.high))

    @pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (float("nan"), 5), (0, 0)])
    def test_refuses(self, successes, n):
        with pytest.raises(ValueError):
            wilson_interval(successes, n)


class TestProportionEstimate:
    def test_all_right_in_clusters_counts_clusters(self):
        # 10 questions of 4 rows: Wilson's upper bound on errors for 10 trials with t(9) = 2.262157 in place of z:
        # low end 1 / (1 + t^2/10) = 1 / 1.511735 = 0.661491
        estimate = proportion_estimate(np.ones(40), np.repeat(np.arange(10), 4))
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((0.661491, 1.0), abs=1e-6)

    def test_independent_rows_are_close_to_wilson(self):
        estimate, expected = proportion_estimate([1.0] * 300 + [0.0] * 700), wilson_interval(300, 1000)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((expected.ci_low, expected.ci_high), abs=1e-3)

    @given(arrays(float, 12, elements=st.sampled_from([0.0, 0.5, 1.0])), st.integers(1, 4))
    def test_interval_contains_the_value_and_stays_in_the_unit_interval(self, values, n_clusters):
        estimate = proportion_estimate(values, np.arange(12) % (n_clusters + 1))
        assert 0 <= estimate.ci_low <= estimate.value <= estimate.ci_high <= 1

    def test_coverage_near_one(self):
        rng = np.random.default_rng(3)
        clusters = np.repeat(np.arange(40), 4)
        wilson = t_interval = 0
        for _ in range(500):
            values = rng.random(160) < np.repeat(rng.beta(19, 1, 40), 4)  # mean 0.95, correlated within questions
            wilson += contains(proportion_estimate(values, clusters), 0.95)
            t_interval += contains(mean_estimate(values, clusters), 0.95)
        assert 0.92 <= wilson / 500 <= 0.99
        assert t_interval < wilson

    @pytest.mark.parametrize("clusters", [None, np.arange(100)])
    def test_shares_near_the_bounds_are_as_uncertain_as_right_and_wrong(self, clusters):
        expected = proportion_estimate(np.ones(100), clusters)
        for values in ([1.0] * 99 + [0.999], [0.9999, 0.9998] * 50):
            near_one = proportion_estimate(values, clusters)
            assert (near_one.ci_low, near_one.ci_high) == pytest.approx((expected.ci_low, 1.0), abs=2e-3)
            near_zero = proportion_estimate(1 - np.array(values), clusters)
            assert (near_zero.ci_low, near_zero.ci_high) == pytest.approx((1 - near_one.ci_high, 1 - near_one.ci_low))

    def test_shares_that_vary_little_have_about_the_t_interval(self):
        for n, widest in ((100, 1.3), (10_000, 1.01)):
            values = np.random.default_rng(0).uniform(0.45, 0.55, n)
            estimate, expected = proportion_estimate(values), mean_estimate(values)
            ratio = (estimate.ci_high - estimate.ci_low) / (expected.ci_high - expected.ci_low)
            assert 0.99 < ratio < widest
        # right, wrong and half keep the number of rows as limit, and so do values that don't vary
        halves, constant = np.array([0.5] * 98 + [0.0, 1.0]), np.full(100, 0.25)
        for values in (halves, constant, constant + 1e-15 * np.arange(100)):
            estimate, expected = proportion_estimate(values), wilson_interval(100 * values.mean(), 100)
            assert (estimate.ci_low, estimate.ci_high) == pytest.approx((expected.ci_low, expected.ci_high), abs=2e-3)

    def test_refuses_values_outside_the_unit_interval(self):
        with pytest.raises(ValueError, match="row 1, value 2.0"):
            proportion_estimate([1.0, 2.0])


class TestRatioEstimate:
    def test_by_hand(self):
        # means 2 and 4; v_tt = v_bb = 1/3, v_tb = 0; t(2)^2 = 18.512821
        # a = 16 - 6.170940, b = 8, c = 4 - 6.170940
        # (8 +- sqrt(64 + 9.829060 * 2.170940)) / 9.829060 = (8 +- 9.237873) / 9.829060
        top, bottom = [1.0, 2.0, 3.0], [4 + 1 / 3**0.5, 4 - 2 / 3**0.5, 4 + 1 / 3**0.5]
        estimate = ratio_estimate(top, bottom)
        assert estimate.value == pytest.approx(0.5)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((-0.125940, 1.753766), abs=1e-6)

    @settings(max_examples=50)
    @given(st.integers(0, 10_000))
    def test_ends_are_where_the_t_test_turns(self, seed):
        rng = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(8), 3)
        top, bottom = rng.normal(1, 1, 24), rng.normal(3, 1, 24)
        estimate = ratio_estimate(top, bottom, clusters)
        for end in (estimate.ci_low, estimate.ci_high):
            residual = mean_estimate(top - end * bottom, clusters)
            assert abs(residual.value) == pytest.approx(stats.t.ppf(0.975, 7) * residual.se)

    def test_agrees_with_the_bootstrap_when_the_denominator_is_far_from_zero(self):
        rng = np.random.default_rng(4)
        top, clusters = planted_clusters(rng, n_clusters=200)
        bottom, _ = planted_clusters(rng, n_clusters=200, mean=5.0)
        fieller = ratio_estimate(top, bottom, clusters)
        bootstrap = cluster_bootstrap(lambda w: (w @ top) / (w @ bottom), clusters)
        assert fieller.value == pytest.approx(bootstrap.value)
        assert (fieller.se, fieller.ci_low, fieller.ci_high) == pytest.approx(
            (bootstrap.se, bootstrap.ci_low, bootstrap.ci_high), rel=0.1
        )

    def test_is_unbounded_when_the_denominator_may_be_zero(self):
        estimate = ratio_estimate([1.0, 1.1, 0.9], [1.0, -1.0, 0.3])
        assert (estimate.ci_low, estimate.ci_high) == (-math.inf, math.inf)
        assert math.isnan(estimate.se)
        assert "unbounded" in estimate.method

    def test_coverage_with_a_denominator_near_zero(self):
        # truth 1/0.3; a percentile interval would be finite in every one of these samples
        rng = np.random.default_rng(5)
        estimates = [ratio_estimate(rng.normal(1, 1, 25), rng.normal(0.3, 1, 25)) for _ in range(500)]
        assert np.mean([contains(estimate, 1 / 0.3) for estimate in estimates]) >= 0.93
        assert 0.4 < np.mean([math.isinf(estimate.ci_low) for estimate in estimates]) < 0.9

    def test_zero_denominators(self):
        assert ratio_estimate([1.0, 2.0], [1.0, -1.0]).value == math.inf
        assert math.isnan(ratio_estimate([1.0, -1.0], [1.0, -1.0]).value)
        assert ratio_estimate([1.0, 2.0], [1e-17, 1e-17], zero_atol=1e-15).value == math.inf


class TestClusterBootstrap:
    def test_draws_whole_clusters(self):
        seen = []

        def statistic(w):
            seen.append(w)
            return w.sum(axis=1)

        cluster_bootstrap(statistic, ["a", "b", "a", "c"], resamples=50)
        weights = np.concatenate(seen)
        assert np.array_equal(weights[0], np.ones(4))
        assert np.array_equal(weights[:, 0], weights[:, 2])
        assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()

    def test_mean_agrees_with_the_formula(self):
        values, clusters = planted_clusters(np.random.default_rng(6), n_clusters=200)
        bootstrap = cluster_bootstrap(weighted_mean(values), clusters, resamples=4000)
        expected = mean_estimate(values, clusters)
        assert bootstrap.value == pytest.approx(expected.value)
        assert bootstrap.se == pytest.approx(expected.se, rel=0.05)
        assert (bootstrap.ci_low, bootstrap.ci_high) == pytest.approx((expected.ci_low, expected.ci_high), rel=0.05)

    def test_several_statistics_are_each_by_itself(self):
        values, clusters = planted_clusters(np.random.default_rng(6), n_clusters=20)
        other = np.where(np.asarray(clusters) == clusters[0], values, np.nan)  # finite in no resample
        means = (weighted_mean(values), weighted_mean(values**2), weighted_mean(other))
        together = cluster_bootstraps(lambda w: np.stack([mean(w) for mean in means], axis=1), clusters, resamples=50)
        for estimate, mean in zip(together[:2], means, strict=False):
            assert estimate == cluster_bootstrap(mean, clusters, resamples=50)
        assert "50 resamples not finite" in together[2].method and np.isnan(together[2].se)

    def test_agrees_with_scipy_on_independent_rows(self):
        x = np.random.default_rng(7).exponential(size=80)
        expected = stats.bootstrap((x,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
        ours = cluster_bootstrap(weighted_mean(x), np.arange(80), resamples=4000)
        assert (ours.ci_low, ours.ci_high) == pytest.approx((expected.low, expected.high), rel=0.03)

    def test_seed_decides(self):
        values, clusters = planted_clusters(np.random.default_rng(8))
        first, again, other = (
            cluster_bootstrap(weighted_mean(values), clusters, resamples=200, seed=seed) for seed in (1, 1, 2)
        )
        assert first == again
        assert first.ci_low != other.ci_low

    def test_batches_cover_all_resamples(self):
        # 700_000 rows make batches of 2 resamples
        sizes = []

        def statistic(w):
            sizes.append(len(w))
            return w[:, 0]

        cluster_bootstrap(statistic, np.arange(700_000) % 3, resamples=5)
        assert sizes == [1, 2, 2, 1]

    def test_coverage_of_a_statistic_without_a_formula(self):
        # standardised mean of clustered rows: truth 1 / sqrt(1 + 0.25)
        rng = np.random.default_rng(9)
        hits = 0
        for _ in range(200):
            x, clusters = planted_clusters(rng, n_clusters=60)

            def standardised(w, x=x):
                mean = w @ x / w.sum(axis=1)
                return mean / np.sqrt(w @ x**2 / w.sum(axis=1) - mean**2)

            hits += contains(cluster_bootstrap(standardised, clusters, resamples=300), 1 / 1.25**0.5)
        assert 0.89 <= hits / 200 <= 0.99

    def test_one_cluster_has_unknown_uncertainty(self):
        estimate = cluster_bootstrap(weighted_mean(np.array([1.0, 3.0])), ["q", "q"])
        assert estimate.value == 2.0
        assert math.isnan(estimate.ci_low)

    def test_counts_resamples_that_are_not_finite(self):
        x = np.array([0.0, 0.0, 1.0])
        with np.errstate(divide="ignore"):
            estimate = cluster_bootstrap(lambda w: 1 / (w @ x), np.arange(3), resamples=100)
        assert math.isnan(estimate.ci_high)
        assert "resamples not finite" in estimate.method

    def test_refuses_a_statistic_of_the_wrong_shape(self):
        with pytest.raises(ValueError, match=r"values \(B,\); for B = 1 it returned shape \(\)"):
            cluster_bootstrap(lambda w: w.sum(), [1, 2])


class TestTwoWayClusters:
    def table(self, seed=0, questions=30, models=8, question_sd=1.0, model_sd=0.5):
        rng = np.random.default_rng(seed)
        question = rng.normal(0, question_sd, questions)[:, None]
        model = rng.normal(0, model_sd, models)[None, :]
        values = question + model + rng.normal(0, 0.3, (questions, models))
        labels = np.stack(np.meshgrid(np.arange(questions), np.arange(models), indexing="ij"), axis=-1)
        return values.ravel(), labels.reshape(-1, 2)

    def test_agrees_with_statsmodels(self):
        values, labels = self.table()
        fit = sm.OLS(values, np.ones(len(values))).fit()
        _, *one_way = cov_cluster_2groups(fit, labels[:, 0], labels[:, 1])
        v1, v2 = (covariance[0, 0] for covariance in one_way)
        estimate = mean_estimate(values, labels)
        assert estimate.se == pytest.approx(np.sqrt(v1 + v2), rel=1e-12)
        degrees = (v1 + v2) ** 2 / (v1**2 / 29 + v2**2 / 7)
        assert estimate.ci_high - estimate.value == pytest.approx(stats.t.ppf(0.975, degrees) * estimate.se, rel=1e-9)
        assert "two-way, 30 x 8 clusters" in estimate.method

    @pytest.mark.parametrize("models", [2, 5, 8])
    @pytest.mark.parametrize("model_sd", [0.0, 0.2, 0.5])
    def test_intervals_cover(self, models, model_sd):
        two_way, one_way = [], []
        for seed in range(600):
            values, labels = self.table(seed, models=models, model_sd=model_sd)
            for covered, clusters in ((two_way, labels), (one_way, labels[:, 0])):
                estimate = mean_estimate(values, clusters)
                covered.append(estimate.ci_low <= 0 <= estimate.ci_high)
        lowest = 0.85 if models == 2 and model_sd == 0.5 else 0.92  # half of the variance, estimated from two models
        assert lowest <= np.mean(two_way) <= 0.985
        assert model_sd < 0.5 or np.mean(one_way) < np.mean(two_way) - 0.04

    def test_one_model_leaves_the_questions(self):
        values, labels = self.table(models=1)
        a, b = mean_estimate(values, labels), mean_estimate(values, labels[:, 0])
        assert (a.value, a.se, a.ci_low, a.ci_high) == (b.value, b.se, b.ci_low, b.ci_high)

    def test_ratio_of_a_constant_multiple(self):
        values, labels = self.table()
        estimate = ratio_estimate(2 * (values + 5), values + 5, labels)
        assert estimate.value == pytest.approx(2) and estimate.ci_high - estimate.ci_low < 1e-6

    def test_wrong_shape(self):
        with pytest.raises(ValueError, match=r"shape \(N,\) or \(N, 2\)"):
            mean_estimate([1.0, 2.0], [[1, 2, 3], [4, 5, 6]])
