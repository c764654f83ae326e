"""Which pairs get corrupted labels, and which stay clean."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._checks import as_counts


SelectionMethod = Literal["uniform", "ambiguous", "fixed_size"]
SELECTION_METHODS = ("uniform", "ambiguous", "fixed_size")


@dataclass(frozen=True, eq=False)
class PairSelection:
    """
    Rows that stay clean and rows that are corrupted; with `"fixed_size"` some are neither.

    Args:
        clean (`np.ndarray` of shape `(C,)`): Row numbers, ascending.
        corrupted (`np.ndarray` of shape `(M,)`): Row numbers, ascending.
        n (`int`): Rows that were chosen from.
    """

    clean: np.ndarray
    corrupted: np.ndarray
    n: int

    @property
    def kept(self) -> np.ndarray:
        """Rows of either sort, ascending."""
        return np.sort(np.concatenate([self.clean, self.corrupted]))

    @property
    def left_out(self) -> int:
        """Number of rows of neither sort."""
        return self.n - self.clean.size - self.corrupted.size


def select_pairs(
    pairs: int | ArrayLike,
    clean_ratio: float,
    method: SelectionMethod = "uniform",
    *,
    seed: int | np.random.SeedSequence = 0,
) -> PairSelection:
    r"""
    Divide pairs into clean and corrupted ones.

    - `"uniform"`: a share of `clean_ratio`, drawn at random, stays clean; all others are corrupted.
    - `"ambiguous"`: the same share stays clean, but those with the largest gaps: it is the close pairs that are corrupted,
      as people err on them. Ties are broken at random.
    - `"fixed_size"`: half of the pairs, drawn at random, stay clean whatever the ratio, and corrupted ones in number of
      (1 − `clean_ratio`)·N/2 are added to them. This tells the harm of noise from that of having fewer clean pairs. The
      rest is left out, so that N pairs become N/2 at a ratio of 1.

    Numbers of pairs are floating-point products without their decimals, `int(N * clean_ratio)` clean ones and
    `int((1 - clean_ratio) * N / 2)` added ones, as in the original. Where the product should be a whole number and comes
    out just below it, that is one pair less: 28 clean ones of 100 at 0.29, and with `"fixed_size"` 4 added ones at 0.9.

    References:
        - How Humans Help LLMs, https://arxiv.org/abs/2502.06387. The program calls the methods uniform, diff and fixed, and
          the ratio `selected_pos_ratio`. The numbers of rows here are the same.

    Args:
        pairs (`int` or `array_like` of shape `(N,)`):
            Number of pairs, or their gaps: reward differences, logits, or p − ½. Only the size of a gap counts, not its
            sign. `"ambiguous"` needs gaps.
        clean_ratio (`float`):
            Share in [0, 1] that stays clean.
        method (`"uniform"`, `"ambiguous"` or `"fixed_size"`, *optional*, defaults to `"uniform"`):
            See above.
        seed (`int` or `numpy.random.SeedSequence`, *optional*, defaults to `0`):
            Seed.

    Returns:
        [`PairSelection`]

    Raises:
        ValueError: A ratio outside [0, 1], no pairs, gaps that aren't finite, an unknown method, or no gaps for
            `"ambiguous"`.

    Example:
        ```python
        >>> from trl_ext.annotators import select_pairs
        >>> selection = select_pairs([0.1, -3.0, 2.0, 0.3], clean_ratio=0.5, method="ambiguous")
        >>> selection.clean, selection.corrupted
        (array([1, 2]), array([0, 3]))
        >>> len(select_pairs(100, clean_ratio=0.5, method="fixed_size").kept)
        75
        >>> 100 * 0.29, len(select_pairs(100, clean_ratio=0.29).clean)
        (28.999999999999996, 28)
        ```
    """
    if method not in SELECTION_METHODS:
        raise ValueError(f"method must be one of {', '.join(SELECTION_METHODS)}, got {method!r}")
    if not 0 <= clean_ratio <= 1:
        raise ValueError(f"clean_ratio must lie in [0, 1], got {clean_ratio}")
    generator = np.random.default_rng(seed)
    if np.ndim(pairs) == 0:
        n, gaps = int(as_counts(pairs, "the number of pairs", 1)), None
    else:
        gaps = _finite_gaps(pairs)
        n = gaps.size
    if method == "ambiguous":
        if gaps is None:
            raise ValueError("method='ambiguous' needs the gaps of the pairs, got their number only")
        order = np.lexsort((generator.random(n), -np.abs(gaps)))
    else:
        order = generator.permutation(n)
    if method == "fixed_size":
        if n < 2:
            raise ValueError("method='fixed_size' keeps half of the pairs and needs two at least, got 1")
        clean, end = n // 2, n // 2 + int((1 - clean_ratio) * n / 2)
    else:
        clean, end = int(n * clean_ratio), n
    return PairSelection(np.sort(order[:clean]), np.sort(order[clean:end]), n)


def _finite_gaps(gaps: ArrayLike) -> np.ndarray:
    array = np.asarray(gaps, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"gaps must have shape (N,), got {array.shape}")
    if array.size == 0:
        raise ValueError("gaps are empty")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"gaps have {bad.size} values that aren't finite; first: row {bad[0]}, value {array[bad[0]]}")
    return array
