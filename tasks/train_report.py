"""What a reward model learned, as figures with confidence intervals, and the table that `tasks/train.py` prints."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from tasks.data_names import data_names
from tasks.provenance import command, hash_pairs, model_identity, package_versions, template_hash
from trl_ext.evaluation.accuracy.oracle import ORACLE_PROBABILITY, oracle_scores
from trl_ext.evaluation.biases.lie import RESPONSE_KINDS, lie_weights
from trl_ext.evaluation.statistics import mean_estimate


ROWS = (
    ("accuracy_to_labels", "accuracy to the labels"),
    ("accuracy_to_truth", "accuracy to the truth"),
    ("oracle_accuracy", "accuracy to the oracle"),
    ("oracle_cross_entropy", "cross-entropy to the oracle"),
    ("oracle_entropy", "entropy of the oracle (floor)"),
    ("oracle_excess", "excess over the floor"),
    ("length_weight", "W_length"),
    ("correctness_weight", "W_correct"),
    ("ratio", "W_correct / W_length"),
    ("length_weight_per_sd", "W_length per reward s.d."),
    ("correctness_weight_per_sd", "W_correct per reward s.d."),
)


def grid_pairs(grid: Dataset) -> Dataset:
    """Lay the four answers of every question out as two pairs, so that one prediction pass scores them all."""
    return Dataset.from_list(
        [
            {
                "row": row,
                "question_id": question["question_id"],
                "prompt": question["prompt"],
                "chosen": question[good],
                "rejected": question[bad],
                "chosen_type": good,
                "rejected_type": bad,
            }
            for row, question in enumerate(grid)
            for good, bad in (("correct_concise", "incorrect_detailed"), ("correct_detailed", "incorrect_concise"))
        ]
    )


def grid_rewards(table: pd.DataFrame) -> pd.DataFrame | None:
    """
    Collect rewards of the four kinds of answer per question from scored pairs.

    Returns:
        `pd.DataFrame` or `None`: a row per question with a column per kind and `question_id`; None if the pairs do not
        name their kinds, or no question has all four.
    """
    if not {"question_id", "chosen_type", "rejected_type"} <= set(table.columns):
        return None
    keys = ["row", "question_id"] if "row" in table.columns else ["question_id"]
    sides = [
        table[[*keys, f"{side}_type", f"reward_{side}"]].set_axis([*keys, "kind", "reward"], axis=1)
        for side in ("chosen", "rejected")
    ]
    wide = pd.concat(sides).pivot_table(index=keys, columns="kind", values="reward", aggfunc="first")
    if not set(RESPONSE_KINDS) <= set(wide.columns):
        return None
    wide = wide[list(RESPONSE_KINDS)].dropna().reset_index()
    return wide if len(wide) else None


_TRUTH_WORDS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


def known_truth(table: pd.DataFrame, column: str) -> np.ndarray:
    """
    Whether chosen is truly better `(N,)`: 1, 0, or a share between them; NaN where that is not known.

    Raises:
        ValueError: A value is none of these.
    """
    values = []
    for row, value in enumerate(table[column].tolist()):
        number = np.nan if value is None or value is pd.NA else value
        if isinstance(value, str):
            number = _TRUTH_WORDS.get(value.strip().lower())
        if not isinstance(number, bool | int | float) or not (np.isnan(number) or 0 <= number <= 1):
            raise ValueError(
                f"column '{column}', row {row}: the truth must be true or false, 1 or 0, or missing, got {value!r}"
            )
        values.append(float(number))
    return np.array(values, dtype=np.float64)


def mark_pairs(table: pd.DataFrame, truth_column: str, label_column: str | None = None) -> pd.DataFrame:
    """
    Add `agrees_with_label` and, where `truth_column` exists, `agrees_with_truth` to scored pairs (1, 0; a tie is 0).

    Pairs of two right or two wrong answers (by `chosen_type`, `rejected_type`) have no truth to be right about: missing, as
    where the truth is not known.
    Labels are for chosen, or those of `label_column`, where that exists; a label of one half is missing.
    """
    difference = table["reward_chosen"] - table["reward_rejected"]
    agrees = difference.gt(0).astype(float)
    if label_column in table.columns:
        label = table[label_column]
        agrees = agrees.where(label > 0.5, difference.lt(0).astype(float)).where(label != 0.5)
    table = table.assign(agrees_with_label=agrees)
    if truth_column in table.columns:
        truth = pd.Series(known_truth(table, truth_column), index=table.index)
        right = (
            difference.gt(0).where(truth > 0.5, difference.lt(0)).astype(float).where(truth.notna() & (truth != 0.5))
        )
        if {"chosen_type", "rejected_type"} <= set(table.columns):
            correct = [table[f"{side}_type"].str.startswith("correct") for side in ("chosen", "rejected")]
            right = right.where(correct[0] != correct[1])
        table["agrees_with_truth"] = right
    return table


def _prompts(table: pd.DataFrame) -> np.ndarray | None:
    """What pairs share: their question, or their prompt, if the data say so."""
    column = next((name for name in ("question_id", "prompt_id") if name in table.columns), None)
    return None if column is None else table[column].to_numpy()


def pair_figures(table: pd.DataFrame) -> dict[str, dict]:
    """Accuracy of pairs from [`mark_pairs`] to the labels and to the truth, clustered by question where that is known."""
    figures = {}
    for figure, column in (("accuracy_to_labels", "agrees_with_label"), ("accuracy_to_truth", "agrees_with_truth")):
        rows = table.dropna(subset=[column]) if column in table.columns else table.iloc[:0]
        if len(rows):
            clusters = _prompts(rows)
            figures[figure] = mean_estimate(rows[column].to_numpy(), clusters).to_dict()
    return figures


def oracle_figures(table: pd.DataFrame) -> dict[str, dict]:
    """Figures of scored pairs against `oracle_probability`, where it is known, clustered by question likewise."""
    if ORACLE_PROBABILITY not in table.columns:
        return {}
    clusters = _prompts(table)
    scores = oracle_scores(table["reward_chosen"], table["reward_rejected"], table[ORACLE_PROBABILITY], clusters)
    return {name: figure.to_dict() for name, figure in scores.figures().items()}


def learned_figures(
    trainer, test: Dataset | None, grid: Dataset | None, truth_column: str, label_column: str | None = None
) -> tuple[dict[str, dict], pd.DataFrame | None, pd.DataFrame | None]:
    """Score the test pairs and the answer grid; return every figure that the data allow, the scored pairs and grid."""
    figures: dict[str, dict] = {}
    table = rewards = None
    if test is not None:
        table = mark_pairs(trainer.predict_pairs(test).to_pandas(), truth_column, label_column)
        figures |= pair_figures(table) | oracle_figures(table)
        rewards = grid_rewards(table)
    if grid is not None:
        rewards = grid_rewards(trainer.predict_pairs(grid_pairs(grid)).to_pandas())
    if rewards is not None:
        weights = lie_weights(rewards, rewards["question_id"].to_numpy()).to_dict()
        figures |= {name: figure for name, figure in weights.items() if isinstance(figure, dict)}
    return figures, table, rewards


def provenance(config: Mapping[str, Any], model_path: str, data, trainer) -> dict[str, Any]:
    """What a reader needs to repeat the run."""
    return {
        "model": model_identity(config["model_name"], model_path, trainer.model),
        "chat_template_sha256": template_hash(trainer.processing_class),
        "command": command("tasks/train.py"),
        "config": dict(config),
        "versions": package_versions(),
        "dtype": str(next(trainer.model.parameters()).dtype),
        "autocast": "bfloat16" if trainer.args.bf16 else "float16" if trainer.args.fp16 else None,
        "attention": trainer.model.config._attn_implementation,
        "shared_prefix": trainer.shared_prefix_report.to_dict(),
        "processes": trainer.args.world_size,
        "pairs_per_step": trainer.args.train_batch_size
        * trainer.args.gradient_accumulation_steps
        * trainer.args.world_size,
        "length": {name: asdict(report) for name, report in trainer.length_reports.items()},
        "sources": data.sources,
        "data_names": data_names(config),
        "data_sha256": {
            name: hash_pairs(dataset)
            for name, dataset in (("train", data.train), ("test", data.test))
            if dataset is not None
        },
    }


def _cell(figure: dict | None) -> str:
    if figure is None:
        return "-"
    # of a resumed run they come from JSON, where infinities are spelled out
    value, low, high = (float(figure[key]) for key in ("value", "ci_low", "ci_high"))
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def format_table(before: Mapping[str, dict], after: Mapping[str, dict]) -> str:
    """Format the figures before and after training, with 95 % confidence intervals."""
    rows = [(title, _cell(before.get(key)), _cell(after.get(key))) for key, title in ROWS if key in after]
    header = ("", "before training", "after training")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(3)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]
    lines.insert(1, "-" * len(max(lines, key=len)))
    clusters = next((f["method"] for f in after.values()), "")
    return "\n".join([*lines, f"(95 % confidence intervals; {clusters})"])
