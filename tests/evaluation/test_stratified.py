"""Means of weighted strata: values by hand, intervals that cover, and what is refused."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.interval_coverage import DESIGNS, ROWS, coverage
from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation.benchmarks.rewardbench import EXAMPLE_COUNTS
from trl_ext.evaluation.statistics import stratified_estimate


def rows(*strata: tuple[str, int, int]) -> tuple[np.ndarray, list[str]]:
    """Values and strata of (name, right, wrong)."""
    values = np.concatenate([np.repeat([1.0, 0.0], [right, wrong]) for _, right, wrong in strata])
    return values, [name for name, right, wrong in strata for _ in range(right + wrong)]


class TestValue:
    def test_example(self):
        assert failed_examples(stratified_estimate) == 0

    def test_by_hand(self):
        values, strata = rows(("a", 3, 1), ("b", 1, 1), ("c", 0, 5))
        # (1 * 3/4 + 3 * 1/2) / 4; c has no weight, d no rows
        estimate = stratified_estimate(values, strata, {"a": 1, "b": 3, "c": 0, "d": 7})
        assert estimate.value == pytest.approx(2.25 / 4, abs=1e-12)
        assert estimate.n == 6

    def test_clusters_of_different_size_count_by_rows(self):
        values, strata = rows(("a", 3, 1))
        assert stratified_estimate(values, strata, {"a": 1}, clusters=[1, 1, 1, 2]).value == 0.75

    def test_the_same_cluster_label_in_two_strata_is_two_clusters(self):
        values, strata = rows(("a", 10, 10), ("b", 10, 10))
        joint = stratified_estimate(values, strata, {"a": 1, "b": 1}, clusters=[*range(20), *range(20)])
        apart = stratified_estimate(values, strata, {"a": 1, "b": 1}, clusters=range(40))
        assert joint == apart


class TestInterval:
    def test_covers_sections_and_overall(self):
        table = coverage(DESIGNS["RewardBench, .5-.97"], 100, resamples=300, methods=("smoothed",), subsets=False)
        # four sections and the overall figure; standard error of 95 % over 500 intervals: 1 %, a little more as the last
        # goes with the others
        assert 0.92 <= table["coverage"].mean() <= 0.98, table

    def test_covers_where_the_plain_bootstrap_does_not(self):
        # 28 rows of accuracy .97: all right in 43 % of samples
        rng = np.random.default_rng(0)
        covered = {"smoothed": 0, "percentile": 0}
        for seed in range(200):
            values = (rng.random(28) < 0.97).astype(float)
            for method in covered:
                estimate = stratified_estimate(values, ["a"] * 28, {"a": 1}, resamples=400, seed=seed, method=method)
                covered[method] += estimate.ci_low <= 0.97 <= estimate.ci_high
        assert covered["smoothed"] / 200 > 0.91
        assert covered["percentile"] / 200 < 0.7

    def test_few_clusters_have_quantiles_of_t(self):
        # clusters of 3, whose means lie like normal quantiles; independent right and wrong rows keep those of z
        means = 0.5 + 0.2 * stats.norm.ppf((np.arange(8) + 0.5) / 8)
        clustered = stratified_estimate(np.repeat(means, 3), ["a"] * 24, {"a": 1}, clusters=np.arange(24) // 3)
        rows_alone = stratified_estimate([1.0, 0.0] * 50, ["a"] * 100, {"a": 1})
        halves = [(estimate.ci_high - estimate.ci_low) / 2 / estimate.se for estimate in (clustered, rows_alone)]
        assert 2.2 < halves[0] < 2.5 and 1.85 < halves[1] < 2.05  # t(7) = 2.36, z = 1.96

    def test_covers_small_differences_of_two_models(self):
        rng = np.random.default_rng(1)
        covered = 0
        for seed in range(200):
            values = rng.choice([1.0, -1.0, 0.0], size=400, p=[0.03, 0.01, 0.96])
            options = {"bounds": (-1, 1), "resamples": 300, "seed": seed}
            estimate = stratified_estimate(values, ["a"] * 400, {"a": 1}, **options)
            covered += estimate.ci_low <= 0.02 <= estimate.ci_high
        assert 0.905 <= covered / 200 <= 0.985

    @pytest.mark.parametrize(("right", "end"), [(1, "ci_low"), (0, "ci_high")])
    @pytest.mark.parametrize("clustered", [False, True])
    def test_rows_that_agree_leave_an_interval(self, right, end, clustered):
        clusters = np.arange(112) // 4 if clustered else None
        n = 112 if clustered else 28
        estimate = stratified_estimate(np.full(n, float(right)), ["a"] * n, {"a": 1}, clusters=clusters)
        # between Jeffreys' (2.5 / n) and Wilson's (3.8 / n) for 28 clusters of which all agree
        assert 2.4 / 28 < abs(getattr(estimate, end) - right) < 3.9 / 28
        assert right in (estimate.ci_low, estimate.ci_high)

    def test_strata_that_are_all_right_leave_an_interval(self):
        values, strata = rows(("a", 100, 0), ("b", 40, 0))
        estimate = stratified_estimate(values, strata, {"a": 100, "b": 40})
        assert 0.96 < estimate.ci_low < 0.99 and estimate.ci_high == 1.0

    def test_whole_clusters_widen_it(self):
        values = np.repeat(np.tile([1.0, 0.0, 1.0, 1.0], 25), 9)
        strata = ["a"] * 900
        by_row = stratified_estimate(values, strata, {"a": 1})
        by_prompt = stratified_estimate(values, strata, {"a": 1}, clusters=np.arange(900) // 9)
        assert by_prompt.se / by_row.se == pytest.approx(3, rel=0.1)

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=6, max_size=40),
        st.integers(0, 3),
    )
    def test_stays_within_bounds_and_holds_the_value(self, drawn, seed):
        strata, values = zip(*[*drawn, *[(name, 1.0) for name in "aabbcc"]], strict=True)
        estimate = stratified_estimate(values, strata, {"a": 1, "b": 2, "c": 0.5}, resamples=200, seed=seed)
        assert 0 <= estimate.ci_low <= estimate.value <= estimate.ci_high <= 1
        assert estimate.ci_low < estimate.ci_high

    def test_is_reproducible(self):
        values, strata = rows(("a", 30, 10), ("b", 20, 20))
        first, again, other = (stratified_estimate(values, strata, {"a": 1, "b": 1}, seed=seed) for seed in (1, 1, 2))
        assert first == again
        assert first.ci_low != other.ci_low

    def test_few_and_many_kinds_of_rows_have_the_same_distribution(self):
        # one value moved by a hair each: drawn row by row instead of by kind
        rng = np.random.default_rng(2)
        values = (rng.random(300) < 0.8).astype(float)
        hair = np.abs(values - np.linspace(0, 1e-9, 300))
        few, many = (stratified_estimate(v, ["a"] * 300, {"a": 1}, resamples=8000) for v in (values, hair))
        assert few.se == pytest.approx(many.se, rel=0.04)
        assert (few.ci_low, few.ci_high) == pytest.approx((many.ci_low, many.ci_high), abs=0.003)

    def test_a_single_cluster_has_unknown_uncertainty(self):
        estimate = stratified_estimate([1.0, 0.0, 1.0], ["a", "a", "b"], {"a": 1, "b": 1})
        assert estimate.value == 0.75
        assert np.isnan([estimate.se, estimate.ci_low, estimate.ci_high]).all()

    def test_is_fast_enough(self):
        strata = np.repeat(list(ROWS), list(ROWS.values()))
        values = (np.random.default_rng(0).random(strata.size) < 0.9).astype(float)
        started = time.process_time()
        stratified_estimate(values, strata, EXAMPLE_COUNTS)
        assert time.process_time() - started < 0.5  # 0.03 s on an idle core


class TestRefuses:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"values": [1.0, 2.0]}, r"1 outside \[0, 1\]; first: row 1, value 2.0"),
            ({"values": [1.0, np.nan]}, "not finite; first: row 1"),
            ({"strata": ["a"]}, r"one label per row, shape \(2,\)"),
            ({"strata": ["a", "x"]}, "1 rows are of strata without a weight; first: row 1, 'x'"),
            ({"weights": {"a": -1.0}}, "'a' has -1.0"),
            ({"weights": {"a": 0.0}}, "no stratum with a weight above 0"),
            ({"clusters": ["p"]}, "one label per row"),
            ({"method": "normal"}, "smoothed, percentile"),
            ({"bounds": (1, 0)}, "low < high"),
            ({"resamples": 1}, "at least 2"),
        ],
    )
    def test_bad_input(self, change, message):
        arguments = {"values": [1.0, 0.0], "strata": ["a", "a"], "weights": {"a": 1.0}} | change
        with pytest.raises(ValueError, match=message):
            stratified_estimate(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_figures_cover_between_93_and_97_percent(design):
    table = coverage(DESIGNS[design], 1500, resamples=1000, methods=("smoothed",), subsets=False)
    # 1.1 % is two standard errors of a coverage over 1500 samples
    assert table["coverage"].between(0.93 - 0.011, 0.97 + 0.011).all(), table
