"""The reward head on frozen features: a logistic regression on differences of hidden states, solved exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit


PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4)
_STEPS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class PairHead:
    r"""
    A linear reward \( r(h) = \theta \cdot h \), fitted to pairs, with the inverse Hessian of its objective

    \[ J(\theta) = \frac1N \sum_i \log(1 + e^{-x_i \cdot \theta}) + \frac\lambda2 \lVert\theta\rVert^2, \quad
    H = \frac1N \sum_i \sigma_i (1 - \sigma_i) x_i x_i^T + \lambda I, \]

    where \( x_i = h(\text{chosen}) - h(\text{rejected}) \). There is no intercept: an exchange of both responses changes
    the sign of the margin and nothing else.

    Args:
        theta (`np.ndarray` of shape `(D,)`): Weights, the minimum of J.
        inverse_hessian (`np.ndarray` of shape `(D, D)`): \( H^{-1} \) there.
        penalty (`float`): λ.
        n (`int`): Pairs it was fitted to, N.
    """

    theta: np.ndarray
    inverse_hessian: np.ndarray
    penalty: float
    n: int

    def margins(self, x: np.ndarray) -> np.ndarray:
        """Reward differences `(M,)` of pairs with features `(M, D)`."""
        return x @ self.theta

    def gradients(self, x: np.ndarray) -> np.ndarray:
        r"""Gradients of the pairs' losses, \( -\sigma(-x_i \cdot \theta)\,x_i \), shape `(M, D)`."""
        return -expit(-self.margins(x))[:, None] * x


def fit_head(x: ArrayLike, penalty: float) -> PairHead:
    """
    Fit a reward head to pairs by Newton's method, in float64, to the exact minimum.

    Args:
        x (`array_like` of shape `(N, D)`):
            Features of the chosen response minus those of the rejected one.
        penalty (`float`):
            Weight λ > 0 of the squared norm, against the *mean* loss.

    Returns:
        [`PairHead`]

    Example:
        ```python
        >>> head = fit_head([[1.0], [1.0], [1.0], [-1.0]], penalty=0.1)
        >>> head.theta.round(3)  # a quarter of the labels contradict: log(3) = 1.099 without the penalty
        array([0.745])
        ```
    """
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"x must have shape (N, D) with N, D > 0, got {x.shape}")
    if not 0 < penalty < np.inf:
        raise ValueError(f"penalty must be positive and finite, got {penalty}")
    theta, value = np.zeros(x.shape[1]), np.log(2.0)
    for _ in range(_STEPS):
        wrong = expit(-x @ theta)
        gradient = penalty * theta - wrong @ x / len(x)
        if np.linalg.norm(gradient) < _TOLERANCE:
            break
        step = np.linalg.solve(_hessian(x, wrong, penalty), gradient)
        size = 1.0
        while True:  # J is convex: a shorter step in this direction always lowers it
            moved = theta - size * step
            new = np.logaddexp(0, -x @ moved).mean() + penalty / 2 * moved @ moved
            if new <= value - 1e-4 * size * (gradient @ step) or size < 1e-6:
                break
            size /= 2
        if size < 1e-6:  # at the limit of rounding
            break
        theta, value = moved, new
    return PairHead(theta, np.linalg.inv(_hessian(x, expit(-x @ theta), penalty)), float(penalty), len(x))


def _hessian(x: np.ndarray, wrong: np.ndarray, penalty: float) -> np.ndarray:
    return (x * (wrong * (1 - wrong))[:, None]).T @ x / len(x) + penalty * np.eye(x.shape[1])


def cross_fit_margins(x: np.ndarray, fold_of: np.ndarray, penalty: float) -> np.ndarray:
    """
    Reward difference of every pair from a head that was fitted to the other folds.

    Args:
        x (`np.ndarray` of shape `(N, D)`): Features.
        fold_of (`np.ndarray` of shape `(N,)`): Fold of every pair. All rows of a prompt belong in one.
        penalty (`float`): As in [`fit_head`].

    Returns:
        `np.ndarray` of shape `(N,)`
    """
    margins = np.empty(len(x))
    for fold in np.unique(fold_of):
        held_out = fold_of == fold
        margins[held_out] = fit_head(x[~held_out], penalty).margins(x[held_out])
    return margins


def choose_penalty(x: np.ndarray, fold_of: np.ndarray, penalties: tuple[float, ...] = PENALTIES) -> float:
    """
    The penalty whose cross-fitted margins have the lowest log loss on the labels as they are.

    Wrong labels add to the loss of every penalty alike, so that their number is no hindrance below one half. What is
    chosen is one number from a few by all labels together: it tells next to nothing of a single label.

    Args:
        x (`np.ndarray` of shape `(N, D)`): Features.
        fold_of (`np.ndarray` of shape `(N,)`): Fold of every pair.
        penalties (`tuple[float, ...]`, *optional*): Those to choose from.

    Returns:
        `float`
    """
    losses = [np.logaddexp(0, -cross_fit_margins(x, fold_of, penalty)).mean() for penalty in penalties]
    return float(penalties[int(np.argmin(losses))])


def scale_features(x: ArrayLike, *others: ArrayLike) -> tuple[np.ndarray, ...]:
    """
    Features with a mean squared length of 1, in as many dimensions as the pairs span at most.

    The unit makes one grid of penalties fit any model. A head with a penalty on its norm lies in the span of its training
    pairs, so that with fewer pairs than dimensions the rotation into that span loses nothing.

    Args:
        x (`array_like` of shape `(N, D)`): Features that heads are fitted to.
        *others (`array_like` of shape `(M, D)`): Features to be mapped in the same way.

    Returns:
        `tuple[np.ndarray, ...]`: `(N, min(N, D))`, and the others likewise.
    """
    arrays = [np.asarray(array, dtype=np.float64) for array in (x, *others)]
    size = np.sqrt(np.mean(np.sum(arrays[0] ** 2, axis=1)))
    if size == 0:
        raise ValueError("all features are 0: the model does not tell the responses apart")
    if arrays[0].shape[1] > arrays[0].shape[0]:
        rotation = np.linalg.svd(arrays[0], full_matrices=False)[2].T
        arrays = [array @ rotation for array in arrays]
    return tuple(array / size for array in arrays)
