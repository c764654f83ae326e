"""Functions of effort: what it costs the annotator, and what it is worth to the employer.

Efforts are numbers in [0, 1]; methods take and return float64 arrays of any shape (or numbers).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


class EffortFunction(ABC):
    """A function of effort in [0, 1], with its first two derivatives: a cost (convex) or a benefit (concave)."""

    @abstractmethod
    def value(self, effort: ArrayLike) -> np.ndarray: ...

    @abstractmethod
    def derivative(self, effort: ArrayLike) -> np.ndarray: ...

    @abstractmethod
    def second_derivative(self, effort: ArrayLike) -> np.ndarray: ...

    def expand(self, effort: float) -> tuple[float, float, float]:
        """Value and both derivatives at one effort above 0, as plain floats."""
        return float(self.value(effort)), float(self.derivative(effort)), float(self.second_derivative(effort))


@dataclass(frozen=True)
class PowerFunction(EffortFunction):
    """coefficient · effort^exponent."""

    coefficient: float
    exponent: float

    def _term(self, factor: float, exponent: float, effort: ArrayLike) -> np.ndarray:
        effort = np.asarray(effort, dtype=np.float64)
        if factor == 0:  # 0 * 0^(-1) is 0 here, not nan
            return np.zeros_like(effort)
        if exponent >= 0:
            return factor * effort**exponent
        with np.errstate(divide="ignore"):
            return factor * effort**exponent

    def value(self, effort):
        return self._term(self.coefficient, self.exponent, effort)

    def derivative(self, effort):
        return self._term(self.coefficient * self.exponent, self.exponent - 1, effort)

    def second_derivative(self, effort):
        return self._term(self.coefficient * self.exponent * (self.exponent - 1), self.exponent - 2, effort)

    def expand(self, effort):
        value = self.coefficient * effort**self.exponent
        slope = self.exponent * value / effort
        return value, slope, (self.exponent - 1) * slope / effort


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

    def expand(self, effort):
        value = slope = half_bend = 0.0
        for coefficient in reversed(self.coefficients):
            half_bend = half_bend * effort + slope
            slope = slope * effort + value
            value = value * effort + coefficient
        return value, slope, 2 * half_bend


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

    def expand(self, effort):
        slope = self.scale * self.rate / (1 + self.rate * effort)
        return self.scale * math.log1p(self.rate * effort), slope, -slope * self.rate / (1 + self.rate * effort)


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

    def expand(self, effort):
        left = self.scale * math.exp(-self.rate * effort)
        return self.scale - left, self.rate * left, -self.rate * self.rate * left
