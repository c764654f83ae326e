"""Tests of commitment and the planner: exact errors, promises that are kept, agreement with simulation."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import floats, integers
from scipy import stats

from trl_ext.annotators import (
    agreement_interval,
    agreement_probability,
    compare_monitors,
    error_lower_bound,
    estimator_moments,
    expert_c,
    expert_c_items,
    fisher_information,
    kl_divergence,
    minimal_error_sum,
    monitoring_test,
    plan_sample_size,
    self_consistency_c,
)


def test_golden_likelihood_ratio_tests(shared_dir):
    cases = json.loads((shared_dir / "golden" / "annotator.json").read_text())["section3_LRT"]
    for case in cases:
        c = self_consistency_c(case["delta"])
        exact = minimal_error_sum(case["eta0"], case["eta1"], case["n"], c)
        assert exact == pytest.approx(case["exact_error_sum"], rel=1e-9)
        assert exact == pytest.approx(case["orig_mc_error_sum_seed0_100k"], abs=4 * np.sqrt(0.5 / 1e5))
        test = monitoring_test(case["eta0"], case["eta1"], case["n"], c, alpha=None)
        assert test.error_sum == pytest.approx(exact, rel=1e-9)


def test_by_hand():
    # c = 1, η0 = 0: fair coins. n = 5: P(X >= 5) = 1/32 <= .05 < P(X >= 4) = 6/32
    test = monitoring_test(0.0, 0.8, 5, 1.0)
    assert (test.threshold, test.type_1) == (5, 1 / 32)
    assert test.power == pytest.approx(0.9**5)
    assert test.p_value([4, 5]) == pytest.approx([6 / 32, 1 / 32])
    assert test.power_at(0.0) == pytest.approx(1 / 32)
    randomized = monitoring_test(0.0, 0.8, 5, 1.0, randomized=True)
    # γ·5/32 = .05 - 1/32
    assert randomized.boundary_probability == pytest.approx((0.05 - 1 / 32) * 32 / 5)
    assert randomized.type_1 == pytest.approx(0.05)
    assert randomized.power_at([0.0, 0.8]) == pytest.approx([0.05, randomized.power])


@given(eta0=floats(0, 0.9), gap=floats(0.02, 0.5), c=floats(0.05, 1), n=integers(1, 500), alpha=floats(0.001, 0.5))
def test_the_threshold_is_the_lowest_at_its_level(eta0, gap, c, n, alpha):
    eta1 = min(eta0 + gap, 1.0)
    test = monitoring_test(eta0, eta1, n, c, alpha)
    q0 = agreement_probability(eta0, c)
    assert test.type_1 == pytest.approx(stats.binom.sf(test.threshold - 1, n, q0)) and test.type_1 <= alpha
    assert stats.binom.sf(test.threshold - 2, n, q0) > alpha
    randomized = monitoring_test(eta0, eta1, n, c, alpha, randomized=True)
    assert randomized.type_1 == pytest.approx(alpha) and randomized.power >= test.power - 1e-12


@given(eta0=floats(0, 0.9), gap=floats(0.02, 0.5), c=floats(0.05, 1), n=integers(1, 300))
def test_no_threshold_has_a_smaller_sum_of_errors(eta0, gap, c, n):
    eta1 = min(eta0 + gap, 1.0)
    k = np.arange(n + 2)
    q0, q1 = (agreement_probability(eta, c) for eta in (eta0, eta1))
    best = (stats.binom.sf(k - 1, n, q0) + stats.binom.cdf(k - 1, n, q1)).min()
    found = minimal_error_sum(eta0, eta1, n, c)
    assert found == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert found <= minimal_error_sum(eta0, eta1, max(n - 1, 1), c) + 1e-12
    assert found >= error_lower_bound(n, kl_divergence(eta0, eta1, c)) - 1e-9


def errors(eta0, eta1, n, c, alpha):
    test = monitoring_test(eta0, eta1, n, c, alpha)
    return test.type_1, test.type_2


@pytest.mark.parametrize(
    ("c", "eta0", "eta1", "alpha", "beta"),
    [
        (0.98, 0.8, 0.95, 0.05, 0.05),
        (0.98, 0.9, 1.0, 0.05, 0.1),
        (1.0, 0.8, 1.0, 0.01, 0.05),
        (0.98, 0.0, 0.9, 0.2, 0.3),
        (0.3, 0.1, 0.8, 0.001, 0.01),
    ],
)
def test_planned_checks_keep_both_errors_from_there_on(c, eta0, eta1, alpha, beta):
    plan = plan_sample_size(c, eta0=eta0, eta1=eta1, alpha=alpha, beta=beta)
    assert plan.type_1 <= alpha and plan.type_2 <= beta
    assert (plan.type_1, plan.type_2) == errors(eta0, eta1, plan.n, c, alpha)
    assert all(errors(eta0, eta1, n, c, alpha)[1] <= beta for n in range(plan.n, 3 * plan.n))
    assert plan.n == 1 or errors(eta0, eta1, plan.n - 1, c, alpha)[1] > beta
    assert errors(eta0, eta1, plan.first_n, c, alpha)[1] <= beta
    assert all(errors(eta0, eta1, n, c, alpha)[1] > beta for n in range(1, plan.first_n))


def test_many_checks_are_planned_quickly_and_right():
    plan = plan_sample_size(0.2, eta0=0.8, eta1=0.85)
    numbers = np.arange(plan.n - 20_000, plan.n + 20_000)
    q0, q1 = agreement_probability([0.8, 0.85], 0.2)
    thresholds = stats.binom.isf(0.05, numbers, q0) + 1
    holds = stats.binom.cdf(thresholds - 1, numbers, q1) <= 0.05
    assert holds[20_000:].all() and not holds[19_999]
    assert plan.first_n == numbers[holds][0]


@settings(max_examples=30)
@given(eta0=floats(0, 0.8), gap=floats(0.1, 0.5), c=floats(0.3, 1), error=floats(0.01, 0.8))
def test_planned_sum_of_errors_is_kept_and_needs_all_checks(eta0, gap, c, error):
    eta1 = min(eta0 + gap, 1.0)
    plan = plan_sample_size(c, eta0=eta0, eta1=eta1, error_sum=error)
    assert plan.type_1 + plan.type_2 <= error
    assert plan.n == 1 or minimal_error_sum(eta0, eta1, plan.n - 1, c) > error


def test_planned_errors_are_met_in_simulation():
    c, rng = self_consistency_c(0.02), np.random.default_rng(3)
    plan = plan_sample_size(c, eta0=0.7, eta1=0.9, alpha=0.05, beta=0.1)
    accepted = [
        np.mean(rng.binomial(plan.n, agreement_probability(eta, c), 20_000) >= plan.threshold) for eta in (0.7, 0.9)
    ]
    assert accepted[0] == pytest.approx(plan.type_1, abs=0.006) and 1 - accepted[1] == pytest.approx(
        plan.type_2, abs=0.008
    )
    assert accepted[0] <= 0.05 + 0.005 and 1 - accepted[1] <= 0.1 + 0.007


@pytest.mark.parametrize("method", ["mid-p", "clopper-pearson"])
@pytest.mark.parametrize(("eta", "half_width"), [(0.0, 0.2), (0.9, 0.1), (1.0, 0.3)])
def test_planned_width_is_met_in_simulation_and_needs_all_checks(eta, half_width, method):
    c = 0.98
    plan = plan_sample_size(c, half_width=half_width, eta=eta, method=method)
    k = np.random.default_rng(4).binomial(plan.n, agreement_probability(eta, c), 20_000)
    low, high = agreement_interval(k, plan.n, method=method)
    assert np.mean(high - low) / c == pytest.approx(plan.half_width, rel=0.01)
    widths = [estimator_moments(eta, n, c, method=method).half_width for n in range(max(plan.n - 3, 1), plan.n + 30)]
    assert np.all(np.diff(widths) < 0)
    assert plan.half_width <= half_width < estimator_moments(eta, plan.n - 1, c, method=method).half_width


class TestComparison:
    p = [0.6, 0.3, 0.9]

    def test_self_is_better_where_delta_is_below_the_clarity(self):
        # folded .6 .7 .9: c = .2 .4 .8, mean .4667
        found = compare_monitors(0.02, self.p)
        assert (found.c_self, found.better) == (0.98, "self")
        assert found.c_expert == pytest.approx(1.4 / 3)
        assert compare_monitors(0.6, self.p).better == "expert"
        assert compare_monitors(1 - expert_c(self.p), self.p).better == "equal"

    def test_ratio_is_that_of_checks_for_a_precision(self):
        found = compare_monitors(0.1, self.p, eta=0.5)
        information = fisher_information(0.5, 0.9), fisher_information(0.5, expert_c(self.p))
        assert found.checks_ratio == pytest.approx(information[0] / information[1])
        plans = [plan_sample_size(c, half_width=0.05, eta=0.5).n for c in (0.9, expert_c(self.p))]
        assert plans[1] / plans[0] == pytest.approx(found.checks_ratio, rel=0.02)

    def test_costs_can_turn_the_tables(self):
        found = compare_monitors(0.5, [0.9, 1.0], cost_self=1.0, cost_expert=50.0)
        assert (found.better, found.cheaper) == ("expert", "self")
        assert found.cost_ratio == pytest.approx(50 * found.checks_ratio)

    def test_two_monitors_that_tell_nothing_are_not_called_equal(self, caplog):
        found = compare_monitors(1.0, [0.5, 0.5])
        assert (found.better, found.cheaper) == ("neither", "neither")
        assert np.isnan([found.checks_ratio, found.cost_ratio]).all()
        assert "neither monitor tells anything about eta" in caplog.text
        only_self = compare_monitors(0.1, [0.5, 0.5])
        assert (only_self.better, only_self.checks_ratio) == ("self", np.inf)

    def test_known_items_help_the_expert(self):
        known, unknown = (compare_monitors(0.02, self.p, items_known=known) for known in (True, False))
        assert known.information_expert == pytest.approx(fisher_information(0.8, expert_c_items(self.p)))
        assert known.checks_ratio < unknown.checks_ratio


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: monitoring_test(0.9, 0.8, 10, 0.9), "0 <= eta0 < eta1 <= 1, got 0.9 and 0.8"),
        (lambda: monitoring_test(0.8, 0.9, 10, 0.9, alpha=0), "alpha must lie strictly"),
        (lambda: monitoring_test(0.8, 0.9, 10, 0.9, alpha=None, randomized=True), "randomized=True needs alpha"),
        (lambda: monitoring_test(0.8, 0.9, 10, 0.9).p_value(11), "agreements must be at most n = 10"),
        (lambda: plan_sample_size(0.9), "give eta0 and eta1 for a test, or half_width"),
        (lambda: plan_sample_size(0.9, eta0=0.1), "give eta0 and eta1 for a test, or half_width"),
        (lambda: plan_sample_size(0.9, eta0=0.1, eta1=0.2, half_width=0.1), "give eta0 and eta1 for a test, or"),
        (lambda: plan_sample_size(0.9, half_width=0.1, error_sum=0.1), "error_sum belongs to a test"),
        (
            lambda: plan_sample_size(0.5, eta0=0.5, eta1=0.8, method="foo"),
            "method belongs to an interval: give half_width",
        ),
        (lambda: plan_sample_size(0.5, eta0=0.5, eta1=0.8, level=7), "level belongs to an interval"),
        (lambda: plan_sample_size(0.5, eta0=0.5, eta1=0.8, eta=0.5), "eta belongs to an interval"),
        (lambda: plan_sample_size(0.5, half_width=0.1, beta=9), "beta belongs to a test: give eta0 and eta1"),
        (lambda: plan_sample_size(0.5, half_width=0.1, alpha=0.05), "alpha belongs to a test"),
        (lambda: plan_sample_size(0.5, eta0=0.5, eta1=0.8, error_sum=0.1, beta=0.1), "beta belongs to a test without"),
        (lambda: plan_sample_size(0.5, half_width=0.1, level=1), "level must lie strictly between 0 and 1, got 1"),
        (lambda: plan_sample_size(0.5, half_width=0.1, method="foo"), "method must be one of mid-p, clopper-pearson"),
        (lambda: plan_sample_size(1e-20, eta0=0.5, eta1=0.8), "more than 10,000,000 checks"),
        (lambda: plan_sample_size(0.9, half_width=1e-5), "more than 10,000,000 checks"),
        (lambda: plan_sample_size(0.01, eta0=0.1, eta1=0.101), "more than 10,000,000 checks"),
        (lambda: compare_monitors(0.1, [0.9], cost_expert=0), "cost_expert must be positive"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
