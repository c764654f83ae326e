"""A random draw of texts with and without an attribute, which classifies no more of them than it needs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..attributes.attribute import Attribute
from ..attributes.classifiers import MetadataClassifier, classify_texts


logger = logging.getLogger(__name__)

CHUNK = 512  # texts that are classified at once


@dataclass(frozen=True)
class Quota:
    """
    How many texts are wanted.

    Args:
        limit (`int`, *optional*): At most this many.
        balanced (`bool`): As many with the attribute as without.
        per_side (`int`, *optional*): Exactly this many of either.
    """

    limit: int | None = None
    balanced: bool = False
    per_side: int | None = None

    def __post_init__(self):
        for name, value, low in (("limit", self.limit, 2 if self.balanced else 1), ("per_side", self.per_side, 1)):
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if value is not None and (not whole or value < low):
                raise ValueError(f"`{name}` must be a whole number of at least {low}, got {value!r}")
        if self.per_side is not None and (self.limit is not None or self.balanced):
            raise ValueError("`per_side` says how many texts of either side: leave out `limit` and `balanced`")

    @property
    def sides(self) -> int | None:
        """Texts of either side, if that is bounded."""
        if self.per_side is not None:
            return self.per_side
        return None if self.limit is None or not self.balanced else self.limit // 2

    def is_met(self, sides: Mapping[bool, Sequence[int]]) -> bool:
        if self.sides is not None:
            return all(len(rows) >= self.sides for rows in sides.values())
        return not self.balanced and self.limit is not None and sum(map(len, sides.values())) >= self.limit


@dataclass(frozen=True)
class Draw:
    """
    What was drawn.

    Args:
        sides (`dict[int, bool]`): Row and whether it has the attribute, in the order of the rows.
        unknown (`int`): Texts of which nothing could be said.
        classified (`int`): Texts that were looked at.
    """

    sides: dict[int, bool]
    unknown: int
    classified: int


def draw_texts(
    texts: Sequence[str], rows: Sequence[Mapping[str, Any]], attribute: Attribute, quota: Quota, seed: int, source: str
) -> Draw:
    """
    Draw texts at random.

    Args:
        texts (`Sequence[str]`): N texts.
        rows (`Sequence[Mapping]`): N rows with their other columns.
        attribute ([`Attribute`]): Its classifier says which side a text is on.
        quota ([`Quota`]): How many are wanted.
        seed (`int`): Of the draw.
        source (`str`): What errors call the texts.

    Raises:
        ValueError: No text is on a side, or a side has less than `per_side`.
    """
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    sides: dict[bool, list[int]] = {True: [], False: []}
    found = {True: 0, False: 0, None: 0}
    for start in range(0, len(order), CHUNK):
        if quota.is_met(sides):
            break
        chunk = order[start : start + CHUNK]
        said = classify_texts(attribute, [texts[row] for row in chunk], [rows[row] for row in chunk])
        for row, side in zip(chunk, said, strict=True):
            if quota.is_met(sides):  # the rest of the chunk does not count
                break
            found[side] += 1
            if side is not None and (quota.sides is None or len(sides[side]) < quota.sides):
                sides[side].append(row)
    decider = attribute.classifier
    column = f" ({decider.explain(rows)})" if isinstance(decider, MetadataClassifier) and found[None] else ""
    sides = _cut(sides, quota, found, f"{source}, attribute {attribute.name!r}", column)
    side_of = {row: side for side, rows_of_side in sides.items() for row in rows_of_side}
    return Draw({row: side_of[row] for row in sorted(side_of)}, found[None], sum(found.values()))


def _cut(
    sides: dict[bool, list[int]], quota: Quota, found: Mapping[bool | None, int], where: str, column: str
) -> dict[bool, list[int]]:
    total, least = sum(map(len, sides.values())), min(map(len, sides.values()))
    words = f"{found[True]} texts with the attribute and {found[False]} without, and {found[None]} of which nothing can be said"
    words += column
    if total == 0 or (quota.balanced and least == 0):
        raise ValueError(f"{where}: there are {words}")
    if quota.per_side is not None and least < quota.per_side:
        raise ValueError(f"{where}: per_side={quota.per_side}, but there are {words}")
    if least == 0:
        logger.warning("%s: all texts are on one side: %s.", where, words)
    drawn = 2 * least if quota.balanced else total
    if quota.limit is not None and drawn < quota.limit - (quota.limit % 2 if quota.balanced else 0):
        logger.warning("%s: less than the limit of %d: %s.", where, quota.limit, words)
    return {side: rows[:least] for side, rows in sides.items()} if quota.balanced else sides
