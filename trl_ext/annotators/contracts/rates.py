"""How fast contracts approach the first best as the number of checks grows."""

from dataclasses import dataclass

import numpy as np

from .first_best import first_best
from .problem import ContractProblem


@dataclass(frozen=True)
class ContractRates:
    """
    Constants of the two rate theorems, for a first best with effort strictly between 0 and 1 (else `nan`).

    Args:
        linear (`float`):
            Limit of gap · I · n for linear contracts.
        binary (`float`):
            Limit of gap · √(I n ln n) for binary contracts. It is approached slowly, like 1/ln n.
        fisher_information (`float`):
            I = c²/(1 − c² η*²), the information of one check on effort at η*.
    """

    linear: float
    binary: float
    fisher_information: float

    def linear_gap(self, n: int) -> float:
        """What not seeing the effort costs under the best linear contract of many checks `n`."""
        return self.linear / (self.fisher_information * n)

    def binary_gap(self, n: int) -> float:
        """Likewise under the best binary contract."""
        return self.binary / np.sqrt(self.fisher_information * n * np.log(n))


def contract_rates(problem: ContractProblem, c: float) -> ContractRates:
    r"""
    Asymptotic cost of not seeing the effort, as the number n of checks grows:

    - linear: \( \text{gap} \cdot I n \to \tfrac12 \cdot \frac{-G''(w^*)}{G'(w^*)} \left( \frac{E'(\eta^*)}{G'(w^*)}
      \right)^2 \)
    - binary: \( \text{gap} \cdot \sqrt{I n \ln n} \to E'(\eta^*) \left[ \frac{1}{G'(w^*)} - \frac{w^* - w_0}{E(\eta^*)
      - E(0)} \right] \), \( w_0 = G^{-1}(U_0 + E(0)) \)

    where \( I = c^2 / (1 - c^2 {\eta^*}^2) \). Both hold for the second best and the restricted second best, as long as
    bounds on wages do not bind: with many checks the slope of a linear contract approaches
    \( 2 E'(\eta^*) / (c\,G'(w^*)) \), which for small c exceeds the default bound of 10 of [`solve_contract`] (at
    c < 0.08 for the profile `paper_high`).

    Args:
        problem ([`ContractProblem`]):
            Utility, cost, benefit and reservation utility.
        c (`float`):
            Information of one check, in (0, 1].

    Raises:
        ValueError: c outside (0, 1].

    Returns:
        [`ContractRates`].

    References:
        - How Humans Help LLMs, https://arxiv.org/abs/2502.06387, section 4, theorems on the rates. The constants are
          derived in docs/contracts.md.

    Example:
        ```python
        >>> from trl_ext.annotators.contracts import PROFILES, contract_rates
        >>> rates = contract_rates(PROFILES["paper_high"], c=0.98)
        >>> round(rates.linear / rates.fisher_information, 6), round(rates.binary / rates.fisher_information**0.5, 5)
        (0.012318, 0.01332)

        ```
    """
    if not 0 < c <= 1:
        raise ValueError(f"c must be in (0, 1] for checks that tell something about effort, got {c}")
    best = first_best(problem)
    if best.corner is not None or np.isnan(best.effort):
        return ContractRates(np.nan, np.nan, np.nan)
    utility, cost = problem.utility, problem.cost
    information = c**2 / (1 - c**2 * best.effort**2)
    marginal_cost, marginal_utility = float(cost.derivative(best.effort)), float(utility.derivative(best.wage))
    risk_aversion = -float(utility.second_derivative(best.wage)) / marginal_utility
    idle_cost = float(cost.value(0.0))
    idle_wage = float(utility.inverse(problem.reservation + idle_cost))
    average_wage = (best.wage - idle_wage) / (float(cost.value(best.effort)) - idle_cost)
    return ContractRates(
        linear=risk_aversion / 2 * (marginal_cost / marginal_utility) ** 2,
        binary=marginal_cost * (1 / marginal_utility - average_wage),
        fisher_information=information,
    )
