"""Bradley–Terry by maximum likelihood: logistic regression of the score of a battle on who fought it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.special import expit


_MAX_STEPS = 100
_LISTED = 5  # names in a message


@dataclass(frozen=True)
class Comparisons:
    """
    R rows of a logistic regression: each is one battle, or equal battles counted together.

    Args:
        design (`np.ndarray` or `scipy.sparse.csr_array` of shape `(R, P)`):
            +1 and −1 in the columns of the two models, times a scale, and features in the last columns.
        scores (`np.ndarray` of shape `(R,)`):
            Score of the first model: 1, 0, or 1/2 for a tie.
        counts (`np.ndarray` of shape `(R,)`):
            Number of battles in the row.
        penalty (`float`):
            Ridge on all parameters: half of it times their sum of squares is added to the negative log-likelihood.
    """

    design: np.ndarray | sparse.csr_array
    scores: np.ndarray
    counts: np.ndarray
    penalty: float = 0.0

    def information(self, parameters: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Second derivative `(P, P)` of the negative penalised log-likelihood."""
        expected = expit(self.design @ parameters)
        weighted = self.design * (weights * expected * (1 - expected))[:, None]
        return _dense(self.design.T @ weighted) + self.penalty * np.eye(self.design.shape[1])

    def loss(self, parameters: np.ndarray, weights: np.ndarray) -> float:
        """Negative penalised log-likelihood; a tie counts as half a win and half a loss."""
        logits = self.design @ parameters
        return float(
            weights @ (np.logaddexp(0, logits) - self.scores * logits) + self.penalty / 2 * parameters @ parameters
        )

    def fit(self, weights: np.ndarray | None = None, start: np.ndarray | None = None) -> np.ndarray:
        """
        Parameters `(P,)` by Newton's method. Without ridge their mean over the models is not identified and stays that of
        `start`, which is 0 by default.

        Args:
            weights (`np.ndarray` of shape `(R,)`, *optional*): How often each row counts; `counts` by default.
            start (`np.ndarray` of shape `(P,)`, *optional*): Where to start.

        Raises:
            ValueError: The likelihood has no maximum that is reached.
        """
        weights = self.counts if weights is None else weights
        parameters = np.zeros(self.design.shape[1]) if start is None else start
        loss, total = self.loss(parameters, weights), weights.sum()
        for _ in range(_MAX_STEPS):
            residuals = weights * (self.scores - expit(self.design @ parameters))
            gradient = self.design.T @ residuals - self.penalty * parameters
            if np.abs(gradient).max() <= 1e-11 * total:
                return self._identified(parameters, weights)
            # minimum norm: no step along the common level, where the likelihood is flat
            step = np.linalg.lstsq(self.information(parameters, weights), gradient, rcond=1e-12)[0]
            scale = 1.0
            # full steps overshoot where a model has hardly lost; rounding must not count as getting worse
            while (new := self.loss(parameters + scale * step, weights)) > loss + 1e-12 * abs(loss) and scale > 1e-6:
                scale /= 2
            parameters, loss = parameters + scale * step, new
        raise ValueError(f"the ratings did not converge in {_MAX_STEPS} steps")

    def _identified(self, parameters: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The parameters, if the data determine them: the gradient also vanishes on the way to infinity."""
        if not self.penalty:
            curvature = np.linalg.eigvalsh(self.information(parameters, weights))
            evenly = np.linalg.eigvalsh(self.information(np.zeros_like(parameters), weights))[-1]
            if (curvature < 1e-9 * evenly).sum() > 1:  # one is the common level of the ratings
                raise ValueError(
                    "these battles do not determine the effects of style: the features depend on each other or on the "
                    "models, or they tell the winner of all battles. Use more battles, fewer features, or a ridge above 0."
                )
        return parameters

    def covariance(self, parameters: np.ndarray, codes: np.ndarray | None = None) -> np.ndarray:
        """
        Sandwich covariance `(P, P)`: H⁻¹ (Σ g gᵀ) H⁻¹, with g the gradient of one battle, or with `codes` of C clusters
        (one per row), summed over a cluster and multiplied by C/(C − 1). It holds although the score of a tie varies less
        than that of a coin.
        """
        residuals = self.scores - expit(self.design @ parameters)
        if codes is None:
            middle = _dense(self.design.T @ (self.design * (self.counts * residuals**2)[:, None]))
        else:
            members = sparse.csr_array((np.ones(codes.size), (codes, np.arange(codes.size))))
            sums = members @ (self.design * (self.counts * residuals)[:, None])
            middle = _dense(sums.T @ sums) * members.shape[0] / (members.shape[0] - 1)
        inverse = np.linalg.pinv(self.information(parameters, self.counts), rcond=1e-12, hermitian=True)
        return inverse @ middle @ inverse


def _dense(matrix: np.ndarray | sparse.sparray) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else matrix


def check_comparable(first: np.ndarray, second: np.ndarray, scores: np.ndarray, models: Sequence[str]) -> None:
    """
    Raise a `ValueError` where Bradley–Terry has no finite maximum likelihood: it has one if and only if the models can't be
    split into two groups of which one never scored against the other (ties score for both).

    References:
        - Ford, Solution of a Ranking Problem from Binary Comparisons, 1957.
    """
    m = len(models)
    scored = np.concatenate(
        [np.stack([first, second])[:, scores > 0], np.stack([second, first])[:, scores < 1]], axis=1
    )
    graph = sparse.csr_array((np.ones(scored.shape[1]), scored), shape=(m, m))
    groups, labels = csgraph.connected_components(graph, connection="weak")
    if groups > 1:
        raise ValueError(
            f"the models form {groups} groups between which there are no battles, so that their ratings can't be compared: "
            + "; ".join(_names(models, np.flatnonzero(labels == group)) for group in range(min(groups, _LISTED)))
            + ". Rate each group alone, or add battles between them."
        )
    groups, labels = csgraph.connected_components(graph, connection="strong")
    if groups == 1:
        return
    across = labels[scored[0]] != labels[scored[1]]
    beaten, beating = np.unique(labels[scored[1]][across]), np.unique(labels[scored[0]][across])
    never_beaten, never_won = np.setdiff1d(range(groups), beaten), np.setdiff1d(range(groups), beating)
    parts = [
        f"{_names(models, np.flatnonzero(labels == group))} won every battle against others" for group in never_beaten
    ]
    parts += [
        f"{_names(models, np.flatnonzero(labels == group))} lost every battle against others" for group in never_won
    ]
    raise ValueError(
        f"these battles give no finite ratings: {'; '.join(parts)}. Leave these models out, or add battles in which they "
        "score otherwise."
    )


def _names(models: Sequence[str], rows: np.ndarray) -> str:
    names = ", ".join(repr(models[row]) for row in rows[:_LISTED])
    return names + (f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else "")
