"""Rewards with what their model says of their uncertainty."""

import dataclasses

import numpy as np
import torch
from scipy.special import ndtr

from ...losses.gaussian_reward import preference_probability


KINDS = ("ensemble", "gaussian")


@dataclasses.dataclass(frozen=True)
class UncertainRewards:
    """
    Rewards of the responses to one prompt.

    Args:
        kind (`str`): `"ensemble"` or `"gaussian"`: what the outputs are.
        outputs (`np.ndarray` of shape `(n, K)`): Rewards of K heads, or mean and log-variance.
    """

    kind: str
    outputs: np.ndarray

    @property
    def rewards(self) -> np.ndarray:
        """Mean reward of each response `(n,)`, float32."""
        outputs = self.outputs.astype(np.float64)
        return (outputs.mean(1) if self.kind == "ensemble" else outputs[:, 0]).astype(np.float32)

    @property
    def sd(self) -> np.ndarray:
        """
        Standard deviation of each reward `(n,)`, float32. Over heads, it is that of the reward minus the head's mean for
        the prompt where there are several responses: a head's constant, which no preference depends on, is not in it.
        """
        outputs = self.outputs.astype(np.float64)
        if self.kind == "gaussian":
            return np.exp(outputs[:, 1] / 2).astype(np.float32)
        centered = outputs - outputs.mean(0) if len(outputs) > 1 else outputs
        return centered.std(1, ddof=1).astype(np.float32)

    def difference(self, first: int = 0, second: int = 1) -> tuple[float, float]:
        """Reward of one response minus that of another, and its standard deviation."""
        d, sd = differences(self.kind, self.outputs[[first]], self.outputs[[second]])
        return float(d[0]), float(sd[0])

    def probability(self, first: int = 0, second: int = 1) -> float:
        """
        Probability that one response is preferred to another, as the model was trained to give it: of a Gaussian Φ(d/sd), of
        an ensemble [`~trl_ext.losses.gaussian_reward.preference_probability`].
        """
        return float(probabilities(self.kind, *map(np.atleast_1d, self.difference(first, second)))[0])


@dataclasses.dataclass(frozen=True)
class PairUncertainty:
    """
    Reward differences of pairs, first minus second, and how uncertain they are. Every field has shape `(N,)`.

    Args:
        difference (`np.ndarray`): Reward differences.
        sd (`np.ndarray` or `None`): Their standard deviations; `None` for a model with one output.
        probability (`np.ndarray`): Probability that the first is preferred, by the raw rewards: a calibration that is stored
            with the model is applied by [`~trl_ext.scoring.CalibratedScorer`] alone.
        low, high (`np.ndarray` or `None`): Ends of the conformal interval that is stored with the model, if one is.
        decision (`np.ndarray` or `None`): 1, -1 or 0 (no statement), by the preference sets that are stored with the model,
            if they are.
    """

    difference: np.ndarray
    sd: np.ndarray | None
    probability: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    decision: np.ndarray | None = None


def differences(kind: str, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reward differences `(N,)` and their standard deviations, from outputs `(N, K)` of both responses."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    if kind == "gaussian":
        return first[:, 0] - second[:, 0], np.exp(np.logaddexp(first[:, 1], second[:, 1]) / 2)
    d = first - second
    return d.mean(1), d.std(1, ddof=1)


def probabilities(kind: str | None, difference: np.ndarray, sd: np.ndarray | None) -> np.ndarray:
    """
    Probability of preference `(N,)`: of one reward σ(d), of a Gaussian Φ(d/sd), which is the likelihood it was trained
    with, and of an ensemble E σ(z) for z ~ N(d, sd²), drawn towards one half by uncertainty.
    """
    if kind == "gaussian":
        return ndtr(difference / sd)
    variance = np.zeros_like(difference) if sd is None else sd**2
    return preference_probability(torch.from_numpy(difference), torch.from_numpy(variance)).numpy()
