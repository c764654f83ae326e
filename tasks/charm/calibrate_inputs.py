"""Scores, responses, ratings and the split of the prompts, read, checked against each other, and hashed."""

import json
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
    read_responses,
    read_scores,
)
from trl_ext.arena.original_folders import models_with_scores


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
    """

    responses: ResponseTable
    scores: ScoreTable
    ratings: RatingTable
    heldout: ScoreTable | None
    hashes: dict[str, str]


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
        responses, scores = read_original_scores(config["score_dataset_dir"], _original_models(config))
    else:
        scores = read_scores(config["scores"])
        responses = read_responses(config["responses"], models=scores.models)
    ratings.index(scores.models)  # tells at once which model has no rating
    heldout = None
    if config["prompts"] is not None:
        wanted = _ids_of_split(Path(config["prompts"]), config["split"])
        scored = set(scores.prompt_ids)
        missing = [prompt for prompt in wanted if prompt not in scored]
        if missing:
            raise ValueError(
                f"prompts don't match: {len(missing)} of {len(wanted)} prompts of the split {config['split']!r} have no "
                f"scores; first: {missing[0]!r}"
            )
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
    return CalibrationInputs(responses, scores, ratings, heldout, hashes)


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
    lines = path.read_text(encoding="utf-8").splitlines()
    splits: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, of = str(row["id"]), row["split"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: a prompt needs id and split ({error})") from None
        if name in splits:
            raise ValueError(f"{path}, line {number}: id {name!r} occurs twice")
        splits[name] = of
    wanted = [name for name, of in splits.items() if of == split]
    if not wanted:
        raise ValueError(
            f"{path} has no prompts of the split {split!r}; there are {', '.join(sorted(set(splits.values())))}"
        )
    return wanted
