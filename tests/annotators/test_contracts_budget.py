"""Money in, effort out; and how many checks to buy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_ext.annotators import (
    PROFILES,
    best_number_of_checks,
    check_contract,
    contract_for_budget,
    contract_rates,
    first_best,
    solve_contract,
)


PROBLEM = PROFILES["paper_high"]


class TestContractForBudget:
    @settings(max_examples=20)
    @given(
        c=st.floats(0.1, 1.0),
        n=st.integers(1, 120),
        budget=st.floats(0.001, 0.4),
        contract=st.sampled_from(["linear", "binary"]),
    )
    def test_spends_no_more_and_buys_what_it_says(self, c, n, budget, contract):
        solution = contract_for_budget(PROBLEM, c, n, budget, contract)
        assert solution.feasible
        assert solution.regime == "budget"
        assert solution.expected_wage <= budget + 1e-12
        check = check_contract(PROBLEM, c, n, effort=solution.effort, **solution.terms())
        assert check.accepted
        assert check.incentive_slack >= -2e-9

    @pytest.mark.parametrize("contract", ["linear", "binary"])
    def test_is_the_inverse_of_the_cheapest_contract_for_an_effort(self, contract):
        for effort in (0.3, 0.8):
            wage = solve_contract(PROBLEM, 0.9, 60, contract, "restricted", effort=effort).expected_wage
            bought = contract_for_budget(PROBLEM, 0.9, 60, wage * (1 + 1e-9), contract)
            assert bought.effort >= effort - 1e-7
            assert bought.effort == pytest.approx(effort, abs=2e-3 if contract == "binary" else 1e-6)

    @pytest.mark.parametrize("contract", ["linear", "binary"])
    def test_more_money_buys_more_effort(self, contract):
        efforts = [contract_for_budget(PROBLEM, 0.9, 40, budget, contract).effort for budget in np.arange(1, 9) / 40]
        assert np.all(np.diff(efforts) > 0)

    def test_plenty_of_money_buys_full_effort_and_is_not_all_spent(self):
        for contract in ("linear", "binary"):
            solution = contract_for_budget(PROBLEM, 0.98, 101, 5.0, contract)
            cheapest = solve_contract(PROBLEM, 0.98, 101, contract, "restricted", effort=1.0)
            assert solution.effort == 1.0
            assert solution.expected_wage == pytest.approx(cheapest.expected_wage, abs=1e-9)

    def test_checks_are_paid_from_the_same_budget(self):
        with_cost = contract_for_budget(PROBLEM, 0.9, 40, 0.1, cost_per_check=0.001)
        assert with_cost.effort == pytest.approx(contract_for_budget(PROBLEM, 0.9, 40, 0.06).effort, abs=1e-9)

    def test_a_budget_below_the_flat_wage_is_reported(self):
        solution = contract_for_budget(PROBLEM, 0.9, 40, 0.01, cost_per_check=0.001)
        assert not solution.feasible
        assert "budget 0.01 less 40 checks at 0.001" in solution.reason

    def test_refuses_nonsense(self):
        with pytest.raises(ValueError, match="finite budget"):
            contract_for_budget(PROBLEM, 0.9, 40, float("nan"))


class TestBestNumberOfChecks:
    def test_linear_is_exact(self):
        price = 2e-5
        choice = best_number_of_checks(PROBLEM, 0.98, price)
        values = {n: solve_contract(PROBLEM, 0.98, n).value - price * n for n in range(1, 101)}
        assert choice.n == max(values, key=values.get)
        assert choice.net_value == values[choice.n]
        # about sqrt(constant / (I price))
        rates = contract_rates(PROBLEM, 0.98)
        assert choice.n == pytest.approx((rates.linear / rates.fisher_information / price) ** 0.5, abs=3)

    def test_binary_is_close_to_the_best_of_all(self):
        price = 2e-5
        choice = best_number_of_checks(PROBLEM, 0.98, price, "binary")
        values = [solve_contract(PROBLEM, 0.98, n, "binary").value - price * n for n in range(20, 120)]
        best_gap = first_best(PROBLEM).value - max(values)
        assert choice.net_value <= max(values) + 1e-9
        assert first_best(PROBLEM).value - choice.net_value < 1.1 * best_gap

    def test_dear_checks_are_not_bought(self):
        choice = best_number_of_checks(PROBLEM, 0.98, 1.0)
        assert choice.n == 0
        assert choice.solution.effort == 0.0

    def test_free_checks_have_no_best_number(self):
        with pytest.raises(ValueError, match="positive"):
            best_number_of_checks(PROBLEM, 0.98, 0.0)
