"""Rewards of all models' responses: prompts computed once for all models, in a file that can be continued."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..atomic_files import write_text_atomically
from ..json_lines import as_lines, read_lines
from .prompt_rows import check_prompt_rows
from .response_table import ResponseTable
from .score_table import ScoreTable


if TYPE_CHECKING:
    from ..scoring.base import Scorer


INPUT = "input.jsonl"
REWARDS = "rewards.jsonl"


def score_responses(
    scorer: "Scorer", responses: ResponseTable, folder: str | Path, *, overwrite: bool = False
) -> ScoreTable:
    """
    Score the responses of all models.

    A prompt with its responses is one row, so that [`~trl_ext.RewardScorer`] computes it once for all models. The same
    call continues what was interrupted; under `accelerate launch` the rows are divided among the processes.

    Args:
        scorer ([`~trl_ext.RewardScorer`] or another scorer):
            The reward model.
        responses ([`ResponseTable`]):
            Responses of two or more models.
        folder (`str` or `Path`):
            Gets `input.jsonl` (K-way rows), `rewards.jsonl` (`prompt_id, response_id, source, reward`) and
            `rewards.jsonl.meta.json` (settings, versions, timing).
        overwrite (`bool`, *optional*, defaults to `False`):
            Score again if the folder has rewards of other responses or settings.

    Returns:
        [`ScoreTable`]

    Raises:
        ValueError: There is one model only, a response is empty or too long, or the folder has rewards of other responses
            or settings.
    """
    from ..scoring.processes import on_main_process

    if len(responses.models) < 2:
        raise ValueError(
            f"there are responses of one model only, {responses.models[0]!r}: two or more are compared"
            if responses.models
            else "there are no models"
        )
    folder = Path(folder)
    on_main_process(lambda: _write_input(responses, folder, overwrite))
    scorer.score_file(folder / INPUT, folder / REWARDS, overwrite=overwrite)
    return read_scores(folder)


def read_scores(folder: str | Path) -> ScoreTable:
    """
    Read the rewards that [`score_responses`] wrote.

    Args:
        folder (`str` or `Path`): Its folder.

    Returns:
        [`ScoreTable`]: Prompts and models in the order of `input.jsonl`.

    Raises:
        ValueError: A file is missing, torn or not finished, or a reward is missing, twice there or not finite. File and
            line, or model and prompt, are named.
    """
    folder = Path(folder)
    path, record = folder / REWARDS, folder / f"{REWARDS}.meta.json"
    if not path.is_file():
        raise ValueError(f"{folder} has no {REWARDS}: score the responses first")
    if not record.is_file():
        raise ValueError(f"{path} has no record {record.name} of how it was made: score the responses again")
    try:
        made = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{record} is not JSON ({error}): score the responses again with overwrite=True") from error
    if not isinstance(made, dict) or not made.get("finished"):
        raise ValueError(f"{path} is not finished: score with the same call as before, which continues")
    rows = [_reward_row(path, number, row) for number, row in read_lines(path)]
    _check_complete(path, rows, [row for _, row in read_lines(folder / INPUT)])
    return ScoreTable.from_long(pd.DataFrame(rows))


def read_scored_responses(folder: str | Path) -> ResponseTable:
    """
    Read the prompts and responses that [`score_responses`] scored, in the form in which they were scored.

    Args:
        folder (`str` or `Path`): Its folder.

    Returns:
        [`ResponseTable`]: Prompts and models in the order of `input.jsonl`.

    Raises:
        ValueError: The file is missing or torn, or a row has other models than the first. File and line are named.
    """
    path = Path(folder) / INPUT
    lines = read_lines(path)
    rows = check_prompt_rows([row for _, row in lines], str(path))
    models = rows[0].get("sources")
    for (number, _), row in zip(lines, rows, strict=True):
        if not isinstance(models, list) or row.get("sources") != models:
            raise ValueError(
                f"{path}, line {number}: 'sources' must be the models of all lines, {models!r}, got {row.get('sources')!r}"
            )
        texts = row.get("responses")
        if not isinstance(texts, list) or len(texts) != len(models) or not all(isinstance(t, str) for t in texts):
            raise ValueError(f"{path}, line {number}: 'responses' must be a text for each of the 'sources'")
    return ResponseTable(
        *(tuple(row[name] for row in rows) for name in ("id", "prompt")),
        tuple(models),
        tuple(tuple(row["responses"]) for row in rows),
    )


def _write_input(responses: ResponseTable, folder: Path, overwrite: bool) -> None:
    content = as_lines(responses.rows())
    path = folder / INPUT
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return
    if path.is_file() and (folder / REWARDS).exists() and not overwrite:
        raise ValueError(
            f"{folder} has rewards of other responses (models, prompts or texts differ from {path.name}). Give another "
            "folder, or score again with overwrite=True."
        )
    write_text_atomically(path, content)


def _reward_row(path: Path, number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("prompt_id", "source", "reward"):
        if row.get(name) is None:
            raise ValueError(f"{path}, line {number} has no {name!r}")
    if isinstance(row["reward"], bool) or not isinstance(row["reward"], int | float):
        raise ValueError(f"{path}, line {number}: 'reward' must be a number, got {row['reward']!r}")
    # NaN would look like a missing score in a table: told here, with its line
    if row["reward"] != row["reward"]:
        raise ValueError(
            f"{path}, line {number} (prompt {row['prompt_id']!r}, model {row['source']!r}): the reward is NaN. Score again, "
            "or remove the prompt from all models."
        )
    return {"prompt_id": str(row["prompt_id"]), "source": row["source"], "reward": float(row["reward"])}


def _check_complete(path: Path, rows: list[dict[str, Any]], inputs: list[dict[str, Any]]) -> None:
    expected = [(str(row["id"]), source) for row in inputs for source in row["sources"]]
    found = {(row["prompt_id"], row["source"]) for row in rows}
    lacking = [pair for pair in expected if pair not in found]
    if lacking:
        raise ValueError(
            f"{path} lacks {len(lacking)} of {len(expected)} rewards; first: model {lacking[0][1]!r}, prompt "
            f"{lacking[0][0]!r}. Score with the same call as before, which continues, or with overwrite=True."
        )
