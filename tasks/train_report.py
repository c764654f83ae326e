"""What a reward model learned, as figures with confidence intervals, and the table that `tasks/train.py` prints."""

import hashlib
import importlib.metadata
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from tasks.train_data import GRID_KINDS
from trl_ext.evaluation.lie import lie_weights
from trl_ext.evaluation.statistics import mean_estimate


PACKAGES = ("trl_ext", "trl", "transformers", "accelerate", "peft", "datasets", "torch", "numpy", "scikit-learn", "sacred")

ROWS = (
    ("accuracy_to_labels", "accuracy to the labels"),
    ("accuracy_to_truth", "accuracy to the truth"),
    ("length_weight", "W_length"),
    ("correctness_weight", "W_correct"),
    ("ratio", "W_correct / W_length"),
    ("length_weight_per_sd", "W_length per reward s.d."),
    ("correctness_weight_per_sd", "W_correct per reward s.d."),
)


def grid_pairs(grid: list[Mapping[str, str]]) -> Dataset:
    """Lay the four answers of every question out as two pairs, so that one prediction pass scores them all."""
    rows = []
    for question in grid:
        for good, bad in (("correct_concise", "incorrect_detailed"), ("correct_detailed", "incorrect_concise")):
            rows.append(
                {
                    "question_id": question["question_id"],
                    "prompt": question["prompt"],
                    "chosen": question[good],
                    "rejected": question[bad],
                    "chosen_type": good,
                    "rejected_type": bad,
                    "row": len(rows) // 2,
                }
            )
    return Dataset.from_list(rows)


def grid_rewards(table: pd.DataFrame) -> pd.DataFrame | None:
    """
    Collect rewards of the four kinds of answer per question from scored pairs.

    Returns:
        `pd.DataFrame` or `None`: a row per question with a column per kind and `question_id`; None if the pairs do not
        name their kinds, or no question has all four.
    """
    if not {"question_id", "chosen_type", "rejected_type"} <= set(table.columns):
        return None
    key = "row" if "row" in table.columns else "question_id"
    sides = [
        table[[key, "question_id", f"{side}_type", f"reward_{side}"]].set_axis([key + "_", "question_id", "kind", "reward"], axis=1)
        for side in ("chosen", "rejected")
    ]
    wide = pd.concat(sides).pivot_table(index=[key + "_", "question_id"], columns="kind", values="reward", aggfunc="first")
    if not set(GRID_KINDS) <= set(wide.columns):
        return None
    wide = wide[list(GRID_KINDS)].dropna().reset_index()
    return wide if len(wide) else None


def pair_figures(table: pd.DataFrame, truth_column: str) -> dict[str, dict]:
    """
    Accuracy of scored pairs to the labels and, where `truth_column` exists, to the truth.

    Pairs of two right or two wrong answers (by `chosen_type`, `rejected_type`) have no truth to be right about and are
    left out of the second figure; its `n` says how many remain. A tie counts as wrong.
    """
    clusters = table["question_id"].to_numpy() if "question_id" in table.columns else None
    difference = (table["reward_chosen"] - table["reward_rejected"]).to_numpy()
    figures = {"accuracy_to_labels": mean_estimate((difference > 0).astype(float), clusters).to_dict()}
    if truth_column in table.columns:
        truth = table[truth_column].to_numpy().astype(bool)
        keep = np.ones(len(table), dtype=bool)
        if {"chosen_type", "rejected_type"} <= set(table.columns):
            correct = [table[f"{side}_type"].str.startswith("correct") for side in ("chosen", "rejected")]
            keep = (correct[0] != correct[1]).to_numpy()
        if keep.any():
            right = np.where(truth, difference > 0, difference < 0).astype(float)[keep]
            figures["accuracy_to_truth"] = mean_estimate(right, None if clusters is None else clusters[keep]).to_dict()
    return figures


def learned_figures(trainer, test: Dataset | None, grid: list | None, truth_column: str) -> dict[str, dict]:
    """Score the test pairs and the answer grid; return every figure that the data allow."""
    figures: dict[str, dict] = {}
    rewards = None
    if test is not None:
        table = trainer.predict_pairs(test).to_pandas()
        figures |= pair_figures(table, truth_column)
        rewards = grid_rewards(table)
    if grid is not None:
        rewards = grid_rewards(trainer.predict_pairs(grid_pairs(grid)).to_pandas())
    if rewards is not None:
        weights = lie_weights({kind: rewards[kind].to_numpy() for kind in GRID_KINDS}, rewards["question_id"].to_numpy())
        figures |= weights.to_dict()
    return figures


def provenance(config: Mapping[str, Any], data, trainer) -> dict[str, Any]:
    """What a reader needs to repeat the run."""
    return {
        "command": ["tasks/train.py", *sys.argv[1:]],
        "config": dict(config),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "dtype": str(next(trainer.model.parameters()).dtype),
        "autocast": "bfloat16" if trainer.args.bf16 else "float16" if trainer.args.fp16 else None,
        "attention": trainer.model.config._attn_implementation,
        "processes": trainer.args.world_size,
        "pairs_per_step": trainer.args.train_batch_size * trainer.args.gradient_accumulation_steps * trainer.args.world_size,
        "length": {name: report.to_dict() for name, report in trainer.length_reports.items()},
        "sources": data.sources,
        "data_sha256": {
            name: _hash(dataset) for name, dataset in (("train", data.train), ("test", data.test)) if dataset is not None
        },
    }


def _hash(dataset: Dataset) -> str:
    columns = [name for name in ("prompt", "chosen", "rejected") if name in dataset.column_names]
    hashes = pd.util.hash_pandas_object(dataset.select_columns(columns).to_pandas().astype(str), index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()


def _cell(figure: dict | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['value']:.3f} [{figure['ci_low']:.3f}, {figure['ci_high']:.3f}]"


def format_table(before: Mapping[str, dict], after: Mapping[str, dict]) -> str:
    """Format the figures before and after training, with 95 % confidence intervals."""
    rows = [(title, _cell(before.get(key)), _cell(after.get(key))) for key, title in ROWS if key in after]
    header = ("", "before training", "after training")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [header, *rows]]
    lines.insert(1, "-" * len(max(lines, key=len)))
    clusters = next((f["method"] for f in after.values()), "")
    return "\n".join([*lines, f"(95 % confidence intervals; {clusters})"])
