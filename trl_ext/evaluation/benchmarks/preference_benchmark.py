"""Any preference data as a benchmark: pairs, several responses per prompt, or conversations to be scored."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ...data.checks import shorten
from ..statistics import proportion_estimate
from .base import Benchmark, BenchmarkResult
from .data import read_benchmark_data, source_name
from .rewardbench2_ties import check_num_correct
from .rewards import TIES, check_rewards, row_frame, subset_estimates, tie_details
from .rows import EMPTY, Row, check_columns, check_option, make_rows, text_of
from .texts import common_prompt, read_conversation


# What RewardBench takes for `prompt`, where there is none
_PROMPT_NAMES = ("question", "input")
_FORMS = {"responses": ("responses",), "pairs": ("chosen", "rejected"), "messages": ("messages",)}


class PreferenceBenchmark(Benchmark):
    """
    Accuracy on preference data of one's own.

    Rows are of one of these forms, decided by the columns; the first that fits:

    | columns | row |
    |---|---|
    | `responses`, `num_correct`, `prompt` | several responses, of which the first `num_correct` are right |
    | `chosen`, `rejected`, `prompt` | a pair of texts; or lists of texts, several right and several wrong responses |
    | `chosen`, `rejected` | conversations (lists of messages) which differ in their last message |
    | `messages` | conversations without a judgement: rewards alone, no accuracy |

    `prompt` is text or messages, and may be called `question` or `input`. `subset`, `id` and `cluster` are optional.

    Args:
        ties (`str`, *optional*, defaults to `"loss"`):
            What equal rewards are worth: `"loss"` nothing, as RewardBench has it; `"half"` one half.
        prioritize_scoring (`bool`, *optional*, defaults to `False`):
            Take `messages`, where there are, even if there are pairs.
        empty (`str`, *optional*, defaults to `"error"`):
            What happens to rows with an empty prompt or response: `"error"`; `"drop"`, with a warning; or `"keep"`, for
            empty responses and scorers that take them.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Example:
        ```python
        >>> from datasets import Dataset

        >>> rows = {"prompt": ["1 + 1?", "2 + 2?"], "chosen": ["2", "4"], "rejected": ["3", "5"]}
        >>> benchmark = PreferenceBenchmark()
        >>> result = benchmark.evaluate(benchmark.load(Dataset.from_dict(rows)), [[1.0, 0.0], [0.5, 0.5]])
        >>> result.overall.value, result.details["ties"]
        (0.5, {'all': 1})
        ```
    """

    name = "preferences"

    def __init__(
        self, *, ties: str = "loss", prioritize_scoring: bool = False, empty: str = "error", level: float = 0.95
    ):
        check_option("ties", ties, tuple(TIES))
        check_option("empty", empty, EMPTY)
        self.ties, self.prioritize_scoring, self.empty, self.level = ties, prioritize_scoring, empty, level

    def load(self, source: str | Path | Dataset | None = None, *, split: str | None = None) -> Dataset:
        """Rows of one of the forms above; of several splits all, if none is asked for. See [`Benchmark.load`]."""
        if source is None:
            raise ValueError(
                "PreferenceBenchmark has no data of its own; give a source: a file, folder, Hub id or Dataset"
            )
        name = source_name(source)
        data = read_benchmark_data(source, split=split)
        if "prompt" not in data.column_names:
            other = next((column for column in _PROMPT_NAMES if column in data.column_names), None)
            data = data.rename_column(other, "prompt") if other else data
        form = self._form(data, name)
        subset_column = "subset" if "subset" in data.column_names else "split"

        def read_row(row: dict[str, Any], index: int, where: str) -> Row:
            identifier = text_of(row, "id", where) if "id" in row else str(index)
            subset = text_of(row, subset_column, where) if subset_column in row else "all"
            cluster = text_of(row, "cluster", where) if "cluster" in row else None
            prompt, responses, right = _READERS[form](row, where, self.empty == "keep")
            return Row(identifier, subset, prompt, responses, right, cluster)

        return make_rows(data, name, read_row, used=_FORMS[form], empty=self.empty)

    def _form(self, data: Dataset, name: str) -> str:
        columns = data.column_names
        forms = [form for form, needed in _FORMS.items() if all(column in columns for column in needed)]
        if self.prioritize_scoring and "messages" in forms:
            return "messages"
        if not forms:
            raise ValueError(
                f"{name} has neither 'chosen' and 'rejected', nor 'responses' and 'num_correct', nor 'messages'; its "
                f"columns are {', '.join(map(repr, columns))}. Rename them."
            )
        if forms[0] == "responses":
            check_columns(data, ("num_correct",), f"{name} has 'responses', but")
        return forms[0]

    def evaluate(self, rows: Dataset, rewards: Sequence[np.ndarray]) -> BenchmarkResult:
        """
        Accuracy: is a right response the best? See [`Benchmark.evaluate`].

        Returns:
            [`BenchmarkResult`]: `overall` is the share of all rows, `subsets` those of subsets; both are missing for
            rows that mark no response as right. `rows` and `details` also have `pair_accuracy`, the share of pairs of a
            right and a wrong response that the right one wins, and `all_right`, whether all right ones are above all
            wrong ones.
        """
        rewards = check_rewards(rows, rewards)
        frame = row_frame(rows, rewards, self.ties)
        counts = rows["num_correct"][:]
        frame["pair_accuracy"] = [
            _pair_accuracy(values, right, self.ties) for values, right in zip(rewards, counts, strict=True)
        ]
        frame["all_right"] = (frame["margin"] > 0).astype(float).where(frame["score"].notna())
        judged = frame[frame["score"].notna()]
        details = {**tie_details(frame, self.ties), "rows_without_judgement": len(frame) - len(judged)}
        if judged.empty:
            return BenchmarkResult(self.name, None, {}, {}, frame, details)
        clusters = judged["cluster"].to_numpy()
        for column in ("pair_accuracy", "all_right"):
            details[column] = proportion_estimate(judged[column].to_numpy(), clusters, self.level).to_dict()
        return BenchmarkResult(
            self.name,
            proportion_estimate(judged["score"].to_numpy(), clusters, self.level),
            {},
            subset_estimates(judged, self.level),
            frame,
            details,
        )


def _pair_accuracy(rewards: np.ndarray, right: int, ties: str) -> float:
    if not 1 <= right < len(rewards):
        return np.nan
    difference = rewards[:right, None] - rewards[None, right:]
    return float(np.where(difference == 0, 0.5 if ties == "half" else 0.0, difference > 0).mean())


def _read_responses(row: dict[str, Any], where: str, allow_empty: bool) -> tuple[list[dict], list[str], int]:
    implicit, texts = _read_side(row, "responses", where, allow_empty)
    right = row["num_correct"]
    right = int(right) if isinstance(right, float) and right.is_integer() else right
    check_num_correct(right, len(texts), f"{where}: column 'num_correct'")
    return common_prompt(row.get("prompt"), implicit, where), texts, right


def _read_pair(row: dict[str, Any], where: str, allow_empty: bool) -> tuple[list[dict], list[str], int]:
    implicit, texts = {}, {}
    for side in _FORMS["pairs"]:
        prompts, texts[side] = _read_side(row, side, where, allow_empty)
        implicit |= prompts
    prompt = common_prompt(row.get("prompt"), implicit, where)
    return prompt, [*texts["chosen"], *texts["rejected"]], len(texts["chosen"])


def _read_messages(row: dict[str, Any], where: str, allow_empty: bool) -> tuple[list[dict], list[str], int]:
    prompt, answer = read_conversation(row["messages"], f"{where}: column 'messages'", allow_empty)
    if prompt is None:
        raise ValueError(
            f"{where}: column 'messages' must be a list of messages with a prompt and an answer, got "
            f"{shorten(row['messages'])}"
        )
    return prompt, [answer], 0


def _read_side(
    row: dict[str, Any], column: str, where: str, allow_empty: bool
) -> tuple[dict[str, list[dict] | None], list[str]]:
    """Prompts (by the name of the response) and texts of a response, or of a list of them."""
    value = row[column]
    several = isinstance(value, list) and (not value or not isinstance(value[0], dict))
    if column == "responses" and not several:
        raise ValueError(
            f"{where}: column 'responses' must be a list with an entry per response, got {shorten(value)}"
            + (". CSV files can't hold lists: use JSON Lines or Parquet." if isinstance(value, str) else "")
        )
    if several and not value:
        raise ValueError(f"{where}: column '{column}' is an empty list; it needs at least one response")
    entries = (
        {f"column '{column}', entry {index}": entry for index, entry in enumerate(value)}
        if several
        else {f"column '{column}'": value}
    )
    prompts, texts = {}, []
    for name, entry in entries.items():
        prompts[name], text = read_conversation(entry, f"{where}: {name}", allow_empty)
        texts.append(text)
    return prompts, texts


_READERS = {"responses": _read_responses, "pairs": _read_pair, "messages": _read_messages}
