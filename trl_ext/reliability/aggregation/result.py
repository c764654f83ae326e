"""What every aggregation method returns, and the tables it is made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import entr, expit

from .votes import Votes


# Votes of equal weight against each other leave rounding errors of this size in the probability
TIE_ATOL = 1e-9


@dataclass(frozen=True)
class Aggregation:
    """
    Labels aggregated over annotators, and what is known of the annotators.

    Args:
        items (`DataFrame`):
            One row per item. `item_id`; `label` (1.0: first response better, 0.0: second, 0.5: tie); `reliability`, the
            probability in [0.5, 1] that `label` is correct, given the votes and the model (`nan` if unknown);
            `probability`, that the first response is preferred (its meaning depends on the method); `entropy` of
            `reliability` in bits, 1 for a tie; `n_votes`; `margin`, votes for the first minus votes for the second;
            `tie`. Methods add columns of their own.
        annotators (`DataFrame`):
            One row per annotator. `annotator_id`; `skill`, the probability of a correct vote; `skill_se`; `ci_low`,
            `ci_high`; `eta` = 2·skill − 1, the commitment that the losses take as `eta` or `p` (negative for an annotator
            who is worse than chance: not a valid column of the trainers); `eta_se`; `n_labels`; `p_value_worse` of the
            one-sided test of skill ≥ 0.5; `worse_than_chance`, whether the interval lies below 0.5. Methods add columns.
        log_likelihood (`float`):
            Of the votes, over the unknown truth, without the prior.
        history (`tuple[float, ...]`):
            Objective (log-likelihood plus log-prior) after every iteration, where iterations are observable.
        iterations (`int`):
            Number of iterations.
        converged (`bool`):
            Whether the optimiser met its tolerance.
        method (`str`):
            Model, priors, and how standard errors and intervals were obtained.
        level (`float`):
            Level of the intervals.
        prevalence (`float`):
            Share of items whose first response is better; `nan` where the method has no such parameter.
        messages (`tuple[str, ...]`):
            What the reader of the figures must know: votes left out, annotators without a standard error.
        responses (`DataFrame`, *optional*):
            Latent scores: `response_id`, `score`, `score_se`, `n_votes`. Bradley–Terry only.
    """

    items: pd.DataFrame
    annotators: pd.DataFrame
    log_likelihood: float
    history: tuple[float, ...]
    iterations: int
    converged: bool
    method: str
    level: float
    prevalence: float
    messages: tuple[str, ...] = ()
    responses: pd.DataFrame | None = None

    def summary(self) -> dict[str, Any]:
        """Figures without the tables, as plain Python types for JSON."""
        items, annotators = self.items, self.annotators
        return {
            "method": self.method,
            "n_items": len(items),
            "n_annotators": len(annotators),
            "n_votes": int(items["n_votes"].sum()),
            "n_ties": int(items["tie"].sum()),
            "mean_reliability": float(items["reliability"].mean()),
            "prevalence": self.prevalence,
            "worse_than_chance": annotators.loc[annotators["worse_than_chance"], "annotator_id"].tolist(),
            "log_likelihood": self.log_likelihood,
            "iterations": self.iterations,
            "converged": self.converged,
            "messages": list(self.messages),
        }


def items_table(
    votes: Votes, probability: np.ndarray, reliability: np.ndarray | None = None, **columns: np.ndarray
) -> pd.DataFrame:
    """Table of items from P(first response better), shape `(I,)`. `reliability` defaults to the larger of p and 1−p."""
    tie = np.abs(probability - 0.5) <= TIE_ATOL
    reliability = np.maximum(probability, 1 - probability) if reliability is None else reliability
    reliability = np.where(tie, 0.5, reliability)
    return pd.DataFrame(
        {
            "item_id": votes.item_ids,
            "label": np.where(tie, 0.5, (probability > 0.5).astype(np.float64)),
            "reliability": reliability,
            "probability": probability,
            "entropy": (entr(reliability) + entr(1 - reliability)) / np.log(2),
            "n_votes": votes.per_item(),
            "margin": votes.per_item(votes.sign).astype(np.int64),
            "tie": tie,
            **columns,
        }
    )


def annotators_table(
    votes: Votes, skill: np.ndarray, skill_se: np.ndarray, level: float, **columns: np.ndarray
) -> pd.DataFrame:
    """
    Table of annotators from skills inside (0, 1) and their standard errors, shape `(A,)`.

    Interval and test are made on the logit scale, where the estimate is closer to normal and cannot leave [0, 1].
    """
    low, high, p_worse = logit_interval(skill, skill_se, level)
    return pd.DataFrame(
        {
            "annotator_id": votes.annotator_ids,
            "skill": skill,
            "skill_se": skill_se,
            "ci_low": low,
            "ci_high": high,
            "eta": 2 * skill - 1,
            "eta_se": 2 * skill_se,
            "n_labels": votes.per_annotator(),
            "p_value_worse": p_worse,
            "worse_than_chance": high < 0.5,
            **columns,
        }
    )


def logit_interval(value: np.ndarray, se: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends of the interval, and the p-value of value ≥ 1/2 against value < 1/2; `nan` where `se` is not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logit = np.log(value) - np.log1p(-value)
        logit_se = se / (value * (1 - value))
        half = stats.norm.ppf((1 + level) / 2) * logit_se
        return expit(logit - half), expit(logit + half), stats.norm.cdf(logit / logit_se)


def check_settings(*, level: float, max_iter: int, **positive: float) -> None:
    """Raise for settings that no method can work with; `positive` are settings that must be finite and above 0."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    if max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter}")
    for name, value in positive.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number above 0, got {value}")


def groups_to_turn(votes: Votes, log_odds: np.ndarray) -> np.ndarray:
    """
    Annotators whose group must be turned round, shape `(A,)`, for the majority to be better than chance.

    Votes alone cannot tell a world from its mirror image, in which every truth and every annotator is reversed. The
    convention decides it, separately for groups of annotators that share no items. In a group with as many annotators
    below as above one half, the mean of `log_odds` of a correct vote decides.
    """
    groups = votes.groups()
    balance = np.bincount(groups, np.sign(np.where(np.abs(log_odds) < TIE_ATOL, 0, log_odds)))
    mean = np.bincount(groups, log_odds)
    return ((balance < 0) | ((balance == 0) & (mean < 0)))[groups]
