"""η from counts: golden numbers, hand computations, coverage, agreement of exact figures with simulation."""

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers
from scipy import stats
from scipy.special import expit

from trl_ext.annotators import (
    agreement_interval,
    agreement_probability,
    estimate_c,
    estimate_eta,
    estimate_eta_items,
    estimator_moments,
    expert_c_items,
    fisher_information,
    self_consistency_c,
)


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "annotator.json").read_text())


def test_golden_counts(golden):
    for case in golden["eta_from_counts"]:
        found = estimate_eta(case["agreements"], case["n"], case["c"])
        assert found.unclipped == pytest.approx(case["eta_unclipped"], rel=1e-9, abs=1e-12)
        assert found.value == pytest.approx(case["eta_clipped"], rel=1e-9, abs=1e-12)
        assert found.log_likelihood == pytest.approx(case["loglik_at_clipped"], rel=1e-9)


def test_golden_moments(golden):
    names = {
        "agreement_mean": "Abar_mean",
        "agreement_variance": "Abar_var",
        "mean": "eta_mle_clipped_mean",
        "variance": "eta_mle_clipped_var",
        "unclipped_variance": "eta_mom_unclipped_var",
    }
    for case in golden["annotator_model"]:
        found = estimator_moments(case["eta"], case["n"], case["c"])
        for ours, theirs in names.items():
            assert getattr(found, ours) == pytest.approx(case[theirs], rel=1e-9, abs=1e-15)
        assert found.unclipped_variance == pytest.approx(case["cramer_rao_var"], rel=1e-9, abs=1e-15)


def test_by_hand():
    # 150 of 200: (2·.75 - 1)/.98; se 2·sqrt(.75·.25/200)/.98
    found = estimate_eta(150, 200, 0.98)
    assert found.value == found.unclipped == pytest.approx(0.5102041)
    assert found.se == pytest.approx(0.062487, abs=1e-6)
    assert (found.n, found.agreements, found.note) == (200, 150, "")


@given(n=integers(1, 300), share=floats(0, 1), level=floats(0.5, 0.99))
def test_mid_p_interval_solves_its_equations(n, share, level):
    k = round(share * n)
    low, high = agreement_interval(k, n, level)

    def tail(q):
        return stats.binom.sf(k, n, q) + stats.binom.pmf(k, n, q) / 2

    assert low == 0 if k == 0 else tail(low) == pytest.approx((1 - level) / 2, rel=1e-9)
    assert high == 1 if k == n else tail(high) == pytest.approx((1 + level) / 2, rel=1e-9)
    wide = agreement_interval(k, n, level, "clopper-pearson")
    assert wide[0] <= low <= k / n <= high <= wide[1]
    turned = agreement_interval(n - k, n, level)
    np.testing.assert_allclose(turned, (1 - high, 1 - low), atol=1e-12)


def test_clopper_pearson_is_scipy_s():
    for k, n in ((0, 5), (3, 5), (5, 5), (150, 200)):
        expected = stats.binomtest(k, n).proportion_ci(method="exact")
        np.testing.assert_allclose(agreement_interval(k, n, method="clopper-pearson"), (expected.low, expected.high))


@pytest.mark.parametrize("eta", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [100, 200, 500])
def test_intervals_cover_in_simulated_duplicates(eta, n):
    delta, replications = 0.04, 2000
    rng = np.random.default_rng(11)
    committed = rng.random((replications, n)) < eta
    first = rng.random((replications, n)) < 0.5
    # committed: the same answer but with probability δ; else two coins
    second = np.where(committed, first ^ (rng.random((replications, n)) < delta), rng.random((replications, n)) < 0.5)
    agreements = (first == second).sum(axis=1)
    c = self_consistency_c(delta, "model")
    low, high = agreement_interval(agreements, n)
    truth = agreement_probability(eta, c)
    coverage = np.mean((low <= truth) & (truth <= high))
    assert 0.93 <= coverage <= 0.97
    assert coverage == pytest.approx(
        estimator_moments(eta, n, c).coverage, abs=4 * np.sqrt(0.05 * 0.95 / replications)
    )
    estimates = np.clip((2 * agreements / n - 1) / c, 0, 1)
    assert estimates.mean() == pytest.approx(estimator_moments(eta, n, c).mean, abs=5 * estimates.std() / 2000**0.5)
    few = [estimate_eta(k, n, c) for k in agreements[:50]]
    inside = [each.ci_low <= eta <= each.ci_high for each in few]
    assert inside == list(((low <= truth) & (truth <= high))[:50])  # cutting to [0, 1] changes nothing


@pytest.mark.parametrize("c", [0.2, 0.98])
def test_exact_coverage(c):
    for eta in (0.1, 0.5, 0.9):
        for n in range(100, 500, 29):
            assert 0.93 < estimator_moments(eta, n, c).coverage < 0.97
            assert estimator_moments(eta, n, c, method="clopper-pearson").coverage >= 0.95


def test_moments_agree_with_simulation():
    eta, n, c = 0.95, 60, 0.9
    k = np.random.default_rng(0).binomial(n, agreement_probability(eta, c), 200_000)
    estimates = np.clip((2 * k / n - 1) / c, 0, 1)
    found = estimator_moments(eta, n, c)
    assert found.mean == pytest.approx(estimates.mean(), abs=1e-3)
    assert found.rmse == pytest.approx(np.sqrt(np.mean((estimates - eta) ** 2)), rel=0.01)
    assert found.unclipped_variance == pytest.approx(1 / (n * fisher_information(eta, c)))


def test_more_agreement_than_c_allows_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        found = estimate_eta(150, 200, 0.24)
    assert (found.value, found.ci_low, found.ci_high) == (1, 1, 1) and found.unclipped > 2
    assert "c is too small" in found.note and found.note in caplog.text


def test_less_agreement_than_guesses_is_said():
    found = estimate_eta(20, 100, 0.98)
    assert (found.value, found.ci_low, found.ci_high) == (0, 0, 0) and "agree less than eta = 0" in found.note
    found = estimate_eta(20, 100, 0.98, allow_negative=True)
    assert found.note == "" and found.ci_low < found.value < found.ci_high < 0


def test_three_labels():
    # guesses agree once in three: q = 1/3 + 2/3·c·η; at c = .9, η = .5: q = .6333
    assert agreement_probability(0.5, 0.9, chance=1 / 3) == pytest.approx(1 / 3 + 0.3)
    assert estimate_eta(190, 300, 0.9, chance=1 / 3).value == pytest.approx(0.5)
    assert self_consistency_c(0.1, "model", chance=1 / 3) == pytest.approx(0.85)
    # committed (.5) agree with .9, others with 1/3
    expected = 0.5 * 0.9 + 0.5 / 3
    assert agreement_probability(0.5, 0.85, chance=1 / 3) == pytest.approx(expected)


def test_c_from_trusted_annotators():
    found = estimate_c(190, 200)
    assert found.value == pytest.approx(0.9) and found.ci_low < 0.9 < found.ci_high
    assert estimate_c(190, 200, trusted_eta=0.95).value == pytest.approx(0.9 / 0.95)


class TestItems:
    def test_equal_items_are_counts(self):
        found = estimate_eta_items([1] * 150 + [0] * 50, [0.98] * 200)
        assert found.value == pytest.approx(estimate_eta(150, 200, 0.98).value, rel=1e-9)
        assert found.se == pytest.approx(estimate_eta(150, 200, 0.98).se, rel=1e-9)
        for eta in (found.ci_low, found.ci_high):
            q = (1 + 0.98 * eta) / 2
            ratio = 2 * (stats.binom.logpmf(150, 200, 0.75) - stats.binom.logpmf(150, 200, q))
            assert ratio == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-6)

    def test_value_maximises_the_likelihood(self):
        rng = np.random.default_rng(1)
        c, agree = rng.uniform(0, 1, 300), rng.random(300) < 0.7
        found = estimate_eta_items(agree, c)
        grid = np.linspace(0, 1, 1001)
        likelihood = np.log((1 + np.where(agree, c, -c) * grid[:, None]) / 2).sum(axis=1)
        assert found.value == pytest.approx(grid[likelihood.argmax()], abs=1e-3)
        assert found.log_likelihood >= likelihood.max()

    @pytest.mark.parametrize("eta", [0.1, 0.5, 0.9])
    def test_coverage_and_precision(self, eta):
        rng = np.random.default_rng(2)
        c = expert_c_items(expit(1.6 * rng.standard_normal(200)))
        found = [estimate_eta_items(rng.random(200) < (1 + c * eta) / 2, c, allow_negative=True) for _ in range(1000)]
        covered = np.mean([each.ci_low <= eta <= each.ci_high for each in found])
        assert 0.93 <= covered <= 0.97
        spread = np.std([each.unclipped for each in found])
        assert spread == pytest.approx(1 / np.sqrt(200 * fisher_information(eta, c)), rel=0.1)

    def test_extremes(self):
        found = estimate_eta_items([1] * 20, [1.0] * 20)
        # ((1 + η)/2)^20 = exp(-χ²/2): η = 2·exp(-1.92073/20) - 1
        assert (found.value, found.ci_high, found.ci_low) == (1, 1, pytest.approx(0.816862, abs=1e-6))
        assert estimate_eta_items([0] * 20, [0.5] * 20).value == 0
        assert estimate_eta_items([0] * 20, [0.5] * 20, allow_negative=True).value == -1


def test_the_coverage_with_few_checks_is_as_the_docstring_and_the_guide_say():
    numbers = range(20, 300)
    coverage = {eta: {n: estimator_moments(eta, n, 0.98).coverage for n in numbers} for eta in (0.1, 0.5, 0.9)}
    few = {eta: [by_n[n] for n in range(20, 100)] for eta, by_n in coverage.items()}
    others = few[0.1] + few[0.5]
    ranges = [f"{x:.3f}" for x in (min(few[0.9]), max(few[0.9]), min(others), max(others))]
    outside = [[n for n in numbers if not 0.93 <= by_n[n] <= 0.97] for by_n in coverage.values()]
    from_there_on = [str(max(outside[2]) + 1), str(max(outside[0] + outside[1]) + 1)]

    docstring = " ".join(estimate_eta.__doc__.split())
    said = r"95 % mid-p interval is (\S+) to (\S+) at η = 0.9 .*?from (\d+) on only\), and (\S+) to (\S+) at .*?from (\d+) on"
    low, high, first, low_others, high_others, first_others = re.search(said, docstring).groups()
    assert ([low, high, low_others, high_others], [first, first_others]) == (ranges, from_there_on)

    guide = Path(__file__).resolve().parents[2].joinpath("docs", "monitoring.md").read_text(encoding="utf-8")
    said = r"default is (\S+)–(\S+) at η = .9 .*?from (\d+) on only\) and (\S+)–(\S+) at η = .1 and .5 \(inside from (\d+) on"
    low, high, first, low_others, high_others, first_others = re.search(said, guide).groups()
    assert (["0" + x for x in (low, high, low_others, high_others)], [first, first_others]) == (ranges, from_there_on)
    for n in (20, 50):
        assert f"{coverage[0.9][n]:.3f}"[1:] + f" with {n}" in guide


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate_eta(5, 10, "a"), r"c must be a number in \(0, 1\], got 'a'"),
        (lambda: estimate_eta(5, 10, 0.5, level="a"), "level must be a number strictly between 0 and 1, got 'a'"),
        (lambda: estimate_eta("5", 10, 0.5), "agreements must be whole numbers of at least 0, got '5'"),
        (lambda: agreement_interval("a", 10), "agreements must be whole numbers of at least 0, got 'a'"),
        (lambda: agreement_interval([1, None], 10), "agreements must be whole numbers of at least 0"),
    ],
)
def test_what_is_no_number_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate_eta([5], [10], 0.5), r"agreements must be one whole number, got an array of shape \(1,\)"),
        (lambda: estimate_eta(5, [10], 0.5), r"n must be one whole number, got an array of shape \(1,\)"),
        (lambda: estimate_eta(5, 10, 0.5, level=[0.9]), r"level must be one number, got an array of shape \(1,\)"),
        (lambda: estimate_eta(5, 4, 0.9), "agreements must be at most n, got 5 of 4"),
        (lambda: estimate_eta(1, 0, 0.9), "n must be whole numbers of at least 1, got 0"),
        (lambda: estimate_eta(1, 4, 0.0), r"c must be a number in \(0, 1\], got 0.0"),
        (lambda: estimate_eta(1, 4, 0.9, level=1.0), "level must lie strictly"),
        (lambda: estimate_eta(1, 4, 0.9, method="wald"), "method must be one of mid-p, clopper-pearson"),
        (lambda: estimate_eta(1, 4, 0.9, chance=0.7), "chance must lie in"),
        (lambda: estimate_eta_items([1, 2], [0.5, 0.5]), r"agreements must lie in \[0, 1\]"),
        (lambda: estimate_eta_items([1, 0.5], [0.5, 0.5]), "agreements must be 0 or 1, got 0.5"),
        (lambda: estimate_eta_items([1, 0], [0.5]), "one value per check, got 2 and 1"),
        (lambda: estimate_eta_items([1, 0], [0, 0]), "c is 0 for all checks"),
        (lambda: estimator_moments(1.5, 10, 0.9), r"eta must lie in \[0, 1\]"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
