"""The rewrites that are to be scored: of one data set or all, those that pass quality, or of a file of the original."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.provenance import hash_file
from trl_ext.rate import RewardChains, TextChains, find_chains, read_original_rewrites, read_original_scored
from trl_ext.rate.callbacks import sample_rows
from trl_ext.rate.chains.chain_folders import REWRITES
from trl_ext.rate.chains.scoring import chat_prompts, complete_chains
from trl_ext.scoring.processes import on_main_process


logger = logging.getLogger("tasks.rate")

QUALITY = "quality.json"


@dataclass(frozen=True)
class ScoreInput:
    """
    What is scored of one data set.

    Args:
        folder (`Path`): Its folder.
        chains ([`TextChains`]): Rows to score.
        facts (`dict`): Which file they are of, and what was left out, for the record.
        scored (`Mapping[str, RewardChains]`): Rewards that a file of the original had already.
    """

    folder: Path
    chains: TextChains
    facts: dict[str, Any]
    scored: Mapping[str, RewardChains]


def read_score_inputs(config: Mapping[str, Any]) -> dict[str, ScoreInput]:
    """
    Read and check all that is to be scored, before a model is loaded.

    Args:
        config (`Mapping`): Resolved configuration of the script.

    Returns:
        `dict[str, ScoreInput]`: By the name of the data set.

    Raises:
        ValueError: There is nothing, or a file is not as it must be.
    """
    output = Path(config["output_dir"]).expanduser()
    scored: dict[str, RewardChains] = {}
    if config["original_file"]:
        name, scored = _import_original(config, output)
        files = {name: output / name / REWRITES}
    elif config["name"]:
        files = {config["name"]: output / config["name"] / REWRITES}
    else:
        files = find_chains(output)
    return {name: _read(config, path, scored) for name, path in files.items()}


def _read(config: Mapping[str, Any], path: Path, scored: Mapping[str, RewardChains]) -> ScoreInput:
    chains = TextChains.read(path)
    facts: dict[str, Any] = {"rewrites_sha256": hash_file(path), "quality": None, "limit": config["limit"]}
    quality = path.with_name(QUALITY)
    if config["use_quality"] or (config["use_quality"] is None and quality.is_file()):
        keep, exclusions = _read_quality(quality, chains)
        facts["quality"] = {"rows": len(chains), "kept": int(keep.sum()), "exclusions": exclusions}
        logger.info(
            "%s: %d of %d rows pass %s. Others: %s.", path.parent, keep.sum(), len(chains), QUALITY, exclusions
        )
        chains = chains.select(keep)
    # Before a model is loaded: what fails, or is too little, is told now
    complete, facts["left_out"] = complete_chains(chains, config["on_failure"])
    if config["limit"] is not None:
        complete = sample_rows(complete, config["limit"], config["seed"])
    if config["prompt_format"] == "chat":
        complete = chat_prompts(complete)
    return ScoreInput(path.parent, complete, facts, scored)


def _read_quality(path: Path, chains: TextChains) -> tuple[np.ndarray, dict[str, int]]:
    """Which rows pass, shape `(N,)`, and how many do not by the reason."""
    try:
        quality = json.loads(path.read_text(encoding="utf-8"))
        keep, exclusions = quality["keep"], quality["exclusions"]
        counts = {name: part["rows"] if isinstance(part, dict) else int(part) for name, part in exclusions.items()}
    except OSError as error:
        raise ValueError(f"use_quality=True needs {path}, which can't be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} must be an object with `keep` and `exclusions`: {error!r}") from error
    if not isinstance(keep, list) or not all(isinstance(value, bool) for value in keep) or len(keep) != len(chains):
        raise ValueError(
            f"{path}: `keep` must have true or false for each of the {len(chains)} rows of {REWRITES}. If these are newer, "
            "measure the quality again, or set use_quality=False."
        )
    if not any(keep):
        raise ValueError(f"{path}: no row passes ({counts}); see there why, or set use_quality=False")
    return np.array(keep), counts


def _import_original(config: Mapping[str, Any], output: Path) -> tuple[str, dict[str, RewardChains]]:
    """Copy a file of the original into our layout; rewards in it are kept for the export."""
    path = Path(config["original_file"]).expanduser()
    scored: dict[str, RewardChains] = {}
    if path.suffix == ".jsonl":
        chains, scored = read_original_scored(path, config["attribute"])
    else:
        chains = read_original_rewrites(path, config["attribute"])
    name = config["name"] or path.stem
    target = output / name / REWRITES

    def write() -> None:
        if target.is_file() and not config["overwrite"] and TextChains.read(target).rows() != chains.rows():
            raise ValueError(
                f"{target} has other texts than {path}: set another `name`, or overwrite=True to replace them"
            )
        chains.write(target)

    on_main_process(write)
    return name, scored
