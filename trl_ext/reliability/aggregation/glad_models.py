"""Likelihoods of the GLAD model: difficulties integrated out, or at their mode."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import OptimizeResult, minimize
from scipy.special import expit, log_expit, logsumexp

from .information import covariance_of_determined
from .votes import Votes


_NODES = 21  # of the Gauss-Hermite rule for log easiness


@dataclass(frozen=True)
class GladModel:
    """
    The model, as data and priors.

    Args:
        votes ([`Votes`]): Votes.
        prevalence (`float`): Share of items whose first response is better.
        ability_prior (`tuple[float, float]`): Mean and standard deviation of abilities.
        easiness_prior (`tuple[float, float]`): Mean and standard deviation of log easiness.
    """

    votes: Votes
    prevalence: float
    ability_prior: tuple[float, float]
    easiness_prior: tuple[float, float]

    def easiness_rule(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and weights, shape `(Q,)`, of averages over the prior of log easiness."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        mean, sd = self.easiness_prior
        return mean + sd * nodes, weights / weights.sum()

    def log_prior(self, ability: np.ndarray) -> tuple[float, np.ndarray]:
        """Log-density of abilities up to a constant, and its gradient `(A,)`."""
        mean, sd = self.ability_prior
        residual = (ability - mean) / sd
        return -(residual @ residual) / 2, -residual / sd


@dataclass(frozen=True)
class IntegratedModel(GladModel):
    """
    Abilities are parameters; truth and difficulty of an item are latent and summed out.

    The latent class of an item is (truth, node of the rule): everything is as in a model with 2·Q classes.
    """

    def classes(self, ability: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits of votes at the nodes (N, Q), posterior of the classes (2, I, Q), log-likelihood of items (I,)."""
        v = self.votes
        nodes, weights = self.easiness_rule()
        logits = (v.sign * ability[v.annotator])[:, None] * np.exp(nodes)
        to_items = sparse.csr_array((np.ones(len(v.item)), (v.item, np.arange(len(v.item)))))
        if_first = to_items @ log_expit(logits) + np.log(weights)
        if_second = if_first - to_items @ logits  # log σ(−x) = log σ(x) − x
        joint = np.stack([np.log(self.prevalence) + if_first, np.log1p(-self.prevalence) + if_second])
        log_likelihood = logsumexp(joint, axis=(0, 2))
        return logits, np.exp(joint - log_likelihood[:, None]), log_likelihood

    def _scores(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives (N, Q) of the log-probability of a vote by ability, for either truth."""
        slope = self.votes.sign[:, None] * np.exp(self.easiness_rule()[0])
        if_second = -slope * expit(logits)
        return slope + if_second, if_second

    def negative_objective(self, ability: np.ndarray) -> tuple[float, np.ndarray]:
        logits, posterior, log_likelihood = self.classes(ability)
        first, second = self._scores(logits)
        p = posterior[:, self.votes.item]
        gradient = self.votes.per_annotator((p[0] * first + p[1] * second).sum(axis=1))
        log_prior, prior_gradient = self.log_prior(ability)
        return -log_likelihood.sum() - log_prior, -gradient - prior_gradient

    def fit(self, start: np.ndarray, options: dict) -> OptimizeResult:
        return minimize(self.negative_objective, start, jac=True, method="L-BFGS-B", options=options)

    def covariance(self, ability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Covariance (A, A) of abilities, and which of them the votes determine (A,).

        Louis' identity: information with known classes, minus the variance of the score over the classes of each item.
        """
        v = self.votes
        logits, posterior, _ = self.classes(ability)
        scores = self._scores(logits)
        p = posterior[:, v.item]
        curvature = expit(logits) * expit(-logits) * np.exp(2 * self.easiness_rule()[0])
        complete = v.per_annotator((p.sum(axis=0) * curvature).sum(axis=1))
        mean = v.matrix((p[0] * scores[0] + p[1] * scores[1]).sum(axis=1))
        information = np.diag(complete) + (mean.T @ mean).toarray()
        for truth in (0, 1):
            for q in range(_NODES):
                score = v.matrix(scores[truth][:, q])
                information -= (score.T @ (score * posterior[truth, :, q][:, None])).toarray()
        prior = np.full(len(ability), 1 / self.ability_prior[1] ** 2)
        _, determined = covariance_of_determined(information, complete)
        return covariance_of_determined(information + np.diag(prior), complete + prior)[0], determined

    def items(self, ability: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """P(first response better) (I,), posterior mean of log easiness (I,), log-likelihood."""
        _, posterior, log_likelihood = self.classes(ability)
        easiness = posterior.sum(axis=0) @ self.easiness_rule()[0]
        return posterior[0].sum(axis=1), easiness, float(log_likelihood.sum())


@dataclass(frozen=True)
class ModeModel(GladModel):
    """Abilities and log easiness are parameters, the truth of an item is summed out: the objective of the paper."""

    def split(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.split(x, [len(self.votes.annotator_ids)])

    def _posterior(self, ability: np.ndarray, easiness: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        v = self.votes
        logits = v.sign * ability[v.annotator] * np.exp(easiness)[v.item]
        first = np.log(self.prevalence) + v.per_item(log_expit(logits))
        second = np.log1p(-self.prevalence) + v.per_item(log_expit(-logits))
        return logits, expit(first - second), float(np.logaddexp(first, second).sum())

    def negative_objective(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        v = self.votes
        ability, easiness = self.split(x)
        logits, posterior, log_likelihood = self._posterior(ability, easiness)
        residual = posterior[v.item] - expit(logits)
        mean, sd = self.easiness_prior
        deviation = (easiness - mean) / sd
        log_prior, prior_gradient = self.log_prior(ability)
        of_ability = v.per_annotator(residual * v.sign * np.exp(easiness)[v.item]) + prior_gradient
        of_easiness = v.per_item(residual * logits) - deviation / sd
        value = log_likelihood + log_prior - (deviation @ deviation) / 2
        return -value, -np.concatenate([of_ability, of_easiness])

    def fit(self, start: np.ndarray, options: dict) -> OptimizeResult:
        easiness = np.full(len(self.votes.item_ids), self.easiness_prior[0])
        x = np.concatenate([start, easiness])
        return minimize(self.negative_objective, x, jac=True, method="L-BFGS-B", options=options)

    def items(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """P(first response better) (I,), log easiness (I,), log-likelihood."""
        ability, easiness = self.split(x)
        _, posterior, log_likelihood = self._posterior(ability, easiness)
        return posterior, easiness, log_likelihood
