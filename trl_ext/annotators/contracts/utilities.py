"""What a contract problem is made of: utility of wages, cost and benefit of effort, and the checks on them.

Efforts are numbers in [0, 1]. Wages, utilities, costs and benefits are in one unit of account each; all methods take and
return float64 arrays of any shape (or numbers).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike


class WageUtility(ABC):
    """
    Utility G of a wage: increasing and strictly concave on (`lower`, `upper`).

    Attributes:
        lower, upper (`float`):
            Ends of the domain of wages; infinite where there is none.
        infimum, supremum (`float`):
            Limits of G at these ends.
    """

    lower: float
    upper: float
    infimum: float
    supremum: float

    @abstractmethod
    def value(self, w: ArrayLike) -> np.ndarray:
        """G(w)."""

    @abstractmethod
    def derivative(self, w: ArrayLike) -> np.ndarray:
        """G'(w)."""

    @abstractmethod
    def second_derivative(self, w: ArrayLike) -> np.ndarray:
        """G''(w)."""

    @abstractmethod
    def inverse(self, u: ArrayLike) -> np.ndarray:
        """
        The wage whose utility is `u`. No wage reaches `supremum` or more: `inf`; none is as bad as `infimum` or less:
        `-inf`, unless the lower end of the domain is itself a wage, with utility `infimum`.
        """


@dataclass(frozen=True)
class ExponentialUtility(WageUtility):
    r"""
    Sum of exponential utilities, \( G(w) = \sum_k \alpha_k (1 - e^{-\beta_k w}) \), on all wages.

    Args:
        terms (`tuple[tuple[float, float], ...]`):
            Pairs (α, β), all positive. β is a rate per unit of wage, α in units of utility.

    Example:
        ```python
        >>> from trl_ext.annotators.contracts import ExponentialUtility
        >>> utility = ExponentialUtility(((0.7, 0.7), (0.3, 2.0)))
        >>> round(float(utility.inverse(utility.value(0.25))), 12)
        0.25

        ```
    """

    terms: tuple[tuple[float, float], ...]

    lower = -np.inf
    upper = np.inf
    infimum = -np.inf

    def __post_init__(self):
        terms = tuple((float(alpha), float(beta)) for alpha, beta in self.terms)
        bad = [term for term in terms if not (0 < term[0] < np.inf and 0 < term[1] < np.inf)]
        if not terms or bad:
            raise ValueError(
                f"terms must be pairs (alpha, beta) of positive finite numbers, got {bad[0] if bad else 'none'}: with "
                "others the utility does not increase or is not concave"
            )
        object.__setattr__(self, "terms", terms)

    @property
    def supremum(self) -> float:
        return sum(alpha for alpha, _ in self.terms)

    def value(self, w):
        w = np.asarray(w, dtype=np.float64)
        with np.errstate(over="ignore"):
            return sum(-alpha * np.expm1(-beta * w) for alpha, beta in self.terms)

    def derivative(self, w):
        w = np.asarray(w, dtype=np.float64)
        with np.errstate(over="ignore"):
            return sum(alpha * beta * np.exp(-beta * w) for alpha, beta in self.terms)

    def second_derivative(self, w):
        w = np.asarray(w, dtype=np.float64)
        with np.errstate(over="ignore"):
            return sum(-alpha * beta**2 * np.exp(-beta * w) for alpha, beta in self.terms)

    def inverse(self, u):
        u = np.asarray(u, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_distance = np.log1p(-u / self.supremum)  # of u from the supremum, relative
        log_distance = np.where(u >= self.supremum, -np.inf, log_distance)
        if len(self.terms) == 1:
            return -log_distance / self.terms[0][1]
        return self._invert_sum(log_distance)

    def _invert_sum(self, log_distance: np.ndarray) -> np.ndarray:
        # Newton on log sum_k p_k exp(-beta_k w) = log_distance: convex in w, with a slope between the smallest and the
        # largest -beta, so that it converges from anywhere without safeguards.
        weights = np.array([alpha for alpha, _ in self.terms]) / self.supremum
        betas = np.array([beta for _, beta in self.terms])
        finite = np.isfinite(log_distance)
        target = np.where(finite, log_distance, 0.0)[..., None]
        w = -target / (weights @ betas)
        for _ in range(100):
            exponents = np.log(weights) - betas * w
            top = exponents.max(axis=-1, keepdims=True)
            parts = np.exp(exponents - top)
            total = parts.sum(axis=-1, keepdims=True)
            step = (top + np.log(total) - target) * total / (parts * betas).sum(axis=-1, keepdims=True)
            w = w + step
            if np.all(np.abs(step) <= 1e-15 + 4e-16 * np.abs(w)):
                break
        return np.where(finite, w[..., 0], -log_distance)


def cara_utility(a: float = 1.0) -> ExponentialUtility:
    r"""
    Constant absolute risk aversion, \( G(w) = a - a e^{-a w} \), as in the paper's experiments: `a` is both the level
    and the rate.
    """
    return ExponentialUtility(((a, a),))


@dataclass(frozen=True)
class PowerUtility(WageUtility):
    r"""\( G(w) = \text{scale} \cdot w^{\text{exponent}} \) for wages ≥ 0, exponent in (0, 1); 2√w is (2, 0.5)."""

    scale: float = 2.0
    exponent: float = 0.5

    lower = 0.0
    upper = np.inf
    infimum = 0.0
    supremum = np.inf

    def __post_init__(self):
        if not (self.scale > 0 and 0 < self.exponent < 1):
            raise ValueError(
                f"PowerUtility needs scale > 0 and an exponent in (0, 1), got {self.scale}, {self.exponent}"
            )

    def value(self, w):
        w = np.asarray(w, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return np.where(w >= 0, self.scale * np.abs(w) ** self.exponent, -np.inf)

    def derivative(self, w):
        w = np.asarray(w, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(w >= 0, self.scale * self.exponent * np.abs(w) ** (self.exponent - 1), np.nan)

    def second_derivative(self, w):
        w = np.asarray(w, dtype=np.float64)
        factor = self.scale * self.exponent * (self.exponent - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(w >= 0, factor * np.abs(w) ** (self.exponent - 2), np.nan)

    def inverse(self, u):
        u = np.asarray(u, dtype=np.float64)
        return np.where(u >= 0, (np.abs(u) / self.scale) ** (1 / self.exponent), -np.inf)


@dataclass(frozen=True)
class LogUtility(WageUtility):
    r"""\( G(w) = \text{scale} \cdot \ln(1 + w / \text{wealth}) \) for wages > −wealth."""

    scale: float = 1.0
    wealth: float = 1.0

    upper = np.inf
    infimum = -np.inf
    supremum = np.inf

    def __post_init__(self):
        if not (self.scale > 0 and self.wealth > 0):
            raise ValueError(f"LogUtility needs scale > 0 and wealth > 0, got {self.scale}, {self.wealth}")

    @property
    def lower(self) -> float:
        return -self.wealth

    def value(self, w):
        ratio = np.asarray(w, dtype=np.float64) / self.wealth
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(ratio > -1, self.scale * np.log1p(ratio), -np.inf)

    def derivative(self, w):
        with np.errstate(divide="ignore"):
            return self.scale / (self.wealth + np.asarray(w, dtype=np.float64))

    def second_derivative(self, w):
        with np.errstate(divide="ignore"):
            return -self.scale / (self.wealth + np.asarray(w, dtype=np.float64)) ** 2

    def inverse(self, u):
        with np.errstate(over="ignore"):
            return self.wealth * np.expm1(np.asarray(u, dtype=np.float64) / self.scale)


class CallableUtility(WageUtility):
    """
    Any increasing, strictly concave utility, given as functions of an array of wages. The inverse is numeric.

    Args:
        function, derivative, second_derivative (`Callable[[np.ndarray], np.ndarray]`):
            G, G' and G''. [`ContractProblem`] checks that they belong together.
        lower, upper (`float`, defaults ∓`inf`):
            Ends of the domain of wages.
        infimum, supremum (`float`, *optional*):
            Limits of G at these ends; by default G there if the end is finite, else ∓`inf`. State them where they are
            finite: a bounded utility makes high efforts unaffordable.
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        derivative: Callable[[np.ndarray], np.ndarray],
        second_derivative: Callable[[np.ndarray], np.ndarray],
        lower: float = -np.inf,
        upper: float = np.inf,
        infimum: float | None = None,
        supremum: float | None = None,
    ):
        if not lower < upper:
            raise ValueError(f"lower must be below upper, got {lower}, {upper}")
        self._functions = (function, derivative, second_derivative)
        self.lower, self.upper = float(lower), float(upper)
        self.infimum = self._limit(self.lower, -np.inf) if infimum is None else float(infimum)
        self.supremum = self._limit(self.upper, np.inf) if supremum is None else float(supremum)

    def _limit(self, end: float, infinite: float) -> float:
        value = float(self.value(end)) if np.isfinite(end) else infinite
        return infinite if np.isnan(value) else value

    def _evaluate(self, order: int, w: ArrayLike) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(self._functions[order](np.asarray(w, dtype=np.float64)), dtype=np.float64)

    def value(self, w):
        return self._evaluate(0, w)

    def derivative(self, w):
        return self._evaluate(1, w)

    def second_derivative(self, w):
        return self._evaluate(2, w)

    def inverse(self, u):
        u = np.asarray(u, dtype=np.float64)
        inside = (u > self.infimum) & (u < self.supremum)
        target = np.where(inside, u, self.value(self._middle()))
        low, high = self._bracket(target)
        w = (low + high) / 2
        for _ in range(200):
            error = self.value(w) - target
            low, high = np.where(error <= 0, w, low), np.where(error >= 0, w, high)
            with np.errstate(all="ignore"):
                newton = w - error / self.derivative(w)
            following = np.where((newton > low) & (newton < high), newton, (low + high) / 2)
            if np.all(np.abs(following - w) <= 1e-15 + 4e-16 * np.abs(w)):
                break
            w = following
        outside = np.where(u >= self.supremum, np.where(u > self.supremum, np.inf, self.upper), -np.inf)
        outside = np.where(u == self.infimum, self.lower, outside)
        return np.where(inside, following, outside)

    def _middle(self) -> float:
        if np.isfinite(self.lower) and np.isfinite(self.upper):
            return (self.lower + self.upper) / 2
        return min(max(0.0, self.lower + 1.0), self.upper - 1.0)

    def _bracket(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low = high = np.full(u.shape, self._middle())
        for step in 2.0 ** np.arange(-1, 1000):
            below = self.value(low) > u
            above = self.value(high) < u
            if not (below.any() or above.any()):
                break
            low = np.where(below, np.maximum(low - step, self.lower), low)
            high = np.where(above, np.minimum(high + step, self.upper), high)
        return low, high


class EffortFunction(ABC):
    """A function of effort in [0, 1], with its first two derivatives: a cost (convex) or a benefit (concave)."""

    @abstractmethod
    def value(self, effort: ArrayLike) -> np.ndarray: ...

    @abstractmethod
    def derivative(self, effort: ArrayLike) -> np.ndarray: ...

    @abstractmethod
    def second_derivative(self, effort: ArrayLike) -> np.ndarray: ...


@dataclass(frozen=True)
class PowerFunction(EffortFunction):
    """coefficient · effort^exponent."""

    coefficient: float
    exponent: float

    def _term(self, factor: float, exponent: float, effort: ArrayLike) -> np.ndarray:
        effort = np.asarray(effort, dtype=np.float64)
        if factor == 0:  # 0 * 0^(-1) is 0 here, not nan
            return np.zeros_like(effort)
        with np.errstate(divide="ignore"):
            return factor * effort**exponent

    def value(self, effort):
        return self._term(self.coefficient, self.exponent, effort)

    def derivative(self, effort):
        return self._term(self.coefficient * self.exponent, self.exponent - 1, effort)

    def second_derivative(self, effort):
        return self._term(self.coefficient * self.exponent * (self.exponent - 1), self.exponent - 2, effort)


@dataclass(frozen=True)
class PolynomialFunction(EffortFunction):
    """Σ coefficients[j] · effort^j; 0.02 e + 0.18 e² is (0, 0.02, 0.18)."""

    coefficients: tuple[float, ...]

    def __post_init__(self):
        object.__setattr__(self, "coefficients", tuple(float(value) for value in self.coefficients) or (0.0,))

    def _evaluate(self, coefficients: list[float], effort: ArrayLike) -> np.ndarray:
        effort = np.asarray(effort, dtype=np.float64)
        total = np.zeros_like(effort)
        for coefficient in reversed(coefficients):
            total = total * effort + coefficient
        return total

    def value(self, effort):
        return self._evaluate(list(self.coefficients), effort)

    def derivative(self, effort):
        return self._evaluate([j * value for j, value in enumerate(self.coefficients)][1:], effort)

    def second_derivative(self, effort):
        return self._evaluate([j * (j - 1) * value for j, value in enumerate(self.coefficients)][2:], effort)


@dataclass(frozen=True)
class LogFunction(EffortFunction):
    """scale · ln(1 + rate · effort)."""

    scale: float
    rate: float

    def value(self, effort):
        return self.scale * np.log1p(self.rate * np.asarray(effort, dtype=np.float64))

    def derivative(self, effort):
        return self.scale * self.rate / (1 + self.rate * np.asarray(effort, dtype=np.float64))

    def second_derivative(self, effort):
        return -self.scale * self.rate**2 / (1 + self.rate * np.asarray(effort, dtype=np.float64)) ** 2


@dataclass(frozen=True)
class SaturatingFunction(EffortFunction):
    """scale · (1 − exp(−rate · effort))."""

    scale: float
    rate: float

    def value(self, effort):
        return -self.scale * np.expm1(-self.rate * np.asarray(effort, dtype=np.float64))

    def derivative(self, effort):
        return self.scale * self.rate * np.exp(-self.rate * np.asarray(effort, dtype=np.float64))

    def second_derivative(self, effort):
        return -self.scale * self.rate**2 * np.exp(-self.rate * np.asarray(effort, dtype=np.float64))


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
