"""Benchmarks of reward models during training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset
from transformers import Trainer

from ..benchmarks.base import Benchmark, BenchmarkResult
from ..benchmarks.registry import get_benchmark
from ..benchmarks.subsample import stratified_subsample
from .audit_callback import ScoredRowsCallback, logged_figures


Source = str | Path | Dataset
Choice = str | Benchmark | tuple[str | Benchmark, Source]


class RewardBenchmarkCallback(ScoredRowsCallback):
    """
    Evaluates the model of a trainer on benchmarks of reward models while it is trained.

    Works with every [`~transformers.Trainer`] whose model has one output, [`~trl.RewardTrainer`] included. It takes the
    trainer, as TRL's own callbacks do: only through it do figures reach its log and the services that it reports to.

    - Every step is evaluated at most once: with gradient accumulation, when the trainer's own evaluation falls on the
      same step, and after a resume.
    - The benchmarks are read, and their rows encoded, when the callback is made. What is wrong with them, or with
      scoring this model, is said then and not at step N.
    - Training is left alone: weights, losses and random numbers with and without the callback are equal bit for bit.
    - All processes take part, see [`TrainingScorer`]. Only whole models are faster with more of them. Models under FSDP
      version 1 and under context or sequence parallelism are refused.
    - With `ema_decay` of our trainers, the averaged weights are evaluated, as in the trainer's own evaluation.

    Figures are logged as `eval_<benchmark>/<figure>`, with `_ci_low` and `_ci_high` where these are known: `overall` and
    the sections of [`BenchmarkResult.headline`]. In `trainer.state.log_history` they have a row of their own. Those of
    the trainer's own evaluation are among its metrics, too, so that `metric_for_best_model="eval_rewardbench/overall"`
    chooses the best checkpoint; every evaluation of the trainer then includes the benchmarks, whatever
    `every_n_steps` is. For that, `metric_prefix` must begin with `eval_`: transformers knows no other names.

    Args:
        trainer ([`~transformers.Trainer`]):
            The trainer, to which the callback is to be added by `trainer.add_callback`.
        benchmarks (`Sequence` or `Mapping[str, ...]`):
            What to evaluate: names as in [`get_benchmark`], [`Benchmark`] objects, or pairs of one of these and the
            source of its rows (see [`Benchmark.load`]). A mapping gives them other names in the log.
        every_n_steps (`int`, *optional*):
            Evaluate after every so many optimizer steps. By default with every evaluation of the trainer.
        at_start (`bool`, *optional*, defaults to `False`):
            Evaluate before the first step.
        at_end (`bool`, *optional*, defaults to `True`):
            Evaluate the model that training leaves (the best one, under `load_best_model_at_end`), unless the last step
            was evaluated. Not if training was interrupted by SIGTERM.
        subsample (`int`, *optional*):
            Evaluate so many rows of each benchmark, drawn by [`stratified_subsample`]. The intervals show what that
            costs. By default all rows.
        seed (`int`, *optional*, defaults to `0`):
            Seed of that draw.
        metric_prefix (`str`, *optional*, defaults to `"eval_"`):
            What names of figures begin with.
        max_length, max_length_policy, max_tokens_per_batch:
            As in [`~trl_ext.RewardScorer`].

    Attributes:
        rows (`dict[str, Dataset]`): The rows of every benchmark.
        results (`dict[str, BenchmarkResult]`): The latest results.

    Raises:
        ValueError: `every_n_steps` is not positive, there is no benchmark or two of one name, or the model can't be
            scored while it is trained.

    Example:
        ```python
        >>> trainer = PairwiseRewardTrainer("Qwen/Qwen3-0.6B", train_dataset=dataset)
        >>> trainer.add_callback(
        ...     RewardBenchmarkCallback(trainer, ["rewardbench"], every_n_steps=500, subsample=500, max_length=2048)
        ... )
        >>> trainer.train()
        >>> [row["eval_rewardbench/Chat"] for row in trainer.state.log_history if "eval_rewardbench/Chat" in row]
        [0.67, 0.81, 0.86]
        ```
    """

    kind = "benchmark"

    def __init__(
        self,
        trainer: Trainer,
        benchmarks: Sequence[Choice] | Mapping[str, Choice],
        *,
        every_n_steps: int | None = None,
        at_start: bool = False,
        at_end: bool = True,
        subsample: int | None = None,
        seed: int = 0,
        metric_prefix: str = "eval_",
        max_length: int | None = None,
        max_length_policy: str = "error",
        max_tokens_per_batch: int | None = None,
    ):
        super().__init__(
            trainer,
            every_n_steps=every_n_steps,
            at_start=at_start,
            at_end=at_end,
            metric_prefix=metric_prefix,
            max_length=max_length,
            max_length_policy=max_length_policy,
            max_tokens_per_batch=max_tokens_per_batch,
        )
        self.results: dict[str, BenchmarkResult] = {}
        self.rows: dict[str, Dataset] = {}
        self._benchmarks: dict[str, Benchmark] = {}
        for name, benchmark, source in _choices(benchmarks):
            rows = benchmark.load(source)
            rows = rows if subsample is None else stratified_subsample(rows, subsample, seed)
            self.add_rows(name, rows["prompt"][:], rows["responses"][:])
            self.rows[name], self._benchmarks[name] = rows, benchmark

    def is_figure(self, name: str) -> bool:
        """See [`ScoredRowsCallback.is_figure`]."""
        return any(name.startswith(f"{self.metric_prefix}{benchmark}/") for benchmark in self._benchmarks)

    def figures_of(self, rewards: dict[str, list[np.ndarray]]) -> dict[str, float]:
        """See [`ScoredRowsCallback.figures_of`]."""
        self.results = {
            name: benchmark.evaluate(self.rows[name], rewards[name]) for name, benchmark in self._benchmarks.items()
        }
        figures = {}
        for name, result in self.results.items():
            for figure, estimate in result.headline().items():
                figures |= logged_figures(f"{self.metric_prefix}{name}/{figure}", estimate)
        return figures


def _choices(benchmarks: Sequence[Choice] | Mapping[str, Choice]) -> list[tuple[str, Benchmark, Source | None]]:
    """Name in the log, benchmark and source of each."""
    if isinstance(benchmarks, (str, Benchmark)):
        raise TypeError(f"`benchmarks` must be a list or a mapping, got {benchmarks!r}: put it in a list")
    named = benchmarks.items() if isinstance(benchmarks, Mapping) else ((None, choice) for choice in benchmarks)
    chosen: dict[str, tuple[str, Benchmark, Source | None]] = {}
    for name, choice in named:
        benchmark, source = choice if isinstance(choice, tuple) else (choice, None)
        benchmark = get_benchmark(benchmark) if isinstance(benchmark, str) else benchmark
        if not isinstance(benchmark, Benchmark):
            raise TypeError(f"a benchmark must be a name or a `Benchmark`, got {benchmark!r}")
        name = benchmark.name if name is None else name
        if name in chosen:
            raise ValueError(
                f"there are two benchmarks {name!r}: give a mapping with a name for each, such as "
                f"{{'first': ..., 'second': ...}}"
            )
        chosen[name] = (name, benchmark, source)
    if not chosen:
        raise ValueError("`benchmarks` is empty: give at least one")
    return list(chosen.values())
