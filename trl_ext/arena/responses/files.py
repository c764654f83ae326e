"""Files of responses: one per model, beside a record of how it was made."""

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...data.checks import shorten
from ...json_lines import read_lines
from .response_table import ResponseTable


logger = logging.getLogger(__name__)

ON_FAILURE = ("error", "drop")


def file_name(model: str) -> str:
    """
    Name of a model's files without ending: a single safe word.

    Example:
        ```python
        >>> from trl_ext.arena.responses.files import file_name
        >>> file_name("google/gemma-2-9b-it")
        'google__gemma-2-9b-it'

        ```
    """
    return re.sub(r"[^\w.+-]+", "__", model).lstrip(".") or "__"


def response_path(folder: str | Path, model: str) -> Path:
    """Where the responses of a model are."""
    return Path(folder) / f"{file_name(model)}.jsonl"


def record_path(responses: Path) -> Path:
    """Where the record of a file of responses is."""
    return responses.with_name(f"{responses.stem}.meta.json")


def read_record(responses: Path) -> dict[str, Any] | None:
    """The record of a file of responses; `None` if there is none."""
    path = record_path(responses)
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is not a record of responses: {shorten(record)}")
    counts = record.get("counts")
    whole = (
        isinstance(counts, dict)
        and {"prompts", "failures"} <= counts.keys()
        and isinstance(record.get("settings"), dict)
    )
    if record.get("finished") and not whole:
        raise ValueError(
            f"{path} is damaged, it lacks counts or settings. Remove it and {responses.name}, and generate again"
        )
    return record


def check_unchanged(responses: Path, record: Mapping[str, Any]) -> None:
    """Raise a `ValueError` if a file of responses is not the one that its record is of."""
    written = record.get("responses_sha256")
    if written is not None and hashlib.sha256(responses.read_bytes()).hexdigest() != written:
        raise ValueError(
            f"{responses} is not as it was when it was made ({record_path(responses).name}): it was changed or torn. Remove "
            "both and generate again; answers are kept. To use it as it is, remove the record alone."
        )


def check_file_names(models: Sequence[str]) -> None:
    """Raise a `ValueError` if the files of two models would have the same name, also where case is not told apart."""
    taken: dict[str, str] = {}
    for model in models:
        name = file_name(model).casefold()
        if name in taken:
            raise ValueError(
                f"the responses of {model!r} and of {taken[name]!r} would be in the same file, {file_name(model)}.jsonl: "
                "rename one of the two"
            )
        taken[name] = model


def read_responses(
    source: str | Path | Iterable[str | Path], models: Sequence[str] | None = None, *, on_failure: str = "error"
) -> ResponseTable:
    """
    Read the responses of several models, and align them by the ids of the prompts.

    Args:
        source (`str`, `Path` or `Iterable`):
            The folder of [`generate_responses`], or files: JSONL with `id`, `prompt`, `response` and `model`, one line per
            prompt.
        models (`Sequence[str]`, *optional*):
            Names of the models to read, in the order wanted. By default all, in the order of the files' names.
        on_failure (`str`, *optional*, defaults to `"error"`):
            What happens if a model has no response to a prompt because it failed: `"error"`, or `"drop"`, which leaves
            the prompt out for all models; their number is logged.

    Returns:
        [`ResponseTable`]: In the order of the prompts of the first model.

    Raises:
        ValueError: A file is empty, torn or not finished, an id is missing or occurs twice, the same id has different
            prompts, a model is unknown, or a response failed. File, line and id are named.

    Example:
        ```python
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> from trl_ext.arena import read_responses
        >>> folder = Path(tempfile.mkdtemp())
        >>> for model, answer in (("a", "Four."), ("b", "It is 4.")):
        ...     row = {"id": "1", "prompt": "2 + 2?", "response": answer, "model": model}
        ...     written = (folder / f"{model}.jsonl").write_text(json.dumps(row))
        >>> read_responses(folder).rows()
        [{'id': '1', 'prompt': '2 + 2?', 'responses': ['Four.', 'It is 4.'], 'sources': ['a', 'b']}]

        ```
    """
    if on_failure not in ON_FAILURE:
        raise ValueError(f"`on_failure` must be one of {', '.join(ON_FAILURE)}, got {on_failure!r}")
    return _align(_read_tables(source, models), on_failure)


def unanswered_prompts(
    source: str | Path | Iterable[str | Path], models: Sequence[str] | None = None
) -> frozenset[str]:
    """
    Ids of the prompts to which one of the models has no response: those that `on_failure="drop"` leaves out.

    Args:
        source, models: See [`read_responses`].

    Returns:
        `frozenset[str]`

    Example:
        ```python
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> from trl_ext.arena.responses.files import unanswered_prompts
        >>> path = Path(tempfile.mkdtemp(), "a.jsonl")
        >>> rows = [{"id": name, "prompt": "Hi", "response": text, "model": "a"} for name, text in (("p", "Ho"), ("q", None))]
        >>> written = path.write_text("".join(json.dumps(row) + "\\n" for row in rows))
        >>> sorted(unanswered_prompts(path))
        ['q']

        ```
    """
    tables = _read_tables(source, models)
    return frozenset(name for table in tables for name, (_, _, _, failure) in table.lines.items() if failure)


def _read_tables(source: str | Path | Iterable[str | Path], models: Sequence[str] | None) -> "list[_ModelResponses]":
    tables: dict[str, _ModelResponses] = {}
    for path in _files(source, models):
        table = _read_file(path)
        if table.model in tables:
            raise ValueError(
                f"{path} and {tables[table.model].path} both hold responses of model {table.model!r}: one file per model"
            )
        tables[table.model] = table
    if models is not None:
        unknown = [model for model in models if model not in tables]
        if unknown:
            raise ValueError(
                f"there are no responses of model {unknown[0]!r}; there are {', '.join(map(repr, tables))}"
            )
        tables = {model: tables[model] for model in models}
    _check_aligned(list(tables.values()))
    return list(tables.values())


class _ModelResponses:
    """Lines of one file, by prompt id."""

    def __init__(self, path: Path):
        self.path = path
        self.model = ""
        self.lines: dict[str, tuple[int, Any, str | None, str]] = {}  # id: line, prompt, response, kind of failure

    def add(self, number: int, row: Mapping[str, Any]) -> None:
        where = f"{self.path}, line {number}"
        for name in ("id", "prompt", "response", "model"):
            if name not in row:
                raise ValueError(f"{where} has no {name!r}; a line needs id, prompt, response and model")
        if isinstance(row["id"], bool) or not isinstance(row["id"], str | int) or row["id"] == "":
            raise ValueError(f"{where}: 'id' must be a text or an integer, got {row['id']!r}")
        name, model, response = str(row["id"]), row["model"], row["response"]
        where = f"{where} (id {name!r})"
        if not isinstance(model, str) or not model:
            raise ValueError(f"{where}: 'model' must be a text that is not empty, got {model!r}")
        if self.model and model != self.model:
            raise ValueError(f"{where} is of model {model!r}, the lines before of {self.model!r}: one file per model")
        self.model = model
        if name in self.lines:
            raise ValueError(f"{where}: the id occurs twice, before in line {self.lines[name][0]}")
        if not isinstance(row["prompt"], str | list) or not row["prompt"]:
            raise ValueError(f"{where}: 'prompt' must be a text or a list of messages, got {shorten(row['prompt'])}")
        if response is not None and not isinstance(response, str):
            raise ValueError(f"{where}: 'response' must be a text, got {shorten(response)}")
        failure = "" if response and response.strip() else str(row.get("failure") or "empty")
        self.lines[name] = (number, row["prompt"], response, failure)


def _files(source: str | Path | Iterable[str | Path], models: Sequence[str] | None) -> list[Path]:
    if not isinstance(source, str | Path):
        paths = [Path(path) for path in source]
        if not paths:
            raise ValueError("no files of responses are given")
        return paths
    folder = Path(source)
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder with responses")
    begun = {record.name.removesuffix(".meta.json") for record in folder.glob("*.meta.json")}
    names = {path.stem for path in folder.glob("*.jsonl")}
    if models is not None:
        check_file_names(models)
        wanted = [file_name(model) for model in models]
        unknown = [model for model, name in zip(models, wanted, strict=True) if name not in names | begun]
        if unknown:
            raise ValueError(
                f"{folder} has no responses of model {unknown[0]!r}; there are files for {', '.join(sorted(names))}"
            )
        return [folder / f"{name}.jsonl" for name in wanted]
    if not names | begun:
        raise ValueError(f"{folder} has no files of responses (<model>.jsonl)")
    return [folder / f"{name}.jsonl" for name in sorted(names | begun)]


def _read_file(path: Path) -> _ModelResponses:
    record = read_record(path)
    if record is not None and not record.get("finished"):
        raise ValueError(
            f"the responses of model {record.get('model', path.stem)!r} are not finished ({record_path(path)}): generate "
            "them with the same call as before, which continues, or name the other models in `models`"
        )
    table = _ModelResponses(path)
    for number, row in read_lines(path):
        table.add(number, row)
    if record is not None:
        check_unchanged(path, record)
    expected = len(table.lines) if record is None else record["counts"]["prompts"]
    if expected != len(table.lines):
        raise ValueError(
            f"{path} has {len(table.lines)} lines, and had {expected} when it was made ({record_path(path).name}): it was "
            "changed or torn. Remove it and generate again; answers are kept."
        )
    return table


def _check_aligned(tables: list[_ModelResponses]) -> None:
    first = tables[0]
    for other in tables[1:]:
        for here, there in ((first, other), (other, first)):
            lacking = [name for name in here.lines if name not in there.lines]
            if lacking:
                line = here.lines[lacking[0]][0]
                raise ValueError(
                    f"{there.path}: model {there.model!r} has no line for {len(lacking)} prompts that model {here.model!r} "
                    f"has; first: id {lacking[0]!r} ({here.path}, line {line}). All models must answer the same prompts."
                )
        for name, (line, prompt, _, _) in first.lines.items():
            other_line, other_prompt, _, _ = other.lines[name]
            if prompt != other_prompt:
                raise ValueError(
                    f"id {name!r} has different prompts: {shorten(prompt)} ({first.path}, line {line}) and "
                    f"{shorten(other_prompt)} ({other.path}, line {other_line}). An id must mean the same prompt for all "
                    "models."
                )


def _align(tables: list[_ModelResponses], on_failure: str) -> ResponseTable:
    failed: dict[str, None] = {}
    for table in tables:
        kinds = Counter(failure for _, _, _, failure in table.lines.values() if failure)
        if not kinds:
            continue
        name, (line, _, _, failure) = next((n, entry) for n, entry in table.lines.items() if entry[3])
        if on_failure == "error":
            raise ValueError(
                f"{table.path}, line {line} (id {name!r}): model {table.model!r} has no response ({failure}); "
                f"{kinds.total()} such lines, by kind: {dict(kinds)}. Set on_failure='drop' to leave these prompts out for "
                "all models."
            )
        logger.warning("Model %r has no response to %d prompts, by kind: %s.", table.model, kinds.total(), dict(kinds))
        failed |= {n: None for n, entry in table.lines.items() if entry[3]}
    kept = [name for name in tables[0].lines if name not in failed]
    if failed:
        logger.warning("%d of %d prompts are left out for all models.", len(failed), len(tables[0].lines))
    if not kept:
        raise ValueError("no prompt has a response of every model")
    return ResponseTable(
        tuple(kept),
        tuple(tables[0].lines[name][1] for name in kept),
        tuple(table.model for table in tables),
        tuple(tuple(table.lines[name][2] for table in tables) for name in kept),
    )
