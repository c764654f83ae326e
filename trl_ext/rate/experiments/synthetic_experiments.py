"""The original's three synthetic experiments, with synthetic texts: what misleads an estimator, ever more of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..attributes.registry import get_attribute
from ..chains.reward_chains import RewardChains
from ..chains.scoring import complete_chains
from ..chains.text_chains import TextChains
from ..rewriting.rewrite_chains import rewrite_chains
from ..rewriting.rewriter import Rewriter
from ..rules import LexicalReward, rule_rewriter, synthetic_answers, synthetic_reviews, world_vocabulary
from .correlated_resampling import LEVELS, correlated_rows


if TYPE_CHECKING:
    from ...scoring.base import Scorer


@dataclass(frozen=True)
class SyntheticExperiment:
    """
    An experiment with levels.

    Args:
        name (`str`): Name in files.
        attribute (`str`): Whose effect is wanted.
        second (`str`, *optional*): Attribute that goes with it, by level / 10. Without one the level is the percentage of
            words with a typo in texts with the attribute.
        texts (`Callable`): Function from number and seed to originals.
        weights (`Mapping[str, float]`): Of the [`LexicalReward`] that takes the place of a reward model.
        truth (`float`, *optional*): Effect of the attribute on that reward, if a perfect rewriter shows it exactly.
        axis (`str`): What the level is, for readers.
        levels (`tuple[float, ...]`): Levels by default.
    """

    name: str
    attribute: str
    second: str | None
    texts: Callable[..., TextChains]
    weights: Mapping[str, float]
    truth: float | None
    axis: str
    levels: tuple[float, ...]


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        SyntheticExperiment(
            "typos",
            "vowel_start",
            None,
            synthetic_reviews,
            {"unknown_share": -4.0, "words": 0.05, "sentiment": 0.3},
            0.0,
            "% of words with typos, where texts start with a vowel",
            (0, 5, 10, 15, 20, 25, 30),
        ),
        SyntheticExperiment(
            "length_sentiment",
            "length",
            "sentiment",
            synthetic_reviews,
            {"sentiment": 1.0, "complexity": 0.5, "confidence": 0.5},
            0.0,
            "correlation of length and sentiment",
            LEVELS,
        ),
        SyntheticExperiment(
            "helpfulness_complexity",
            "helpfulness",
            "complexity",
            synthetic_answers,
            {"politeness": 0.5, "complexity": 0.5, "confidence": 0.5},
            1.0,
            "correlation of helpfulness and complexity",
            LEVELS,
        ),
    )
}


def synthetic_experiment(
    name: str,
    *,
    n: int = 2500,
    seed: int = 0,
    levels: Sequence[float] | None = None,
    repair_typos: float = 1.0,
    rewriter: Rewriter | None = None,
    scorer: "Scorer | None" = None,
    progress: bool = True,
) -> dict[float, RewardChains]:
    """
    Rewards of an experiment by level, for [`sweep_effects`].

    | name | what the reward pays for | what grows with the level |
    |---|---|---|
    | `"typos"` | spelling, words, sentiment; not the first letter | typos in texts that start with a vowel |
    | `"length_sentiment"` | sentiment, complexity, confidence; not length | correlation of length and sentiment |
    | `"helpfulness_complexity"` | politeness, complexity, confidence | correlation of helpfulness and complexity |

    Naive effects follow the level, those of single rewrites do where rewriting changes more than the attribute. RATE does
    not, if the rewriter washes off what it changes completely or not at all: `repair_typos` between 0 and 1 shows its
    bias in the first experiment.

    References:
        - RATE: Causal Explainability of Reward Models with Imperfect Counterfactuals, section 5,
          https://arxiv.org/abs/2410.11348: the same with IMDB and HelpSteer.

    Args:
        name (`str`):
            One of the table.
        n (`int`, *optional*, defaults to `2500`):
            Number of texts; of the correlated experiments a level has about half of them.
        seed (`int`, *optional*, defaults to `0`):
            Seed of texts, subsets and rewrites.
        levels (`Sequence[float]`, *optional*):
            Percentages of typos, or whole numbers from 0 to 10 for correlations of 0 to 1.
        repair_typos (`float`, *optional*, defaults to `1.0`):
            Probability that the rules repair a typo in passing.
        rewriter ([`Rewriter`], *optional*):
            In place of the rules.
        scorer ([`~trl_ext.scoring.Scorer`], *optional*):
            In place of the lexical reward.
        progress (`bool`, *optional*, defaults to `True`):
            Show progress bars.

    Returns:
        `dict[float, RewardChains]`: By percentage, or by correlation. Rows of different levels have the same id if they
        are of the same text. Rows whose rewrites failed are left out, with a warning that has their number.

    Raises:
        ValueError: There is no such experiment, or a level is not as it must be.

    Example:
        ```python
        >>> from trl_ext.rate import sweep_effects, synthetic_experiment
        >>> rewards = synthetic_experiment("typos", n=300, levels=(0, 30), progress=False)
        >>> for row in sweep_effects(rewards, normalised=False).table.query("level == 30").itertuples():
        ...     print(f"{row.estimator} {row.value:.1f}")
        naive_effect -1.0
        ATE_single_rewrite -0.4
        ATE_rewritten_rewrite 0.0

        ```
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    experiment = EXPERIMENTS[name]
    levels = experiment.levels if levels is None else tuple(levels)
    vocabulary = world_vocabulary()
    if rewriter is None:
        rewriter = rule_rewriter(experiment.attribute, repair_typos=repair_typos, vocabulary=vocabulary, seed=seed)
    if scorer is None:
        needed = vocabulary if "unknown_share" in experiment.weights else None
        scorer = LexicalReward(experiment.weights, needed)
        scorer.progress = progress
    make = _typo_levels if experiment.second is None else _correlated_levels
    return make(experiment, n, seed, levels, rewriter, scorer, progress)


def _typo_levels(experiment, n, seed, levels, rewriter, scorer, progress) -> dict[float, RewardChains]:
    bad = [level for level in levels if not 0 <= level <= 100]
    if bad:
        raise ValueError(f"a level of experiment {experiment.name!r} must be a percentage in [0, 100], got {bad[0]!r}")
    found = {}
    for level in levels:
        originals = experiment.texts(n, seed, attribute=experiment.attribute, typo_share=level / 100)
        found[float(level)] = _rewards(originals, experiment, rewriter, scorer, progress)[1]
    return found


def _correlated_levels(experiment, n, seed, levels, rewriter, scorer, progress) -> dict[float, RewardChains]:
    originals = experiment.texts(n, seed, attribute=experiment.attribute)
    # One pool: levels are subsets of it, so nothing is rewritten twice
    chains, rewards = _rewards(originals, experiment, rewriter, scorer, progress)
    second = np.array([row[experiment.second] for row in chains.metadata], dtype=bool)
    picked = correlated_rows(chains.w, second, levels, seed=seed)
    return {level / 10: rewards.select(rows) for level, rows in zip(levels, picked, strict=True)}


def _rewards(
    originals: TextChains, experiment: SyntheticExperiment, rewriter: Rewriter, scorer: "Scorer", progress: bool
) -> tuple[TextChains, RewardChains]:
    made = rewrite_chains(originals, get_attribute(experiment.attribute), rewriter, progress=progress)
    chains, _ = complete_chains(made, on_failure="drop")
    rewards = scorer.score(list(chains.prompts), [list(texts) for texts in chains.texts])
    # Without clusters where each text has its own: then rows are known by their ids
    own = chains.clusters is None or len(set(chains.clusters)) == len(chains)
    return chains, RewardChains(chains.w, np.stack(rewards), None if own else chains.clusters, chains.ids)
