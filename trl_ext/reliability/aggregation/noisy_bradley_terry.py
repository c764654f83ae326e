"""Noisy Bradley–Terry: responses have scores, annotators a commitment."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.linalg import splu
from scipy.special import expit, log_expit
from scipy.stats import norm

from .result import Aggregation, annotators_table, check_settings, items_table
from .votes import Votes, read_votes


logger = logging.getLogger(__name__)

_BLOCK = 256  # right-hand sides solved at a time


@dataclass(frozen=True)
class _Model:
    votes: Votes
    score_sd: float
    skill_logit_sd: float

    def split(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.split(x, [len(self.votes.response_ids)])

    def margins(self, scores: np.ndarray) -> np.ndarray:
        """Score difference in the direction of each vote, (N,)."""
        first, second = self.votes.pairs[self.votes.item].T
        return self.votes.sign * (scores[first] - scores[second])

    def log_likelihood(self, margins: np.ndarray, logits: np.ndarray) -> float:
        logits = logits[self.votes.annotator]
        truthful = log_expit(logits) + log_expit(margins)
        return float(np.logaddexp(truthful, log_expit(-logits) + log_expit(-margins)).sum())

    def negative_objective(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        v = self.votes
        scores, logits = self.split(x)
        margins = self.margins(scores)
        straight = expit(logits[v.annotator] + margins)  # posterior probability that the vote was not reversed
        of_margin = v.sign * (straight - expit(margins))
        first, second = v.pairs[v.item].T
        n = len(scores)
        of_scores = np.bincount(first, of_margin, n) - np.bincount(second, of_margin, n) - scores / self.score_sd**2
        of_logits = v.per_annotator(straight - expit(logits[v.annotator])) - logits / self.skill_logit_sd**2
        log_prior = -(scores @ scores) / (2 * self.score_sd**2) - (logits @ logits) / (2 * self.skill_logit_sd**2)
        value = self.log_likelihood(margins, logits) + log_prior
        return -value, -np.concatenate([of_scores, of_logits])

    def uncertainty(self, scores: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Standard errors of scores (R,), of the score difference of every item (I,), and of the skill logits (A,)."""
        v = self.votes
        margins = self.margins(scores)
        straight = expit(logits[v.annotator] + margins)
        lost = straight * (1 - straight)
        k = expit(logits)
        n_votes, n_items, n_responses = len(v.item), len(v.item_ids), len(scores)
        rows = np.repeat(np.arange(n_items), 2)
        values = np.tile([1.0, -1.0], n_items)
        difference = sparse.csr_array((values, (rows, v.pairs.ravel())), shape=(n_items, n_responses))
        by_vote = difference[v.item] * v.sign[:, None]
        by_annotator = sparse.csr_array(
            (np.ones(n_votes), (np.arange(n_votes), v.annotator)), shape=(n_votes, len(logits))
        )
        weight = expit(margins) * expit(-margins) - lost
        of_scores = by_vote.T @ (by_vote * weight[:, None]) + sparse.eye_array(n_responses) / self.score_sd**2
        of_logits = v.per_annotator() * k * (1 - k) - v.per_annotator(lost) + 1 / self.skill_logit_sd**2
        cross = (by_vote.T @ (by_annotator * -lost[:, None])).toarray()
        solver = splu(sparse.csc_array(of_scores))
        carried = solver.solve(cross)
        covariance = np.linalg.inv(np.diag(of_logits) - cross.T @ carried)

        def spread(directions: sparse.csr_array) -> np.ndarray:
            """Standard deviations of `directions` (M, R) times the scores."""
            variances = []
            for start in range(0, directions.shape[0], _BLOCK):
                block = directions[start : start + _BLOCK].toarray()
                through = block @ carried
                variances.append((block * solver.solve(block.T).T).sum(1) + ((through @ covariance) * through).sum(1))
            return np.sqrt(np.maximum(np.concatenate(variances), 0))

        eye = sparse.csr_array(sparse.eye_array(n_responses))
        return spread(eye), spread(difference), np.sqrt(np.maximum(np.diag(covariance), 0))


def noisy_bradley_terry(
    votes: pd.DataFrame | Mapping[str, ArrayLike] | Votes,
    *,
    score_sd: float = 3.0,
    skill_logit_sd: float = 5.0,
    max_iter: int = 5000,
    tol: float = 1e-12,
    level: float = 0.95,
    duplicates: str = "error",
) -> Aggregation:
    r"""
    Scores of responses and commitments of annotators:
    \( P(a \succ b \mid \text{annotator}) = \eta\,\sigma(s_a - s_b) + (1-\eta)/2 \).

    This is the likelihood of [`EpsilonRAPLLoss`] with a free score for every response instead of a reward model, so the
    estimated `eta` is what that loss takes. With skill \( k = (1+\eta)/2 \) it reads
    \( k\,\sigma(d) + (1-k)\,\sigma(-d) \): the vote is reversed with probability 1 − k; k < 1/2 is an annotator who
    answers against the scores.

    Choose it when the same responses (or models) meet in many pairs. If each response occurs in one pair only, there is
    nothing to share between pairs, scores are mostly prior and skills come out biased: use [`dawid_skene`].

    Posterior mode by L-BFGS. Priors: \( s \sim N(0, \text{score\_sd}^2) \), \( \text{logit}\,k \sim N(0,
    \text{skill\_logit\_sd}^2) \). Gauge: only differences of scores within a connected set of responses are seen; the
    prior puts the mean of each set at 0. The mirror image (all scores and skills reversed) has the same posterior;
    convention: the majority of annotators is better than chance. Standard errors are from the observed information.

    References:
        - How Humans Help LLMs: Assessing and Incentivizing Human Preference Annotators, section 3.
        - Bugakova, Fedorova, Gusev and Drutsa, Aggregation of Pairwise Comparisons with Reduction of Biases, 2019 (the
          same with a bias in place of the coin).

    Args:
        votes (`DataFrame`, mapping of columns or [`Votes`]):
            See [`read_votes`]; also `response_a` and `response_b`, the responses of the item.
        score_sd (`float`, *optional*, defaults to `3.0`):
            Prior standard deviation of scores, in logits.
        skill_logit_sd (`float`, *optional*, defaults to `5.0`):
            Prior standard deviation of the logit of skills. A narrower prior pulls good annotators towards chance: at 2 the
            coverage of their intervals fell from 95 to 86 %.
        max_iter (`int`, *optional*, defaults to `5000`):
            Most iterations of L-BFGS.
        tol (`float`, *optional*, defaults to `1e-12`):
            L-BFGS has converged when the objective changes by a smaller share of itself.
        level (`float`, *optional*, defaults to `0.95`):
            Level of the intervals.
        duplicates (`str`, *optional*, defaults to `"error"`):
            Several votes of an annotator for an item: `"error"`, `"first"` or `"last"`.

    Returns:
        [`Aggregation`]: `probability` is \( \sigma(s_a - s_b) \), the share of committed annotators who prefer the first
        response; `reliability` is the probability that the sign of the difference is right, from its normal
        approximation. `responses` has the scores.

    Example:
        ```python
        >>> from trl_ext.reliability.aggregation import noisy_bradley_terry, simulate_comparisons
        >>> votes = simulate_comparisons([-2.0, 0.0, 2.0], etas=[0.9, 0.8, 0.1], n_pairs=1000, votes_per_pair=3, seed=0)
        >>> result = noisy_bradley_terry(votes)
        >>> result.responses.sort_values("score")["response_id"].tolist()
        ['response-1', 'response-2', 'response-3']
        ```
    """
    check_settings(level=level, max_iter=max_iter, tol=tol, score_sd=score_sd, skill_logit_sd=skill_logit_sd)
    votes = read_votes(votes, duplicates=duplicates, responses=True)
    if len(votes.annotator_ids) < 2:
        raise ValueError(
            "noisy_bradley_terry needs votes of at least 2 annotators, got only "
            f"{votes.annotator_ids[0]!r}: one annotator's commitment cannot be told from the scale of the scores."
        )
    model = _Model(votes, score_sd, skill_logit_sd)
    n_responses = len(votes.response_ids)
    first, second = votes.pairs[votes.item].T
    seen = np.bincount(np.concatenate([first, second]), minlength=n_responses)
    wins = np.bincount(first, votes.sign, n_responses) - np.bincount(second, votes.sign, n_responses)
    start = np.concatenate([2 * wins / (seen + 2), np.ones(len(votes.annotator_ids))])
    solution = minimize(
        model.negative_objective,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": tol, "gtol": 1e-6, "maxcor": 30},
    )
    scores, logits = model.split(solution.x)
    messages = list(votes.messages)
    balance = np.sign(logits).sum()
    if balance < 0 or (balance == 0 and logits.sum() < 0):
        scores, logits = -scores, -logits  # the objective is symmetric: this is the other maximum
    if not solution.success:
        messages.append(f"L-BFGS has not converged in {max_iter} iterations: raise max_iter")
        logger.warning(messages[-1])
    score_se, difference_se, logit_se = model.uncertainty(scores, logits)
    difference = scores[votes.pairs[:, 0]] - scores[votes.pairs[:, 1]]
    skill = expit(logits)
    return Aggregation(
        items=items_table(
            votes,
            expit(difference),
            norm.cdf(np.abs(difference) / difference_se),
            difference=difference,
            difference_se=difference_se,
        ),
        annotators=annotators_table(votes, skill, skill * (1 - skill) * logit_se, level),
        log_likelihood=model.log_likelihood(model.margins(scores), logits),
        history=(),
        iterations=int(solution.nit),
        converged=bool(solution.success),
        method=f"noisy Bradley-Terry, scores ~ N(0, {score_sd:g}^2), logit skill ~ N(0, {skill_logit_sd:g}^2), posterior "
        f"mode by L-BFGS; standard errors from the observed information, logit intervals ({level:g} level)",
        level=level,
        prevalence=float("nan"),
        messages=tuple(messages),
        responses=pd.DataFrame(
            {"response_id": votes.response_ids, "score": scores, "score_se": score_se, "n_votes": seen}
        ),
    )
