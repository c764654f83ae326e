r"""Influence of single pairs on a reward head, in closed form: no pair is left out and trained without."""

import numpy as np
from scipy.special import expit

from .head import PairHead, fit_head


_EXACT_ENOUGH = 0.2  # a step of this size is wrong by about a thousandth
_STILL = 1e-3
_STEPS = 30
_BATCH = 4_000_000  # numbers at once


def pair_influence(head: PairHead, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    r"""
    Effect of every training pair on the mean loss of other pairs: \( -g_{val}^T H^{-1} g_i \).

    It is the derivative of the loss of `targets` by ε when \( \varepsilon\,\ell_i \) is added to the objective. **Positive
    is harmful**: with more weight on this pair the others are fitted worse. Leaving the pair out changes their loss by
    −1/N times it, to first order.

    References:
        - Understanding Impact of Human Feedback via Influence Functions, arXiv 2501.05790, section 3: influence of human
          feedback on a reward model's validation loss, there by approximations for a whole model.
        - Koh and Liang, Understanding Black-box Predictions via Influence Functions, 2017, equation 2.

    Args:
        head ([`PairHead`]): Head that was fitted to `x`.
        x (`np.ndarray` of shape `(N, D)`): Training pairs.
        targets (`np.ndarray` of shape `(M, D)`): Pairs whose labels are trusted, or at least held out.

    Returns:
        `np.ndarray` of shape `(N,)`: nats per unit of weight.
    """
    target = head.gradients(targets).mean(axis=0)
    return -head.gradients(x) @ (head.inverse_hessian @ target)


def cross_influence(x: np.ndarray, fold_of: np.ndarray, penalty: float) -> np.ndarray:
    """
    [`pair_influence`] where no label is trusted: on the loss of the other folds' pairs, each in turn.

    The head without fold k gives the influence of its own pairs on fold k; a pair's value is the mean over all folds but
    its own. Wrong labels among the targets weaken it, and cancel out while they are fewer than the right ones and do not
    err together.

    Args:
        x (`np.ndarray` of shape `(N, D)`): Features.
        fold_of (`np.ndarray` of shape `(N,)`): Fold of every pair.
        penalty (`float`): As in [`~trl_ext.mislabels.head.fit_head`].

    Returns:
        `np.ndarray` of shape `(N,)`
    """
    total, folds = np.zeros(len(x)), np.unique(fold_of)
    for fold in folds:
        target = fold_of == fold
        own = x[~target]
        total[~target] += pair_influence(fit_head(own, penalty), own, x[target])
    return total / (len(folds) - 1)


def self_influence(head: PairHead, x: np.ndarray) -> np.ndarray:
    r"""
    How much a pair pulls the head to itself: \( g_i^T H^{-1} g_i = \sigma(-d_i)^2\, x_i^T H^{-1} x_i \geq 0 \).

    Large for a pair that contradicts the others and has features of its own; unusual pairs with right labels too.

    References:
        - Koh and Liang, 2017, section 5.4: the order in which labels are checked.

    Args:
        head ([`PairHead`]): Head that was fitted to `x`.
        x (`np.ndarray` of shape `(N, D)`): Its training pairs.

    Returns:
        `np.ndarray` of shape `(N,)`
    """
    return expit(-head.margins(x)) ** 2 * np.einsum("nd,de,ne->n", x, head.inverse_hessian, x, optimize=True)


def leave_out_margins(head: PairHead, x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    r"""
    Reward difference of every pair without its own group in the training set, within 0.01 of training again.

    With \( A = X_G H^{-1} X_G^T / N \) and \( W = \text{diag}(\sigma_i (1 - \sigma_i)) \), one Newton step from the fitted
    head makes the margins of group G \( d_G - A\,(I - W A)^{-1}\,\sigma(-d_G) \). Its error grows with the square of the
    step. Where it moves a margin by more than 0.2 (few pairs, a weak penalty), further steps with the same Hessian and
    new gradients follow until the margins stand still; groups for which they don't are left out and the head fitted again.
    The result uses more pairs than cross-fitting and costs little more than one fit.

    References:
        - Rad and Maleki, A Scalable Estimate of the Out-of-sample Prediction Error via Approximate Leave-one-out, 2020,
          for groups of one.

    Args:
        head ([`PairHead`]): Head that was fitted to `x`.
        x (`np.ndarray` of shape `(N, D)`): Its training pairs.
        groups (`np.ndarray` of shape `(N,)`): What is left out together, such as rows of one prompt. `np.arange(N)` leaves
            out single rows, and lets other labels of the same pair vote.

    Returns:
        `np.ndarray` of shape `(N,)`
    """
    margins = head.margins(x)
    left_out = np.empty_like(margins)
    pull = x @ head.inverse_hessian / head.n
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[0]] - 1))
    far = []
    for rows in np.split(order, starts[1:]):
        solve = _without(rows, margins, pull, x)
        left_out[rows] = margins[rows] - pull[rows] @ x[rows].T @ solve @ expit(-margins[rows])
        if np.abs(left_out[rows] - margins[rows]).max() > _EXACT_ENOUGH:
            far.append((rows, solve))
    size = max(1, _BATCH // len(x))
    for start in range(0, len(far), size):
        _step_on(head, x, far[start : start + size], pull, margins, left_out)
    return left_out


def _without(rows: np.ndarray, margins: np.ndarray, pull: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(I - W A)^-1 of a group."""
    wrong = expit(-margins[rows])
    return np.linalg.inv(np.eye(len(rows)) - (wrong * (1 - wrong))[:, None] * (pull[rows] @ x[rows].T))


def _step_on(head: PairHead, x: np.ndarray, parts: list, pull: np.ndarray, margins: np.ndarray, found: np.ndarray):
    """Further steps for some groups at once, from the fitted head, into `found`."""
    theta = np.tile(head.theta, (len(parts), 1))
    moving = np.arange(len(parts))
    for _ in range(_STEPS):
        wrong = expit(-theta[moving] @ x.T)
        for one, k in enumerate(moving):
            wrong[one, parts[k][0]] = 0
        steps = (head.penalty * theta[moving] - wrong @ x / head.n) @ head.inverse_hessian
        for one, k in enumerate(moving):  # the inverse Hessian without the group, by Woodbury's identity
            rows, solve = parts[k]
            sigma = expit(-margins[rows])
            steps[one] += pull[rows].T @ (solve @ (sigma * (1 - sigma) * (x[rows] @ steps[one])))
        theta[moving] -= steps
        changes = [np.abs(x[parts[k][0]] @ step).max() for k, step in zip(moving, steps, strict=True)]
        moving = moving[np.array(changes) > _STILL]
        if not len(moving):
            break
    for k, (rows, _) in enumerate(parts):
        if k in moving:
            rest = np.ones(len(x), dtype=bool)
            rest[rows] = False
            theta[k] = fit_head(x[rest], head.penalty * head.n / rest.sum()).theta
        found[rows] = x[rows] @ theta[k]
