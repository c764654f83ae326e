"""Candidates for best-of-N: read, checked, and cut to the first N of every prompt."""

import logging
from pathlib import Path
from typing import Any

from datasets import Dataset

from trl_ext.data.checks import shorten
from trl_ext.evaluation.benchmarks.data import read_benchmark_data, source_name
from trl_ext.evaluation.benchmarks.texts import read_prompt


logger = logging.getLogger("tasks.rewardbench")

_RESPONSES = ("responses", "candidates", "outputs", "output")
_PROMPTS = ("prompt", "instruction", "question")


def load_candidates(
    source: str | Path | Dataset, *, split: str | None = None, best_of: int = 16, quality_column: str | None = None
) -> Dataset:
    """
    Read candidates.

    Args:
        source (`str` or `Path` or [`~datasets.Dataset`]):
            File, folder, Hub id or data in memory: `prompt` (text or messages) and `responses` (a list of texts), perhaps
            `id` and `generator` (the model that wrote them).
        split (`str`, *optional*):
            Split, where there are several.
        best_of (`int`, *optional*, defaults to `16`):
            Responses per prompt that are kept, the first ones.
        quality_column (`str`, *optional*):
            Column with a number per response.

    Returns:
        [`~datasets.Dataset`]: `id`, `prompt` (messages), `responses`, `generator`, `quality`.

    Raises:
        ValueError: A column is missing, or a row is not as it must be; it is named.
    """
    if isinstance(best_of, bool) or not isinstance(best_of, int) or best_of < 1:
        raise ValueError(f"best_of must be a whole number of at least 1, got {best_of!r}")
    data = read_benchmark_data(source, split=split).with_format(None)
    if len(data) == 0:
        raise ValueError(f"{source_name(source)} has no rows")
    prompts, responses = _column(data, _PROMPTS), _column(data, _RESPONSES)
    if quality_column is not None and quality_column not in data.column_names:
        raise ValueError(
            f"there is no column {quality_column!r} of qualities; there are {', '.join(data.column_names)}"
        )
    rows, seen, cut = [], {}, 0
    for index, row in enumerate(data):
        identifier = str(row.get("id") if row.get("id") is not None else index)
        where = f"{source_name(source)}, row {index} (id {identifier!r})"
        if identifier in seen:
            raise ValueError(f"{where} has the id of row {seen[identifier]}; ids must be unique")
        seen[identifier] = index
        given = row[responses]
        if not isinstance(given, list) or not given:
            raise ValueError(
                f"{where}: column '{responses}' must be a list of at least one text, got {shorten(given)}"
            )
        for position, text in enumerate(given[:best_of]):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"{where}: response {position} must be a text that is not empty, got {shorten(text)}")
        quality = None if quality_column is None else _quality(row[quality_column], len(given), quality_column, where)
        prompt = read_prompt(row[prompts], f"{where}: column '{prompts}'")
        cut += len(given) > best_of
        rows.append(
            {
                "id": identifier,
                "prompt": prompt,
                "responses": given[:best_of],
                "generator": str(row.get("generator") or "unknown"),
                "quality": None if quality is None else quality[:best_of],
            }
        )
    if cut:
        logger.warning(
            "%d of %d prompts have more than best_of=%d responses; the first are used", cut, len(rows), best_of
        )
    return Dataset.from_list(rows)


def _column(data: Dataset, names: tuple[str, ...]) -> str:
    for name in names:
        if name in data.column_names:
            return name
    raise ValueError(f"there is no column '{names[0]}'; there are {', '.join(data.column_names)}")


def _quality(values: Any, count: int, column: str, where: str) -> list[float]:
    numbers = isinstance(values, list) and all(
        isinstance(value, int | float) and value == value and abs(value) != float("inf") for value in values
    )
    if not numbers or len(values) != count:
        raise ValueError(f"{where}: column '{column}' must hold {count} finite numbers, got {shorten(values)}")
    return [float(value) for value in values]
