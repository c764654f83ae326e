"""Intervals of mismatch degrees contain the truth as often as they say, near 0 and 1 and in clusters as well."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.mismatch_coverage import coverage
from trl_ext.arena import RatingTable, ScoreTable, mismatch_table
from trl_ext.arena.mismatch.intervals import mismatch_interval, relative_mismatch
from trl_ext.arena.mismatch.pairwise_counts import clustered_variances


EVEN = RatingTable.from_ratings({"a": 1200.0, "b": 1200.0})


def outcomes(wins, ties, losses):
    first = np.repeat([1.0, 0.0, -1.0], [wins, ties, losses])
    return ScoreTable.from_columns({"a": first + np.linspace(5, 6, first.size), "b": np.linspace(5, 6, first.size)})


def interval(scores, **options):
    row = mismatch_table(scores, EVEN, rating_uncertainty=False, **options).iloc[0]
    return row["ci_low"], row["ci_high"]


class TestInterval:
    @pytest.mark.parametrize("wins", [3, 40, 70])
    def test_is_that_of_jeffreys_where_ratings_are_exact(self, wins):
        low, high = interval(outcomes(wins, 0, 80 - wins), bootstrap=40_000)
        exact = stats.beta.ppf([0.025, 0.975], wins + 0.5, 80 - wins + 0.5)
        assert [low, high] == pytest.approx(2 * (exact - 0.5), abs=0.005)

    def test_agrees_with_resampled_rows(self):
        scores = outcomes(300, 250, 450)
        rng = np.random.default_rng(0)
        for ties, worth in (("loss", 0.0), ("half", 0.5)):
            rows = np.repeat([1.0, worth, 0.0], [300, 250, 450])
            rates = rows[rng.integers(1000, size=(4000, 1000))].mean(axis=1)
            expected = np.quantile(relative_mismatch(rates, 0.5), [0.025, 0.975])
            assert interval(scores, ties=ties, bootstrap=8000) == pytest.approx(expected, abs=0.006)

    def test_has_width_where_a_model_always_wins_and_ends_at_the_end_of_the_range(self):
        low, high = interval(outcomes(50, 0, 0))
        assert high == 1.0 and 0.85 < low < 0.96
        low, high = interval(outcomes(0, 0, 50))
        assert low == -1.0 and -0.96 < high < -0.85
        low, high = interval(outcomes(0, 20, 30))  # ties are losses: never won
        assert low == -1.0
        assert interval(outcomes(0, 20, 30), ties="half")[0] > -0.9

    def test_adds_the_uncertainty_of_the_ratings(self):
        rng = np.random.default_rng(0)
        expected = 0.4 + rng.normal(0, 0.02, 20_000)
        se, _, _ = mismatch_interval((400, 0, 600), 1000.0, expected, "loss", 0.95, 20_000, rng)
        # (w - P) / (1 - P), of which both derivatives are 1 / (1 - P) where w = P
        assert se == pytest.approx(np.sqrt(0.24 / 1000 + 0.02**2) / 0.6, rel=0.03)


class TestClusters:
    def test_clusters_of_one_prompt_are_independent_prompts(self):
        scores = outcomes(240, 60, 200)
        alone = interval(scores, clusters=np.arange(500), bootstrap=8000)
        assert alone == pytest.approx(interval(scores, bootstrap=8000), abs=0.01)

    def test_repeated_prompts_add_nothing(self):
        rng = np.random.default_rng(1)
        once = ScoreTable.from_columns({"a": rng.normal(0.3, 1, 200), "b": rng.normal(0, 1, 200)})
        thrice = ScoreTable.from_columns({name: np.repeat(once.of(name), 3) for name in "ab"})
        clustered = interval(thrice, clusters=np.repeat(np.arange(200), 3), bootstrap=8000)
        assert clustered == pytest.approx(interval(once, bootstrap=8000), abs=0.01)

    @pytest.mark.parametrize("ties", ["loss", "half"])
    def test_standard_error_is_that_of_a_bootstrap_of_clusters(self, ties):
        rng = np.random.default_rng(2)
        codes = rng.integers(0, 80, 600)
        shared = rng.normal(size=80)[codes]
        scores = np.stack([np.round(shared + rng.normal(0, 1, 600)), np.round(rng.normal(0, 1, 600))], axis=1)
        sizes = np.bincount(codes, minlength=80)
        worth = (scores[:, 0] > scores[:, 1]) + {"loss": 0.0, "half": 0.5}[ties] * (scores[:, 0] == scores[:, 1])
        sums = np.bincount(codes, worth, minlength=80)
        weights = rng.multinomial(80, np.full(80, 1 / 80), size=4000)
        spread = (weights @ sums / (weights @ sizes)).std()
        assert np.sqrt(clustered_variances(scores, codes, 80, ties)[0, 1]) == pytest.approx(spread, rel=0.06)

    def test_one_cluster_tells_nothing(self):
        row = mismatch_table(outcomes(20, 0, 30), EVEN, clusters=["x"] * 50).iloc[0]
        assert row[["se", "ci_low", "ci_high", "p_value"]].isna().all()
        assert row["mismatch"] == pytest.approx(-0.2, abs=1e-12)


@pytest.mark.slow
class TestCoverage:
    @pytest.mark.parametrize("n", [50, 200, 1000])
    @pytest.mark.parametrize("expected", [0.4, 0.64])
    @pytest.mark.parametrize("win", [0.3, 0.6])
    @pytest.mark.parametrize("ties", ["loss", "half"])
    def test_in_the_middle(self, n, expected, win, ties):
        # standard error of the share: sqrt(.95 * .05 / 800) = .008
        found = coverage(n, expected, win, 0.1, 6.0, ties, False, replications=800, seed=n)
        assert 0.92 < found["coverage"] < 0.98

    @pytest.mark.parametrize("n", [50, 200, 1000])
    @pytest.mark.parametrize("win", [0.0, 0.005, 0.02, 0.98, 0.995, 1.0])
    def test_near_the_ends_where_the_percentile_bootstrap_fails(self, n, win):
        found = coverage(n, 0.4, win, 0.0, 0.0, "loss", False, replications=800, seed=n)
        assert found["coverage"] > 0.91
        if n * min(win, 1 - win) < 3 and win not in (0.0, 1.0):
            assert found["coverage_percentile"] < 0.9

    @pytest.mark.parametrize("win", [0.02, 0.4, 0.9])
    def test_in_clusters(self, win):
        found = coverage(200, 0.64, win, 0.1, 6.0, "half", True, replications=800, seed=5)
        assert found["coverage"] > 0.92
