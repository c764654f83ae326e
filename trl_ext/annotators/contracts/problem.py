"""A contract problem, the checks of its assumptions, and the problems of the paper's experiments."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .effort_functions import EffortFunction, LogFunction, PolynomialFunction, PowerFunction, SaturatingFunction
from .wage_utilities import ExponentialUtility, WageUtility, cara_utility


@dataclass(frozen=True)
class ContractProblem:
    r"""
    An employer and an annotator: the annotator enjoys \( G(w) - E(\eta) \), the employer \( \mu(\eta) - w \).

    The functions are checked on a grid when the problem is made (assumptions A1 and A2 of the paper): G increasing and
    strictly concave, E increasing and convex, μ increasing and concave.

    Args:
        utility ([`WageUtility`]):
            G, the annotator's utility of a wage.
        cost ([`EffortFunction`]):
            E, the annotator's cost of effort η in [0, 1], in units of utility.
        benefit ([`EffortFunction`]):
            μ, the employer's benefit of effort, in units of wage.
        reservation (`float`, defaults to `0.0`):
            U0, the utility the annotator has without a contract.

    Raises:
        ValueError: if a function breaks its assumption, naming the function and where; TypeError for other classes.

    References:
        - How Humans Help LLMs: Assessing and Incentivizing Human Preference Annotators,
          https://arxiv.org/abs/2502.06387, section 4

    Example:
        ```python
        >>> from trl_ext.annotators.contracts import ContractProblem, PowerFunction, cara_utility, first_best
        >>> problem = ContractProblem(cara_utility(1.0), cost=PowerFunction(0.18, 2), benefit=PowerFunction(0.5, 0.8))
        >>> round(first_best(problem).effort, 7)
        0.9438093

        ```
    """

    utility: WageUtility
    cost: EffortFunction
    benefit: EffortFunction
    reservation: float = 0.0

    def __post_init__(self):
        for name, kind in (("utility", WageUtility), ("cost", EffortFunction), ("benefit", EffortFunction)):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} must be a {kind.__name__}, got {type(getattr(self, name)).__name__}")
        if not np.isfinite(self.reservation):
            raise ValueError(f"reservation must be a finite utility, got {self.reservation}")
        if not self.utility.infimum <= self.reservation < self.utility.supremum:
            raise ValueError(
                f"reservation {self.reservation} is outside the utilities that a wage can give, "
                f"[{self.utility.infimum}, {self.utility.supremum}): no contract would be accepted"
            )
        _check_utility(self.utility)
        _check_effort_function("cost", self.cost, convex=True)
        _check_effort_function("benefit", self.benefit, convex=False)


def _refuse_where(bad: np.ndarray, at: np.ndarray, what: str, assumption: str) -> None:
    if bad.any():
        raise ValueError(f"{what} at {at[np.argmax(bad)]:.6g}; assumption {assumption}")


def _check_utility(utility: WageUtility) -> None:
    low, high = max(utility.lower, -10.0), min(utility.upper, 10.0)
    if not low < high:  # a domain far from zero
        low, high = (utility.lower, utility.lower + 20) if np.isfinite(utility.lower) else (high - 20, high)
    w = np.linspace(low, high, 403)[1:-1]  # the ends of the domain may be singular
    value, slope, bend = utility.value(w), utility.derivative(w), utility.second_derivative(w)
    rule = "A1: the utility of wages must be finite, increasing and strictly concave"
    _refuse_where(np.isnan(value) | np.isnan(slope) | np.isnan(bend), w, "utility is not a number", rule)
    usable = np.isfinite(value) & np.isfinite(slope) & np.isfinite(bend)  # steep exponentials overflow on the left
    _refuse_where(~usable & (w > (low + high) / 2), w, "utility is not finite", rule)
    w, value, slope, bend = w[usable], value[usable], slope[usable], bend[usable]
    seen = np.abs(slope) > 1e-250  # beyond that, exponentials underflow
    _refuse_where((slope < 0) | ((slope == 0) & (bend == 0) & (w < low + 1)), w, "utility does not increase", rule)
    _refuse_where((bend > 0) | ((bend == 0) & seen), w, "utility is not strictly concave", rule)
    step = 1e-5 * (high - low) / 20
    for name, difference, stated in (
        ("derivative", utility.value(w + step) - utility.value(w - step), slope),
        ("second derivative", utility.derivative(w + step) - utility.derivative(w - step), bend),
    ):
        with np.errstate(invalid="ignore"):
            wrong = np.abs(difference / (2 * step) - stated) > 1e-3 * np.abs(stated) + 1e-6 * (1 + np.abs(value))
        _refuse_where(wrong, w, f"the {name} of the utility does not belong to the function", rule)


def _check_effort_function(name: str, function: EffortFunction, convex: bool) -> None:
    effort = np.linspace(0.0, 1.0, 401)
    value, slope, bend = function.value(effort), function.derivative(effort), function.second_derivative(effort)
    shape = "convex" if convex else "concave"
    rule = f"{'A1' if convex else 'A2'}: the {name} of effort must be finite, increasing and {shape} on [0, 1]"
    _refuse_where(~np.isfinite(value), effort, f"{name} is not finite", rule)
    inside = slice(1, None)  # a slope may be zero or infinite at zero effort
    _refuse_where(~(slope[inside] > 0), effort[inside], f"{name} does not increase", rule)
    _refuse_where(~((bend if convex else -bend)[inside] >= -1e-12), effort[inside], f"{name} is not {shape}", rule)


def _paper_problem(a: float, benefit: float) -> ContractProblem:
    return ContractProblem(cara_utility(a), PowerFunction(0.18, 2), PowerFunction(benefit, 0.8))


def _cubic_cost(scale: float) -> PolynomialFunction:
    return PolynomialFunction((0.0, 0.03 * scale, 0.10 * scale, 0.12 * scale))


# The problems of the paper's experiments (`paper_*`: section 4 and appendix) and of its later sensitivity analysis.
PROFILES = MappingProxyType(
    {
        "paper_high": _paper_problem(1.0, 0.5),
        "paper_low": _paper_problem(1.0, 0.3),
        "paper_high_half": _paper_problem(0.5, 0.5),
        "paper_low_half": _paper_problem(0.5, 0.3),
        "baseline": ContractProblem(
            cara_utility(1.0), PolynomialFunction((0.0, 0.02, 0.18)), SaturatingFunction(0.5, 1.2)
        ),
        "risk_averse_poly": ContractProblem(
            ExponentialUtility(((0.7, 0.7), (0.3, 2.0))), _cubic_cost(0.24), LogFunction(0.35, 1.8)
        ),
        "high_cost_exp": ContractProblem(cara_utility(1.0), _cubic_cost(0.22), LogFunction(0.20, 1.8)),
    }
)
