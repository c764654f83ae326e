"""What `tasks/charm/evaluate.py` reads, all of it before a model is loaded."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from tasks.charm.score_run import as_messages
from tasks.provenance import hash_file
from tasks.rewardbench.configs import DEMO
from tasks.rewardbench.rows import load_rows
from trl_ext.arena import RatingTable, ResponseTable, read_prompt_rows, read_responses
from trl_ext.arena.leaderboards.reading import read_leaderboard
from trl_ext.arena.responses.files import unanswered_prompts
from trl_ext.data import load_demo_preferences
from trl_ext.evaluation import Benchmark, get_benchmark


logger = logging.getLogger("tasks.charm.evaluate")

BENCHMARK_KEYS = ("rewardbench", "rm_bench")


@dataclass(frozen=True)
class HumanPairs:
    """
    Pairs that humans judged.

    Args:
        benchmark ([`~trl_ext.evaluation.Benchmark`]): What scores them.
        rows (`Dataset`): Checked rows with `id`, `prompt`, `responses` (chosen, rejected) and `cluster`.
        correct (`np.ndarray` of shape `(N,)` or `None`): Whether the chosen response is truly better; `None` if unknown.
    """

    benchmark: Benchmark
    rows: Dataset
    correct: np.ndarray | None


@dataclass(frozen=True)
class EvaluationData:
    """
    All that is scored and compared.

    Args:
        responses ([`~trl_ext.arena.ResponseTable`]): Responses to the prompts of the split.
        ratings ([`~trl_ext.arena.RatingTable`]): Ratings of the models, under the names of the responses.
        calibrated (`list[tuple[str, str]]`): Calibrated pairs, under the same names.
        human ([`HumanPairs`] or `None`): Human pairs.
        benchmarks (`dict[str, tuple[Benchmark, Dataset]]`): By name, with rows.
        files (`dict[str, str]`): SHA-256 of the files by role.
    """

    responses: ResponseTable
    ratings: RatingTable
    calibrated: list[tuple[str, str]]
    human: HumanPairs | None
    benchmarks: dict[str, tuple[Benchmark, Dataset]]
    files: dict[str, str]


def read_data(config: Mapping[str, Any]) -> EvaluationData:
    """
    Read and check everything.

    Raises:
        `ValueError` or `TypeError` or `OSError`: Something is missing or not as it must be; it is named.
    """
    folder = Path(config["output_dir"]).expanduser()
    paths = {
        "prompts": Path(config["prompts"] or folder / "prompts.jsonl").expanduser(),
        "responses": Path(config["responses"] or folder / "responses").expanduser(),
        "ratings": Path(config["ratings"] or folder / "ratings.csv").expanduser(),
    }
    for key, path in paths.items():
        if not path.exists():
            raise ValueError(f"{key}: there is no {path}. Set `{key}`, or `output_dir` to the folder of the run.")
    responses = read_responses(paths["responses"], config["models"], on_failure=config["on_failure"])
    failed = unanswered_prompts(paths["responses"], responses.models)
    responses = responses.select(_prompt_ids(paths["prompts"], responses, config["split"], failed))
    ratings = read_leaderboard(
        paths["ratings"],
        **{key: config[key] for key in ("style_control", "category", "snapshot")},
    )
    benchmarks = {}
    for key in BENCHMARK_KEYS:
        if config[key] is not None:
            benchmark = get_benchmark(key, ties=config["ties"], level=config["level"])
            benchmarks[key] = (benchmark, load_rows(benchmark, _rows_of(config, config[key]), 0))
    return EvaluationData(
        responses=as_messages(responses) if config["prompt_format"] == "chat" else responses,
        ratings=ratings.select(responses.models),
        calibrated=_calibrated(config["calibrated"], responses.models, ratings),
        human=None if config["human_pairs"] is None else _human_pairs(config),
        benchmarks=benchmarks,
        files={key: hash_file(path) for key, path in paths.items() if path.is_file()},
    )


def _prompt_ids(path: Path, responses: ResponseTable, split: str, failed: frozenset[str]) -> list[str]:
    """Ids of the prompts of a split, in the order of the file; all must have responses, but for those that failed."""
    splits = {row["id"]: row.get("split") for row in read_prompt_rows(path)}
    ids = [name for name, own in splits.items() if split in ("all", own)]
    if not ids:
        there = sorted({str(own) for own in splits.values()})
        raise ValueError(
            f"{path} has no prompts of split {split!r}; its splits are {', '.join(map(repr, there)) or 'none'}. Without "
            "held-out prompts a calibration can't be judged; `split=all` counts those that it was fitted to."
        )
    without = failed.intersection(ids)
    if without:
        logger.warning(
            "%d of %d prompts of split %r are left out: a model has no response.", len(without), len(ids), split
        )
        ids = [name for name in ids if name not in without]
    if len(ids) < 2:
        raise ValueError(f"{path} has {len(ids)} prompts of split {split!r} with responses: no interval can be given")
    lacking = sorted(set(ids) - set(responses.prompt_ids))
    if lacking:
        raise ValueError(
            f"{len(lacking)} of {len(ids)} prompts of split {split!r} have no responses; first: id {lacking[0]!r}. "
            "Generate them, or give the prompts that the responses are of."
        )
    return ids


def _calibrated(value: Any, models: tuple[str, ...], ratings: RatingTable) -> list[tuple[str, str]]:
    """Calibrated pairs by the names of the responses, whatever names the report has."""
    if value is None:
        logger.warning("`calibrated` is not set: no pair is called calibrated, and all are held out")
        return []
    pairs = _pairs_of_report(Path(value).expanduser()) if isinstance(value, str) else value
    by_rated = {ratings.resolve(model): model for model in models}

    def own_name(model: str) -> str:
        if model in models:
            return model
        try:
            return by_rated[ratings.resolve(model)]
        except (KeyError, ValueError):
            raise ValueError(
                f"calibrated model {model!r} has no responses here; there are {', '.join(map(repr, models))}"
            ) from None

    return [(own_name(first), own_name(second)) for first, second in pairs]


def _pairs_of_report(path: Path) -> list[tuple[str, str]]:
    """Pairs of `calibration/<rm>/report.json`: entries of `pairs` with `model` and `reference`."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        pairs = [(pair["model"], pair["reference"]) for pair in report["pairs"]]
    except OSError as error:
        raise ValueError(f"calibrated: can't read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"calibrated: {path} is not a report of calibrate.py, with `pairs` that have `model` and `reference`: {error!r}"
        ) from error
    if not pairs:
        raise ValueError(f"calibrated: {path} has no pairs")
    return pairs


def _human_pairs(config: Mapping[str, Any]) -> HumanPairs:
    benchmark = get_benchmark("preferences", ties="half", level=config["level"])
    source: Any = config["human_pairs"]
    text = config["prompt_format"] == "text" or source == DEMO
    if source == DEMO:
        source = load_demo_preferences()["test"].rename_column("question_id", "cluster")
    settings = _rows_of(config, source) | {"prompt_format": "text" if text else "chat", "split": config["human_split"]}
    rows = load_rows(benchmark, settings, 0)
    several = [row["id"] for row in rows if row["num_correct"] != 1 or len(row["responses"]) != 2]
    if several:
        raise ValueError(
            f"human_pairs must have one chosen and one rejected response; {len(several)} rows have not, first: id "
            f"{several[0]!r}"
        )
    column = config["correctness_label_col_name"]
    if column not in rows.column_names:
        logger.info("human pairs have no column %r: their labels are taken for the truth", column)
        return HumanPairs(benchmark, rows, None)
    correct = rows[column][:]
    bad = [index for index, value in enumerate(correct) if value not in (0, 1)]
    if bad:
        raise ValueError(
            f"human_pairs: column {column!r} has {len(bad)} values other than 0 and 1; first: row {bad[0]}, id "
            f"{rows['id'][bad[0]]!r}, value {correct[bad[0]]!r}"
        )
    return HumanPairs(benchmark, rows, np.array(correct, dtype=np.float64))


def _rows_of(config: Mapping[str, Any], source: Any) -> dict[str, Any]:
    return {"dataset": source, "split": None, "debug": False, "prompt_format": config["prompt_format"] or "chat"}
