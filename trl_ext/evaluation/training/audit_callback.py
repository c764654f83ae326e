"""When a trainer's model is scored on rows of ours, and what becomes of the figures: common to all such callbacks."""

import abc
import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
from transformers import Trainer, TrainerCallback

from ..statistics import Estimate
from .training_scores import TrainingScorer, kept_random_states


logger = logging.getLogger(__name__)


class ScoredRowsCallback(TrainerCallback, abc.ABC):
    """
    Scores rows that stay the same with the model of a trainer while it is trained, and logs figures of the rewards.

    A subclass adds rows ([`ScoredRowsCallback.add_rows`]), makes figures of their rewards
    ([`ScoredRowsCallback.figures_of`]), and knows their names ([`ScoredRowsCallback.is_figure`]).

    - Every step is evaluated at most once: with gradient accumulation, when the trainer's own evaluation falls on the
      same step, and after a resume.
    - Rows are encoded when they are added. What is wrong with them, or with scoring this model, is said then and not at
      step N.
    - Training is left alone: weights, losses and random numbers with and without the callback are equal bit for bit.
    - All processes take part, see [`TrainingScorer`].
    - With `ema_decay` of our trainers, the averaged weights are evaluated, as in the trainer's own evaluation.

    Args:
        trainer ([`~transformers.Trainer`]):
            The trainer, to which the callback is to be added by `trainer.add_callback`.
        every_n_steps (`int`, *optional*):
            Evaluate after every so many optimizer steps. By default with every evaluation of the trainer.
        at_start (`bool`, *optional*, defaults to `False`):
            Evaluate before the first step.
        at_end (`bool`, *optional*, defaults to `True`):
            Evaluate the model that training leaves, unless the last step was evaluated. Not if training was interrupted
            by SIGTERM.
        metric_prefix (`str`, *optional*, defaults to `"eval_"`):
            What names of figures begin with.
        max_length, max_length_policy, max_tokens_per_batch:
            As in [`~trl_ext.RewardScorer`].

    Raises:
        TypeError: `trainer` is no trainer, or `every_n_steps` no whole number.
        ValueError: `every_n_steps` is not positive.
    """

    kind: ClassVar[str] = "rows"  # what errors call them

    def __init__(
        self,
        trainer: Trainer,
        *,
        every_n_steps: int | None = None,
        at_start: bool = False,
        at_end: bool = True,
        metric_prefix: str = "eval_",
        max_length: int | None = None,
        max_length_policy: str = "error",
        max_tokens_per_batch: int | None = None,
    ):
        if not isinstance(trainer, Trainer):
            raise TypeError(f"`trainer` must be a transformers.Trainer, got {type(trainer).__name__}: {trainer!r}")
        if every_n_steps is not None:
            check_whole_number("every_n_steps", every_n_steps, 1, "None or ")
        self.trainer = trainer
        self.every_n_steps = every_n_steps
        self.at_start, self.at_end = at_start, at_end
        self.metric_prefix = metric_prefix
        self._options = {
            "max_length": max_length,
            "max_length_policy": max_length_policy,
            "max_tokens_per_batch": max_tokens_per_batch,
        }
        self._scorers: dict[str, TrainingScorer] = {}
        self._figures: dict[int, dict[str, float]] = {}  # by step, those of before a resume among them

    # ---- What a subclass says ----

    @abc.abstractmethod
    def is_figure(self, name: str) -> bool:
        """Whether a name in the log is that of a figure of this callback."""

    @abc.abstractmethod
    def figures_of(self, rewards: dict[str, list[np.ndarray]]) -> dict[str, float]:
        """Figures, by their names in the log, of the rewards of the rows that were added, by the names of these."""

    def keep(self, step: int) -> None:  # noqa: B027  most have their figures in the log
        """Keep more of the evaluation of a step than its figures in the log."""

    def add_rows(self, name: str, prompts: Sequence[Any], responses: Sequence[Sequence[Any]]) -> None:
        """
        Encode rows that are to be scored.

        Args:
            name (`str`): Name of the rows.
            prompts (`list[str]` or `list[list[dict]]`): Texts or messages.
            responses (`list[list]`): For each prompt its responses.

        Raises:
            ValueError: The model can't be scored while it is trained, or a row can't be encoded; the row is named.
        """
        try:
            scorer = TrainingScorer(self.trainer, prompts, responses, **self._options)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.kind} {name!r}: {error}") from error
        if scorer.truncated:
            logger.warning(
                "%s %s: the prompts of %d responses are truncated to max_length=%d from the left.",
                self.kind.capitalize(), name, scorer.truncated, self._options["max_length"],
            )  # fmt: skip
        self._scorers[name] = scorer

    # ---- When ----

    def on_train_begin(self, args, state, control, **kwargs):
        """Look up what was evaluated before a resume, and evaluate what is due."""
        self._figures = {}
        for row in state.log_history:
            figures = {name: value for name, value in row.items() if self.is_figure(name)}
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

    def _chooses_the_best(self, metric: str | None) -> bool:
        return metric is not None and (self.is_figure(metric) or self.is_figure(f"eval_{metric}"))

    # ---- What ----

    def _evaluate_once(self, state, control, training: bool = True) -> None:
        if state.global_step in self._figures:
            return
        figures = self.evaluate(training=training)
        self._figures[state.global_step] = figures
        self.keep(state.global_step)
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
            return self.figures_of(rewards)


def check_whole_number(name: str, value: Any, low: int, instead: str = "") -> None:
    """Raise an error that names the option unless its value is a whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"`{name}` must be {instead}a whole number, got {value!r}")
    if value < low:
        raise ValueError(f"`{name}` must be {instead}at least {low}, got {value!r}")


def logged_figures(name: str, estimate: Estimate) -> dict[str, float]:
    """A figure for the log, with `_ci_low` and `_ci_high` where these are known."""
    bounds = {f"{name}_ci_low": estimate.ci_low, f"{name}_ci_high": estimate.ci_high}
    return {name: float(estimate.value)} | {end: float(v) for end, v in bounds.items() if math.isfinite(v)}
