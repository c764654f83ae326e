"""Exchange of the responses of a pair, with every column that depends on their order."""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np


if TYPE_CHECKING:
    from datasets import Dataset

# Known columns of preference data: P(chosen is better), and differences chosen minus rejected
_COMPLEMENT_COLUMNS = ("preference_probability", "preference_score")
_NEGATE_COLUMNS = ("margin",)
_SIDE = re.compile(r"(?<![a-z])(chosen|rejected)(?![a-z])")


@dataclass(frozen=True)
class SwapPlan:
    """
    What becomes of the columns when chosen and rejected are exchanged; all others stay.

    Args:
        sides (`tuple[tuple[str, str], ...]`): Pairs of columns that change places, such as `chosen_score` and
            `rejected_score`.
        complement (`tuple[str, ...]`): Columns that become one minus themselves: probabilities that chosen is better.
        negate (`tuple[str, ...]`): Columns that become their negative: differences chosen minus rejected.
    """

    sides: tuple[tuple[str, str], ...]
    complement: tuple[str, ...]
    negate: tuple[str, ...]

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Columns whose values are calculated with, and the ranges that makes sense for."""
        return dict.fromkeys(self.complement, (0.0, 1.0)) | dict.fromkeys(self.negate, (-math.inf, math.inf))


def plan_swap(
    dataset: "Dataset",
    name: str,
    *,
    complement_columns: Sequence[str] = (),
    negate_columns: Sequence[str] = (),
    replaced: Collection[str] = (),
) -> SwapPlan:
    """
    Find out for every column what becomes of it when the responses are exchanged.

    Args:
        dataset ([`~datasets.Dataset`]): Preference pairs.
        name (`str`): Name of the dataset in messages.
        complement_columns (`Sequence[str]`, *optional*, defaults to `()`): Columns that become one minus themselves, besides
            `preference_probability` and `preference_score`.
        negate_columns (`Sequence[str]`, *optional*, defaults to `()`): Columns that become their negative, besides `margin`.
        replaced (`Collection[str]`, *optional*, defaults to `()`): Columns that the caller takes care of.

    Returns:
        [`SwapPlan`]

    Raises:
        ValueError: A named column that isn't there or is named for both, or a column of one side without its counterpart.
        TypeError: Columns of two sides that hold different types.
    """
    columns = [column for column in dataset.column_names if column not in replaced]
    for column in (*complement_columns, *negate_columns):
        if column not in columns:
            raise ValueError(f"{name} dataset has no column '{column}' to reverse; there are {columns}")
    complement = _present(columns, complement_columns, _COMPLEMENT_COLUMNS, but=negate_columns)
    negate = _present(columns, negate_columns, _NEGATE_COLUMNS, but=complement_columns)
    if both := sorted(set(complement) & set(negate)):
        raise ValueError(f"columns {both} can't become both one minus themselves and their negative")
    sides = []
    for column in columns:
        other = _counterpart(column)
        if other is None or column in complement or column in negate:
            continue
        if other not in columns:
            raise ValueError(
                f"{name} dataset: column '{column}' speaks of one response but there is no '{other}' to swap it with. "
                "Remove it, or name it in complement_columns (1 - value in swapped rows) or negate_columns."
            )
        if dataset.features[column] != dataset.features[other]:
            raise TypeError(
                f"{name} dataset: columns '{column}' ({dataset.features[column]}) and '{other}' "
                f"({dataset.features[other]}) can't be swapped; cast them to one type."
            )
        if column < other:
            sides.append((column, other))
    return SwapPlan(tuple(sides), complement, negate)


def swap_responses(dataset: "Dataset", swapped: np.ndarray, plan: SwapPlan) -> "Dataset":
    """
    Exchange chosen and rejected in some rows.

    Args:
        dataset ([`~datasets.Dataset`]): Preference pairs.
        swapped (`np.ndarray` of shape `(N,)`): Rows to exchange.
        plan ([`SwapPlan`]): What becomes of the columns, from [`plan_swap`].

    Returns:
        [`~datasets.Dataset`]: the same rows, with the same columns of the same types.
    """

    def exchange(batch: dict[str, list[Any]], rows: list[int]) -> dict[str, list[Any]]:
        for row in np.flatnonzero(swapped[rows]):
            for column, other in plan.sides:
                batch[column][row], batch[other][row] = batch[other][row], batch[column][row]
            for column in plan.complement:
                batch[column][row] = 1 - batch[column][row]
            for column in plan.negate:
                batch[column][row] = -batch[column][row]
        return batch

    return dataset.map(exchange, with_indices=True, batched=True, features=dataset.features, desc="Swapping responses")


def _present(columns: list[str], named: Sequence[str], usual: Sequence[str], *, but: Sequence[str]) -> tuple[str, ...]:
    """The named columns, and the usual ones that are there and not said to be something else."""
    return (*named, *(column for column in usual if column in columns and column not in (*named, *but)))


def _counterpart(column: str) -> str | None:
    """`rejected_score` for `chosen_score` and the reverse; `None` for a column that names no side, or both."""
    if len(_SIDE.findall(column)) != 1:
        return None
    return _SIDE.sub(lambda side: "rejected" if side[0] == "chosen" else "chosen", column)
