"""Probability that a label is wrong, if scale and commitment are known, and labels that are flagged by it."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit


def wrong_label_probability(margins: ArrayLike, eta: ArrayLike) -> np.ndarray:
    r"""
    Probability that a label contradicts what a committed judge would have said.

    A committed judge prefers the chosen response with probability \( \sigma(x) \). The annotator says the same with
    probability \( q = (1 + \eta)/2 \): a coin flip with probability 1 − η is right half of the time, and η < 0 is worse
    than a coin. By Bayes' rule

    \[ P(\text{wrong} \mid \text{label}) = \frac{(1-q)\,\sigma(-x)}{q\,\sigma(x) + (1-q)\,\sigma(-x)}
    = \sigma\left(-\left(x + \log\frac{q}{1-q}\right)\right): \]

    the evidence of the pair and of the person add up as log odds. A pair of equal responses (x = 0) has 1 − q, however
    hard it is; all labels of an annotator with η = 1 are right.

    References:
        - How Humans Help LLMs, section 3: the likelihood. The posterior is the E step of its mixture.

    Args:
        margins (`array_like` of shape `(N,)`):
            Calibrated reward differences x, chosen minus rejected, of models that have not seen the label.
        eta (`array_like` of shape `(N,)` or `float`):
            Commitment of the annotator of each label, in [−1, 1].

    Returns:
        `np.ndarray` of shape `(N,)`

    Example:
        ```python
        >>> wrong_label_probability([0.0, -2.0, -2.0], [0.8, 0.8, 0.0]).round(3)
        array([0.1  , 0.451, 0.881])
        ```
    """
    eta = np.asarray(eta, dtype=np.float64)
    if not ((eta >= -1) & (eta <= 1)).all():
        raise ValueError("eta must lie in [-1, 1]")
    with np.errstate(divide="ignore"):
        return expit(-(np.asarray(margins, dtype=np.float64) + np.log1p(eta) - np.log1p(-eta)))


def flag_wrong_labels(p_wrong: ArrayLike, fdr: float) -> np.ndarray:
    """
    Flag as many labels as possible so that the expected share of right ones among them is at most `fdr`.

    The most suspicious labels are taken while the mean of `1 - p_wrong` over them stays within `fdr`. The level is nominal:
    it is the false discovery rate over all pairs as far as the probabilities are calibrated. Equal probabilities are
    flagged together or not at all.

    References:
        - Sun and Cai, Oracle and Adaptive Compound Decision Rules for False Discovery Rate Control, 2007, procedure 1.

    Args:
        p_wrong (`array_like` of shape `(N,)`): Probabilities.
        fdr (`float`): Expected share, in (0, 1).

    Returns:
        `np.ndarray` of shape `(N,)`: booleans.
    """
    if not 0 < fdr < 1:
        raise ValueError(f"fdr must lie strictly between 0 and 1, got {fdr}")
    p_wrong = np.asarray(p_wrong, dtype=np.float64)
    ordered = np.sort(p_wrong)[::-1]
    means = np.cumsum(1 - ordered) / np.arange(1, len(ordered) + 1)
    last_of_equals = np.append(ordered[1:] != ordered[:-1], True)
    within = np.flatnonzero((means <= fdr) & last_of_equals)
    return p_wrong >= ordered[within[-1]] if len(within) else np.zeros(len(p_wrong), dtype=bool)
