"""One run of `run_bon.py`: score candidates, rank them, write the selected ones and the curve of their quality."""

import json
from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from tasks.json_files import write_json
from tasks.provenance import command, package_versions
from tasks.rewardbench.candidates import load_candidates
from tasks.rewardbench.evaluation import (
    MODEL_TYPES,
    check_model,
    data_name,
    make_reward_scorer,
    safe_name,
    show_messages,
)
from tasks.train_config import ConfigError
from trl_ext.atomic_files import atomic_path
from trl_ext.evaluation.accuracy.best_of_n import best_of_k_curve, rank_candidates, select_best
from trl_ext.evaluation.benchmarks.run import read_rewards, write_input
from trl_ext.evaluation.rewardbench_layout import model_name as layout_name
from trl_ext.evaluation.rewardbench_layout import write_best_of_n
from trl_ext.privacy import hide_private
from trl_ext.scoring.processes import on_main_process, process_state


def run_best_of_n(config: Mapping[str, Any], sacred_run: Any) -> dict[str, Any]:
    """
    Rank candidates as `run_bon.py` configures it.

    Returns:
        `dict[str, Any]`: Number of prompts, ties for the first place, and with qualities those of best-of-1 and best-of-N.

    Raises:
        ConfigError: On a mistake in the configuration or in the data.
    """
    show_messages()
    title = f"best_of_n-{data_name(config['dataset'])}" + ("-debug" if config["debug"] else "")
    folder = Path(config["output_dir"]).expanduser() / title / safe_name(config["model"])
    try:
        check_model(config)
        rows = load_candidates(
            config["dataset"],
            split=config["split"],
            best_of=config["best_of"],
            quality_column=config["quality_column"],
        )
        if config["debug"]:
            rows = rows.select(range(min(10, len(rows))))
        scorer = make_reward_scorer(config, folder)
        input, output = folder / "input.jsonl", folder / "rewards.jsonl"
        text = "".join(json.dumps({name: row[name] for name in ("id", "prompt", "responses")}) + "\n" for row in rows)
        on_main_process(lambda: write_input(input, text, output, config["overwrite"]))
        meta = scorer.score_file(input, output, overwrite=config["overwrite"])
        rewards = read_rewards(output, rows)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error
    figures = on_main_process(lambda: _write(config, folder, rows, rewards, meta))
    if process_state().is_main_process:
        sacred_run.info["figures"] = hide_private(figures)
        print(f"\n{json.dumps(figures, indent=2)}\n\nRankings, selected responses and figures: {folder}")
    return figures


def _write(
    config: Mapping[str, Any], folder: Path, rows: Dataset, rewards: list[np.ndarray], meta: dict[str, Any]
) -> dict[str, Any]:
    ranks, selection = rank_candidates(rewards), select_best(rewards)
    _write_lines(
        folder / "rankings.jsonl",
        [
            {"id": row["id"], "rewards": reward.tolist(), "ranks": rank.tolist()}
            for row, reward, rank in zip(rows, rewards, ranks, strict=True)
        ],
    )
    chosen = selection.indices.tolist()
    _write_lines(
        folder / "selected.jsonl",
        [
            {
                "id": row["id"],
                "prompt": row["prompt"],
                "response": row["responses"][index],
                "index": index,
                "reward": float(reward[index]),
                "generator": row["generator"],
            }
            for row, reward, index in zip(rows, rewards, chosen, strict=True)
        ],
    )
    figures: dict[str, Any] = {
        "prompts": len(rows),
        "responses": sum(map(len, rewards)),
        "ties_for_first": int((selection.tied > 1).sum()),
    }
    details = {"settings": meta["settings"], "provenance": meta["provenance"], "timing": meta["timing"]}
    results = {
        "model": config["model"],
        **figures,
        "truncated": meta["truncated"],
        "scoring": details,
        "config": dict(config),
        "versions": package_versions(),
        "command": command("tasks/rewardbench/run_bon.py"),
    }
    if config["quality_column"] is not None:
        curve = best_of_k_curve(rewards, rows["quality"])
        results["best_of_k"] = curve.to_dict()
        table = curve.table().assign(model=config["model"])
        with atomic_path(folder / "best_of_k.csv") as temporary:
            table.to_csv(temporary, index=False)
        _plot(table.rename(columns={"quality": "value", "quality_low": "ci_low", "quality_high": "ci_high"}), folder)
        figures |= {f"best_of_{curve.k[i]}": curve.quality[i].to_dict() for i in (0, -1)}
    write_json(folder / "results.json", results)
    if not config["do_not_save"] and not config["debug"]:
        _write_layout(config, rows, rewards)
    return figures


def _plot(table: Any, folder: Path) -> None:
    from trl_ext.reporting import plot_best_of_k

    plot_best_of_k(table, folder / "best_of_k.png")


def _write_layout(config: Mapping[str, Any], rows: Dataset, rewards: list[np.ndarray]) -> None:
    """RewardBench's files: a folder per generator."""
    scored = sorted(zip(rows, rewards, strict=True), key=lambda pair: pair[0]["generator"])
    for generator, group in groupby(scored, key=lambda pair: pair[0]["generator"]):
        pairs = list(group)
        write_best_of_n(
            Path(config["output_dir"]).expanduser(),
            Path(config["dataset"]).stem,
            generator,
            [text for row, _ in pairs for text in map(str, row["responses"])],
            np.concatenate(list(map(itemgetter(1), pairs))),
            model=layout_name(config["model"]),
            ids=[f"{row['id']}/{index}" for row, _ in pairs for index in range(len(row["responses"]))],
            model_type=MODEL_TYPES["sequence"],
            chat_template=config["chat_template"],
        )


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
