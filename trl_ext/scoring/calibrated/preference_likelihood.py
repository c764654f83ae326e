"""Likelihood of labels given reward differences and sources: logistic regression, with or without a share of guesses."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from .preference_curve import log_mixture


# Within these, η is estimated; at the upper end the labels show no guesses
_ETA_RANGE = (1e-4, 1 - 1e-7)
_ETA_STARTS = (0.98, 0.8, 0.5, 0.2)
_SLOPE_STARTS = (0.3, 1.0, 3.0)  # logits of the median difference


@dataclass(frozen=True)
class LikelihoodFit:
    """
    Parameters that maximise the likelihood.

    Args:
        coefficients (`np.ndarray` of shape `(K,)`): Of the columns.
        eta (`float`): Share of labels that are no guesses.
        covariance (`np.ndarray` of shape `(K, K)` or `(K + 1, K + 1)`): Of the coefficients and, last, of η if it was
            estimated and lies inside its range: sandwich of the information that the model expects and of the scores of
            clusters.
        logits (`np.ndarray` of shape `(N,)`): Columns times coefficients.
    """

    coefficients: np.ndarray
    eta: float
    covariance: np.ndarray
    logits: np.ndarray


def fit_likelihood(
    columns: np.ndarray, labels: np.ndarray, weights: np.ndarray, codes: np.ndarray, eta: float | None
) -> LikelihoodFit:
    r"""
    Maximise \( \sum_i w_i [y_i \log q_i + (1 - y_i) \log(1 - q_i)] \), \( q = \eta\,\sigma(x\beta) + (1 - \eta)/2 \).

    Args:
        columns (`np.ndarray` of shape `(N, K)`): x.
        labels (`np.ndarray` of shape `(N,)`): y in [0, 1].
        weights (`np.ndarray` of shape `(N,)`): w.
        codes (`np.ndarray` of shape `(N,)`): Number of the cluster of every row.
        eta (`float`, *optional*): η, if it is known; 1 is logistic regression.
    """
    # no mean square, which a single outlier makes large
    scale = np.array([np.median(np.abs(column[column != 0])) for column in columns.T])
    scaled, share = columns / scale, weights / weights.sum()

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        beta, mixture = (parameters, eta) if eta is not None else (parameters[:-1], parameters[-1])
        x = scaled @ beta
        value = -share @ (labels * log_mixture(x, mixture) + (1 - labels) * log_mixture(-x, mixture))
        by_logit, by_eta = _scores(x, labels, mixture)
        gradient = -(share * by_logit) @ scaled
        return value, gradient if eta is not None else np.append(gradient, -share @ by_eta)

    k = columns.shape[1]
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000}
    first = np.zeros(k)
    if eta is not None:
        found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options).x
    else:
        # With guesses the likelihood may have several maxima: a sure model with many guesses, an unsure one with few
        logistic = fit_likelihood(columns, labels, weights, codes, 1.0).coefficients * scale
        bounds = [(None, None)] * k + [_ETA_RANGE]
        slopes = [logistic, *(np.append(slope, logistic[1:]) for slope in _SLOPE_STARTS)]
        runs = [
            minimize(objective, np.append(slope, start), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            for start in _ETA_STARTS
            for slope in slopes
        ]
        found = min(runs, key=lambda run: run.fun).x
    mixture = eta if eta is not None else float(found[-1])
    beta = found if eta is not None else found[:-1]
    estimated = eta is None and mixture < _ETA_RANGE[1]
    if eta is None and not estimated:
        mixture = 1.0
    covariance = _sandwich(scaled, scaled @ beta, labels, weights, codes, mixture, estimated)
    inverse = np.append(1 / scale, 1.0) if estimated else 1 / scale
    return LikelihoodFit(beta / scale, mixture, covariance * np.outer(inverse, inverse), scaled @ beta)


def _shares(x: np.ndarray, eta: float) -> tuple[np.ndarray, np.ndarray]:
    """Of the probability of either label, the share that is no guess: η σ(x) / q and η σ(−x) / (1 − q)."""
    log_eta = np.log(eta)
    return tuple(np.exp(log_eta - np.logaddexp(0, -z) - log_mixture(z, eta)) for z in (x, -x))


def _scores(x: np.ndarray, labels: np.ndarray, eta: float) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives `(N,)` of the log-likelihood by the logit and by η."""
    one, zero = _shares(x, eta)
    by_logit = labels * one * expit(-x) - (1 - labels) * zero * expit(x)
    lean = np.tanh(x / 2) / 2  # σ(x) − 1/2
    with np.errstate(over="ignore"):  # only of η = 1, where nobody asks for it
        by_eta = lean * (labels * np.exp(-log_mixture(x, eta)) - (1 - labels) * np.exp(-log_mixture(-x, eta)))
    return by_logit, by_eta


def _sandwich(columns, x, labels, weights, codes, eta: float, with_eta: bool) -> np.ndarray:
    """Covariance of the parameters: expected information, and the scores of clusters."""
    one, zero = _shares(x, eta)
    by_logit, by_eta = _scores(x, labels, eta)
    scores, spread = columns * by_logit[:, None], columns * np.sqrt(one * zero * expit(x) * expit(-x))[:, None]
    if with_eta:
        lean = np.tanh(x / 2) / 2
        deviation = np.exp(0.5 * (log_mixture(x, eta) + log_mixture(-x, eta)))
        scores = np.column_stack([scores, by_eta])
        spread = np.column_stack([spread, lean / deviation])
    information = (spread * weights[:, None]).T @ spread
    count = int(codes.max()) + 1
    sums = np.stack([np.bincount(codes, column, count) for column in (scores * weights[:, None]).T], axis=1)
    inverse = np.linalg.pinv(information, hermitian=True)
    return inverse @ (sums.T @ sums * (count / max(count - 1, 1))) @ inverse
