"""Scores, responses, ratings and the split of the prompts, read, checked against each other, and hashed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.provenance import hash_rows
from trl_ext.arena import (
    RatingTable,
    ResponseTable,
    ScoreTable,
    fit_ratings,
    read_battles,
    read_leaderboard,
    read_original_scores,
    read_prompt_rows,
    read_responses,
    read_scored_responses,
    read_scores,
)
from trl_ext.arena.responses.files import unanswered_prompts
from trl_ext.arena.responses.original_folders import models_with_scores
from trl_ext.arena.responses.prompt_rows import asked_messages


logger = logging.getLogger("tasks.charm.calibrate")


@dataclass(frozen=True)
class CalibrationInputs:
    """
    What a calibration depends on.

    Args:
        responses (`ResponseTable`): Responses of all models to the prompts to calibrate on.
        scores (`ScoreTable`): Their rewards.
        ratings (`RatingTable`): Ratings of all models.
        heldout (`ScoreTable`, *optional*): Rewards of the other prompts.
        hashes (`dict[str, str]`): SHA-256 of each of them.
        unanswered (`int`): Prompts that are left out as a model has no response to them.
    """

    responses: ResponseTable
    scores: ScoreTable
    ratings: RatingTable
    heldout: ScoreTable | None
    hashes: dict[str, str]
    unanswered: int


def read_inputs(config: Mapping[str, Any]) -> CalibrationInputs:
    """Read the files that a configuration names, as [`tasks.charm.calibrate_config.resolve_config`] gives it."""
    if config["battles"] is not None:
        ratings = fit_ratings(
            read_battles(config["battles"]),
            method=config["ratings_method"],
            seed=config["seed"],
            level=config["level"],
        )
    else:
        ratings = read_leaderboard(
            config["ratings"],
            style_control=config["style_control"],
            category=config["category"],
            snapshot=config["snapshot"],
        )
    if config["score_dataset_dir"] is not None:
        failed: frozenset[str] = frozenset()
        responses, scores = read_original_scores(config["score_dataset_dir"], _original_models(config))
    else:
        responses, scores, failed = _read_scored(config)
    ratings.index(scores.models)  # tells at once which model has no rating
    heldout, unanswered = None, len(failed)
    if config["prompts"] is not None:
        wanted, unanswered = _scored_prompts(config, scores, failed)
        kept = set(wanted)
        others = [prompt for prompt in scores.prompt_ids if prompt not in kept]
        heldout = scores.select(prompt_ids=others) if others else None
        scores, responses = scores.select(prompt_ids=wanted), responses.select(wanted)
    texts = pd.DataFrame(responses.rows()).astype(str)
    hashes = {
        "scores": hash_rows(scores.to_long(), ["prompt_id", "source", "reward"]),
        "responses": hash_rows(texts, ["id", "prompt", "responses", "sources"]),
        "ratings": _hash_ratings(ratings.select(scores.models)),
    }
    if heldout is not None:
        hashes["heldout"] = hash_rows(heldout.to_long(), ["prompt_id", "source", "reward"])
    return CalibrationInputs(responses, scores, ratings, heldout, hashes, unanswered)


def _hash_ratings(ratings: RatingTable) -> str:
    """Of all that intervals and weights depend on, not of ratings alone."""
    covariance = ratings.covariance_of(ratings.models)
    columns = {f"covariance[{column}]": covariance[:, column] for column in range(len(ratings))}
    table = ratings.table.assign(level=ratings.level, method=ratings.method, **columns)
    return hash_rows(table, ["model", "rating", "rating_low", "rating_high", "level", "method", *columns])


def _original_models(config: Mapping[str, Any]) -> list[str]:
    """The two models named; without names, all that have a folder of scores."""
    if config["overvalued"] is not None:
        return [config["overvalued"], config["reference"]]
    return models_with_scores(config["score_dataset_dir"])


def _ids_of_split(path: Path, split: str) -> list[str]:
    splits = {row["id"]: row.get("split") for row in read_prompt_rows(path)}
    wanted = [name for name, of in splits.items() if of == split]
    if not wanted:
        there = ", ".join(sorted({str(of) for of in splits.values()}))
        raise ValueError(f"{path} has no prompts of the split {split!r}; there are {there}")
    return wanted


def _read_scored(config: Mapping[str, Any]) -> tuple[ResponseTable, ScoreTable, frozenset[str]]:
    """
    Responses in the form in which they were scored, their rewards, and ids of prompts that some model did not answer.

    The trainer is to see what the scorer saw; the files of responses must still be those that were scored.
    """
    scores, scored = read_scores(config["scores"]), read_scored_responses(config["scores"])
    failed = unanswered_prompts(config["responses"], scores.models)
    now = read_responses(config["responses"], scores.models, on_failure="drop")
    places = {name: place for place, name in enumerate(now.prompt_ids)}
    columns = [now.models.index(model) for model in scored.models]
    again = f"Score the responses again into another folder, or with overwrite=True, or set `responses` (now {config['responses']})."
    for name, prompt, texts in zip(scored.prompt_ids, scored.prompts, scored.responses, strict=True):
        if name not in places:
            raise ValueError(f"{config['scores']} has rewards of the prompt {name!r}, which has no responses. {again}")
        place = places[name]
        if asked_messages({"prompt": prompt}) != asked_messages({"prompt": now.prompts[place]}):
            raise ValueError(f"prompt {name!r} is not the one that was scored ({config['scores']}). {again}")
        for model, text, column in zip(scored.models, texts, columns, strict=True):
            if text != now.responses[place][column]:
                raise ValueError(
                    f"the response of model {model!r} to the prompt {name!r} is not the one that was scored "
                    f"({config['scores']}). {again}"
                )
    return scored, scores, failed


def _scored_prompts(config: Mapping[str, Any], scores: ScoreTable, failed: frozenset[str]) -> tuple[list[str], int]:
    """Prompts of the split that have scores, and the number of those that have none as a model did not answer."""
    wanted = _ids_of_split(Path(config["prompts"]), config["split"])
    scored = set(scores.prompt_ids)
    missing = [prompt for prompt in wanted if prompt not in scored]
    unexplained = [prompt for prompt in missing if prompt not in failed]
    if unexplained:
        raise ValueError(
            f"prompts don't match: {len(unexplained)} of {len(wanted)} prompts of the split {config['split']!r} have no "
            f"scores; first: {unexplained[0]!r}"
        )
    if len(missing) == len(wanted):
        raise ValueError(f"no prompt of the split {config['split']!r} has a response of every model")
    if missing:
        logger.warning(
            "%d of %d prompts of the split %r are left out: a model has no response to them.",
            *(len(missing), len(wanted), config["split"]),
        )
    return [prompt for prompt in wanted if prompt in scored], len(missing)
