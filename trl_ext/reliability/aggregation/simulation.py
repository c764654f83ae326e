"""Votes of annotators with known skills, to see what a method recovers."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit


def _draw_annotators(generator: np.random.Generator, items: int, annotators: int, per_item: int) -> np.ndarray:
    """`per_item` different annotators for every item, shape (items, per_item)."""
    if not 1 <= per_item <= annotators:
        raise ValueError(f"votes per item must lie in [1, {annotators}], the number of annotators, got {per_item}")
    return np.argsort(generator.random((items, annotators)), axis=1)[:, :per_item]


def _names(kind: str, codes: np.ndarray) -> np.ndarray:
    width = len(str(int(codes.max()) + 1))
    return np.array([f"{kind}-{code + 1:0{width}d}" for code in range(int(codes.max()) + 1)])[codes]


def simulate_votes(
    skills: ArrayLike,
    n_items: int,
    votes_per_item: int,
    *,
    specificities: ArrayLike | None = None,
    difficulty_sd: float = 0.0,
    prevalence: float = 0.5,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""
    Votes for items with a truth, by annotators drawn at random for every item.

    Args:
        skills (`array_like` of shape `(A,)`):
            Probability of a correct vote; with `specificities`, where the first response is better. With
            `difficulty_sd`, on an item of median difficulty.
        n_items (`int`): Number of items.
        votes_per_item (`int`): Different annotators who vote on each.
        specificities (`array_like` of shape `(A,)`, *optional*):
            Probability of a correct vote where the second response is better.
        difficulty_sd (`float`, *optional*, defaults to `0.0`):
            The logit of a correct vote is multiplied by \( e^{z} \), z normal with this standard deviation for every item
            (the GLAD model).
        prevalence (`float`, *optional*, defaults to `0.5`): Share of items whose first response is better.
        seed (`int`, *optional*, defaults to `0`): Seed.

    Returns:
        `tuple[DataFrame, DataFrame]`: Votes (`item_id`, `annotator_id`, `label`), and the truth (`item_id`, `label`,
        `easiness` z) in the order of the items.

    Example:
        ```python
        >>> from trl_ext.reliability.aggregation import simulate_votes
        >>> votes, truth = simulate_votes(skills=[0.9, 0.6], n_items=3, votes_per_item=2, seed=1)
        >>> len(votes), list(votes.columns)
        (6, ['item_id', 'annotator_id', 'label'])
        ```
    """
    generator = np.random.default_rng(seed)
    sensitivity = np.asarray(skills, dtype=np.float64)
    specificity = sensitivity if specificities is None else np.asarray(specificities, dtype=np.float64)
    truth = generator.random(n_items) < prevalence
    easiness = generator.normal(0.0, difficulty_sd, n_items) if difficulty_sd else np.zeros(n_items)
    annotator = _draw_annotators(generator, n_items, sensitivity.size, votes_per_item).ravel()
    item = np.repeat(np.arange(n_items), votes_per_item)
    right = np.where(truth[item], sensitivity[annotator], specificity[annotator])
    if difficulty_sd:
        right = expit(np.log(right / (1 - right)) * np.exp(easiness[item]))
    first = truth[item] == (generator.random(item.size) < right)
    names = _names("item", np.arange(n_items))
    votes = pd.DataFrame(
        {
            "item_id": names[item],
            "annotator_id": _names("annotator", np.arange(sensitivity.size))[annotator],
            "label": first.astype(np.int64),
        }
    )
    return votes, pd.DataFrame({"item_id": names, "label": truth.astype(np.int64), "easiness": easiness})


def simulate_comparisons(
    scores: ArrayLike, etas: ArrayLike, n_pairs: int, votes_per_pair: int, *, seed: int = 0
) -> pd.DataFrame:
    r"""
    Votes for random pairs of responses: \( P(a \succ b) = \eta\,\sigma(s_a - s_b) + (1-\eta)/2 \).

    Args:
        scores (`array_like` of shape `(R,)`): Latent score of every response.
        etas (`array_like` of shape `(A,)`): Commitment of every annotator, in [−1, 1].
        n_pairs (`int`): Number of pairs, drawn at random with repetition.
        votes_per_pair (`int`): Different annotators who vote on each.
        seed (`int`, *optional*, defaults to `0`): Seed.

    Returns:
        `DataFrame`: `item_id`, `annotator_id`, `label`, `response_a`, `response_b` (response r is named `response-(r+1)`).

    Example:
        ```python
        >>> from trl_ext.reliability.aggregation import simulate_comparisons
        >>> simulate_comparisons([0.0, 1.0, 2.0], etas=[0.9, 0.5], n_pairs=10, votes_per_pair=2).shape
        (20, 5)
        ```
    """
    generator = np.random.default_rng(seed)
    scores, etas = np.asarray(scores, dtype=np.float64), np.asarray(etas, dtype=np.float64)
    pairs = _draw_annotators(generator, n_pairs, scores.size, 2)
    annotator = _draw_annotators(generator, n_pairs, etas.size, votes_per_pair).ravel()
    item = np.repeat(np.arange(n_pairs), votes_per_pair)
    difference = scores[pairs[item, 0]] - scores[pairs[item, 1]]
    first = generator.random(item.size) < etas[annotator] * expit(difference) + (1 - etas[annotator]) / 2
    responses = _names("response", np.arange(scores.size))
    return pd.DataFrame(
        {
            "item_id": _names("pair", np.arange(n_pairs))[item],
            "annotator_id": _names("annotator", np.arange(etas.size))[annotator],
            "label": first.astype(np.int64),
            "response_a": responses[pairs[item, 0]],
            "response_b": responses[pairs[item, 1]],
        }
    )
