"""Who labels which pair."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ._checks import as_counts, in_range


@dataclass(frozen=True, eq=False)
class AnnotatorAssignment:
    """
    The annotator of every pair, and their commitment: two columns of a preference dataset.

    Args:
        annotator_id (`np.ndarray` of shape `(N,)`): Who labels the pair.
        eta (`np.ndarray` of shape `(N,)`): Their commitment in [0, 1].
    """

    annotator_id: np.ndarray
    eta: np.ndarray


def assign_annotators(
    n: int,
    annotators: Mapping[str, float] | Mapping[int, float],
    *,
    shares: Mapping[str, float] | Mapping[int, float] | None = None,
    seed: int | np.random.SeedSequence = 0,
) -> AnnotatorAssignment:
    """
    Give each of `n` pairs to one annotator, at random.

    The number of pairs of each annotator isn't random: it is their share of `n`, rounded so that all are given out (largest
    remainders first, equal ones in random order). Who gets which pairs is.

    Args:
        n (`int`):
            Number of pairs.
        annotators (`Mapping[str | int, float]`):
            Commitment η in [0, 1] of each annotator, by their id.
        shares (`Mapping[str | int, float]`, *optional*):
            Share of the pairs of each annotator, non-negative with sum one. By default all have as many, give or take one.
        seed (`int` or `numpy.random.SeedSequence`, *optional*, defaults to `0`):
            Seed.

    Returns:
        [`AnnotatorAssignment`]

    Raises:
        ValueError: No annotators, values outside [0, 1], or shares that don't fit the annotators or sum to one.
        TypeError: Ids that aren't all text or all whole numbers.

    Example:
        ```python
        >>> from trl_ext.annotators import assign_annotators
        >>> assignment = assign_annotators(5, {"ann": 0.9, "bob": 0.4}, shares={"ann": 0.6, "bob": 0.4}, seed=1)
        >>> assignment.annotator_id.tolist()
        ['bob', 'ann', 'ann', 'bob', 'ann']
        >>> assignment.eta
        array([0.4, 0.9, 0.9, 0.4, 0.9])
        ```
    """
    n = int(as_counts(n, "n", 1))
    ids, etas = check_annotators(annotators)
    quotas = np.full(len(ids), n / len(ids)) if shares is None else n * _shares_in_order(shares, ids)
    generator = np.random.default_rng(seed)
    # differences of the last bits are not larger remainders
    counts = np.floor(np.round(quotas, 9)).astype(np.int64)
    remainders = np.round(quotas - counts, 9)
    counts[np.lexsort((generator.random(len(ids)), -remainders))[: n - counts.sum()]] += 1
    who = generator.permutation(np.repeat(np.arange(len(ids)), counts))
    return AnnotatorAssignment(np.array(ids)[who], etas[who])


def check_annotators(
    annotators: Mapping[str, float] | Mapping[int, float],
) -> tuple[list[str] | list[int], np.ndarray]:
    """Ids and commitments `(A,)` of a mapping, in its order."""
    if not isinstance(annotators, Mapping):
        raise TypeError(f"annotators must map ids to their eta, got {type(annotators).__name__}")
    ids = list(annotators)
    if not ids:
        raise ValueError("annotators are empty; give an eta for at least one id")
    for kind in (str, int):
        if all(isinstance(name, kind) and not isinstance(name, bool) for name in ids):
            break
    else:
        raise TypeError(f"ids of annotators must be all str or all int, got {ids[:5]}")
    for name, eta in annotators.items():
        in_range(eta, f"eta of annotator {name!r}", 0, 1)
    return ids, np.array([annotators[name] for name in ids], dtype=np.float64)


def _shares_in_order(shares: Mapping, ids: list) -> np.ndarray:
    if set(shares) != set(ids):
        raise ValueError(
            f"shares must be given for the annotators {ids[:10]}, no more and no less; got {list(shares)[:10]}"
        )
    values = np.array([shares[name] for name in ids], dtype=np.float64)
    if not (values >= 0).all() or not np.isclose(values.sum(), 1, atol=1e-6):
        raise ValueError(
            f"shares must be non-negative with sum 1, got sum {values.sum():g} and least {values.min():g}"
        )
    return values / values.sum()
