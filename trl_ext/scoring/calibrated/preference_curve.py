"""From a reward difference to the probability that the first response is preferred."""

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from .checks import as_finite, check_numbers


PREFERENCE_METHODS = ("temperature", "platt", "isotonic", "lapse")


@dataclasses.dataclass(frozen=True)
class PreferenceCurve:
    r"""
    P(the first of two responses is preferred), given the difference d of their calibrated rewards.

    | method | P | what it says |
    |---|---|---|
    | `"temperature"` | \( \sigma(d / T) \) | one number makes the model more or less sure |
    | `"platt"` | \( \sigma(d / T + b) \) | and the response that was shown first has an advantage b |
    | `"isotonic"` | rising, linear between knots, g(−d) = 1 − g(d) | any rising shape |
    | `"lapse"` | \( \eta\,\sigma(d / T) + (1 - \eta)/2 \) | the label is a guess with probability 1 − η |

    All but `"platt"` with b ≠ 0 are antisymmetric: P(a over b) + P(b over a) = 1.

    References:
        - Guo et al., On Calibration of Modern Neural Networks, 2017 (temperature).
        - Platt, Probabilistic Outputs for Support Vector Machines, 1999.
        - Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, 2002 (isotonic).
        - How Humans Help LLMs, section 3: the lapse, with the annotator's commitment η.

    Args:
        method (`str`):
            One of the above.
        temperature (`float`, *optional*):
            T > 0, in units of the reward; of all methods but `"isotonic"`.
        intercept (`float`, *optional*, defaults to `0.0`):
            b, in log-odds; of `"platt"`.
        eta (`float`, *optional*, defaults to `1.0`):
            η in (0, 1]; of `"lapse"`.
        differences (`tuple[float, ...]`, *optional*):
            Knots of `"isotonic"`: differences above 0, strictly rising.
        probabilities (`tuple[float, ...]`, *optional*):
            P at these knots, not falling, in [1/2, 1). At 0 it is 1/2, beyond the last knot constant.

    Raises:
        ValueError: There is no such method, a parameter is missing, not of this method, or out of range.

    Example:
        ```python
        >>> from trl_ext.scoring.calibrated import PreferenceCurve
        >>> PreferenceCurve("temperature", temperature=2.0)([0.0, 2.0, -2.0]).round(4)
        array([0.5   , 0.7311, 0.2689])
        >>> PreferenceCurve("lapse", temperature=2.0, eta=0.5)([1e4]).round(4)
        array([0.75])

        ```
    """

    method: str
    temperature: float | None = None
    intercept: float = 0.0
    eta: float = 1.0
    differences: tuple[float, ...] | None = None
    probabilities: tuple[float, ...] | None = None

    def __post_init__(self):
        if self.method not in PREFERENCE_METHODS:
            raise ValueError(
                f"preference: `method` must be one of {', '.join(map(repr, PREFERENCE_METHODS))}, got {self.method!r}"
            )
        if self.method == "isotonic":
            if self.temperature is not None:
                raise ValueError("preference: an isotonic curve has no temperature")
            self._check_knots()
        else:
            if self.differences is not None or self.probabilities is not None:
                raise ValueError("preference: `differences` and `probabilities` are the knots of an isotonic curve")
            if self.temperature is None:
                raise ValueError("preference: `temperature` is missing")
            (temperature,) = check_numbers([self.temperature], "preference: `temperature`")
            if temperature <= 0:
                raise ValueError(f"preference: `temperature` must be above 0, got {temperature:g}")
            object.__setattr__(self, "temperature", temperature)
        numbers = check_numbers([self.intercept, self.eta], "preference: `intercept` and `eta`")
        for name, value, neutral, owner in zip(
            ("intercept", "eta"), numbers, (0.0, 1.0), ("platt", "lapse"), strict=True
        ):
            if value != neutral and self.method != owner:
                raise ValueError(f"preference: `{name}` is of method {owner!r}, not of {self.method!r}")
            object.__setattr__(self, name, value)
        if not 0 < self.eta <= 1:
            raise ValueError(f"preference: `eta` must be above 0 and at most 1, got {self.eta:g}")

    def _check_knots(self) -> None:
        for name in ("differences", "probabilities"):
            values = getattr(self, name)
            if values is None:
                raise ValueError(f"preference: an isotonic curve needs `{name}`")
            object.__setattr__(self, name, check_numbers(values, f"preference: `{name}`"))
        d, p = self.differences, self.probabilities
        if len(d) != len(p) or not d:
            raise ValueError(f"preference: there must be a probability per knot, got {len(p)} and {len(d)}")
        if d[0] <= 0 or any(b <= a for a, b in zip(d, d[1:], strict=False)):
            raise ValueError("preference: `differences` must rise from above 0")
        if p[0] < 0.5 or p[-1] >= 1 or any(b < a for a, b in zip(p, p[1:], strict=False)):
            raise ValueError("preference: `probabilities` must not fall, from 1/2 or more to below 1")

    @property
    def reward_scale(self) -> float:
        """What calibrated rewards are divided by: T of `"temperature"`, so that they are log-odds; else 1."""
        return self.temperature if self.method == "temperature" else 1.0

    @property
    def is_antisymmetric(self) -> bool:
        """Whether P(a over b) + P(b over a) = 1."""
        return self.intercept == 0

    def __call__(self, differences: ArrayLike) -> np.ndarray:
        """P(first preferred) `(N,)` for differences first − second `(N,)`, before division by T."""
        d = as_finite(differences, "differences")
        if self.method == "isotonic":
            return 0.5 + np.sign(d) * (
                np.interp(np.abs(d), (0.0, *self.differences), (0.5, *self.probabilities)) - 0.5
            )
        return self.eta * expit(d / self.temperature + self.intercept) + (1 - self.eta) / 2

    def probability_of_better(self, differences: ArrayLike) -> np.ndarray:
        """
        P(the first response is the better one) `(N,)`, as opposed to P(it is labelled as preferred): for `"lapse"`
        \\( \\sigma(d / T) \\), what a fully committed annotator would say; for `"platt"` without the advantage of the first
        place; else the same.
        """
        if self.method == "isotonic":
            return self(differences)
        return expit(as_finite(differences, "differences") / self.temperature)

    def losses(self, differences: ArrayLike, labels: ArrayLike) -> np.ndarray:
        """Log-loss `(N,)` of labels in [0, 1], in nats: exact where the probability rounds to 0 or 1."""
        d, y = as_finite(differences, "differences"), np.asarray(labels, dtype=np.float64)
        if self.method == "isotonic":
            p = self(d)
            return -(y * np.log(p) + (1 - y) * np.log1p(-p))
        logits = d / self.temperature + self.intercept
        return -(y * log_mixture(logits, self.eta) + (1 - y) * log_mixture(-logits, self.eta))


def log_mixture(logits: np.ndarray, eta: float) -> np.ndarray:
    r"""\( \log[\eta\,\sigma(x) + (1 - \eta)/2] \), in log space."""
    truthful = math.log(eta) - np.logaddexp(0, -logits)
    return truthful if eta == 1 else np.logaddexp(truthful, math.log1p(-eta) - math.log(2))
