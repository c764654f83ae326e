"""GLAD: annotators differ in ability, items in difficulty."""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit

from .glad_models import IntegratedModel, ModeModel
from .information import describe_unknown, too_few_to_compare
from .result import Aggregation, annotators_table, check_settings, groups_to_turn, items_table
from .votes import Votes, read_votes


logger = logging.getLogger(__name__)

DIFFICULTIES = ("integrated", "mode")


def glad(
    votes: pd.DataFrame | Mapping[str, ArrayLike] | Votes,
    *,
    difficulty: str = "integrated",
    prevalence: float = 0.5,
    ability_prior: tuple[float, float] = (1.0, 1.0),
    easiness_prior: tuple[float, float] = (1.0, 1.0),
    max_iter: int = 2000,
    tol: float = 1e-9,
    level: float = 0.95,
    duplicates: str = "error",
) -> Aggregation:
    r"""
    Abilities of annotators and difficulties of items: \( P(\text{vote correct}) = \sigma(\alpha_a e^{b_i}) \).

    Only the product of ability and easiness is seen, so their scale comes from the prior of log easiness,
    \( b \sim N(1, 1) \) as in the paper; \( \alpha \sim N(1, 1) \). Choose it when some items are hard for everybody.
    [`dawid_skene`] then takes skills for lower than they are on easy items and believes unanimous votes too much.

    By default truth and difficulty of every item are both summed out (Gauss–Hermite quadrature), and the mode of α is
    found by L-BFGS. `difficulty="mode"` maximises over difficulties as well, which is the objective of the paper: with few
    votes an item this takes noise for differences of difficulty, and abilities come out biased by more than their
    standard errors, which are therefore not given.

    `skill` is the mean probability of a correct vote over the prior of difficulties. Standard errors are from the observed
    information of the marginal likelihood and the prior, by Louis' identity.

    Convention: the majority of annotators is better than chance (α > 0), as the prior has it.

    References:
        - Whitehill, Wu, Bergsma, Movellan and Ruvolo, Whose Vote Should Count More, 2009.

    Args:
        votes (`DataFrame`, mapping of columns or [`Votes`]):
            See [`read_votes`].
        difficulty (`str`, *optional*, defaults to `"integrated"`):
            `"integrated"` or `"mode"`.
        prevalence (`float`, *optional*, defaults to `0.5`):
            Share of items whose first response is better.
        ability_prior (`tuple[float, float]`, *optional*, defaults to `(1.0, 1.0)`):
            Mean and standard deviation of α.
        easiness_prior (`tuple[float, float]`, *optional*, defaults to `(1.0, 1.0)`):
            Mean and standard deviation of b.
        max_iter (`int`, *optional*, defaults to `2000`):
            Most iterations of L-BFGS.
        tol (`float`, *optional*, defaults to `1e-9`):
            L-BFGS has converged when the objective changes by a smaller share of itself.
        level (`float`, *optional*, defaults to `0.95`):
            Level of the intervals.
        duplicates (`str`, *optional*, defaults to `"error"`):
            Several votes of an annotator for an item: `"error"`, `"first"` or `"last"`.

    Returns:
        [`Aggregation`]: `annotators` has also `ability` α and `ability_se`, `items` has `difficulty` \( e^{-b} \), b being its
        posterior mean or mode.

    Example:
        ```python
        >>> from trl_ext.reliability.aggregation import glad, simulate_votes
        >>> votes, truth = simulate_votes([0.9, 0.8, 0.7, 0.3], n_items=500, votes_per_item=4, difficulty_sd=1.0, seed=0)
        >>> result = glad(votes)
        >>> result.summary()["worse_than_chance"]
        ['annotator-4']
        ```
    """
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"`difficulty` must be one of {', '.join(DIFFICULTIES)}, got {difficulty!r}")
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must lie strictly between 0 and 1, got {prevalence}")
    sds = {"sd of ability_prior": ability_prior[1], "sd of easiness_prior": easiness_prior[1]}
    check_settings(level=level, max_iter=max_iter, tol=tol, **sds)
    votes = read_votes(votes, duplicates=duplicates)
    votes.require_overlap("glad")
    integrated = difficulty == "integrated"
    model = (IntegratedModel if integrated else ModeModel)(votes, prevalence, ability_prior, easiness_prior)
    n_annotators = len(votes.annotator_ids)
    options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": tol, "gtol": 1e-6, "maxcor": 30}

    messages = list(votes.messages)
    solution = model.fit(np.ones(n_annotators), options)
    iterations = solution.nit
    ability = solution.x[:n_annotators]
    turned = groups_to_turn(votes, ability)
    if turned.any():
        solution = model.fit(np.where(turned, -ability, ability), options)
        iterations += solution.nit
        ability = solution.x[:n_annotators]
        messages.append(
            f"turned {int(turned.sum())} annotators round: the majority is better than chance by convention"
        )
        if groups_to_turn(votes, ability).any():
            messages.append("the votes insist that most annotators are worse than chance: the convention is not met")
    if not solution.success:
        messages.append(f"L-BFGS has not converged in {max_iter} iterations: raise max_iter")

    probability, easiness, log_likelihood = model.items(solution.x)
    if integrated:
        covariance, determined = model.covariance(ability)
        unknown = too_few_to_compare(votes) | ~determined
        messages += describe_unknown(votes, unknown)
        ability_se = np.where(unknown, np.nan, np.sqrt(np.diag(covariance)))
    else:
        messages.append('no standard errors at the mode of difficulties; difficulty="integrated" has them')
        ability_se = np.full(n_annotators, np.nan)
    nodes, weights = model.easiness_rule()
    right = expit(np.outer(ability, np.exp(nodes)))
    skill = right @ weights
    slope = (right * (1 - right)) @ (weights * np.exp(nodes))
    for message in messages[len(votes.messages) :]:
        logger.warning(message)
    return Aggregation(
        items=items_table(votes, probability, difficulty=np.exp(-easiness)),
        annotators=annotators_table(votes, skill, slope * ability_se, level, ability=ability, ability_se=ability_se),
        log_likelihood=log_likelihood,
        history=(),
        iterations=int(iterations),
        converged=bool(solution.success),
        method=f"GLAD, difficulties {'integrated out' if integrated else 'at their mode'}, prevalence {prevalence:g}, "
        f"ability ~ N{ability_prior}, log easiness ~ N{easiness_prior} (mean, sd), posterior mode by L-BFGS"
        + (f"; standard errors from the observed information (Louis), logit intervals ({level:g} level)" * integrated),
        level=level,
        prevalence=prevalence,
        messages=tuple(messages),
    )
