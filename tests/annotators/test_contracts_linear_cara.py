"""Linear contracts in plain floats: the same contracts as those of the search for any utility."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.annotators.contracts import (
    PROFILES,
    ContractProblem,
    LogFunction,
    PolynomialFunction,
    PowerFunction,
    SaturatingFunction,
    cara_utility,
    first_best,
    solve_contract,
)
from trl_ext.annotators.contracts.linear_cara import CARAContracts, best_interior_effort
from trl_ext.annotators.contracts.solve import choose_effort


EFFORT_FUNCTIONS = [
    PowerFunction(0.18, 2.0),
    PowerFunction(0.5, 0.8),
    PolynomialFunction((0.1, 0.02, 0.18, 0.05)),
    LogFunction(0.35, 1.8),
    SaturatingFunction(0.5, 1.2),
]


@pytest.mark.parametrize("function", EFFORT_FUNCTIONS, ids=lambda function: type(function).__name__)
@pytest.mark.parametrize("effort", [0.01, 0.37, 1.0])
def test_plain_floats_are_the_methods_of_arrays(function, effort):
    expected = function.value(effort), function.derivative(effort), function.second_derivative(effort)
    np.testing.assert_allclose(function.expand(effort), expected, rtol=1e-13)


@given(
    a=st.floats(0.3, 2.0),
    cost=st.tuples(st.floats(0.02, 0.6), st.floats(1.05, 3.0)),
    benefit=st.tuples(st.floats(0.1, 1.0), st.floats(0.3, 3.0)),
    c=st.floats(0.02, 1.0),
    n=st.integers(1, 1000),
)
def test_the_search_finds_nothing_better(a, cost, benefit, c, n):
    problem = ContractProblem(cara_utility(a), cost=PowerFunction(*cost), benefit=LogFunction(*benefit))
    searched = choose_effort(
        problem, c, n, "linear", (-10.0, 10.0), first_best(problem), lambda e, wage: problem.benefit.value(e) - wage
    )
    assert solve_contract(problem, c, n).value >= searched.value - 1e-10


@pytest.mark.parametrize("n", [11, 101])
def test_the_usual_case_is_solved_here(n):
    problem = PROFILES["paper_high"]
    effort = best_interior_effort(problem, 0.98, n, first_best(problem))
    solution = solve_contract(problem, 0.98, n)
    assert solution.effort == effort
    assert CARAContracts(problem, 0.98, n).value(effort) == pytest.approx(solution.value, rel=1e-12)


@pytest.mark.parametrize("effort", [0.3, 0.9])
def test_slope_is_the_derivative_of_the_value(effort):
    contracts = CARAContracts(PROFILES["paper_high"], 0.35, 11)
    step = 1e-6
    numeric = (contracts.value(effort + step) - contracts.value(effort - step)) / (2 * step)
    assert contracts.slope(effort) == pytest.approx(numeric, rel=1e-6)


def test_two_exponentials_are_not_of_this_kind():
    problem = PROFILES["risk_averse_poly"]
    assert best_interior_effort(problem, 0.98, 51, first_best(problem)) is None


def test_bounds_on_wages_are_kept():
    problem = PROFILES["paper_high"]
    free = solve_contract(problem, 0.35, 11)
    bounded = solve_contract(problem, 0.35, 11, wage_bounds=(free.base + 0.1, 10.0))
    assert bounded.base >= free.base + 0.1 - 1e-9 and bounded.value < free.value
