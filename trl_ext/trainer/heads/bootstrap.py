"""Bootstrap weights that depend on a pair and a head alone: not on batches, processes, epochs or where a run was resumed."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import stats


BOOTSTRAPS = ("poisson", "none")
_LARGEST = 24  # P(Poisson(1) > 24) is below 1e-25


def poisson_weights(keys: Iterable[Any], num_heads: int, seed: int) -> np.ndarray:
    r"""
    Draw Poisson(1) counts: how often each head's bootstrap sample holds each pair, as the size of the data goes to infinity.

    Every count is a function of (seed, key, head). Pairs of equal key, e.g. of one prompt, are drawn together.

    References:
        - Oza and Russell, Online Bagging and Boosting, 2001: Poisson(1) counts in place of multinomial ones.

    Args:
        keys (`Iterable`):
            Ids of N pairs, or their row numbers.
        num_heads (`int`):
            Number of heads K.
        seed (`int`):
            Seed.

    Returns:
        `np.ndarray` of shape `(N, K)`, float32.

    Example:
        ```python
        >>> from trl_ext.trainer.heads.bootstrap import poisson_weights
        >>> poisson_weights(["a", "b"], 3, seed=0).shape
        (2, 3)
        >>> bool((poisson_weights(["b"], 3, seed=0) == poisson_weights(["a", "b"], 3, seed=0)[1]).all())
        True

        ```
    """
    hashes = np.array([_hash(key) for key in keys], dtype=np.uint64)
    heads = np.array([_hash(f"{seed}/{head}") for head in range(num_heads)], dtype=np.uint64)
    mixed = _mix(hashes[:, None] ^ heads)
    uniform = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.searchsorted(stats.poisson.cdf(np.arange(_LARGEST), 1), uniform, side="right").astype(np.float32)


def _hash(key: Any) -> int:
    return int.from_bytes(hashlib.blake2b(str(key).encode(), digest_size=8).digest(), "little")


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser: every input bit changes every output bit with probability one half."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
