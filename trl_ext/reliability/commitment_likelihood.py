"""The likelihood of annotators' labels as a function of commitment, length bias and the scale of the rewards."""

from dataclasses import dataclass

import numpy as np


_EDGE = 1 - 1e-9  # without a prior the mode may lie at η = ±1, where a single contradicting label is impossible
_BISECTIONS = 30
_BIAS_STEPS = 50
_BIAS_POINTS = 13
_BIAS_REACH = 2.6  # standard errors to each side over which the length bias is profiled


@dataclass(frozen=True)
class AnnotatorFit:
    """Mode of every annotator's posterior at one scale: `eta`, `bias` and the log posterior `total`, each `(A,)`."""

    eta: np.ndarray
    bias: np.ndarray
    total: np.ndarray


def commitment_mode(t: np.ndarray, codes: np.ndarray, count: int, prior: tuple[float, float]) -> np.ndarray:
    r"""
    Mode of \( \sum_i \log(1 + \eta t_i) \) plus the log prior, for every annotator.

    The function is concave in η, so that its derivative has one change of sign: safeguarded Newton steps.

    Args:
        t (`np.ndarray` of shape `(N,)`): \( \tanh(x_i / 2) \) of the logit of every label, in [-1, 1].
        codes (`np.ndarray` of shape `(N,)`): Number of the annotator, 0 to A − 1.
        count (`int`): A.
        prior (`tuple[float, float]`): Beta prior on (1 + η)/2.

    Returns:
        `np.ndarray` of shape `(A,)`: η, within ±(1 − 1e-9).
    """
    a, b = prior[0] - 1, prior[1] - 1
    low, high, eta = np.full(count, -_EDGE), np.full(count, _EDGE), np.zeros(count)
    for _ in range(100):
        ratio = t / (1 + eta[codes] * t)
        slope = np.bincount(codes, ratio, count) + a / (1 + eta) - b / (1 - eta)
        curvature = np.bincount(codes, ratio**2, count) + a / (1 + eta) ** 2 + b / (1 - eta) ** 2
        low, high = np.where(slope > 0, eta, low), np.where(slope > 0, high, eta)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = eta + slope / curvature
        inside = (newton > low) & (newton < high)
        moved = np.where(slope == 0, eta, np.where(inside, newton, (low + high) / 2))
        done, eta = np.max(np.abs(moved - eta)) < 1e-12, moved
        if done:
            break
    return eta


class AnnotatorLikelihood:
    """
    Log posterior of annotators' labels, up to a constant.

    Args:
        differences (`np.ndarray` of shape `(N,)`): Reward differences, chosen minus rejected.
        codes (`np.ndarray` of shape `(N,)`): Number of the annotator, 0 to A − 1.
        count (`int`): A.
        prior (`tuple[float, float]`): Beta prior on q = (1 + η)/2, both at least 1 so that the posterior is concave.
        lengths (`np.ndarray` of shape `(N,)`, *optional*): Standardised differences of length.
        bias_sd (`float`, *optional*): Prior standard deviation of the length bias.
    """

    def __init__(self, differences, codes, count, prior, lengths=None, bias_sd=None):
        if len(prior) != 2 or not all(1 <= value < np.inf for value in prior):
            raise ValueError(f"prior must be two numbers of at least 1, (1, 1) being no prior; got {prior}")
        if bias_sd is not None and not 0 < bias_sd < np.inf:
            raise ValueError(f"length_bias_sd must be positive and finite, got {bias_sd}")
        self.differences, self.codes, self.count, self.prior = differences, codes, count, tuple(prior)
        self.lengths, self.bias_sd = lengths, bias_sd

    def logits(self, log_scale: float, bias: np.ndarray) -> np.ndarray:
        """Logit of every label `(N,)` if the annotator were fully committed."""
        x = np.exp(log_scale) * self.differences
        return x if self.lengths is None else x + bias[self.codes] * self.lengths

    def value(self, eta: np.ndarray, t: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Log posterior of every annotator `(A,)`."""
        a, b = self.prior
        total = np.bincount(self.codes, np.log1p(eta[self.codes] * t), self.count)
        total = total + (a - 1) * np.log1p(eta) + (b - 1) * np.log1p(-eta)
        return total if self.lengths is None else total - bias**2 / (2 * self.bias_sd**2)

    def fit(self, log_scale: float) -> AnnotatorFit:
        """Mode of every annotator at a scale."""
        bias = np.zeros(self.count)
        if self.lengths is not None:
            for _ in range(_BIAS_STEPS):
                step = self._bias_step(log_scale, bias)
                bias = bias + step
                if np.max(np.abs(step)) < 1e-9:
                    break
        t = np.tanh(self.logits(log_scale, bias) / 2)
        eta = commitment_mode(t, self.codes, self.count, self.prior)
        return AnnotatorFit(eta, bias, self.value(eta, t, bias))

    def _bias_step(self, log_scale: float, bias: np.ndarray) -> np.ndarray:
        """Fisher scoring on the length bias, at the best η for it."""
        t = np.tanh(self.logits(log_scale, bias) / 2)
        eta = commitment_mode(t, self.codes, self.count, self.prior)
        slope = eta[self.codes] * (1 - t**2) / 2 * self.lengths
        score = np.bincount(self.codes, slope / (1 + eta[self.codes] * t), self.count) - bias / self.bias_sd**2
        information = np.bincount(self.codes, slope**2 / (1 - (eta[self.codes] * t) ** 2), self.count)
        return score / (information + 1 / self.bias_sd**2)

    def standard_errors(
        self, log_scale: float, fit: AnnotatorFit, scale_is_known: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Standard errors of η and of the length bias, each `(A,)`, from the expected information of all parameters."""
        t = np.tanh(self.logits(log_scale, fit.bias) / 2)
        eta = fit.eta[self.codes]
        half_slope = eta * (1 - t**2) / 2
        columns = [t] if self.lengths is None else [t, half_slope * self.lengths]
        columns.append(half_slope * np.exp(log_scale) * self.differences)  # the common log scale
        weight = 1 / (1 - (eta * t) ** 2)
        k = len(columns)
        information = np.empty((self.count, k, k))
        for i in range(k):
            for j in range(k):
                information[:, i, j] = np.bincount(self.codes, weight * columns[i] * columns[j], self.count)
        a, b = self.prior
        own, cross, common = information[:, :-1, :-1], information[:, :-1, -1], information[:, -1, -1].sum()
        own[:, 0, 0] += (a - 1) / (1 + fit.eta) ** 2 + (b - 1) / (1 - fit.eta) ** 2
        if self.lengths is not None:
            own[:, 1, 1] += 1 / self.bias_sd**2
        inverse = np.linalg.pinv(own)
        variance = np.diagonal(inverse, axis1=1, axis2=2).copy()
        if not scale_is_known:
            shift = np.einsum("aij,aj->ai", inverse, cross)
            remaining = common - np.einsum("ai,ai->", cross, shift)
            variance += shift**2 / max(remaining, np.finfo(float).tiny)
        se = np.sqrt(variance)
        return se[:, 0], None if self.lengths is None else se[:, 1]

    def profile_interval(
        self, log_scales: np.ndarray, fit: AnnotatorFit, drop: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        All η of every annotator whose profile log posterior is within `drop` of the maximum: ends `(A,)`, `(A,)`.

        The scale and all other parameters are maximised over: at each scale the others contribute their best.
        """
        fits = [self.fit(log_scale) for log_scale in log_scales]
        best = max(found.total.sum() for found in fits)
        low, high = fit.eta.copy(), fit.eta.copy()
        for log_scale, at_scale in zip(log_scales, fits, strict=True):
            # what the annotator's own log posterior must reach, given what the others contribute at this scale
            needed = best - drop - (at_scale.total.sum() - at_scale.total)
            for bias in self._biases(log_scale, at_scale):
                t = np.tanh(self.logits(log_scale, bias) / 2)
                mode = at_scale.eta if self.lengths is None else commitment_mode(t, self.codes, self.count, self.prior)
                reached = self.value(mode, t, bias) >= needed
                low = np.where(reached, np.minimum(low, self._root(mode, -_EDGE, t, bias, needed)), low)
                high = np.where(reached, np.maximum(high, self._root(mode, _EDGE, t, bias, needed)), high)
        return low, high

    def _biases(self, log_scale: float, fit: AnnotatorFit) -> list[np.ndarray]:
        if self.lengths is None:
            return [fit.bias]
        _, se = self.standard_errors(log_scale, fit, scale_is_known=True)
        return [fit.bias + step * se for step in np.linspace(-_BIAS_REACH, _BIAS_REACH, _BIAS_POINTS)]

    def _root(self, inside: np.ndarray, outside: float, t, bias, needed) -> np.ndarray:
        """Where the log posterior falls below `needed` between the mode and an end of the range."""
        inside, outside = inside.copy(), np.full(self.count, outside)
        reaches_end = self.value(outside, t, bias) >= needed
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            is_inside = self.value(middle, t, bias) >= needed
            inside, outside = np.where(is_inside, middle, inside), np.where(is_inside, outside, middle)
        return np.where(reaches_end, np.sign(outside), inside)
