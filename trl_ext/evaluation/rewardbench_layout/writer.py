"""RewardBench's layout of results, from a benchmark's rows, rewards and figures."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ...atomic_files import atomic_path
from ...privacy import hide_private
from ..benchmark import BenchmarkResult
from .contents import LayoutFile
from .files import read_layout_file, write_layout_file
from .paths import model_file, model_name
from .rows import check_pairs, check_rows, group_result, original_id, pair_result, rendered


def target_of(benchmark: str) -> str:
    """
    Folder of a benchmark in the layout: `eval-set` or `pref-sets`.

    Raises:
        ValueError: The layout has no place for the benchmark.
    """
    name = benchmark.lower().replace("_", "-")
    if name.startswith(("rewardbench", "reward-bench")):
        return "eval-set"
    if name.startswith("pref"):
        return "pref-sets"
    raise ValueError(
        f"RewardBench's layout has no place for {benchmark!r}: it holds RewardBench 1 and 2 and the preference test sets. "
        "Results of others are in results.json and per_row.csv"
    )


def write_rewardbench_results(
    folder: str | Path,
    result: BenchmarkResult,
    rows: Dataset,
    rewards: Sequence[np.ndarray],
    *,
    model: str,
    model_type: str = "Seq. Classifier",
    chat_template: str = "tokenizer",
    ref_model: str | None = None,
    render: Callable[[Any, str | None], str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """
    Write the results of a model as RewardBench does, for its leaderboard and analysis tools.

    RewardBench 1 and preference sets get `eval-set/` or `pref-sets/<model>.json` (subset accuracies) and
    `…-scores/<model>.json` (parallel arrays); RewardBench 2 the same names with lists of scores. The original's tools read
    every file there, so that what is ours lies apart, in `provenance/`.

    References:
        - RewardBench: Evaluating Reward Models for Language Modeling (Lambert et al.), https://arxiv.org/abs/2403.13787

    Args:
        folder (`str` or `Path`):
            Top of the layout: `results` for the original's tools.
        result ([`BenchmarkResult`]):
            Figures; accuracies are those of its subsets.
        rows ([`~datasets.Dataset`]):
            Rows of the benchmark: `id`, `subset`, `prompt`, `responses`, `num_correct`.
        rewards (`list[np.ndarray]`):
            For each row the rewards of its responses.
        model (`str`):
            Hub id or path; see [`model_name`].
        model_type (`str`, *optional*, defaults to `"Seq. Classifier"`):
            As RewardBench calls it: also `"DPO"`, `"Custom Classifier"`, `"Generative"`. Scores of a `"DPO"` model have
            prompts and no ids.
        chat_template (`str`, *optional*, defaults to `"tokenizer"`):
            Name of a FastChat template, or `"tokenizer"` for the tokenizer's own.
        ref_model (`str`, *optional*):
            Reference model of a DPO model.
        render (`Callable`, *optional*):
            `render(prompt, response)` is the text that the model read; of the prompt alone with `None`. By default roles
            and contents in lines.
        provenance (`Mapping[str, Any]`, *optional*):
            Written to `provenance/<target>/<model>.json`.

    Returns:
        `dict[str, Path]`: `results`, `scores` and, if given, `provenance`.

    Raises:
        ValueError: The layout has no place for the benchmark, rewards do not fit to rows, or a file there is of another
        benchmark (RewardBench 1 and 2 have the same names of files).
    """
    target = target_of(result.benchmark)
    values = check_rows(rows, rewards)
    grouped = is_version_2(result.benchmark)
    if not grouped:
        check_pairs(values, rows)
    fields = _model_fields(model, model_type, chat_template, ref_model)
    prompts, texts = rendered(rows, render)
    nested = model_type == "Seq. Classifier"
    scores = {"subset": list(rows["subset"])} | fields
    if grouped:
        scores |= {
            "id": [str(name) for name in rows["id"]],
            "num_correct": list(rows["num_correct"]),
            "results": [group_result(row) for row in values],
            "scores": [[_score(reward, nested) for reward in row] for row in values],
            "text": texts,
        }
    else:
        scores |= {
            "results": [pair_result(*row) for row in values],
            "scores_chosen": [_score(row[0], nested) for row in values],
            "scores_rejected": [_score(row[1], nested) for row in values],
            "text_chosen": [row[0] for row in texts],
            "text_rejected": [row[1] for row in texts],
        }
        scores |= {"prompt": prompts} if model_type == "DPO" else {"id": [original_id(name) for name in rows["id"]]}
    kind = "group scores" if grouped else "pair scores"
    paths = {
        "results": model_file(folder, target, model),
        "scores": model_file(folder, f"{target}-scores", model),
    }
    if paths["scores"].is_file() and (there := read_layout_file(paths["scores"]).kind) != kind:
        raise ValueError(
            f"{paths['scores']} holds {there}, of another benchmark: RewardBench 1 and 2 have the same names of files. "
            "Choose a folder for each"
        )
    accuracies = {name: estimate.value for name, estimate in result.subsets.items()}
    write_layout_file(paths["scores"], LayoutFile(kind, scores))
    write_layout_file(paths["results"], LayoutFile("results", accuracies | fields))
    if provenance is not None:
        paths["provenance"] = _write_provenance(folder, target, model, provenance)
    return paths


def write_best_of_n(
    folder: str | Path,
    candidates: str,
    generator: str,
    texts: Sequence[str],
    rewards: Sequence[float],
    *,
    model: str,
    ids: Sequence[Any] | None = None,
    model_type: str = "Seq. Classifier",
    chat_template: str = "tokenizer",
) -> Path:
    """
    Write the scores of candidates for best-of-n as RewardBench does: `best-of-n/<candidates>/<generator>/<model>.json`.

    Args:
        folder (`str` or `Path`):
            Top of the layout.
        candidates (`str`):
            Name of the set, such as `alpaca_eval`.
        generator (`str`):
            Model that wrote them, such as `zephyr-7b`.
        texts (`Sequence[str]`):
            Texts of all candidates, those of a prompt one after another.
        rewards (`Sequence[float]`):
            A reward per text.
        model, model_type, chat_template:
            As in [`write_rewardbench_results`].
        ids (`Sequence`, *optional*):
            A name per text. By default numbers.

    Returns:
        `Path`: the file.
    """
    values = np.asarray(rewards, dtype=np.float64)
    if values.shape != (len(texts),) or not np.isfinite(values).all():
        raise ValueError(f"rewards must be {len(texts)} finite numbers, one per text, got shape {values.shape}")
    ids = list(range(len(texts))) if ids is None else list(ids)
    nested = model_type == "Seq. Classifier"
    content = _model_fields(model, model_type, chat_template, None) | {
        "id": ids,
        "scores": [_score(value, nested) for value in values.tolist()],
        "text": list(texts),
    }
    path = model_file(folder, f"best-of-n/{model_name(candidates)}/{model_name(generator)}", model)
    return write_layout_file(path, LayoutFile("best-of-n scores", content))


def is_version_2(benchmark: str) -> bool:
    """Whether a benchmark's name is that of RewardBench 2."""
    return benchmark.lower().replace("-", "").replace("_", "").startswith("rewardbench2")


def _score(reward: float, nested: bool) -> Any:
    # logits of shape (B, 1) become lists of one number there
    return [reward] if nested else reward


def _model_fields(model: str, model_type: str, chat_template: str, ref_model: str | None) -> dict[str, Any]:
    fields = {"model": model_name(model), "model_type": model_type, "chat_template": chat_template}
    return fields if ref_model is None else fields | {"ref_model": model_name(ref_model)}


def _write_provenance(folder: str | Path, target: str, model: str, provenance: Mapping[str, Any]) -> Path:
    path = model_file(folder, f"provenance/{target}", model)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(hide_private(dict(provenance)), indent=2, default=str), encoding="utf-8")
    return path
