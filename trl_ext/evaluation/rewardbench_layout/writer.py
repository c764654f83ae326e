"""RewardBench's layout of results, from a benchmark's rows, rewards and figures."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ...atomic_files import atomic_path
from ...privacy import hide_private
from ..benchmarks.base import BenchmarkResult
from .cli import write_cli_results
from .contents import LayoutFile
from .files import write_layout_file
from .paths import TARGETS, model_file, model_name
from .rows import all_pairs, check_pairs, check_rows, group_result, original_ids, pair_result, rendered, template_of


logger = logging.getLogger(__name__)


def write_rewardbench_results(
    folder: str | Path,
    result: BenchmarkResult,
    rows: Dataset,
    rewards: Sequence[np.ndarray],
    *,
    model: str,
    model_type: str = "Seq. Classifier",
    chat_template: str | None = None,
    ref_model: str | None = None,
    tokenizer: Any = None,
    render: Callable[[Any, str | None], str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """
    Write the results of a model as RewardBench does, for its leaderboard and analysis tools.

    RewardBench gets `eval-set/<model>.json` (subset accuracies) and `eval-set-scores/<model>.json` (parallel arrays),
    the preference test sets `pref-sets/` and `pref-sets-scores/`, RewardBench 2 the first names below `reward-bench-2/`, as
    the original would overwrite one with the other. Other pairs get the files of the command line, see
    [`write_cli_results`]. The layout has no place for RM-Bench and rows of several responses: nothing is written. The original's tools read every file
    there, so that what is ours lies apart, in `provenance/`.

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
        chat_template (`str`, *optional*):
            Name of a FastChat template. By default the tokenizer's own, written as `"tokenizer"`.
        ref_model (`str`, *optional*):
            Reference model of a DPO model.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            What applies the chat template, its own or the one that is named, to make the texts.
        render (`Callable`, *optional*):
            `render(prompt, response)` is the text that the model read; of the prompt alone with `None`. Without it and
            without a template, texts are roles and contents in lines.
        provenance (`Mapping[str, Any]`, *optional*):
            Written to `provenance/<target>/<model>.json`.

    Returns:
        `dict[str, Path]`: `results` and `scores`, or `summary` and `outputs`; and, if given, `provenance`.

    Raises:
        ValueError: Rewards do not fit to rows, or a row is not a pair where it must be.
    """
    render = render or template_of(tokenizer, chat_template)
    if result.benchmark == "preferences" and all_pairs(rows):
        paths = write_cli_results(
            folder, result, rows, rewards, model=model, ref_model=ref_model, chat_template=chat_template, render=render
        )
        return paths | _write_provenance(folder, "", model, provenance)
    target = TARGETS.get(result.benchmark)
    if target is None:
        logger.info(
            "RewardBench's layout has no place for these rows of %s: nothing is written in it", result.benchmark
        )
        return {}
    values = check_rows(rows, rewards)
    grouped = result.benchmark == "rewardbench2"
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
        scores |= {"prompt": prompts} if model_type == "DPO" else {"id": original_ids(rows)}
    kind = "group scores" if grouped else "pair scores"
    paths = {
        "results": model_file(folder, target, model),
        "scores": model_file(folder, f"{target}-scores", model),
    }
    accuracies = {name: estimate.value for name, estimate in result.subsets.items()}
    write_layout_file(paths["scores"], LayoutFile(kind, scores))
    write_layout_file(paths["results"], LayoutFile("results", accuracies | fields))
    return paths | _write_provenance(folder, target, model, provenance)


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
    chat_template: str | None = None,
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


def _score(reward: float, nested: bool) -> Any:
    # logits of shape (B, 1) become lists of one number there
    return [reward] if nested else reward


def _model_fields(model: str, model_type: str, chat_template: str | None, ref_model: str | None) -> dict[str, Any]:
    template = chat_template or "tokenizer"
    fields = {"model": model_name(model), "model_type": model_type, "chat_template": template}
    return fields if ref_model is None else fields | {"ref_model": model_name(ref_model)}


def _write_provenance(
    folder: str | Path, target: str, model: str, provenance: Mapping[str, Any] | None
) -> dict[str, Path]:
    if provenance is None:
        return {}
    path = model_file(folder, f"provenance/{target}", model)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(hide_private(dict(provenance)), indent=2, default=str), encoding="utf-8")
    return {"provenance": path}
