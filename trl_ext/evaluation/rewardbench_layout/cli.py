"""The files of RewardBench's command line."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ..benchmarks.base import BenchmarkResult
from .contents import LayoutFile
from .files import write_layout_file
from .paths import model_file, model_name
from .rows import check_pairs, check_rows, original_ids, pair_result, rendered


# Columns of ours that outputs have under other names, or not at all
_NOT_CARRIED = ("prompt", "responses", "num_correct", "cluster", "section")


def write_cli_results(
    folder: str | Path,
    result: BenchmarkResult,
    rows: Dataset,
    rewards: Sequence[np.ndarray],
    *,
    model: str,
    ref_model: str | None = None,
    tokenizer: str | None = None,
    chat_template: str | None = None,
    render: Callable[[Any, str | None], str] | None = None,
) -> dict[str, Path]:
    """
    Write what the command `rewardbench` writes: `<model>.json` with the accuracy, `<model>_outputs.jsonl` with the rows.

    Args:
        folder (`str` or `Path`):
            Output folder. Both files lie there, also if the model is an absolute path.
        result ([`BenchmarkResult`]):
            Figures. Accuracies of subsets are written for RewardBench itself, as the original does.
        rows ([`~datasets.Dataset`]):
            Rows of pairs.
        rewards (`list[np.ndarray]`):
            For each row the rewards of the chosen and the rejected response.
        model, ref_model, tokenizer (`str`):
            Hub ids or paths; the tokenizer is the model's by default.
        chat_template (`str`, *optional*):
            Name of a FastChat template, if one was asked for.
        render (`Callable`, *optional*):
            As in [`write_rewardbench_results`].

    Returns:
        `dict[str, Path]`: `summary` and `outputs`.

    Raises:
        ValueError: A row is not a pair, or rewards do not fit to rows.
    """
    values = check_rows(rows, rewards)
    check_pairs(values, rows)
    prompts, texts = rendered(rows, render)
    results = [pair_result(*row) for row in values]
    ids = original_ids(rows)
    outputs = []
    for index, row in enumerate(rows):
        entry = {
            "prompt": prompts[index],
            "results": results[index],
            "scores_chosen": values[index][0],
            "scores_rejected": values[index][1],
            "text_chosen": texts[index][0],
            "text_rejected": texts[index][1],
            "chosen": row["responses"][0],
            "rejected": row["responses"][1],
        }
        carried = {key: value for key, value in row.items() if key not in _NOT_CARRIED and key not in entry}
        outputs.append(entry | carried | {"id": ids[index]})
    core = result.benchmark == "rewardbench"
    name = model_name(model)
    summary = {
        "accuracy": float(np.mean(results)),
        "num_prompts": len(results),
        "model": name,
        "ref_model": None if ref_model is None else model_name(ref_model),
        "tokenizer": name if tokenizer is None else model_name(tokenizer),
        "chat_template": chat_template,
        "extra_results": {key: value.value for key, value in sorted(result.subsets.items())} if core else None,
    }
    return {
        "outputs": write_layout_file(model_file(folder, "", model, "_outputs.jsonl"), LayoutFile("outputs", outputs)),
        "summary": write_layout_file(model_file(folder, "", model), LayoutFile("summary", summary)),
    }
