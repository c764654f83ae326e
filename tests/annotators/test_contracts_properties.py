"""What must hold for every problem: order of the regimes, incentives, optimality, and what can't be done."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from trl_ext.annotators import (
    PROFILES,
    best_number_of_checks,
    check_contract,
    first_best,
    incentive,
    solve_contract,
)
from trl_ext.annotators.contracts import (
    CallableUtility,
    ContractProblem,
    ExponentialUtility,
    LogUtility,
    PolynomialFunction,
    PowerFunction,
    PowerUtility,
    SaturatingFunction,
    cara_utility,
)


problems = st.builds(
    ContractProblem,
    utility=st.one_of(
        st.builds(cara_utility, st.floats(0.4, 2.0)),
        st.builds(
            lambda share, rate: ExponentialUtility(((share, rate), (1 - share, 2.0))),
            st.floats(0.2, 0.8),
            st.floats(0.3, 1.5),
        ),
    ),
    cost=st.one_of(
        st.builds(PowerFunction, st.floats(0.05, 0.3), st.floats(1.3, 3.0)),
        st.builds(lambda a, b: PolynomialFunction((0.0, a, b)), st.floats(0.005, 0.05), st.floats(0.05, 0.2)),
    ),
    benefit=st.one_of(
        st.builds(PowerFunction, st.floats(0.1, 0.6), st.floats(0.5, 1.0)),
        st.builds(SaturatingFunction, st.floats(0.2, 0.6), st.floats(0.5, 2.0)),
    ),
    reservation=st.sampled_from([0.0, 0.0, -0.1, 0.05]),
)
informations = st.one_of(st.floats(0.05, 1.0), st.just(1.0))


class TestOrderAndIncentives:
    @settings(max_examples=40)
    @given(problem=problems, c=informations, n=st.integers(1, 150), contract=st.sampled_from(["linear", "binary"]))
    def test_first_best_second_best_restricted(self, problem, c, n, contract):
        best = first_best(problem)
        second = solve_contract(problem, c, n, contract)
        restricted = solve_contract(problem, c, n, contract, "restricted")
        assert second.feasible
        assert second.value <= best.value + 1e-8
        if restricted.feasible:
            assert restricted.effort == best.effort
            assert restricted.value <= second.value + 1e-8
        else:
            assert restricted.reason
            assert math.isnan(restricted.value)

    @settings(max_examples=40)
    @given(problem=problems, c=informations, n=st.integers(1, 150), contract=st.sampled_from(["linear", "binary"]))
    def test_the_annotator_accepts_and_does_what_is_asked(self, problem, c, n, contract):
        for regime in ("second_best", "restricted"):
            solution = solve_contract(problem, c, n, contract, regime)
            if not solution.feasible:
                continue
            check = check_contract(problem, c, n, effort=solution.effort, grid_points=6001, **solution.terms())
            assert check.accepted
            assert check.incentive_slack >= -3e-9
            assert check.value == pytest.approx(solution.value, abs=1e-7)
            assert check.agent_utility == pytest.approx(solution.agent_utility, abs=1e-8)
            assert solution.base >= -10 - 1e-9
            assert np.nan_to_num(solution.slope) <= 10
            assert np.nan_to_num(solution.bonus) <= 10 + 1e-9

    @settings(max_examples=15)
    @given(problem=problems, n=st.integers(2, 100), contract=st.sampled_from(["linear", "binary"]))
    def test_better_checks_are_never_worse(self, problem, n, contract):
        values = [solve_contract(problem, c, n, contract).value for c in (0.2, 0.5, 0.9)]
        assert values[0] <= values[1] + 1e-8
        assert values[1] <= values[2] + 1e-8


class TestOptimality:
    """Random contracts, each at the annotator's true best reply: none that he accepts may be better."""

    @settings(max_examples=25)
    @given(
        problem=problems,
        c=informations,
        n=st.sampled_from([1, 2, 5, 11, 30]),
        seed=st.integers(0, 10**6),
        low=st.sampled_from([-10.0, -0.05]),
    )
    def test_no_linear_contract_is_better(self, problem, c, n, seed, low):
        solution = solve_contract(problem, c, n, wage_bounds=(low, 10.0))
        random = np.random.default_rng(seed)
        bases = np.maximum(solution.base + random.normal(0, 0.2, 30), low)
        slopes = np.clip(np.nan_to_num(solution.slope) + random.normal(0, 0.3, 30), 0, 10)
        for base, slope in zip(bases, slopes, strict=True):
            check = check_contract(problem, c, n, base=base, slope=slope, tolerance=1e-10, grid_points=101)
            assert not check.accepted or check.value <= solution.value + 1e-7

    @settings(max_examples=25)
    @given(
        problem=problems,
        c=informations,
        n=st.sampled_from([1, 2, 5, 11, 30]),
        low=st.sampled_from([-10.0, -1.0, -0.02]),
    )
    def test_no_binary_contract_of_a_dense_grid_is_better(self, problem, c, n, low):
        solution = solve_contract(problem, c, n, "binary", wage_bounds=(low, 10.0))
        effort = np.linspace(0, 1, 401)
        spread = np.geomspace(0.01, 500, 80)  # utility of the bonus
        lowest = problem.utility.value(low)
        for k in range(1, n + 1):
            utilities = spread[:, None] * binom.sf(k - 1, n, (1 + c * effort) / 2) - problem.cost.value(effort)
            reply = self.polish(problem, c, n, k, spread, effort[utilities.argmax(axis=1)])
            fail, cost = binom.cdf(k - 1, n, (1 + c * reply) / 2), problem.cost.value(reply)
            top = np.maximum(problem.reservation + cost + spread * fail, lowest + spread)
            base, high = problem.utility.inverse(top - spread), problem.utility.inverse(top)
            with np.errstate(invalid="ignore"):
                value = problem.benefit.value(reply) - high + fail * (high - base)
                candidates = np.isfinite(high) & (high - base <= 10) & (value > solution.value + 1e-7)
            for i in np.flatnonzero(candidates):  # the effort may be flattering: best on the grid of efforts only
                terms = {"base": base[i], "bonus": high[i] - base[i], "threshold": k}
                check = check_contract(problem, c, n, tolerance=1e-9, **terms)
                assert not check.accepted or check.value <= solution.value + 1e-7

    def polish(self, problem, c, n, k, spread, effort):
        """One step of Newton's method towards the annotator's best reply."""
        step = 1e-5
        near = np.clip(effort, step, 1 - step) + step * np.array([[-1.0], [0.0], [1.0]])
        left, middle, right = spread * binom.sf(k - 1, n, (1 + c * near) / 2) - problem.cost.value(near)
        bend = left - 2 * middle + right
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = effort + step * (left - right) / (2 * bend)
        moved = np.where((bend < 0) & (effort > 0) & (effort < 1), moved, effort)
        return np.where(np.abs(moved - effort) < 0.005, np.clip(moved, 0.0, 1.0), effort)


class TestGeneralUtilities:
    def wrapped(self, problem):
        utility = problem.utility
        wrapped = CallableUtility(
            utility.value, utility.derivative, utility.second_derivative, supremum=utility.supremum
        )
        return ContractProblem(wrapped, problem.cost, problem.benefit, problem.reservation)

    @pytest.mark.parametrize("profile", ["paper_high", "high_cost_exp", "risk_averse_poly"])
    @pytest.mark.parametrize("contract", ["linear", "binary"])
    @pytest.mark.parametrize(("c", "n"), [(0.98, 11), (0.5, 101), (0.15, 1), (1.0, 4)])
    def test_numeric_inverse_and_binomial_sum_agree_with_closed_forms(self, profile, contract, c, n):
        problem = PROFILES[profile]
        for regime in ("second_best", "restricted"):
            exact = solve_contract(problem, c, n, contract, regime)
            numeric = solve_contract(self.wrapped(problem), c, n, contract, regime)
            assert exact.feasible == numeric.feasible
            if exact.feasible:
                assert numeric.value == pytest.approx(exact.value, abs=1e-10)
                assert numeric.effort == pytest.approx(exact.effort, abs=1e-6)
                assert numeric.base == pytest.approx(exact.base, abs=1e-5)

    def test_closed_form_of_one_term_agrees_with_the_search_for_several(self):
        single = PROFILES["paper_high"]
        split = ContractProblem(ExponentialUtility(((0.4, 1.0), (0.6, 1.0))), single.cost, single.benefit)
        for n in (3, 50):
            a, b = solve_contract(single, 0.7, n), solve_contract(split, 0.7, n)
            assert b.value == pytest.approx(a.value, abs=1e-11)
            assert b.slope == pytest.approx(a.slope, rel=1e-5)

    def test_many_checks(self):
        solution = solve_contract(self.wrapped(PROFILES["paper_high"]), 0.98, 10**5)
        assert solution.gap == pytest.approx(solve_contract(PROFILES["paper_high"], 0.98, 10**5).gap, rel=1e-5)

    @pytest.mark.parametrize(("utility", "low"), [(PowerUtility(2.0, 0.5), -10.0), (LogUtility(1.0, 0.5), -0.45)])
    @pytest.mark.parametrize("contract", ["linear", "binary"])
    def test_wages_stay_in_the_domain(self, utility, low, contract):
        problem = ContractProblem(utility, PowerFunction(0.18, 2), PowerFunction(0.5, 0.8))
        solution = solve_contract(problem, 0.9, 50, contract, wage_bounds=(low, 10.0))
        assert solution.base >= utility.lower
        check = check_contract(problem, 0.9, 50, effort=solution.effort, **solution.terms())
        assert check.accepted
        assert check.incentive_slack >= -2e-9
        assert check.value == pytest.approx(solution.value, abs=1e-7)
        assert first_best(problem).value > solution.value > 0.2

    def test_linear_contracts_of_a_utility_without_negative_wages(self):
        # the base is at its bound and the annotator gets a rent: no contract of a dense grid leaves more
        problem = ContractProblem(PowerUtility(2.0, 0.5), PowerFunction(0.18, 2), PowerFunction(0.5, 0.8))
        solution = solve_contract(problem, 0.9, 50)
        assert solution.wage_bound_binds
        for base in (0.0, 0.001, 0.01):
            for slope in np.linspace(0.005, 0.5, 100):
                check = check_contract(problem, 0.9, 50, base=base, slope=slope, grid_points=101)
                assert not check.accepted or check.value <= solution.value + 1e-7

    def test_limitless_penalties_are_refused(self):
        problem = ContractProblem(LogUtility(1.0, 0.5), PowerFunction(0.18, 2), PowerFunction(0.5, 0.8))
        with pytest.raises(ValueError, match="minus infinity.*Give wage_bounds"):
            solve_contract(problem, 0.9, 50, "binary")


class TestEdges:
    PROBLEM = PROFILES["paper_high"]

    @pytest.mark.parametrize("contract", ["linear", "binary"])
    @pytest.mark.parametrize("c", [0.0, -0.3])
    def test_without_information_only_a_flat_wage_is_left(self, contract, c):
        second = solve_contract(self.PROBLEM, c, 50, contract)
        assert (second.feasible, second.effort, second.value) == (True, 0.0, 0.0)
        assert second.reason == "a flat wage for no effort"
        restricted = solve_contract(self.PROBLEM, c, 50, contract, "restricted")
        assert not restricted.feasible
        assert "c <= 0" in restricted.reason
        assert math.isnan(restricted.value)
        assert math.isnan(restricted.effort)

    @pytest.mark.parametrize("contract", ["linear", "binary"])
    def test_too_few_checks_are_reported_not_raised(self, contract):
        restricted = solve_contract(self.PROBLEM, 0.05, 1, contract, "restricted")
        assert not restricted.feasible
        assert restricted.reason
        assert solve_contract(self.PROBLEM, 0.05, 1, contract).feasible

    @pytest.mark.parametrize("contract", ["linear", "binary"])
    def test_a_tight_bound_on_wages_makes_a_contract_infeasible(self, contract):
        solution = solve_contract(self.PROBLEM, 0.98, 11, contract, "restricted", wage_bounds=(-10.0, 0.1))
        assert not solution.feasible
        assert "bound" in solution.reason

    def test_a_lower_bound_on_the_base_leaves_the_annotator_a_rent(self):
        solution = solve_contract(self.PROBLEM, 0.98, 11, wage_bounds=(0.0, 10.0))
        assert solution.base == 0.0
        assert solution.wage_bound_binds
        assert not solution.participation_binds
        assert solution.agent_utility > 0.01
        assert solution.value < solve_contract(self.PROBLEM, 0.98, 11).value

    @pytest.mark.parametrize("contract", ["linear", "binary"])
    def test_one_check(self, contract):
        # with a single check both kinds of contract are the same: two wages
        solution = solve_contract(self.PROBLEM, 0.9, 1, contract)
        assert solution.value == pytest.approx(solve_contract(self.PROBLEM, 0.9, 1).value, abs=1e-9)
        assert solution.effort == pytest.approx(solve_contract(self.PROBLEM, 0.9, 1).effort, abs=1e-6)

    @pytest.mark.parametrize("contract", ["linear", "binary"])
    def test_full_effort_with_certain_agreement(self, contract):
        # at c = 1 and full effort every check agrees: a corner where the first best of this problem lies
        problem = PROFILES["risk_averse_poly"]
        solution = solve_contract(problem, 1.0, 20, contract, "restricted")
        assert solution.effort == 1.0
        assert solution.value == pytest.approx(first_best(problem).value, abs=1e-12)  # no risk at all
        check = check_contract(problem, 1.0, 20, effort=1.0, **solution.terms())
        assert check.accepted
        assert check.incentive_slack >= -2e-9

    def test_full_effort_may_need_more_than_the_marginal_bonus(self):
        # cheap first steps: the annotator would rather be idle than follow the first-order condition at full effort
        problem = ContractProblem(cara_utility(1.0), PowerFunction(0.05, 1.2), PowerFunction(0.9, 1.0))
        solution = solve_contract(problem, 0.9, 200, "binary", "restricted", effort=1.0)
        check = check_contract(problem, 0.9, 200, effort=1.0, **solution.terms())
        assert check.incentive_slack >= -2e-9

    def test_several_promising_thresholds_far_apart(self):
        # a weak monitor, a steep utility and no negative wages: the value as a function of the threshold has two peaks
        problem = ContractProblem(cara_utility(4.1), PowerFunction(0.332, 2.137), SaturatingFunction(0.942, 3.17), 0.2)
        solution = solve_contract(problem, 0.02, 3000, "binary", wage_bounds=(0.0, 10.0))
        check = check_contract(problem, 0.02, 3000, effort=solution.effort, **solution.terms())
        assert check.accepted
        assert check.value == pytest.approx(solution.value, abs=1e-7)

    def test_whole_number_means(self):
        # n q = 60 exactly at effort 0.2: thresholds on either side are solved alike
        for n in (99, 100, 101):
            solution = solve_contract(self.PROBLEM, 1.0, n, "binary", "restricted", effort=0.2)
            assert solution.feasible
            assert solution.expected_wage > float(self.PROBLEM.utility.inverse(0.18 * 0.04))

    def test_effort_that_no_wage_pays(self):
        problem = ContractProblem(cara_utility(1.0), PowerFunction(2.0, 2), PowerFunction(0.5, 0.8))
        for contract in ("linear", "binary"):
            solution = solve_contract(problem, 0.9, 100, contract, "restricted", effort=0.9)
            assert not solution.feasible

    def test_binding_constraints_are_told(self):
        # golden case c = 0.98, n = 1000: the base is the wage of no effort, to which the annotator is indifferent
        solution = solve_contract(self.PROBLEM, 0.98, 1000, "binary")
        assert solution.global_incentive_binds
        assert solution.participation_binds
        assert not solution.wage_bound_binds
        assert not solve_contract(self.PROBLEM, 0.1556, 101, "binary").global_incentive_binds

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (dict(c=1.2, n=5), r"c must be in \[-1, 1\]"),
            (dict(c=0.5, n=0), "n must be a whole number"),
            (dict(c=0.5, n=2.5), "n must be a whole number"),
            (dict(c=float("nan"), n=5), "c must be"),
            (dict(c=0.5, n=5, contract="quadratic"), "contract must be one of"),
            (dict(c=0.5, n=5, regime="third"), "regime must be one of"),
            (dict(c=0.5, n=5, effort=0.5), "effort is for regime='restricted'"),
            (dict(c=0.5, n=5, wage_bounds=(-math.inf, 10.0)), "finite lowest base"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            solve_contract(self.PROBLEM, **arguments)

    @pytest.mark.parametrize("terms", [{}, {"slope": 1.0, "bonus": 1.0, "threshold": 2}, {"bonus": 1.0}])
    def test_check_wants_one_contract(self, terms):
        with pytest.raises(ValueError, match="either slope, or both"):
            check_contract(self.PROBLEM, 0.5, 5, base=0.0, **terms)

    def test_check_of_a_contract_that_never_pays(self):
        check = check_contract(self.PROBLEM, 0.5, 5, base=0.1, bonus=1.0, threshold=6)
        assert (check.effort, check.expected_wage) == (0.0, 0.1)

    @given(n=st.integers(1, 60), c=st.floats(0.05, 1.0))
    @settings(max_examples=10)
    def test_check_counts_what_the_annotator_would_rather_do(self, n, c):
        check = check_contract(self.PROBLEM, c, n, base=0.05, slope=0.0, effort=0.5)
        assume(check.accepted)
        assert check.effort == 0.0
        assert check.incentive_slack == pytest.approx(-0.045, abs=1e-12)  # 0.18 / 4


class TestFirstBestAtTheEdges:
    def test_a_flat_wage_is_not_better(self):
        # costs like effort^1.09 make the best effort so small that it must not be found by a straight line
        problem = ContractProblem(
            ExponentialUtility(((0.2, 0.2),)), PowerFunction(0.32067, 1.0860671), SaturatingFunction(0.5, 1.2), 0.1
        )
        assert solve_contract(problem, 0.5, 100).gap >= 0

    def test_infinite_benefit_of_the_first_effort(self):

        problem = ContractProblem(cara_utility(1.0), PolynomialFunction((0.0, 0.4)), PowerFunction(0.39, 0.95))
        best = first_best(problem)
        efforts = np.linspace(1e-6, 0.5, 100001)
        values = problem.benefit.value(efforts) - problem.utility.inverse(problem.cost.value(efforts))
        assert best.value >= values.max() and best.effort == pytest.approx(efforts[values.argmax()], abs=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solve_contract(PROFILES["paper_high"], 0.5, np.nan), "whole number of checks"),
        (lambda: solve_contract(PROFILES["paper_high"], 0.5, np.inf), "whole number of checks"),
        (lambda: incentive(0.5, 10, 0.5, k=2.5), "k is a whole number"),
        (lambda: incentive(0.5, 10.5, 0.5), "whole number n"),
        (lambda: check_contract(PROFILES["paper_high"], 0.5, 10, base=np.nan, slope=1.0), "must be finite"),
        (lambda: check_contract(PROFILES["paper_high"], 0.5, 10, base=0.0, slope=1.0, effort=3), "effort must be in"),
        (lambda: best_number_of_checks(PROFILES["paper_high"], 0.5, 1e-5, max_checks=0), "max_checks"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_problem_is_needed():
    with pytest.raises(TypeError, match="ContractProblem"):
        solve_contract("paper_high", 0.5, 10)
