"""Rewards of all models' responses: prompts computed once for all models, in a file that can be continued."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ...json_lines import read_lines
from ...scoring.scored_folder import INPUT, REWARDS, check_complete, read_reward_rows, score_rows
from ..score_table import ScoreTable
from .prompt_rows import check_prompt_rows
from .response_table import ResponseTable


if TYPE_CHECKING:
    from ...scoring.base import Scorer


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
    if len(responses.models) < 2:
        raise ValueError(
            f"there are responses of one model only, {responses.models[0]!r}: two or more are compared"
            if responses.models
            else "there are no models"
        )
    score_rows(
        *(scorer, responses.rows(), folder), overwrite=overwrite, what="responses", parts="models, prompts or texts"
    )
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
    rows = read_reward_rows(folder, what="responses", column="source", called="model")
    expected = [(str(row["id"]), source) for _, row in read_lines(folder / INPUT) for source in row["sources"]]
    check_complete(folder / REWARDS, rows, expected, "source", "model")
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
