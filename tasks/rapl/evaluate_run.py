"""One run of `tasks/rapl/evaluate_reward_model.py`: read and check, score what is not scored yet, compute, write."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoTokenizer

from tasks.json_files import write_json
from tasks.provenance import command, model_identity, package_versions
from tasks.rapl.evaluate_config import DEFAULTS
from tasks.rapl.evaluation_sets import EvaluationSet, attribute_bias_set, lie_set, rm_bench_set, true_set
from tasks.results_log import ResultsLog
from tasks.train_config import ConfigError
from trl_ext import RewardScorer
from trl_ext.atomic_files import write_text_atomically
from trl_ext.data import resolve_model
from trl_ext.privacy import hide_private
from trl_ext.scoring.encoding import Encoder
from trl_ext.scoring.groups import groups_from_rows
from trl_ext.scoring.processes import on_main_process, process_state


logger = logging.getLogger("tasks.rapl.evaluate_reward_model")

LOG_COLUMNS = ("time", "set", "model", "data_sha256", "files", "length", "scoring", "figures", "config", "provenance")


@dataclass(frozen=True)
class LengthCount:
    """
    What a length limit did to a set.

    Args:
        rows (`int`): Rows before.
        dropped_rows (`int`): Rows that were left out, as one of their answers is too long with its prompt.
        truncated_rows (`int`): Rows whose prompt was shortened from the left.
        over_length_responses (`int`): Answers that are too long with their prompt.
        first_id (`str` or `int` or `None`): Identifier of the first such row.
        longest (`int`): Tokens of the longest answer with its prompt.
    """

    rows: int
    dropped_rows: int
    truncated_rows: int
    over_length_responses: int
    first_id: Any
    longest: int


def load_sets(config: Mapping[str, Any]) -> list[EvaluationSet]:
    """The sets whose data the configuration gives."""
    seed = config["seed"]
    loaders = {
        "lie_data_dir": lambda path: lie_set(path, seed=seed),
        "true_data_dir": lambda path: true_set(path, config["true_split"], config["true_fold"], seed=seed),
        "rm_bench_path": rm_bench_set,
        "attribute_bias_path": lambda path: attribute_bias_set(
            path, other_codes=config["attribute_other_codes"], correction=config["attribute_correction"]
        ),
    }
    sets = [load(config[key]) for key, load in loaders.items() if config[key] is not None]
    if config["max_rows"]:
        sets = [data.select(np.arange(len(data)) < config["max_rows"]) for data in sets]
    return sets


def limit_length(
    data: EvaluationSet, encoder: Encoder, prompt_format: str, max_length: int | None, policy: str
) -> tuple[EvaluationSet, LengthCount]:
    """
    Apply a length limit to a set. A row is dropped whole: answers of a prompt are compared with one another.

    Raises:
        ValueError: With `"error"`, a row is too long; or nothing is left; or no prompt is long enough to be truncated.
    """
    groups = list(groups_from_rows(data.to_score(prompt_format), data.name, {}))
    sequences, _ = Encoder(encoder.tokenizer).encode(groups)
    lengths = np.array([len(ids) for ids in sequences]).reshape(len(data), len(data.answers))
    too_long = lengths > (np.inf if max_length is None else max_length)
    rows = too_long.any(axis=1)
    first = data.rows["id"].iloc[int(np.argmax(rows))] if rows.any() else None
    count = LengthCount(
        rows=len(data),
        dropped_rows=int(rows.sum()) if policy == "drop" else 0,
        truncated_rows=int(rows.sum()) if policy == "truncate_prompt_left" else 0,
        over_length_responses=int(too_long.sum()),
        first_id=first if first is None or isinstance(first, str) else int(first),
        longest=int(lengths.max()),
    )
    if not rows.any():
        return data, count
    message = (
        f"{data.name}: {rows.sum()} of {len(data)} rows have an answer that is longer with its prompt than "
        f"max_length={max_length} (longest {lengths.max()} tokens; first: id {first!r})"
    )
    if policy == "error":
        raise ValueError(f"{message}. Raise max_length, or choose max_length_policy=drop or truncate_prompt_left.")
    if policy == "truncate_prompt_left":
        encoder.encode(groups)  # raises if the answers alone are too long
        logger.warning("%s; their prompts are truncated from the left", message)
        return data, count
    if rows.all():
        raise ValueError(f"{message}: no row is left. Raise max_length.")
    logger.warning("%s; they are dropped", message)
    return data.select(~rows), count


def score(data: EvaluationSet, scorer: RewardScorer, config: Mapping[str, Any], folder: Path) -> tuple[dict, dict]:
    """
    Rewards of a set by answer, and how they were made. What lies in `folder` of the same model, data and settings is
    used again; an interrupted run is continued.
    """
    source, output = folder / f"{data.name}.input.jsonl", folder / f"{data.name}.jsonl"
    lines = "".join(json.dumps(row) + "\n" for row in data.to_score(config["prompt_format"]))
    on_main_process(lambda: write_text_atomically(source, lines))
    meta = scorer.score_file(source, output, overwrite=config["overwrite"])
    rewards = np.array([json.loads(line)["reward"] for line in output.read_text(encoding="utf-8").splitlines()])
    by_answer = rewards.reshape(len(data), len(data.answers)).T
    scoring = {**meta["settings"], "provenance": meta["provenance"], "timing": meta["timing"]}
    return dict(zip(data.answers, by_answer, strict=True)), scoring


def default_output_dir(model: str) -> str:
    """`outputs/evaluate-<last part of the model's name>`."""
    return f"outputs/evaluate-{model.removeprefix('bundled:').rstrip('/').rsplit('/', maxsplit=1)[-1]}"


def make_scorer(config: Mapping[str, Any]) -> RewardScorer:
    """The scorer, with its tokenizer and the model's configuration; weights are loaded when they are needed."""
    tokenizer = config["tokenizer"]
    truncates = config["max_length_policy"] == "truncate_prompt_left"
    scorer = RewardScorer(
        config["model"],
        None if tokenizer is None else AutoTokenizer.from_pretrained(resolve_model(tokenizer)),
        max_length=config["max_length"],
        max_length_policy="truncate_prompt_left" if truncates else "error",
        max_tokens_per_batch=config["max_tokens_per_batch"],
        shared_prefix=config["shared_prefix"],
        dtype=config["dtype"],
        attn_implementation=config["attn_implementation"],
        device=config["device"],
        adapter=config["adapter"],
        revision=config["revision"],
        trust_remote_code=config["trust_remote_code"],
        progress=config["progress"],
    )
    if config["prompt_format"] == "human_assistant" and scorer.processing_class.chat_template is not None:
        logger.info(
            "Prompts are scored as text with 'Human:' and 'Assistant:', as in the paper. For a model that was trained on "
            "messages, set prompt_format=chat."
        )
    return scorer


def run(config: dict[str, Any], sacred_run) -> dict[str, float]:
    """
    Evaluate a reward model as `tasks/rapl/evaluate_reward_model.py` configures it.

    Returns:
        `dict[str, float]`: The headline figures.
    """
    transformers.utils.logging.set_verbosity_warning()
    logging.getLogger("trl_ext").setLevel(logging.INFO)
    logger.setLevel(logging.INFO)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 and not torch.accelerator.is_available():
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    folder = Path(config["output_dir"] or default_output_dir(config["model"])).expanduser()
    try:
        log = None
        if config["results_log"] is not None:
            log = ResultsLog(config["results_log"], LOG_COLUMNS, {"config": list(DEFAULTS)})
        sets = load_sets(config)
        scorer = make_scorer(config)
        limits = [
            limit_length(
                data, scorer.encoder, config["prompt_format"], config["max_length"], config["max_length_policy"]
            )
            for data in sets
        ]
        scored = [score(data, scorer, config, folder / "scores") for data, _ in limits]
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error

    results: dict[str, Any] = {"sets": {}, "provenance": None}
    rows = []
    common = provenance(config, scorer)
    for (data, count), (rewards, scoring) in zip(limits, scored, strict=True):
        table = data.table(rewards)
        results["sets"][data.name] = {
            "figures": data.figures(table),
            "length": asdict(count),
            "data_sha256": data.data_hash(),
            "files": data.files,
            "scoring": scoring,
        }
        rows.append(
            {"time": datetime.now(UTC).isoformat(timespec="seconds"), "set": data.name, "model": config["model"]}
            | results["sets"][data.name]
            | {"config": config, "provenance": common}
        )
        if process_state().is_main_process:
            write_text_atomically(folder / f"{data.name}_rewards.csv", table.to_csv(index=False))
    results["provenance"] = common | {"config": config}
    headline = {
        f"{data.name}.{path}": _figure(results["sets"][data.name]["figures"], path)
        for data, _ in limits
        for path in data.headline
    }
    if process_state().is_main_process:
        write_json(folder / "results.json", results)
        for row in rows if log is not None else ():
            log.append(row)
        sacred_run.info["figures"] = hide_private(headline)
        print(f"\n{format_headline(headline)}\n\nAll figures: {folder / 'results.json'}")
    return {name: figure["value"] for name, figure in headline.items()}


def provenance(config: Mapping[str, Any], scorer: RewardScorer) -> dict[str, Any]:
    """What a reader needs to repeat the evaluation, beside the configuration and what belongs to a set."""
    source = scorer.source
    adapter = None if source.adapter is None else model_identity(source.adapter, resolve_model(source.adapter))
    return {
        "command": command("tasks/rapl/evaluate_reward_model.py"),
        "model": model_identity(config["model"], source.name, scorer.model),
        "adapter": adapter,
        "revision": source.revision,
        "versions": package_versions(),
        "seed": config["seed"],
    }


def _figure(figures: Mapping[str, Any], path: str) -> dict[str, Any]:
    for key in path.split("."):
        figures = figures[key]
    return figures


def format_headline(headline: Mapping[str, Mapping[str, Any]]) -> str:
    """A line per figure, with its interval."""
    width = max(map(len, headline))
    return "\n".join(
        f"{name.ljust(width)}  {figure['value']:8.3f}  [{figure['ci_low']:.3f}, {figure['ci_high']:.3f}]  n={figure['n']}"
        for name, figure in headline.items()
    )
