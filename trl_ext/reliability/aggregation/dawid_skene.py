"""Dawid–Skene: annotators with unknown error rates, items with unknown truth."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.special import expit

from .information import covariance_of_determined, describe_unknown, too_few_to_compare
from .result import Aggregation, annotators_table, check_settings, groups_to_turn, items_table, logit_interval
from .votes import Votes, read_votes


logger = logging.getLogger(__name__)

MODELS = ("one_coin", "two_coin")
# Without smoothing an annotator who is never wrong has skill 1, whose logarithm of the complement is not finite
_BOUND = 1e-10


@dataclass(frozen=True)
class _Fit:
    """State of the EM algorithm; `sensitivity` and `specificity` are one array in the one-coin model."""

    sensitivity: np.ndarray
    specificity: np.ndarray
    prevalence: float
    posterior: np.ndarray = field(default_factory=lambda: np.empty(0))
    log_likelihood: float = float("nan")
    history: tuple[float, ...] = ()
    converged: bool = False


@dataclass(frozen=True)
class _Model:
    votes: Votes
    one_coin: bool
    prevalence: float | None
    smoothing: float

    def e_step(self, fit: _Fit) -> _Fit:
        """Posterior of the truths, and the log-likelihood, at the parameters of `fit`."""
        v = self.votes
        sensitivity, specificity = fit.sensitivity[v.annotator], fit.specificity[v.annotator]
        if_first = np.where(v.first, np.log(sensitivity), np.log1p(-sensitivity))
        if_second = np.where(v.first, np.log1p(-specificity), np.log(specificity))
        joint_first = np.log(fit.prevalence) + v.per_item(if_first)
        joint_second = np.log1p(-fit.prevalence) + v.per_item(if_second)
        log_likelihood = float(np.logaddexp(joint_first, joint_second).sum())
        return replace(fit, posterior=expit(joint_first - joint_second), log_likelihood=log_likelihood)

    def m_step(self, posterior: np.ndarray) -> _Fit:
        """Parameters that maximise the expected log-posterior."""
        v, s = self.votes, self.smoothing
        p = posterior[v.item]

        def share(hits: np.ndarray, trials: np.ndarray) -> np.ndarray:
            above, below = v.per_annotator(hits) + s, v.per_annotator(trials) + 2 * s
            # without smoothing: an annotator none of whose items can be of this class
            return np.clip(np.divide(above, below, out=np.full_like(above, 0.5), where=below > 0), _BOUND, 1 - _BOUND)

        if self.one_coin:
            sensitivity = specificity = share(np.where(v.first, p, 1 - p), np.ones_like(p))
        else:
            sensitivity, specificity = share(p * v.first, p), share((1 - p) * ~v.first, 1 - p)
        prevalence = self.prevalence
        if prevalence is None:
            prevalence = float(np.clip((posterior.sum() + s) / (posterior.size + 2 * s), _BOUND, 1 - _BOUND))
        return _Fit(sensitivity, specificity, prevalence)

    def objective(self, fit: _Fit) -> float:
        """Log-likelihood plus log-prior, up to a constant."""
        if self.smoothing == 0:
            return fit.log_likelihood
        shares = [fit.sensitivity] if self.one_coin else [fit.sensitivity, fit.specificity]
        if self.prevalence is None:
            shares.append(np.array([fit.prevalence]))
        log_prior = sum(float((np.log(x) + np.log1p(-x)).sum()) for x in shares)
        return fit.log_likelihood + self.smoothing * log_prior

    def run(self, posterior: np.ndarray, max_iter: int, tol: float) -> _Fit:
        converged = False
        fit = self.e_step(self.m_step(posterior))
        values = [self.objective(fit)]
        for _ in range(max_iter - 1):
            fit = self.e_step(self.m_step(fit.posterior))
            values.append(self.objective(fit))
            if values[-1] - values[-2] < tol:
                converged = True
                break
        return replace(fit, history=tuple(values), converged=converged)

    def turn(self, fit: _Fit, which: np.ndarray) -> np.ndarray:
        """Posterior at the mirror image of the annotators `which`."""
        sensitivity = np.where(which, 1 - fit.specificity, fit.sensitivity)
        specificity = np.where(which, 1 - fit.sensitivity, fit.specificity)
        prevalence = 1 - fit.prevalence if which.all() and self.prevalence is None else fit.prevalence
        return self.e_step(
            replace(fit, sensitivity=sensitivity, specificity=specificity, prevalence=prevalence)
        ).posterior

    def information(self, fit: _Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Observed information of the logits of all parameters (annotators' ones, then prevalence): that of the votes
        `(P, P)`, the prior's `(P,)`, and what it would be if truths were known `(P,)`.

        Louis' identity: the information lost with the truth of an item is the variance of its score, which for two
        classes is p(1−p) times the outer product of the difference of the scores of both classes.
        """
        v, p = self.votes, fit.posterior
        k, c = fit.sensitivity, fit.specificity
        if self.one_coin:
            difference, variance = v.matrix(v.sign), k * (1 - k)
            complete = v.per_annotator() * variance
        else:
            of_k, of_c = v.first - k[v.annotator], v.first - (1 - c)[v.annotator]
            difference = sparse.hstack([v.matrix(of_k), v.matrix(of_c)])
            variance = np.concatenate([k * (1 - k), c * (1 - c)])
            weights = np.concatenate([v.per_annotator(p[v.item]), v.per_annotator(1 - p[v.item])])
            complete = weights * variance
        if self.prevalence is None:
            spread = fit.prevalence * (1 - fit.prevalence)
            difference = sparse.hstack([difference, sparse.csr_array(np.ones((p.size, 1)))])
            complete, variance = np.append(complete, p.size * spread), np.append(variance, spread)
        difference = sparse.csr_array(difference)
        lost = (difference.T @ (difference * (p * (1 - p))[:, None])).toarray()
        return np.diag(complete) - lost, 2 * self.smoothing * variance, complete


def dawid_skene(
    votes: pd.DataFrame | Mapping[str, ArrayLike] | Votes,
    *,
    model: str = "one_coin",
    prevalence: float | None = None,
    smoothing: float = 1.0,
    restarts: int = 0,
    seed: int = 0,
    max_iter: int = 5000,
    tol: float = 1e-8,
    level: float = 0.95,
    duplicates: str = "error",
) -> Aggregation:
    r"""
    Truth of every item and skill of every annotator, estimated together.

    The truth of item i is "first response better" with probability π. Given the truth, votes are independent. In the
    one-coin model annotator a is right with probability \( k_a \), whatever the truth; in the two-coin model with
    sensitivity \( P(\text{vote } 1 \mid 1) \) and specificity \( P(\text{vote } 0 \mid 0) \). An annotator of
    commitment η who meets pairs with a clear answer has \( k = (1+η)/2 \), so `eta` = 2k − 1 goes into the losses.

    Fitted by EM from the majority vote, in log-space. `smoothing` s is a Beta(1+s, 1+s) prior on every probability: s
    votes of either outcome. The objective (log-likelihood plus log-prior) never decreases. Convention: within each group
    of annotators that share items, the majority is better than chance; where the fit contradicts it, the group is turned
    round and fitted again.

    Standard errors are from the observed information of the marginal likelihood and the prior, by Louis' identity, in the
    logits of the parameters; intervals are made there. An annotator linked by shared items to fewer than two others gets
    `nan` and a message.

    References:
        - Dawid and Skene, Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm, 1979.
        - Zhang, Chen, Zhou and Jordan, Spectral Methods Meet EM, 2016 (one coin).
        - Louis, Finding the Observed Information Matrix when Using the EM Algorithm, 1982.

    Args:
        votes (`DataFrame`, mapping of columns or [`Votes`]):
            See [`read_votes`].
        model (`str`, *optional*, defaults to `"one_coin"`):
            `"one_coin"` or `"two_coin"`. In the latter, `skill` is (sensitivity + specificity)/2.
        prevalence (`float`, *optional*):
            π. Set it to 0.5 if the order of the two responses was random. By default it is estimated.
        smoothing (`float`, *optional*, defaults to `1.0`):
            s ≥ 0; 0 is maximum likelihood.
        restarts (`int`, *optional*, defaults to `0`):
            Further starts from random skills between 0.5 and 1; the best objective wins.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the restarts.
        max_iter (`int`, *optional*, defaults to `5000`):
            Most iterations of a start.
        tol (`float`, *optional*, defaults to `1e-8`):
            EM has converged when the objective rises by less.
        level (`float`, *optional*, defaults to `0.95`):
            Level of the intervals.
        duplicates (`str`, *optional*, defaults to `"error"`):
            Several votes of an annotator for an item: `"error"`, `"first"` or `"last"`.

    Returns:
        [`Aggregation`]: `probability` is P(first response better | votes). For two coins `annotators` has also
        `sensitivity`, `specificity`, each with `_se`, `_ci_low` and `_ci_high`.

    Raises:
        `ValueError`: Bad votes, one annotator only, or no item with two votes.

    Example:
        ```python
        >>> from trl_ext.reliability.aggregation import dawid_skene, simulate_votes
        >>> votes, truth = simulate_votes(skills=[0.95, 0.8, 0.7, 0.6, 0.2], n_items=2000, votes_per_item=4, seed=0)
        >>> result = dawid_skene(votes)
        >>> columns = ["annotator_id", "skill", "skill_se", "worse_than_chance"]
        >>> result.annotators[columns].sort_values("annotator_id", ignore_index=True).round(2)
          annotator_id  skill  skill_se  worse_than_chance
        0  annotator-1   0.95      0.01              False
        1  annotator-2   0.79      0.01              False
        2  annotator-3   0.68      0.01              False
        3  annotator-4   0.59      0.01              False
        4  annotator-5   0.20      0.01               True
        ```
    """
    if model not in MODELS:
        raise ValueError(f"`model` must be one of {', '.join(MODELS)}, got {model!r}")
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"prevalence must lie strictly between 0 and 1, got {prevalence}")
    if not (np.isfinite(smoothing) and smoothing >= 0):
        raise ValueError(f"smoothing must be a finite number of at least 0, got {smoothing}")
    if restarts < 0:
        raise ValueError(f"restarts must be at least 0, got {restarts}")
    check_settings(level=level, max_iter=max_iter, tol=tol)
    votes = read_votes(votes, duplicates=duplicates)
    votes.require_overlap("dawid_skene")
    em = _Model(votes, model == "one_coin", prevalence, smoothing)
    messages = list(votes.messages)

    fit = em.run(votes.per_item(votes.first.astype(float)) / votes.per_item(), max_iter, tol)
    generator = np.random.default_rng(seed)
    for _ in range(restarts):
        skill = generator.uniform(0.5, 1.0, len(votes.annotator_ids))
        start = em.e_step(_Fit(skill, skill, 0.5 if prevalence is None else prevalence))
        other = em.run(start.posterior, max_iter, tol)
        if other.history[-1] > fit.history[-1] + tol:
            fit = other
    turned = groups_to_turn(votes, _log_odds(fit))
    if turned.any():
        fit = em.run(em.turn(fit, turned), max_iter, tol)
        messages.append(
            f"turned {int(turned.sum())} annotators round: the majority is better than chance by convention"
        )
        if groups_to_turn(votes, _log_odds(fit)).any():
            messages.append("the votes insist that most annotators are worse than chance: the convention is not met")
    if not fit.converged:
        messages.append(f"EM has not converged in {max_iter} iterations: raise max_iter")
    table, unknown = _annotators(em, fit, level)
    messages += unknown
    for message in messages[len(votes.messages) :]:
        logger.warning(message)
    share = "estimated prevalence" if prevalence is None else f"prevalence {prevalence:g}"
    return Aggregation(
        items=items_table(votes, fit.posterior),
        annotators=table,
        log_likelihood=fit.log_likelihood,
        history=fit.history,
        iterations=len(fit.history),
        converged=fit.converged,
        method=f"Dawid-Skene, {model}, {share}, Beta(1+s, 1+s) priors with s = {smoothing:g}, EM from the majority vote"
        + (f" and {restarts} random starts (seed {seed})" if restarts else "")
        + f"; standard errors from the observed information (Louis), logit intervals ({level:g} level)",
        level=level,
        prevalence=fit.prevalence,
        messages=tuple(messages),
    )


def _log_odds(fit: _Fit) -> np.ndarray:
    skill = (fit.sensitivity + fit.specificity) / 2
    return np.log(skill) - np.log1p(-skill)


def _annotators(em: _Model, fit: _Fit, level: float) -> tuple[pd.DataFrame, list[str]]:
    votes, n = em.votes, len(em.votes.annotator_ids)
    of_votes, prior, complete = em.information(fit)
    _, determined = covariance_of_determined(of_votes, complete)
    covariance, _ = covariance_of_determined(of_votes + np.diag(prior), complete + prior)
    k, c = fit.sensitivity, fit.specificity
    unknown = too_few_to_compare(votes) | ~determined[:n]
    if em.one_coin:
        skill_se = k * (1 - k) * np.sqrt(np.diag(covariance)[:n])
        columns = {}
    else:
        unknown |= ~determined[n : 2 * n]
        slope_k, slope_c = k * (1 - k), c * (1 - c)
        var_k, var_c = slope_k**2 * np.diag(covariance)[:n], slope_c**2 * np.diag(covariance)[n : 2 * n]
        cross = slope_k * slope_c * np.diag(covariance[:n, n : 2 * n])
        skill_se = np.sqrt(np.maximum(var_k + var_c + 2 * cross, 0)) / 2
        columns = {}
        for name, value, variance in (("sensitivity", k, var_k), ("specificity", c, var_c)):
            se = np.where(unknown, np.nan, np.sqrt(variance))
            low, high, _ = logit_interval(value, se, level)
            columns |= {name: value, f"{name}_se": se, f"{name}_ci_low": low, f"{name}_ci_high": high}
    at_bound = (np.minimum(k, c) <= _BOUND) | (np.maximum(k, c) >= 1 - _BOUND)
    messages = describe_unknown(votes, unknown & ~at_bound)
    if at_bound.any():
        messages.append(
            f"{int(at_bound.sum())} annotators have an estimate at 0 or 1 (first: "
            f"{votes.annotator_ids[at_bound][0]!r}): no standard error. Set smoothing above 0."
        )
    skill_se = np.where(unknown | at_bound, np.nan, skill_se)
    return annotators_table(votes, (k + c) / 2, skill_se, level, **columns), messages
