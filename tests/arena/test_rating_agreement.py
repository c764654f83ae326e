"""Correlations of mean reward with rating, and the ratings that rewards imply."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.optimize import minimize

from tests.evaluation.doc_examples import failed_examples
from trl_ext.arena import RatingTable, ScoreTable, implied_ratings, rating_agreement, reward_elo
from trl_ext.arena.mismatch.agreement import _correlations, _mean_absolute, _root_mean_square
from trl_ext.arena.mismatch.error_size import size_interval
from trl_ext.arena.mismatch.implied_rating import fit_wins, prompt_wins, separated


RATINGS = {"a": 1300.0, "b": 1240.0, "c": 1210.0, "d": 1150.0, "e": 1120.0}


def drawn(n=300, seed=0, scale=170.0, shifts=(0.0,) * 5, digits=1, prompt=1.0):
    rng = np.random.default_rng(seed)
    common = rng.normal(0, prompt, n)
    return ScoreTable.from_columns(
        {
            name: np.round(common + rng.gumbel((rating - 1200) / scale + shift, 1, n), digits)
            for (name, rating), shift in zip(RATINGS.items(), shifts, strict=True)
        }
    )


def rated(error=4.0):
    table = RatingTable.from_ratings(RATINGS).table
    return RatingTable(table.assign(rating_low=table["rating"] - error, rating_high=table["rating"] + error))


@pytest.fixture(scope="module")
def agreement():
    return rating_agreement(drawn(), rated())


class TestCorrelations:
    def test_values_are_those_of_scipy(self, agreement):
        means = drawn().scores.mean(axis=0)
        ratings = list(RATINGS.values())
        assert agreement.spearman.value == pytest.approx(stats.spearmanr(means, ratings).statistic)
        assert agreement.pearson.value == pytest.approx(stats.pearsonr(means, ratings).statistic)
        assert agreement.kendall.value == pytest.approx(stats.kendalltau(means, ratings).statistic)

    @given(x=arrays(np.int8, 6, elements=st.integers(0, 4)), y=arrays(np.int8, 6, elements=st.integers(0, 4)))
    def test_with_ties(self, x, y):
        if np.ptp(x) == 0 or np.ptp(y) == 0:
            return
        found = _correlations(x[None].astype(float), y[None].astype(float))
        assert found["spearman"][0] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert found["kendall"][0] == pytest.approx(stats.kendalltau(x, y).statistic)

    def test_intervals(self, agreement):
        for estimate in (agreement.spearman, agreement.pearson, agreement.kendall):
            assert -1 <= estimate.ci_low <= estimate.value <= estimate.ci_high <= 1
            assert "5 fixed models" in estimate.method and "ratings drawn" in estimate.method
        json.dumps(agreement.to_dict())

    def test_rewards_that_say_nothing_of_the_ratings_have_wide_intervals(self):
        found = rating_agreement(drawn(40, scale=1e9), rated()).spearman
        assert found.ci_high - found.ci_low > 0.8

    def test_two_models_and_equal_ratings_have_no_correlation(self):
        pair = drawn().select(["a", "b"])
        found = rating_agreement(pair, rated())
        assert np.isnan(found.spearman.value) and "needs 3 models" in found.spearman.method
        assert np.isfinite(found.rating_rmse.value)
        equal = rating_agreement(drawn(), RatingTable.from_ratings(dict.fromkeys(RATINGS, 1200.0)))
        assert np.isnan(equal.kendall.value) and "all ratings are equal" in equal.kendall.method


class TestTable:
    def test_interval_of_a_mean_reward_leaves_out_the_prompts(self):
        tables = [rating_agreement(drawn(prompt=size), rated()).table for size in (0.0, 20.0)]
        widths = [(table["reward_high"] - table["reward_low"]).mean() for table in tables]
        assert widths[1] == pytest.approx(widths[0], rel=0.1)

    def test_standard_error_of_the_implied_error_matches_a_bootstrap_of_rows(self, agreement):
        scores, rng = drawn().scores, np.random.default_rng(0)
        errors = []
        for _ in range(300):
            ratings = rng.normal(list(RATINGS.values()), 4 / 1.96)
            implied = fit_wins(prompt_wins(scores[rng.integers(300, size=300)]).mean(axis=0))
            errors.append(implied + ratings.mean() - ratings)
        widths = agreement.table["error_high"] - agreement.table["error_low"]
        assert widths.to_numpy() == pytest.approx(2 * 1.96 * np.std(errors, axis=0), rel=0.15)

    def test_clusters_and_random_groups(self, monkeypatch):
        thrice = ScoreTable.from_columns({name: np.repeat(drawn().of(name), 3) for name in RATINGS})
        one = rating_agreement(drawn(), rated()).table
        clustered = rating_agreement(thrice, rated(), clusters=np.repeat(np.arange(300), 3)).table
        monkeypatch.setattr("trl_ext.arena.mismatch.agreement._MOST_UNITS", 100)
        grouped = rating_agreement(drawn(), rated())
        assert "in 100 random groups" in grouped.method
        for other in (clustered, grouped.table):
            assert other["error"].to_numpy() == pytest.approx(one["error"].to_numpy(), abs=1e-6)
            widths = [table["error_high"] - table["error_low"] for table in (other, one)]
            assert widths[0].mean() == pytest.approx(widths[1].mean(), rel=0.12)

    def test_too_few_prompts_for_an_interval(self):
        found = rating_agreement(drawn(2), rated())
        assert np.isnan(found.rating_rmse.ci_low) and found.table["reward_low"].isna().all()
        assert "too few for an interval" in found.method


class TestImpliedRatings:
    def test_is_the_maximum_of_the_likelihood(self):
        scores = drawn(80).scores
        pairs = list(combinations(range(5), 2))
        wins = {(i, j): np.sum((scores[:, i] > scores[:, j]) + 0.5 * (scores[:, i] == scores[:, j])) for i, j in pairs}

        def loss(theta):
            return -sum(
                wins[i, j] * np.log(1 / (1 + np.exp(theta[j] - theta[i])))
                + (80 - wins[i, j]) * np.log(1 / (1 + np.exp(theta[i] - theta[j])))
                for i, j in pairs
            )

        best = minimize(loss, np.zeros(5), tol=1e-10).x * 400 / np.log(10)
        assert list(implied_ratings(drawn(80)).values()) == pytest.approx(best - best.mean(), abs=1e-2)

    def test_recovers_ratings(self):
        # differences of gumbel scores are logistic: Elo 400 / ln 10 per unit
        found = rating_agreement(drawn(6000, scale=400 / np.log(10), digits=6), rated(1e-6), bootstrap=100)
        assert found.table["error"].abs().max() < 12  # three standard errors
        assert found.table["implied_rating"].mean() == pytest.approx(np.mean(list(RATINGS.values())))

    def test_error_of_an_overvalued_model_and_its_interval(self):
        found = rating_agreement(drawn(2000, scale=400 / np.log(10), shifts=(0, 0, 0, 1.0, 0)), rated(), bootstrap=400)
        error = found.table.set_index("model").loc["d"]
        # one unit is 174 Elo points, of which a fifth moves the mean of all five
        assert error["error"] == pytest.approx(0.8 * 174, abs=15)
        assert error["error_low"] > 100
        assert found.rating_rmse.value == pytest.approx(np.sqrt(np.mean(found.table["error"] ** 2)))
        assert found.rating_rmse.ci_low < found.rating_rmse.value < found.rating_rmse.ci_high
        assert found.rating_mae.value < found.rating_rmse.value

    @given(strengths=arrays(np.float64, (3, 4), elements=st.floats(-6, 6)))
    def test_fit_inverts_expected_wins(self, strengths):
        expected = (1 / (1 + np.exp(strengths[:, None, :] - strengths[:, :, None]))).sum(axis=2) - 0.5
        found = fit_wins(expected) * np.log(10) / 400
        assert found == pytest.approx(strengths - strengths.mean(axis=1, keepdims=True), abs=1e-5)

    @pytest.mark.parametrize(
        ("rows", "groups"),
        [
            ([[3, 2, 1], [3, 1, 2]], [0, 1, 1]),
            ([[3, 2, 1], [3, 2, 1]], [0, 1, 2]),
            ([[1, 2, 0], [2, 1, 0]], [0, 0, 1]),
            ([[1, 2, 3], [3, 1, 2]], [0, 0, 0]),
            ([[1, 2, 3], [3, 1, 2], [2, 3, 1]], [0, 0, 0]),
            ([[2, 2, 1]], [0, 0, 1]),
        ],
    )
    def test_groups_that_always_beat_the_next(self, rows, groups):
        wins = prompt_wins(np.array(rows, dtype=float)).mean(axis=0)
        assert separated(wins).tolist() == groups

    def test_a_model_that_always_wins_is_reported_and_open_upwards(self):
        found = rating_agreement(drawn(shifts=(100, 0, 0, 0, 0)), rated())
        table = found.table.set_index("model")
        assert np.isinf(table.loc["a", "implied_high"]) and np.isfinite(table.loc["a", "implied_low"])
        assert np.isinf(table.loc["b", "implied_low"]) and np.isfinite(table.loc["b", "implied_high"])
        assert np.isfinite(table["implied_rating"]).all()
        assert found.unbounded == tuple(RATINGS)
        assert "shrunk" in found.rating_rmse.method and np.isinf(found.rating_rmse.ci_high)


class TestRewardElo:
    def test_by_hand(self):
        # 1 wins over 2: 1002, 998; tie: expected score of the first 1 / (1 + 10^(-4/400)) = .505756
        scores = ScoreTable.from_columns({"one": [1.0, 2.0], "two": [0.0, 2.0]})
        found = reward_elo(scores)
        assert found["one"] == pytest.approx(1002 + 4 * (0.5 - 0.5057563), abs=1e-6)
        assert found["one"] + found["two"] == 2000


class TestBadInput:
    def test_missing_rating(self):
        with pytest.raises(ValueError, match="1 of 5 scored models have no rating; first.*'e'"):
            rating_agreement(drawn(), rated().select(list("abcd")))

    def test_options(self):
        with pytest.raises(ValueError, match="at least"):
            rating_agreement(drawn(), rated(), bootstrap=5)
        with pytest.raises(ValueError, match="between 0 and 1"):
            rating_agreement(drawn(), rated(), level=0)

    def test_examples(self):
        assert [failed_examples(function) for function in (rating_agreement, implied_ratings, reward_elo)] == [0, 0, 0]


@pytest.mark.slow
def test_coverage_of_errors():
    """True errors of implied ratings, and their root mean square: 400 tables, 95 % intervals (standard error .011)."""
    shifts, unit = np.array([0.0, 0.3, 0.0, -0.2, 0.0]), 400 / np.log(10)
    truth = (shifts - shifts.mean()) * unit
    inside, inside_root = [], []
    for seed in range(400):
        rng = np.random.default_rng([7, seed])
        noisy = {name: rating + rng.normal(0, 4 / 1.96) for name, rating in RATINGS.items()}
        table = RatingTable.from_ratings(noisy).table
        ratings = RatingTable(table.assign(rating_low=table["rating"] - 4, rating_high=table["rating"] + 4))
        found = rating_agreement(drawn(200, seed + 1, unit, shifts, 6), ratings, bootstrap=400, seed=seed)
        inside.append((found.table["error_low"] <= truth) & (truth <= found.table["error_high"]))
        root = np.sqrt(np.mean(truth**2))
        inside_root.append(found.rating_rmse.ci_low <= root <= found.rating_rmse.ci_high)
    assert 0.92 < np.mean(inside) < 0.98
    assert 0.90 < np.mean(inside_root) < 0.99


class TestErrorSize:
    def test_is_the_interval_of_the_noncentral_chi_squared_distribution(self):
        errors = np.array([3.0, -1.0, 0.5, 2.0])
        noise = np.random.default_rng(0).normal(size=(20_000, 4))
        low, high = size_interval(errors, errors + noise, _root_mean_square, (0.025, 0.975))
        total = np.sum(errors**2)
        for end, tail in ((low, 0.975), (high, 0.025)):
            assert stats.ncx2.cdf(total, 4, 4 * end**2) == pytest.approx(tail, abs=0.005)

    def test_covers_more_often_than_a_mirrored_interval(self):
        rng, true = np.random.default_rng(0), np.array([2.4, -0.6, -0.6, -0.6, -0.6])
        size, covered, mirrored = np.sqrt(np.mean(true**2)), 0, 0
        for _ in range(300):
            found = true + rng.normal(size=5)
            draws = found + rng.normal(size=(200, 5))
            low, high = size_interval(found, draws, _root_mean_square, (0.025, 0.975))
            covered += low <= size <= high
            squares = np.quantile(np.mean(draws**2, axis=1), (0.975, 0.025))
            low, high = 2 * np.mean(found**2) - squares
            mirrored += low <= size**2 <= high
        assert covered / 300 >= 0.92 > mirrored / 300

    def test_errors_within_their_noise_may_be_none(self):
        noise = np.random.default_rng(0).normal(size=(500, 5))
        low, high = size_interval(np.full(5, 0.8), 0.8 + noise, _mean_absolute, (0.025, 0.975))
        assert low == 0 < high < 3

    def test_no_draws_and_no_errors(self):
        nothing = size_interval(np.ones(3), np.full((10, 3), np.nan), _mean_absolute, (0.025, 0.975))
        assert np.isnan(nothing).all()
        assert size_interval(np.zeros(3), np.ones((10, 3)), _mean_absolute, (0.025, 0.975)) == (0.0, 0.0)
