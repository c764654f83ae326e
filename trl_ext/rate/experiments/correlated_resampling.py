"""Subsets of rows in which two attributes go together more and more: what naive effects mistake for one another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..chains.reward_chains import _as_treatment
from ..chains.text_chains import TextChains


LEVELS = tuple(range(11))
# P(first attribute | second) is 0.5 + level / 20; the correlation of the two is level / 10


def correlated_counts(cell_size: int, levels: Sequence[int] = LEVELS, *, same_total: bool = True) -> np.ndarray:
    """
    How many rows of each of four cells make two attributes correlated by level / 10.

    Args:
        cell_size (`int`):
            Rows that each cell has.
        levels (`Sequence[int]`, *optional*):
            Numbers from 0 (independent) to 10 (the same).
        same_total (`bool`, *optional*, defaults to `True`):
            All levels have about as many rows as level 10, two cells; else as many as there are.

    Returns:
        `np.ndarray` of shape `(L, 4)`, int: Rows with both attributes, the first only, the second only, and neither.

    Raises:
        ValueError: A level is not a whole number from 0 to 10, or `cell_size` is below 1, or so small that a level has no
            rows.

    Example:
        ```python
        >>> from trl_ext.rate import correlated_counts
        >>> correlated_counts(4574, [0, 5, 10]).tolist()
        [[2287, 2287, 2287, 2287], [3430, 1143, 1143, 3430], [4574, 0, 0, 4574]]

        ```
    """
    if cell_size < 1:
        raise ValueError(f"cell_size must be at least 1, got {cell_size}")
    counts = []
    for level in levels:
        if level not in LEVELS:
            raise ValueError(f"a level must be a whole number from 0 to 10, got {level!r}")
        # Whole numbers, rounded down at each stage as in the original's data sets: its counts are matched
        many, few = (10 + level) * 2 * cell_size // 20, (10 - level) * 2 * cell_size // 20
        large, small = cell_size, few * cell_size // many
        if same_total:
            total = 2 * (large + small)
            large, small = (count * 2 * cell_size // total for count in (large, small))
        if large == 0:
            raise ValueError(f"cell_size {cell_size} is too small: level {level} would have no rows")
        counts.append((large, small, small, large))
    return np.array(counts, dtype=np.int64).reshape(-1, 4)


def correlated_rows(
    first: ArrayLike,
    second: ArrayLike,
    levels: Sequence[int] = LEVELS,
    *,
    seed: int = 0,
    cell_size: int | None = None,
    negative: bool = False,
) -> list[np.ndarray]:
    """
    Draw rows without replacement, so that two attributes are correlated by level / 10.

    Every cell is shuffled once and levels take as many of its first rows as they need: they differ in no other rows than
    they must, and a trend over levels is not the noise of separate draws.

    Args:
        first (`array_like` of shape `(N,)`, bool):
            The attribute whose effect is wanted.
        second (`array_like` of shape `(N,)`, bool):
            The one that goes with it.
        levels (`Sequence[int]`, *optional*):
            Numbers from 0 to 10.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.
        cell_size (`int`, *optional*):
            Rows to use of each cell, at most. By default those of the smallest.
        negative (`bool`, *optional*, defaults to `False`):
            Correlated by −level / 10 instead.

    Returns:
        `list[np.ndarray]`: Row numbers of each level, in rising order.

    Raises:
        ValueError: Shapes differ, a value is not true, false, 0 or 1, or a cell has no rows or fewer than `cell_size`.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.rate import correlated_rows
        >>> first, second = np.arange(400) % 2 == 0, np.arange(400) % 4 < 2
        >>> for rows in correlated_rows(first, second, [0, 5, 10]):
        ...     print(len(rows), round(float(np.corrcoef(first[rows], second[rows])[0, 1]), 2))
        200 0.0
        198 0.52
        200 1.0

        ```
    """
    first, second = (_as_treatment(values, name) for values, name in ((first, "first"), (second, "second")))
    if first.shape != second.shape:
        raise ValueError(f"both attributes must have shape (N,), got {first.shape} and {second.shape}")
    if negative:
        second = ~second
    rng = np.random.default_rng(seed)
    cells = [
        rng.permutation(np.flatnonzero((first == a) & (second == b))) for a in (True, False) for b in (True, False)
    ]
    sizes = [len(cell) for cell in cells]
    available = min(sizes) if cell_size is None else cell_size
    if available < 1 or available > min(sizes):
        raise ValueError(
            f"the cells (both attributes, first only, second only, neither) have {sizes[0]}, {sizes[1]}, {sizes[2]} and "
            f"{sizes[3]} rows; all need at least {max(available, 1)}"
        )
    return [
        np.sort(np.concatenate([cell[:count] for cell, count in zip(cells, counts, strict=True)]))
        for counts in correlated_counts(available, levels)
    ]


def correlated_chains(
    chains: TextChains, second: ArrayLike, levels: Sequence[int] = LEVELS, **options
) -> dict[float, TextChains]:
    """
    Originals (or their rewrites) in which the attribute and another one are correlated, by correlation.

    Args:
        chains ([`TextChains`]): Texts; their `w` is the first attribute.
        second (`array_like` of shape `(N,)`, bool): The other attribute.
        levels (`Sequence[int]`, *optional*): Numbers from 0 to 10.
        **options: As in [`correlated_rows`].
    """
    rows = correlated_rows(chains.w, second, levels, **options)
    return {level / 10: chains.select(picked) for level, picked in zip(levels, rows, strict=True)}
