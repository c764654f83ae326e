"""Benchmarks of reward models during training."""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from datasets import Dataset
from transformers import Trainer, TrainerCallback

from .benchmark import Benchmark, BenchmarkResult
from .benchmark_subsample import stratified_subsample
from .benchmarks import get_benchmark
from .training_scores import TrainingScorer, kept_random_states


logger = logging.getLogger(__name__)

Source = str | Path | Dataset
Choice = str | Benchmark | tuple[str | Benchmark, Source]


class RewardBenchmarkCallback(TrainerCallback):
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
        if every_n_steps is not None and (isinstance(every_n_steps, bool) or every_n_steps < 1):
            raise ValueError(f"`every_n_steps` must be None or at least 1, got {every_n_steps!r}")
        self.trainer = trainer
        self.every_n_steps = every_n_steps
        self.at_start, self.at_end = at_start, at_end
        self.metric_prefix = metric_prefix
        self.results: dict[str, BenchmarkResult] = {}
        self.rows: dict[str, Dataset] = {}
        self._benchmarks: dict[str, Benchmark] = {}
        self._scorers: dict[str, TrainingScorer] = {}
        self._figures: dict[int, dict[str, float]] = {}  # by step, those of before a resume among them
        for name, benchmark, source in _choices(benchmarks):
            rows = benchmark.load(source)
            rows = rows if subsample is None else stratified_subsample(rows, subsample, seed)
            try:
                scorer = TrainingScorer(
                    trainer,
                    rows["prompt"][:],
                    rows["responses"][:],
                    max_length=max_length,
                    max_length_policy=max_length_policy,
                    max_tokens_per_batch=max_tokens_per_batch,
                )
            except (TypeError, ValueError) as error:
                raise type(error)(f"benchmark {name!r}: {error}") from error
            if scorer.truncated:
                logger.warning(
                    "Benchmark %s: the prompts of %d responses are truncated to max_length=%d from the left.",
                    name, scorer.truncated, max_length,
                )  # fmt: skip
            self.rows[name], self._benchmarks[name], self._scorers[name] = rows, benchmark, scorer

    # ---- When ----

    def on_train_begin(self, args, state, control, **kwargs):
        """Look up what was evaluated before a resume, and evaluate what is due."""
        self._figures = {}
        for row in state.log_history:
            figures = {name: value for name, value in row.items() if self._is_ours(name)}
            if figures:
                self._figures.setdefault(row["step"], {}).update(figures)
        # After a resume: the process may have ended between the checkpoint and the evaluation
        if self.at_start if state.global_step == 0 else self._is_due(state.global_step):
            self._evaluate_once(state, control)

    def on_step_end(self, args, state, control, **kwargs):
        """Evaluate every N steps."""
        if self._is_due(state.global_step):
            self._evaluate_once(state, control)

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        """Add the figures of this step to the metrics of the trainer's evaluation, by which it chooses the best model."""
        if not self.trainer.is_in_train:
            return
        if self.every_n_steps is None or self._chooses_the_best(args.metric_for_best_model):
            self._evaluate_once(state, control)
        if metrics is not None:
            metrics.update(self._figures.get(state.global_step, {}))

    def on_train_end(self, args, state, control, **kwargs):
        """Evaluate the model that training leaves."""
        stopped = getattr(self.trainer, "_stop_is_agreed", None)  # of `ResumableTrainer`
        if self.at_end and not (stopped is not None and stopped()):
            self._evaluate_once(state, control, training=False)

    def _is_due(self, step: int) -> bool:
        return self.every_n_steps is not None and step % self.every_n_steps == 0

    def _is_ours(self, name: str) -> bool:
        return any(name.startswith(f"{self.metric_prefix}{benchmark}/") for benchmark in self._benchmarks)

    def _chooses_the_best(self, metric: str | None) -> bool:
        return metric is not None and (self._is_ours(metric) or self._is_ours(f"eval_{metric}"))

    # ---- What ----

    def _evaluate_once(self, state, control, training: bool = True) -> None:
        if state.global_step in self._figures:
            return
        figures = self.evaluate(training=training)
        self._figures[state.global_step] = figures
        should_log = control.should_log
        # Not the trainer's own `log`: those of TRL add what they have summed up since the last log, and begin anew
        Trainer.log(self.trainer, dict(figures))
        control.should_log = should_log  # of this step's losses, which logging takes for done

    def evaluate(self, *, training: bool = False) -> dict[str, float]:
        """
        Evaluate the model as it is now, without logging. All processes must call it.

        Args:
            training (`bool`, *optional*, defaults to `False`):
                Whether training goes on: with `ema_decay`, the averaged weights are evaluated.

        Returns:
            `dict[str, float]`: The figures by their names in the log.
        """
        average = getattr(getattr(self.trainer, "_ema", None), "average", None) if training else None
        with kept_random_states():
            with nullcontext() if average is None else average.applied():
                rewards = {name: scorer.score() for name, scorer in self._scorers.items()}
            self.results = {
                name: benchmark.evaluate(self.rows[name], rewards[name])
                for name, benchmark in self._benchmarks.items()
            }
        figures = {}
        for name, result in self.results.items():
            for figure, estimate in result.headline().items():
                key = f"{self.metric_prefix}{name}/{figure}"
                bounds = {f"{key}_ci_low": estimate.ci_low, f"{key}_ci_high": estimate.ci_high}
                figures[key] = float(estimate.value)
                figures |= {end: float(value) for end, value in bounds.items() if math.isfinite(value)}
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
