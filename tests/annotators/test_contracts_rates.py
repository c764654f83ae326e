"""Both rate theorems, and how gaps scale with Fisher information."""

import math

import numpy as np
import pytest

from trl_ext.annotators import PROFILES, contract_rates, first_best, solve_contract


PROBLEM = PROFILES["paper_high"]


def gap(c, n, contract="linear", regime="second_best", problem=PROBLEM):
    solution = solve_contract(problem, c, n, contract, regime)
    assert solution.feasible
    return solution.gap


class TestLinear:
    @pytest.mark.parametrize(("c", "limit"), [(0.98, 0.012318), (0.5, 0.25456), (0.3497, 0.5965), (0.1556, 3.31)])
    def test_gap_times_checks_converges_to_the_constant(self, c, limit):
        rates = contract_rates(PROBLEM, c)
        assert rates.linear / rates.fisher_information == pytest.approx(limit, rel=2e-3)
        errors = [abs(gap(c, n) / rates.linear_gap(n) - 1) for n in (10**3, 10**4, 10**5)]
        assert errors[2] < errors[1] < errors[0]
        assert errors[2] < 1e-3
        assert gap(c, 10**5, regime="restricted") == pytest.approx(rates.linear_gap(10**5), rel=1e-3)

    def test_measured_on_the_way(self):
        values = [gap(0.98, n) * n for n in (11, 101, 10**4)]
        assert values == pytest.approx([0.01078, 0.01215, 0.012317], rel=5e-4)

    @pytest.mark.parametrize("profile", ["baseline", "high_cost_exp", "paper_low", "paper_high_half"])
    def test_other_problems(self, profile):
        problem = PROFILES[profile]
        rates = contract_rates(problem, 0.8)
        assert gap(0.8, 10**5, problem=problem) == pytest.approx(rates.linear_gap(10**5), rel=2e-3)

    def test_only_fisher_information_counts_for_many_checks(self):
        # c = 0.5 has I = 0.3216, c = 0.98 has 6.646: with 20.665 times the checks the gap is the same
        strong, weak = contract_rates(PROBLEM, 0.98), contract_rates(PROBLEM, 0.5)
        n = 2000
        more = round(n * strong.fisher_information / weak.fisher_information)
        assert gap(0.5, more) == pytest.approx(gap(0.98, n), rel=2e-3)


class TestBinary:
    def test_measured_on_the_way(self):
        values = [gap(0.98, n, "binary") * math.sqrt(n * math.log(n)) for n in (11, 101, 10**4, 10**5)]
        assert values == pytest.approx([0.01002, 0.01095, 0.01278, 0.01300], abs=6e-6)
        assert gap(0.5, 10**5, "binary") * math.sqrt(1e5 * math.log(1e5)) == pytest.approx(0.0692, abs=6e-5)

    def test_limits(self):
        for c, limit in ((0.98, 0.01332), (0.5, 0.0605)):
            rates = contract_rates(PROBLEM, c)
            assert rates.binary / math.sqrt(rates.fisher_information) == pytest.approx(limit, rel=1e-3)

    @pytest.mark.parametrize("c", [0.98, 0.5])
    @pytest.mark.parametrize("regime", ["second_best", "restricted"])
    def test_converges_to_the_constant(self, c, regime):
        # The next term is of relative order lnln n / ln n: at 1e5 the ratio is within a fifth, and it gets closer.
        rates = contract_rates(PROBLEM, c)
        errors = []
        for n in (10**3, 10**4, 10**5):  # averages over neighbours, because the threshold is a whole number
            around = np.unique(np.linspace(0.98 * n, 1.02 * n, 5).astype(int))
            ratios = [gap(c, int(m), "binary", regime) / rates.binary_gap(int(m)) for m in around]
            errors.append(abs(np.mean(ratios) - 1))
        assert errors[2] < errors[1] < errors[0]
        assert errors[2] < 0.2

    def test_exponent_is_a_half_up_to_the_logarithm(self):
        n = np.array([10**3, 10**4, 10**5])
        gaps = [gap(0.98, int(m), "binary") for m in n]
        slope = np.polyfit(np.log(n * np.log(n)), np.log(gaps), 1)[0]
        assert slope == pytest.approx(-0.5, abs=0.02)


class TestContractRates:
    def test_by_hand_for_the_baseline(self):
        # CARA with a = 1: -G''/G' = 1 and G'(w*) = e^-w*
        best = first_best(PROBLEM)
        marginal_wage = 0.36 * best.effort * math.exp(best.wage)
        rates = contract_rates(PROBLEM, 0.98)
        assert rates.linear == pytest.approx(marginal_wage**2 / 2, rel=1e-12)
        cost = 0.18 * best.effort**2
        assert rates.binary == pytest.approx(marginal_wage - 0.36 * best.effort * best.wage / cost, rel=1e-12)
        assert rates.fisher_information == pytest.approx(6.646428, rel=1e-6)

    def test_no_rates_at_a_corner(self):
        rates = contract_rates(PROFILES["risk_averse_poly"], 0.9)
        assert math.isnan(rates.linear)
        assert math.isnan(rates.binary)

    def test_refuses_checks_without_information(self):
        with pytest.raises(ValueError, match=r"\(0, 1\]"):
            contract_rates(PROBLEM, 0.0)
