"""Smaller benchmarks, for evaluation during training."""

import hashlib
from collections import defaultdict

from datasets import Dataset

from .rewardbench2 import TIES_SUBSET


# Fewest rows of a subset, which an interval needs
_MIN_ROWS = 2


def stratified_subsample(rows: Dataset, n: int, seed: int = 0) -> Dataset:
    """
    Some rows of a benchmark, with subsets in the proportions of all.

    What is drawn depends on ids and seed alone, not on the order of the rows. Both rows of a Ties question of RewardBench
    2 are drawn or neither.

    Args:
        rows ([`~datasets.Dataset`]):
            Rows of [`Benchmark.load`].
        n (`int`):
            Number of rows. All rows if there are no more. Where the quota of Ties is odd and no other subset can take the
            odd row, there is one row less.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draw.

    Returns:
        [`~datasets.Dataset`]: At least 2 rows of every subset (all, if it has fewer), in their order.

    Raises:
        ValueError: `n` is less than these rows.

    Example:
        ```python
        >>> rows = {"id": list("abcdefgh"), "subset": ["x"] * 6 + ["y"] * 2, "cluster": list("abcdefgh")}
        >>> stratified_subsample(Dataset.from_dict(rows), 5)["subset"]
        Column(['x', 'x', 'x', 'y', 'y'])
        ```
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"n must be a whole number of rows, got {n!r}")
    units = _units(rows)
    sizes = {subset: sum(map(len, groups)) for subset, groups in units.items()}
    if n >= len(rows):
        return rows
    least = {subset: min(_MIN_ROWS, size) for subset, size in sizes.items()}
    if n < sum(least.values()):
        raise ValueError(
            f"n = {n} rows are too few: {len(sizes)} subsets with at least {_MIN_ROWS} rows each (or all they have) take "
            f"{sum(least.values())}"
        )
    quotas = _quotas(sizes, least, n)
    if quotas.get(TIES_SUBSET, 0) % 2 and sizes[TIES_SUBSET] > 1:
        quotas[TIES_SUBSET] -= 1
        other = next((name for name in sizes if name != TIES_SUBSET and quotas[name] < sizes[name]), None)
        if other is not None:
            quotas[other] += 1
    chosen: list[int] = []
    ids = rows["id"][:]
    for subset, groups in units.items():
        drawn: list[int] = []
        for group in sorted(groups, key=lambda group: _rank(min(ids[index] for index in group), seed)):
            if len(drawn) + len(group) <= quotas[subset]:
                drawn += group
        chosen += drawn
    return rows.select(sorted(chosen))


def _units(rows: Dataset) -> dict[str, list[list[int]]]:
    """Rows of every subset, those of a Ties question together."""
    units: dict[str, dict[tuple[str, str | int], list[int]]] = defaultdict(dict)
    for index, (subset, cluster) in enumerate(zip(rows["subset"], rows["cluster"], strict=True)):
        key = ("question", cluster) if subset == TIES_SUBSET else ("row", index)
        units[subset].setdefault(key, []).append(index)
    return {subset: list(groups.values()) for subset, groups in units.items()}


def _quotas(sizes: dict[str, int], least: dict[str, int], n: int) -> dict[str, int]:
    """Largest remainders of the proportional shares; subsets whose share is below their least get that."""
    quotas: dict[str, int] = {}
    while True:
        free = {name: size for name, size in sizes.items() if name not in quotas}
        rest = n - sum(quotas.values())
        shares = {name: rest * size / sum(free.values()) for name, size in free.items()}
        small = [name for name, share in shares.items() if share < least[name]]
        if not small:
            break
        quotas |= {name: least[name] for name in small}
    floors = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: floors[name] - shares[name])
    for name in by_remainder[: rest - sum(floors.values())]:
        floors[name] += 1
    return quotas | floors


def _rank(identifier: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{identifier}".encode()).digest()
