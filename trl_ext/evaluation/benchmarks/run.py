"""A benchmark from rows to results: scored into a file that can be continued, with a record of how."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ...atomic_files import write_text_atomically
from ...privacy import hide_private
from ...scoring.base import Scorer
from ...scoring.inputs import hash_file
from ...scoring.processes import on_main_process
from .base import ROW_COLUMNS, Benchmark, BenchmarkResult


INPUT = "input.jsonl"
REWARDS = "rewards.jsonl"
PER_ROW = "per_row.csv"
RESULTS = "results.json"


def evaluate_benchmark(
    benchmark: Benchmark,
    scorer: Scorer,
    rows: Dataset,
    folder: str | Path,
    *,
    model: str | None = None,
    name: str | None = None,
    facts: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> tuple[BenchmarkResult, list[np.ndarray]]:
    """
    Score the rows of a benchmark and write its figures, with all that is needed to repeat them.

    The same call continues what was interrupted, and scores nothing again of what is there. Under `accelerate launch`,
    the processes divide the work and the files are the same.

    Args:
        benchmark ([`Benchmark`]):
            The benchmark.
        scorer ([`~trl_ext.scoring.Scorer`]):
            What gives rewards.
        rows ([`~datasets.Dataset`]):
            Rows of [`Benchmark.load`], all or some.
        folder (`str` or `Path`):
            Folder of one scorer on one benchmark: `input.jsonl` (what is scored), `rewards.jsonl` with
            `rewards.jsonl.meta.json` (see [`~trl_ext.scoring.Scorer.score_file`]), `per_row.csv` and `results.json`.
        model (`str`, *optional*):
            Name of the model in the results. By default the one that the scorer knows.
        name (`str`, *optional*):
            Name of the benchmark in the results, such as that of a user's data. By default the benchmark's.
        facts (`Mapping[str, Any]`, *optional*):
            What else belongs to the results, such as the configuration; added to `results.json`.
        overwrite (`bool`, *optional*, defaults to `False`):
            Discard rewards that were made with other settings.

    Returns:
        `tuple[BenchmarkResult, list[np.ndarray]]`: The figures, and the rewards of every row's responses.

    Raises:
        ValueError: There are rewards of other rows or settings already; or a reward is not finite.

    Example:
        ```python
        >>> from trl_ext import RewardScorer
        >>> from trl_ext.evaluation import evaluate_benchmark, get_benchmark

        >>> benchmark = get_benchmark("rewardbench")
        >>> rows = benchmark.load()  # from the Hub
        >>> scorer = RewardScorer("Skywork/Skywork-Reward-V2-Qwen3-0.6B", dtype="bfloat16")
        >>> result, _ = evaluate_benchmark(benchmark, scorer, rows, "results/skywork")
        >>> result.sections["Chat"].value, result.sections["Chat"].ci_low
        ```
    """
    folder = Path(folder)
    input, output = folder / INPUT, folder / REWARDS
    text = "".join(json.dumps({column: row[column] for column in ROW_COLUMNS}, default=str) + "\n" for row in rows)
    on_main_process(lambda: write_input(input, text, output, overwrite))
    meta = scorer.score_file(input, output, overwrite=overwrite)
    rewards = read_rewards(output, rows)
    result = benchmark.evaluate(rows, rewards)
    content = {
        "benchmark": benchmark.name if name is None else name,
        "model": meta["provenance"].get("model") if model is None else model,
        "figures": result.to_dict(),
        "scoring": {"settings": meta["settings"], "provenance": meta["provenance"], "timing": meta["timing"]},
        "truncated": meta["truncated"],
        "report": scorer.report(),
        "data": {"rows": len(rows), "responses": sum(map(len, rewards)), "sha256": hash_file(input)},
        **(facts or {}),
    }
    on_main_process(lambda: _write_results(folder, result, content))
    return result, rewards


def write_input(path: Path, text: str, rewards: Path, overwrite: bool) -> None:
    """
    Write the rows that are scored into `rewards`.

    Raises:
        ValueError: There are rewards of other rows, which would lose the texts they belong to.
    """
    if rewards.exists() and not overwrite and (not path.exists() or path.read_text(encoding="utf-8") != text):
        raise ValueError(
            f"{rewards} holds rewards of other rows than these. Give another output folder, or discard them with "
            "overwrite=True."
        )
    write_text_atomically(path, text)


def read_rewards(path: str | Path, rows: Dataset) -> list[np.ndarray]:
    """
    Rewards of a score file, for each row those of its responses.

    Args:
        path (`str` or `Path`):
            File of [`~trl_ext.scoring.Scorer.score_file`].
        rows ([`~datasets.Dataset`]):
            The rows that were scored, with `id` and `responses`.

    Returns:
        `list[np.ndarray]`: A float32 array per row.

    Raises:
        ValueError: The file holds other responses than the rows.
    """
    with Path(path).open(encoding="utf-8") as file:
        scored = [json.loads(line) for line in file]
    sizes = [len(responses) for responses in rows["responses"]]
    expected = np.repeat(np.array(rows["id"], dtype=object), sizes).tolist()
    if [line["prompt_id"] for line in scored] != expected:
        raise ValueError(f"{path} holds rewards of other responses than the {len(rows)} rows of the benchmark")
    return _split(np.array([line["reward"] for line in scored], dtype=np.float32), sizes)


def _split(rewards: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    return np.split(rewards, np.cumsum(sizes)[:-1]) if len(sizes) else []


def _write_results(folder: Path, result: BenchmarkResult, content: dict[str, Any]) -> None:
    write_text_atomically(folder / PER_ROW, result.rows.to_csv(index=False))
    # strict JSON has no NaN, which is the figure of a section without rows
    strict = json.loads(json.dumps(hide_private(content), default=str), parse_constant=lambda name: name)
    write_text_atomically(folder / RESULTS, json.dumps(strict, indent=2, allow_nan=False) + "\n")
