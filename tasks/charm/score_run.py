"""Scoring of all policies' responses with one reward model."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from tasks.config_keys import check_folder_name
from tasks.provenance import command
from tasks.rewardbench.evaluation import check_model, load_tokenizer, safe_name
from tasks.train_config import ConfigError
from trl_ext import RewardScorer
from trl_ext.arena import ResponseTable, ScoreTable, read_responses, score_responses
from trl_ext.privacy import hide_private
from trl_ext.scoring.processes import process_state


def run_scoring(config: Mapping[str, Any], sacred_run: Any) -> dict[str, float]:
    """
    Score the responses.

    Args:
        config (`Mapping`): Configuration of the script.
        sacred_run (`Run`): Sacred's record.

    Returns:
        `dict[str, float]`: Mean reward by model.

    Raises:
        ConfigError: On a mistake in the configuration or the data.
    """
    transformers.utils.logging.set_verbosity_warning()
    logging.getLogger("trl_ext").setLevel(logging.INFO)
    output = Path(config["output_dir"]).expanduser()
    name = config["name"] or safe_name(config["model"])
    check_folder_name(name, "name" if config["name"] else "model")
    folder = output / "scores" / name
    source = Path(config["responses"]).expanduser() if config["responses"] else output / "responses"
    try:
        check_model(config)
        responses = read_responses(source, config["models"], on_failure=config["on_failure"])
        if config["prompt_format"] == "chat":
            responses = as_messages(responses)
        scorer = make_scorer(config)
        table = score_responses(scorer, responses, folder, overwrite=config["overwrite"])
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error
    means = dict(zip(table.models, table.scores.mean(axis=0).tolist(), strict=True))
    if process_state().is_main_process:
        facts = {"mean_rewards": means, "timing": scorer.timing.to_dict(), "command": command("tasks/charm/score.py")}
        sacred_run.info["scores"] = hide_private(facts)
        print(f"\n{_format(table)}\n\nRewards: {folder / 'rewards.jsonl'}")
    return means


def as_messages(responses: ResponseTable) -> ResponseTable:
    """The same with texts of prompts as messages of the user."""
    prompts = (
        [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt for prompt in responses.prompts
    )
    return dataclasses.replace(responses, prompts=tuple(prompts))


def make_scorer(config: Mapping[str, Any]) -> RewardScorer:
    """Scorer of the configuration; weights are loaded when they are needed."""
    if not config["require_trained_head"]:
        transformers.set_seed(config["seed"])
    return RewardScorer(
        config["model"],
        load_tokenizer(config),
        dtype=config["torch_dtype"],
        **{
            key: config[key]
            for key in (
                *("adapter", "revision", "encoding", "chat_template", "override_chat_template", "reduction"),
                *("max_length", "max_length_policy", "max_tokens_per_batch", "shared_prefix", "attn_implementation"),
                *("device", "trust_remote_code", "require_trained_head", "progress"),
            )
        },
    )


def _format(table: ScoreTable) -> str:
    lines = [f"{'model':<32}{'mean reward':>12}{'sd':>10}   n"]
    for model in table.models:
        rewards = table.of(model)
        lines.append(
            f"{model:<32}{np.mean(rewards):12.4f}{np.std(rewards, ddof=min(1, len(rewards) - 1)):10.4f}   {len(rewards)}"
        )
    return "\n".join(lines)
