"""Scoring of rewrites with one or more reward models."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from tasks.provenance import command
from tasks.rate.score_rate_config import LEXICAL, resolve_rate_score
from tasks.rate.score_rate_inputs import ScoreInput, read_score_inputs
from tasks.rate.score_rate_models import make_rate_scorer, reward_name, score_folder_name
from tasks.rewardbench.evaluation import check_model
from tasks.train_config import ConfigError
from trl_ext.privacy import hide_private
from trl_ext.rate import RewardChains, original_file_name, score_chains, step_names, write_original_scored
from trl_ext.scoring.processes import on_main_process, process_state


SCRIPT = "tasks/rate/score.py"


def run_rate_scoring(config: Mapping[str, Any], sacred_run: Any) -> dict[str, float]:
    """
    Score the rewrites.

    Args:
        config (`Mapping`): Configuration of the script.
        sacred_run (`Run`): Sacred's record.

    Returns:
        `dict[str, float]`: Mean reward of originals by `<name>/<folder of the scores>`.

    Raises:
        ConfigError: On a mistake in the configuration or the data.
    """
    transformers.utils.logging.set_verbosity_warning()
    for name in ("trl_ext", "tasks.rate"):
        logging.getLogger(name).setLevel(logging.INFO)
    config = resolve_rate_score(config)
    try:
        folders = _folders(config)
        for model in folders:
            if model != LEXICAL:
                check_model({**config, "model": model})
        inputs = read_score_inputs(config)
        rewards, timings = _score_all(config, folders, inputs)
        if config["export_original"] or config["original_file"]:
            on_main_process(lambda: _export(config, inputs, rewards))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error
    means = {f"{name}/{folders[model]}": float(table.original.mean()) for (name, model), table in rewards.items()}
    if process_state().is_main_process:
        facts = {"mean_rewards": means, "timing": timings, "command": command(SCRIPT)}
        sacred_run.info["scores"] = hide_private(facts)
        print(f"\n{_format(rewards)}")
        for name, model in rewards:
            print(f"Rewards: {inputs[name].folder / 'scores' / folders[model] / 'rewards.jsonl'}")
    return means


def _folders(config: Mapping[str, Any]) -> dict[str, str]:
    """Folder of the scores by model."""
    folders = {model: score_folder_name(config, model) for model in config["models"]}
    if len(set(folders.values())) < len(folders):
        raise ValueError(f"models of one name would share a folder: {folders}. Score one of them with a `score_name`.")
    return folders


def _score_all(
    config: Mapping[str, Any], folders: Mapping[str, str], inputs: Mapping[str, ScoreInput]
) -> tuple[dict[tuple[str, str], RewardChains], dict[str, Any]]:
    """Rewards, and the time they took, by data set and model. One model is in memory at a time."""
    rewards, timings = {}, {}
    for model, folder in folders.items():
        scorer = make_rate_scorer(config, model)
        for name, given in inputs.items():
            rewards[name, model] = score_chains(
                scorer,
                given.chains,
                given.folder / "scores" / folder,
                overwrite=config["overwrite"],
                facts={**given.facts, "reward_model": reward_name(config, model)},
            )
            record = json.loads((given.folder / "scores" / folder / "rewards.jsonl.meta.json").read_text())
            timings[f"{name}/{folder}"] = record["timing"]
        del scorer
    return rewards, timings


def _export(
    config: Mapping[str, Any],
    inputs: Mapping[str, ScoreInput],
    rewards: Mapping[tuple[str, str], RewardChains],
) -> None:
    """Write scores in the original's layout, a file for each data set and model, as there."""
    for (name, model), table in rewards.items():
        given = inputs[name]
        used = set(given.chains.ids)
        before = {
            key: found.select([row for row, row_id in enumerate(found.ids) if row_id in used])
            for key, found in given.scored.items()
            if key != reward_name(config, model)
        }
        label = Path(model).name if config["label"] is None else reward_name(config, Path(model).name)
        path = (
            given.folder / "scored" / original_file_name("scored", name, model=label, smoke_test=config["limit"] == 10)
        )
        write_original_scored(given.chains, {**before, reward_name(config, model): table}, path)
        print(f"In the original's layout: {path}")


def _format(rewards: Mapping[tuple[str, str], RewardChains]) -> str:
    """Mean rewards by step; effects of attributes on them are another script's."""
    steps = max(table.steps for table in rewards.values())
    names = step_names(steps + 1)
    lines = [f"{'data':<28}{'reward model':<36}{'n':>7}" + "".join(f"{name:>20}" for name in names)]
    for (name, model), table in rewards.items():
        means = "".join(f"{value:20.4f}" for value in np.mean(table.rewards, axis=0))
        lines.append(f"{name:<28}{model:<36}{len(table):>7}{means}")
    return "\n".join(["Mean rewards", *lines])
