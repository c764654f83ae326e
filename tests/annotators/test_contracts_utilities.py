"""Utilities, functions of effort, and the assumptions on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.annotators.contracts import (
    PROFILES,
    CallableUtility,
    ContractProblem,
    ExponentialUtility,
    LogFunction,
    LogUtility,
    PolynomialFunction,
    PowerFunction,
    PowerUtility,
    SaturatingFunction,
    cara_utility,
)


SQUARE_ROOT = CallableUtility(lambda w: 2 * np.sqrt(w), lambda w: w**-0.5, lambda w: -0.5 * w**-1.5, lower=0.0)
UTILITIES = {
    "one term": cara_utility(1.0),
    "two terms": ExponentialUtility(((0.7, 0.7), (0.3, 2.0))),
    "power": PowerUtility(2.0, 0.5),
    "log": LogUtility(1.5, 0.5),
    "callable": SQUARE_ROOT,
}
FUNCTIONS = [PowerFunction(0.5, 0.8), PolynomialFunction((0.1, 0.02, 0.18)), LogFunction(0.3, 1.8)]
FUNCTIONS += [SaturatingFunction(0.5, 1.2)]


class TestWageUtilities:
    @pytest.mark.parametrize("utility", UTILITIES.values(), ids=UTILITIES)
    def test_inverse_and_derivatives(self, utility):
        w = np.array([[0.01, 0.3], [1.0, 4.0]])
        np.testing.assert_allclose(utility.inverse(utility.value(w)), w, rtol=1e-12)
        step = 1e-6
        slope = (utility.value(w + step) - utility.value(w - step)) / (2 * step)
        np.testing.assert_allclose(utility.derivative(w), slope, rtol=1e-6)
        bend = (utility.derivative(w + step) - utility.derivative(w - step)) / (2 * step)
        np.testing.assert_allclose(utility.second_derivative(w), bend, rtol=1e-6)

    @given(st.lists(st.tuples(st.floats(0.1, 5), st.floats(0.05, 5)), min_size=1, max_size=4), st.floats(-8, 5))
    def test_inverse_of_sums_of_exponentials(self, terms, wage):
        utility = ExponentialUtility(tuple(terms))
        value = utility.value(wage)
        recovered = utility.inverse(value)
        # utility is flat where it is near its supremum: compare there, not in wages
        np.testing.assert_allclose(utility.value(recovered), value, rtol=1e-12, atol=1e-13)

    def test_values_by_hand(self):
        # 1 - e^-0.25 and 0.5 - 0.5 e^-0.5
        assert float(cara_utility(1.0).value(0.25)) == pytest.approx(0.22119922)
        assert float(cara_utility(0.5).value(1.0)) == pytest.approx(0.19673467)
        assert cara_utility(0.5).supremum == 0.5

    @pytest.mark.parametrize("utility", [UTILITIES["one term"], UTILITIES["two terms"]])
    def test_no_wage_reaches_the_supremum(self, utility):
        assert utility.inverse(utility.supremum) == np.inf
        assert utility.inverse(utility.supremum + 1) == np.inf

    @pytest.mark.parametrize("utility", [UTILITIES["power"], SQUARE_ROOT])
    def test_no_wage_is_worse_than_the_lowest(self, utility):
        np.testing.assert_array_equal(utility.inverse(np.array([-0.5, 0.0])), [-np.inf, 0.0])

    @pytest.mark.parametrize("terms", [(), ((1.0, -1.0),), ((0.0, 1.0),), ((1.0, np.inf),)])
    def test_terms_must_be_positive(self, terms):
        with pytest.raises(ValueError, match="positive finite"):
            ExponentialUtility(terms)


class TestEffortFunctions:
    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_derivatives(self, function):
        effort, step = np.array([0.1, 0.5, 0.9]), 1e-6
        slope = (function.value(effort + step) - function.value(effort - step)) / (2 * step)
        np.testing.assert_allclose(function.derivative(effort), slope, rtol=1e-7)
        bend = (function.derivative(effort + step) - function.derivative(effort - step)) / (2 * step)
        np.testing.assert_allclose(function.second_derivative(effort), bend, rtol=1e-6)

    def test_zero_effort(self):
        assert PowerFunction(0.18, 2).second_derivative(0.0) == pytest.approx(0.36)
        assert PowerFunction(0.5, 0.8).derivative(0.0) == np.inf
        assert PowerFunction(0.5, 1).second_derivative(0.0) == 0.0


class TestContractProblem:
    def test_profiles(self):
        assert set(PROFILES) == {
            "paper_high",
            "paper_low",
            "paper_high_half",
            "paper_low_half",
            "baseline",
            "risk_averse_poly",
            "high_cost_exp",
        }
        with pytest.raises(TypeError):
            PROFILES["new"] = PROFILES["baseline"]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (dict(cost=PowerFunction(0.5, 0.8)), "cost is not convex at 0.0025; assumption A1"),
            (dict(cost=PowerFunction(-0.5, 2)), "cost does not increase"),
            (dict(benefit=PowerFunction(0.5, 1.8)), "benefit is not concave at 0.0025; assumption A2"),
            (dict(benefit=PolynomialFunction((0.0, 1.0, -0.8))), "benefit does not increase at 0.625"),
            (dict(utility=CallableUtility(lambda w: w, lambda w: 1 + 0 * w, lambda w: 0 * w)), "not strictly concave"),
            (dict(utility=CallableUtility(lambda w: -w, lambda w: 0 * w - 1, lambda w: 0 * w)), "does not increase"),
            (dict(reservation=1.0), "reservation 1.0 is outside the utilities"),
            (dict(reservation=np.nan), "reservation must be a finite utility"),
        ],
    )
    def test_assumptions_are_checked(self, changes, message):
        parts = dict(utility=cara_utility(1.0), cost=PowerFunction(0.18, 2), benefit=PowerFunction(0.5, 0.8))
        with pytest.raises(ValueError, match=message):
            ContractProblem(**{**parts, **changes})

    def test_a_wrong_derivative_is_noticed(self):
        wrong = CallableUtility(lambda w: 1 - np.exp(-w), lambda w: 2 * np.exp(-w), lambda w: -2 * np.exp(-w))
        with pytest.raises(ValueError, match="the derivative of the utility does not belong to the function"):
            ContractProblem(wrong, PowerFunction(0.18, 2), PowerFunction(0.5, 0.8))

    def test_wrong_classes_are_refused(self):
        with pytest.raises(TypeError, match="cost must be a EffortFunction, got function"):
            ContractProblem(cara_utility(1.0), lambda e: e**2, PowerFunction(0.5, 0.8))

    @pytest.mark.parametrize("utility", [cara_utility(80.0), cara_utility(0.01), SQUARE_ROOT, LogUtility(1.0, 0.1)])
    def test_extreme_utilities_pass(self, utility):
        ContractProblem(utility, PowerFunction(0.005, 2), PowerFunction(0.5, 0.8))
