"""Which responses are compared: of given pairs of models, or the best against the worst of each prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..offsets.joint_offsets import JointOffsets
from ..offsets.pair_offsets import OffsetSolution
from ..score_table import ScoreTable


@dataclass(frozen=True)
class Candidates:
    """
    Pairs of responses of two models.

    Args:
        model, reference (`str`): The models; with an offset in favour of the first.
        offset (`float`): Added to the scores of `model`, less that added to those of `reference`.
        prompts (`np.ndarray` of shape `(K,)`): Rows of the score table.
        margins (`np.ndarray` of shape `(K,)`): Score of `model` with the offset, less that of `reference`.
        flipped (`np.ndarray` of shape `(K,)`, bool): Whether another response would be chosen without offsets.
        solution (`OffsetSolution`, *optional*): Where the offset comes from.
    """

    model: str
    reference: str
    offset: float
    prompts: np.ndarray
    margins: np.ndarray
    flipped: np.ndarray
    solution: OffsetSolution | None = None


def candidates_of_pairs(
    scores: ScoreTable, offsets: JointOffsets | Mapping[Any, Any], pairs: Sequence[tuple[str, str]] | None
) -> list[Candidates]:
    """All prompts of the given pairs of models; by default of the pairs of `offsets`, or all pairs of its models."""
    if _is_by_pair(offsets):
        wanted = list(offsets) if pairs is None else _checked_pairs(pairs)
        missing = [pair for pair in wanted if pair not in offsets]
        if missing:
            raise ValueError(
                f"there is no offset of the pair {missing[0]!r}; there are {', '.join(map(repr, offsets))}"
            )
        of_pair = {pair: offsets[pair] for pair in wanted}
    else:
        by_model = offsets_by_model(offsets)
        wanted = list(combinations(by_model, 2)) if pairs is None else _checked_pairs(pairs)
        for model in dict.fromkeys(model for pair in wanted for model in pair):
            if model not in by_model:
                raise ValueError(
                    f"there is no offset of model {model!r}; there are {', '.join(map(repr, by_model))}. Give 0 to a model "
                    "that stays as it is."
                )
        of_pair = {(first, second): by_model[first] - by_model[second] for first, second in wanted}
    if not of_pair:
        raise ValueError("there are no pairs of models: two models or more are compared")
    return [_of_pair(scores, *_checked_pairs([pair])[0], offset) for pair, offset in of_pair.items()]


def _of_pair(scores: ScoreTable, model: str, reference: str, offset: OffsetSolution | float) -> Candidates:
    amount = _finite(offset, f"pair {(model, reference)!r}")
    first, second = scores.of(model), scores.of(reference)
    moved = first + amount
    return Candidates(
        model,
        reference,
        amount,
        prompts=np.arange(len(scores)),
        margins=moved - second,
        flipped=(moved >= second) != (first >= second),
        solution=offset if isinstance(offset, OffsetSolution) else None,
    )


def candidates_of_extremes(
    scores: ScoreTable, offsets: JointOffsets | Mapping[str, float], *, degenerate: bool = False
) -> tuple[list[Candidates], np.ndarray]:
    """
    The highest against the lowest score of each prompt, of equal ones the first; and the degenerate prompts, on which all
    models have the same score. With `degenerate` these are ties of the first and the last model. Candidates are grouped by pairs of models, in the order of the score table.
    """
    by_model = offsets_by_model(offsets)
    missing = [model for model in scores.models if model not in by_model]
    if missing:
        raise ValueError(f"there is no offset of model {missing[0]!r}; there are {', '.join(map(repr, by_model))}")
    for model in by_model:
        scores.index(model)
    amounts = np.array([by_model[model] for model in scores.models])
    moved = scores.scores + amounts
    chosen, rejected = moved.argmax(axis=1), moved.argmin(axis=1)
    equal = np.flatnonzero(chosen == rejected)
    if degenerate:
        rejected[equal] = len(scores.models) - 1
    changed = chosen != scores.scores.argmax(axis=1)
    groups = []
    for first, second in combinations(range(len(scores.models)), 2):
        rows = np.flatnonzero((np.minimum(chosen, rejected) == first) & (np.maximum(chosen, rejected) == second))
        if rows.size:
            group = Candidates(
                scores.models[first],
                scores.models[second],
                float(amounts[first] - amounts[second]),
                prompts=rows,
                margins=moved[rows, first] - moved[rows, second],
                flipped=changed[rows],
            )
            groups.append(group)
    return groups, equal


def offsets_by_model(offsets: JointOffsets | Mapping[str, float]) -> dict[str, float]:
    """Offsets by model as finite floats; a `ValueError` if they are by pair of models."""
    by_model = offsets.offsets if isinstance(offsets, JointOffsets) else offsets
    if not isinstance(by_model, Mapping) or not by_model:
        raise TypeError(
            f"`offsets` must be JointOffsets or a mapping with an entry per model or per pair of models, got {offsets!r}"
        )
    if _is_by_pair(by_model):
        raise ValueError(
            '`pairs="extremes"` needs an offset per model, not per pair of models: use `solve_joint_offsets`'
        )
    return {model: _finite(amount, f"model {model!r}") for model, amount in by_model.items()}


def _is_by_pair(offsets: Any) -> bool:
    return isinstance(offsets, Mapping) and bool(offsets) and all(isinstance(key, tuple) for key in offsets)


def _checked_pairs(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    if isinstance(pairs, str):
        raise ValueError(f'`pairs` must be "extremes" or a list of pairs of models, got {pairs!r}')
    checked = [tuple(pair) for pair in pairs]
    seen: set[frozenset] = set()
    for pair in checked:
        if len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(f"`pairs` must have two different models each, got {pair!r}")
        if frozenset(pair) in seen:
            raise ValueError(f"`pairs` has the models of {pair!r} more than once")
        seen.add(frozenset(pair))
    return checked


def _finite(amount: Any, what: str) -> float:
    try:
        value = float(amount)
    except (TypeError, ValueError):
        raise TypeError(f"the offset of {what} must be a number, got {amount!r}") from None
    if not np.isfinite(value):
        raise ValueError(f"the offset of {what} must be finite, got {value}")
    return value
