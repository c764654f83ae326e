"""Utilities of wages: what a wage is worth to the annotator.

Methods take and return float64 arrays of any shape (or numbers).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

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

    def slope_at(self, u: float) -> float:
        """G' at the wage whose utility is `u`, as a plain float."""
        return float(self.derivative(self.inverse(u)))


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

    def slope_at(self, u):
        if len(self.terms) == 1:
            ((alpha, beta),) = self.terms
            return beta * (alpha - u)
        return super().slope_at(u)

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

    Args:
        a (`float`, defaults to `1.0`):
            Above 0; per unit of wage.

    Returns:
        [`ExponentialUtility`]

    Raises:
        ValueError: a that is not positive and finite.

    Example:
        ```python
        >>> from trl_ext.annotators.contracts import cara_utility
        >>> round(float(cara_utility(1.0).value(0.5)), 6)
        0.393469

        ```
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
