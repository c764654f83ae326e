"""The folders and files of the original CHARM code, read and written, so that its data can be used and repeated.

scores/{reward model}/{model}_score/           prompt, response, score
calibrate/{reward model}/{overvalued}_{reference}/   chosen, rejected: lists of two messages
CHARM-{model}/                                 prompt, response
pm_config.json, rm_config.json                 policy models with their Arena scores; reward models
"""

import hashlib
import json
import logging
import shutil
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_from_disk

from ...atomic_files import write_text_atomically
from ..ratings.rating_table import RatingTable
from ..score_table import ScoreTable
from .original_folders import responses_folder, scores_folder
from .response_table import ResponseTable


logger = logging.getLogger(__name__)

_RM_FIELDS = ("model_name", "model_path", "pipeline_class")
_ID_DIGITS = 16


def read_original_responses(folder: str | Path, models: Sequence[str]) -> ResponseTable:
    """
    Responses of `CHARM-{model}` folders, aligned by prompt.

    Args:
        folder (`str` or `Path`): Where these folders are.
        models (`Sequence[str]`): Names of the models.

    Returns:
        [`ResponseTable`]: Prompts in the order of the first model; ids are hashes of the prompts.

    Raises:
        ValueError: A folder or column is missing, or two models have different prompts.
    """
    return _aligned({model: _read(responses_folder(folder, model), ("prompt", "response")) for model in models})[0]


def read_original_scores(folder: str | Path, models: Sequence[str]) -> tuple[ResponseTable, ScoreTable]:
    """
    Responses and scores of `{model}_score` folders, aligned by prompt.

    Args:
        folder (`str` or `Path`): Where these folders are, `scores/{reward model}`.
        models (`Sequence[str]`): Names of the models.

    Returns:
        `tuple[ResponseTable, ScoreTable]`: Prompts in the order of the first model; ids are hashes of the prompts.

    Raises:
        ValueError: A folder or column is missing, two models have different prompts, or a score is not finite.

    Example:
        ```python
        >>> import tempfile
        >>> from trl_ext.arena import ResponseTable, ScoreTable, read_original_scores, write_original_scores
        >>> folder = tempfile.mkdtemp()
        >>> responses = ResponseTable(("p",), ("Hi",), ("o", "r"), (("Hey!", "Hello."),))
        >>> write_original_scores(responses, ScoreTable(("p",), ("o", "r"), [[2.0, 1.0]]), folder)
        >>> responses, scores = read_original_scores(folder, ["r", "o"])
        >>> responses.responses, scores.scores
        ((('Hello.', 'Hey!'),), array([[1., 2.]]))

        ```
    """
    tables = {model: _read(scores_folder(folder, model), ("prompt", "response", "score")) for model in models}
    responses, rows = _aligned(tables)
    columns = [_scores(table["score"][:], model)[rows[model]] for model, table in tables.items()]
    return responses, ScoreTable(responses.prompt_ids, tuple(models), np.stack(columns, axis=1))


def write_original_responses(responses: ResponseTable, folder: str | Path) -> None:
    """Write a `CHARM-{model}` folder for each model; those that exist are replaced."""
    for model in responses.models:
        columns = {"prompt": list(map(_text, responses.prompts)), "response": list(responses.of(model))}
        _save(Dataset.from_dict(columns), responses_folder(folder, model))


def write_original_scores(responses: ResponseTable, scores: ScoreTable, folder: str | Path) -> None:
    """Write a `{model}_score` folder for each model; those that exist are replaced."""
    scores = scores.select(prompt_ids=tuple(map(str, responses.prompt_ids)))
    for model in scores.models:
        columns = {
            "prompt": list(map(_text, responses.prompts)),
            "response": list(responses.of(model)),
            "score": scores.of(model).tolist(),
        }
        _save(Dataset.from_dict(columns), scores_folder(folder, model))


def write_original_pairs(rows: Dataset, folder: str | Path) -> None:
    """
    Write calibrated pairs with the two columns of the original, each a list of two messages.

    Args:
        rows ([`~datasets.Dataset`]): Of [`calibrated_pairs`].
        folder (`str` or `Path`): Such as `calibrate/{reward model}/{overvalued}_{reference}`; replaced if it exists.

    Example:
        ```python
        >>> import tempfile
        >>> from datasets import Dataset
        >>> from trl_ext.arena import read_original_pairs, write_original_pairs
        >>> folder = tempfile.mkdtemp()
        >>> write_original_pairs(Dataset.from_dict({"prompt": ["Hi"], "chosen": ["Hello."], "rejected": ["Hey!"]}), folder)
        >>> read_original_pairs(folder)["chosen"][0]
        [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello.'}]

        ```
    """

    _save(Dataset.from_dict(_original_pairs(rows)), Path(folder))


def same_original_pairs(rows: Dataset, folder: str | Path) -> bool:
    """Whether a folder has what [`write_original_pairs`] would write of these rows."""
    try:
        there = read_original_pairs(folder)
    except ValueError:
        return False
    return all(there[name][:] == column for name, column in _original_pairs(rows).items())


def _original_pairs(rows: Dataset) -> dict[str, list[list[dict[str, str]]]]:
    def messages(prompt: Any, answer: Any) -> list[dict[str, str]]:
        content = answer if isinstance(answer, str) else answer[-1]["content"]
        return [{"role": "user", "content": _text(prompt)}, {"role": "assistant", "content": content}]

    return {
        name: [messages(row["prompt"], row[name]) for row in rows.select_columns(["prompt", name])]
        for name in ("chosen", "rejected")
    }


def read_original_pairs(folder: str | Path) -> Dataset:
    """Read what [`write_original_pairs`] or the original has written: `chosen` and `rejected`, lists of two messages."""
    return _read(Path(folder), ("chosen", "rejected"))


def write_pm_config(ratings: RatingTable, path: str | Path) -> None:
    """
    Write `pm_config.json`, which [`read_leaderboard`] reads. Whole numbers are written as such, as in the original.
    """
    entries = [
        {"model_name": model, "model_path": "", "arena_score": int(rating) if rating.is_integer() else rating}
        for model, rating in zip(ratings.models, map(float, ratings.of(ratings.models)), strict=True)
    ]
    write_text_atomically(path, json.dumps(entries, indent=4) + "\n")


def read_rm_config(path: str | Path) -> dict[str, dict[str, str]]:
    """
    Reward models of `rm_config.json`, a list of `{"model_name", "model_path", "pipeline_class"}`, by name.

    Raises:
        ValueError: It is not such a list; the entry is named.
    """
    models: dict[str, dict[str, str]] = {}
    for number, entry in enumerate(_read_rm_entries(Path(path))):
        if entry["model_name"] in models:
            raise ValueError(f"{str(path)!r}: model {entry['model_name']!r} occurs again as entry {number}")
        models[entry["model_name"]] = {field: entry[field] for field in ("model_path", "pipeline_class")}
    return models


def write_rm_config(models: Mapping[str, Mapping[str, str]], path: str | Path) -> None:
    """Write `rm_config.json` from `model_path` and `pipeline_class` by name."""
    entries = [
        {"model_name": name, "model_path": model["model_path"], "pipeline_class": model["pipeline_class"]}
        for name, model in models.items()
    ]
    write_text_atomically(path, json.dumps(entries, indent=4) + "\n")


def _read(folder: Path, columns: tuple[str, ...]) -> Dataset:
    if not folder.is_dir():
        raise ValueError(f"there is no folder {str(folder)!r}; the original writes it with `save_to_disk`")
    try:
        dataset = load_from_disk(str(folder))
    except FileNotFoundError as error:
        raise ValueError(f"{str(folder)!r} is not a dataset of `save_to_disk`: {error}") from error
    if not isinstance(dataset, Dataset):
        raise ValueError(f"{str(folder)!r} holds several splits ({', '.join(dataset)}); the original has none")
    for column in columns:
        if column not in dataset.column_names:
            raise ValueError(
                f"{str(folder)!r} has no column {column!r}; its columns are {', '.join(dataset.column_names)}"
            )
    if not len(dataset):
        raise ValueError(f"{str(folder)!r} has no rows")
    return dataset


def _scores(values: Sequence[Any], model: str) -> np.ndarray:
    """As floats `(N,)`; ends and `nan` are told apart by [`ScoreTable`]."""
    for row, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f"the score of model {model!r} in row {row} is {str(value)[:80]!r} ({type(value).__name__}): it must be one "
                "number per response"
            )
    return np.asarray(values, dtype=np.float64)


def _aligned(tables: Mapping[str, Dataset]) -> tuple[ResponseTable, dict[str, list[int]]]:
    """Responses to the prompts in the order of the first model, and the rows of every model in that order."""
    if not tables:
        raise ValueError("there are no models")
    for model, table in tables.items():
        for name in ("prompt", "response"):
            row = next((row for row, value in enumerate(table[name][:]) if value is None), None)
            if row is not None:
                raise ValueError(
                    f"model {model!r} has no {name} in row {row}: write it, or remove the row of all models"
                )
    keys = {model: _keys(table["prompt"][:]) for model, table in tables.items()}
    first = next(iter(tables))
    rows = {}
    for model, own in keys.items():
        places = {key: row for row, key in enumerate(own)}
        for have, known, who, other in ((keys[first], places, first, model), (own, set(keys[first]), model, first)):
            missing = [row for row, key in enumerate(have) if key not in known]
            if missing:
                prompt = tables[who]["prompt"][missing[0]]
                raise ValueError(
                    f"prompts don't match: {len(missing)} prompts of {who!r} are not among those of {other!r}; first: row "
                    f"{missing[0]}, {str(prompt)[:80]!r}. All models must answer the same prompts."
                )
        rows[model] = [places[key] for key in keys[first]]
    repeated = sum(occurrence > 0 for _, occurrence in keys[first])
    if repeated:
        logger.warning("%d prompts occur more than once; their responses are matched in order.", repeated)
    ids = tuple(digest + (f"-{occurrence + 1}" if occurrence else "") for digest, occurrence in keys[first])
    texts = {model: table["response"][:] for model, table in tables.items()}
    by_prompt = tuple(tuple(texts[model][rows[model][row]] for model in tables) for row in range(len(ids)))
    return ResponseTable(ids, tuple(tables[first]["prompt"][:]), tuple(tables), by_prompt), rows


def _keys(prompts: Sequence[Any]) -> list[tuple[str, int]]:
    """Hash of each prompt, and how often it occurred before."""
    seen: Counter = Counter()
    keys = []
    for prompt in prompts:
        digest = hashlib.sha256(json.dumps(prompt, ensure_ascii=False).encode()).hexdigest()[:_ID_DIGITS]
        keys.append((digest, seen[digest]))
        seen[digest] += 1
    return keys


def _text(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1 and prompt[0]["role"] == "user":
        return prompt[0]["content"]
    raise ValueError(
        "the original's layout has one message of a user per prompt; got messages of the roles "
        + ", ".join(repr(message["role"]) for message in prompt)
    )


def _save(dataset: Dataset, folder: Path) -> None:
    """Complete or absent: written beside, then put in place of what was there."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "dataset_info.json").is_file():
        raise ValueError(f"{str(folder)!r} has other files than a dataset: name a folder that may be replaced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        dataset.save_to_disk(str(temporary))
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read_rm_entries(path: Path) -> list[dict[str, str]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"can't read {str(path)!r}: there is no such file") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{str(path)!r} is not JSON: {error}") from None
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{str(path)!r} must hold a list of models with the fields {', '.join(_RM_FIELDS)}")
    for number, entry in enumerate(entries):
        for name in _RM_FIELDS:
            value = entry.get(name) if isinstance(entry, dict) else None
            if not isinstance(value, str):
                raise ValueError(f"{str(path)!r}: field {name!r} of entry {number} is {value!r}, not a text")
    return entries
