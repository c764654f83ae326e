"""Comparisons: what the TRUE model reads and what it is to predict, from any table of preferences."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from datasets import Dataset

from ...data.checks import missing_column, shorten
from .text import bare_prompt, prompt_text, response_text


logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Comparisons:
    """
    N pairs of responses, each to one prompt.

    Args:
        prompt (`list[str]`): Prompts.
        response_a (`list[str]`): The responses that are shown first.
        response_b (`list[str]`): The others.
        correct (`numpy.ndarray` of shape `(N,)`, *optional*): 1 if the annotator picked the better response, else 0.
            Which response that was is no part of it: the label is the same in both orders.
        question_id (`list`, *optional*): What rows must share to be dependent; the prompt by default.
    """

    prompt: list[str]
    response_a: list[str]
    response_b: list[str]
    correct: np.ndarray | None = None
    question_id: list | None = None

    def __post_init__(self):
        lengths = {
            name: len(value)
            for name in ("prompt", "response_a", "response_b", "correct", "question_id")
            if (value := getattr(self, name)) is not None
        }
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns of comparisons differ in length: {lengths}")
        if self.correct is not None and np.ndim(self.correct) != 1:
            raise ValueError(f"correct must have shape (N,), got {np.shape(self.correct)}")

    def __len__(self) -> int:
        return len(self.prompt)

    @property
    def clusters(self) -> np.ndarray:
        """Label of the question of every row, of shape `(N,)`."""
        ids = [bare_prompt(p) for p in self.prompt] if self.question_id is None else self.question_id
        return np.array([str(value) for value in ids])

    @property
    def labels(self) -> np.ndarray:
        """`correct`, where it has to be there."""
        if self.correct is None:
            raise ValueError("these comparisons have no column `correct`: whether the annotator was right is unknown")
        return self.correct

    def select(self, rows: Sequence[int] | np.ndarray) -> "Comparisons":
        """Some rows."""
        take = lambda values: [values[i] for i in rows]  # noqa: E731
        return Comparisons(
            take(self.prompt),
            take(self.response_a),
            take(self.response_b),
            None if self.correct is None else self.correct[np.asarray(rows, dtype=int)],
            None if self.question_id is None else take(self.question_id),
        )

    def swapped(self) -> "Comparisons":
        """The other order of every pair."""
        return replace(self, response_a=self.response_b, response_b=self.response_a)

    def both_orders(self) -> "Comparisons":
        """Every pair twice, 2N rows: as they are, then swapped. The label is the same in both."""
        other = self.swapped()
        return Comparisons(
            self.prompt * 2,
            self.response_a + other.response_a,
            self.response_b + other.response_b,
            None if self.correct is None else np.tile(self.correct, 2),
            None if self.question_id is None else list(self.question_id) * 2,
        )

    def random_orders(self, seed: int) -> "Comparisons":
        """Every pair once, in an order drawn at random."""
        swap = np.random.default_rng(seed).random(len(self)) < 0.5
        pairs = zip(swap, self.response_a, self.response_b, strict=True)
        a, b = zip(*[(b, a) if s else (a, b) for s, a, b in pairs], strict=True)
        return replace(self, response_a=list(a), response_b=list(b))

    def split_by_question(self, share: float, seed: int) -> tuple["Comparisons", "Comparisons"]:
        """Two parts without a question in both; the second has about `share` of the questions."""
        if not 0 < share < 1:
            raise ValueError(f"share must lie strictly between 0 and 1, got {share}")
        questions = np.unique(self.clusters)
        count = round(share * questions.size)
        if not 0 < count < questions.size:
            raise ValueError(f"a share of {share} of {questions.size} questions leaves one of the two parts empty")
        held_out = np.random.default_rng(seed).choice(questions, count, replace=False)
        mask = np.isin(self.clusters, held_out)
        return self.select(np.flatnonzero(~mask)), self.select(np.flatnonzero(mask))


def read_comparisons(
    dataset: Dataset | pd.DataFrame | Comparisons,
    *,
    columns: Mapping[str, str] | None = None,
    need_correct: bool = False,
) -> Comparisons:
    """
    Reads comparisons from a table of comparisons or of preferences.

    Args:
        dataset ([`~datasets.Dataset`] or `pandas.DataFrame`):
            Columns `response_a` and `response_b`, or else `chosen` and `rejected`, which then take their places; `prompt`
            (for `chosen` and `rejected` it may be missing: then it is what both begin with, as in TRL); and optionally
            `correct` (or `correct_chosen`), `question_id`. Texts or messages.
        columns (`Mapping[str, str]`, *optional*):
            Our name -> name in the data.
        need_correct (`bool`, *optional*, defaults to `False`):
            Refuse data without labels, as training and calibration must.

    Returns:
        [`Comparisons`]

    Raises:
        ValueError: A column is missing, a text is missing or empty, or a label is neither 0 nor 1.

    Example:
        ```python
        >>> import pandas as pd
        >>> table = pd.DataFrame({"prompt": ["1 + 1?"], "chosen": ["2"], "rejected": ["3"], "correct_chosen": [True]})
        >>> read_comparisons(table).correct
        array([1.])
        ```
    """
    if isinstance(dataset, Comparisons):
        if need_correct:
            dataset.labels  # noqa: B018  raises
        return dataset
    if not isinstance(dataset, (Dataset, pd.DataFrame)):
        raise TypeError(f"comparisons are read from a Dataset or a pandas DataFrame, got {type(dataset).__name__}")
    names = {ours: (columns or {}).get(ours, ours) for ours in _KNOWN}
    present = set(dataset.column_names if isinstance(dataset, Dataset) else dataset.columns)
    for ours in columns or {}:
        if ours not in names:
            raise ValueError(f"columns can't rename '{ours}'; it knows {', '.join(_KNOWN)}")
        if columns[ours] not in present:
            raise ValueError(missing_column("the table", columns[ours], present, ours=ours))
    is_ab = names["response_a"] in present or names["response_b"] in present
    sides = ("response_a", "response_b") if is_ab else ("chosen", "rejected")
    has_prompt = names["prompt"] in present
    for ours in sides if not (has_prompt or is_ab) else ("prompt", *sides):
        if names[ours] not in present:
            raise ValueError(missing_column("the table", names[ours], present, ours=ours))
    if not len(dataset):
        raise ValueError("the table has no rows")
    label = next((names[c] for c in ("correct", "correct_chosen") if names[c] in present), None)
    if need_correct and label is None:
        raise ValueError(missing_column("the table", names["correct"], present, ours="correct"))
    if has_prompt:
        values = {ours: list(dataset[names[ours]]) for ours in ("prompt", *sides)}
    else:
        values, names["prompt"] = _find_prompts(dataset, names), "prompt"
    return Comparisons(
        _texts(values["prompt"], names["prompt"], prompt_text),
        _texts(values[sides[0]], names[sides[0]], response_text),
        _texts(values[sides[1]], names[sides[1]], response_text),
        None if label is None else _labels(dataset, label, need_correct),
        list(dataset[names["question_id"]]) if names["question_id"] in present else None,
    )


_KNOWN = ("prompt", "response_a", "response_b", "chosen", "rejected", "correct", "correct_chosen", "question_id")


def _find_prompts(dataset: Dataset | pd.DataFrame, names: Mapping[str, str]) -> dict[str, list]:
    """Prompts that `chosen` and `rejected` begin with, and what is left of these."""
    from trl.data_utils import extract_prompt

    sides = ("chosen", "rejected")
    columns = {ours: [_plain(value) for value in dataset[names[ours]]] for ours in sides}
    for ours, column in columns.items():
        for row, value in enumerate(column):
            if not isinstance(value, (str, list)) or not value:
                raise ValueError(
                    f"column '{names[ours]}' has no text or messages in row {row}, value {shorten(value)}: remove these rows"
                )
    pairs = zip(*columns.values(), strict=True)
    for row, (chosen, rejected) in enumerate(pairs):
        if type(chosen) is not type(rejected):
            kinds = f"{type(chosen).__name__} and {type(rejected).__name__}"
            raise ValueError(f"chosen and rejected of row {row} must both be texts or both messages, got {kinds}")
    return Dataset.from_dict(columns).map(extract_prompt, desc="finding prompts")[:]


def _plain(value):
    """Lists of messages, which pandas reads from some files as arrays."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def _texts(values: Sequence, column: str, convert) -> list[str]:
    texts = []
    for row, value in enumerate(values):
        if value is None or isinstance(value, float):
            raise ValueError(f"column '{column}' has no text in row {row}, value {value!r}: remove these rows")
        try:
            text = convert(value)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"column '{column}' has no readable text or messages in row {row}: {error}, value {shorten(value)}"
            ) from error
        if not text.strip():
            raise ValueError(f"column '{column}' has an empty text in row {row}, value {value!r}: remove these rows")
        texts.append(text)
    return texts


def _labels(dataset, column: str, need_correct: bool) -> np.ndarray | None:
    values = pd.to_numeric(pd.Series(list(dataset[column]), dtype=object), errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isin(values, (0.0, 1.0)))
    if not bad.size:
        return values
    message = (
        f"column '{column}' has {bad.size} values that are not 0, 1, true or false; first: row {bad[0]}, value "
        f"{shorten(list(dataset[column])[bad[0]])}. It says whether the annotator picked the better response."
    )
    if need_correct:
        raise ValueError(message)
    logger.warning("%s It is not needed here, and left out.", message)
    return None
