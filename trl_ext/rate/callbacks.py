"""Effects of attributes on rewards during training, on texts that were rewritten before."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import Trainer

from ..atomic_files import write_text_atomically
from ..evaluation.statistics import Estimate
from ..evaluation.training.audit_callback import ScoredRowsCallback, check_whole_number, logged_figures
from ..json_lines import append_lines
from ..scoring.processes import on_main_process
from .chains.chain_folders import read_all_chains
from .chains.reward_chains import RewardChains
from .chains.scoring import complete_chains
from .chains.text_chains import TextChains
from .estimators.effects import RateEffects, estimate_effects, estimate_to_dict
from .estimators.normalised import normalised_effects


logger = logging.getLogger(__name__)

_STEPS = 2  # RATE compares a rewrite with its rewrite
_LOGGED = {"": "ATE_rewritten_rewrite", "_ATT": "ATT_rewritten_rewrite", "_ATU": "ATU_rewritten_rewrite"}
_UNITS = ("", "_raw")  # standard deviations of rewards, and rewards


@dataclass(frozen=True)
class AuditedEffects:
    """
    Effects of an attribute at a step of training.

    Args:
        step (`int`): Optimizer step.
        name (`str`): Name of the texts.
        effects ([`RateEffects`]): Effects in reward units.
        normalised (`Mapping[str, Estimate | None]`): The same divided by the standard deviation of rewards.
    """

    step: int
    name: str
    effects: RateEffects
    normalised: Mapping[str, Estimate | None]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        normalised = {name: estimate_to_dict(estimate) for name, estimate in self.normalised.items()}
        return {"step": self.step, "name": self.name, "effects": self.effects.to_dict(), "normalised": normalised}


class RateAuditCallback(ScoredRowsCallback):
    """
    Measures, while a reward model is trained, what an attribute of a text does to its rewards (RATE).

    Rewrites do not depend on the model: they are made once, and each evaluation costs three texts per row, of which the
    prompt is computed once. When it evaluates, and that training does not notice, is as in
    [`~trl_ext.evaluation.RewardBenchmarkCallback`].

    Figures are logged as

    | name | what |
    |---|---|
    | `eval_rate/<name>` | RATE's ATE in standard deviations of rewards of originals |
    | `eval_rate/<name>_ATT`, `_ATU` | the same over rows with the attribute, and without |
    | `eval_rate/<name>_raw`, `_ATT_raw`, `_ATU_raw` | the three in reward units |
    | `eval_rate/<name>_size` | absolute value of the first: for `metric_for_best_model`, smaller is better |

    with `_ci_low` and `_ci_high` (not of `_size`). What the data do not identify, such as ATU where all rows have the
    attribute, is left out. `metric_for_best_model="rate/<name>_size"` with `greater_is_better=False` keeps the checkpoint
    that cares least about an attribute; every evaluation of the trainer then includes the audit.

    Args:
        trainer ([`~transformers.Trainer`]):
            The trainer, to which the callback is to be added by `trainer.add_callback`.
        chains ([`TextChains`], `Mapping[str, TextChains]`, `str` or `Path`):
            Texts with two rewrites or more (the first two are used). Several by the names that they get in the log; one
            has the name of its attribute. A path is that of `rewrites.jsonl`, of its folder, or of a folder of such folders.
        every_n_steps (`int`, *optional*):
            Evaluate after every so many optimizer steps. By default with every evaluation of the trainer.
        at_start (`bool`, *optional*, defaults to `False`):
            Evaluate before the first step.
        at_end (`bool`, *optional*, defaults to `True`):
            Evaluate the model that training leaves, unless the last step was evaluated. Not if training was interrupted
            by SIGTERM.
        rows (`int`, *optional*):
            Use so many rows of each, drawn with and without the attribute in their proportion, but at least two of
            both. By default all.
        on_failure (`str`, *optional*, defaults to `"error"`):
            What becomes of rows with a rewrite that failed: `"error"`, or `"drop"`, which counts them.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draw of rows and of the bootstrap.
        bootstrap (`int`, *optional*, defaults to `1000`):
            Resamples for the intervals of normalised effects, at least 2.
        metric_prefix (`str`, *optional*, defaults to `"eval_"`):
            What names of figures begin with.
        path (`str` or `Path`, *optional*):
            JSON Lines file that gets all effects of every evaluation. A resumed training continues it; steps after the
            checkpoint are evaluated, and written, again. Its folder is made when the callback is.
        max_length, max_length_policy, max_tokens_per_batch:
            As in [`~trl_ext.RewardScorer`].

    Attributes:
        chains (`dict[str, TextChains]`): The rows that are scored, by name.
        rewards (`dict[str, RewardChains]`): Rewards of the latest evaluation.
        effects (`dict[int, dict[str, AuditedEffects]]`): Effects by step and name, of this process.

    Raises:
        TypeError: An option has the wrong type.
        ValueError: There are fewer than two rewrites, a rewrite failed, `rows` or another number is too small, `path` can't
            be written or is a file of something else, or the model can't be scored while it is trained.

    Example:
        ```python
        >>> trainer = PairwiseRewardTrainer("Qwen/Qwen3-0.6B", train_dataset=dataset)
        >>> trainer.add_callback(RateAuditCallback(trainer, "outputs/rate", every_n_steps=500, rows=1000, max_length=2048))
        >>> trainer.train()
        >>> [row["eval_rate/length"] for row in trainer.state.log_history if "eval_rate/length" in row]
        [0.02, 0.31, 0.44]
        ```
    """

    kind = "chains"

    def __init__(
        self,
        trainer: Trainer,
        chains: TextChains | Mapping[str, TextChains] | str | Path,
        *,
        every_n_steps: int | None = None,
        at_start: bool = False,
        at_end: bool = True,
        rows: int | None = None,
        on_failure: str = "error",
        seed: int = 0,
        bootstrap: int = 1000,
        metric_prefix: str = "eval_",
        path: str | Path | None = None,
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
        check_whole_number("seed", seed, 0)
        check_whole_number("bootstrap", bootstrap, 2)
        self.seed, self.bootstrap = seed, bootstrap
        self.path = None if path is None else Path(path)
        if self.path is not None:
            on_main_process(lambda: _check_path(self.path))
        self.chains: dict[str, TextChains] = {}
        self.left_out: dict[str, dict[str, int]] = {}
        self.rewards: dict[str, RewardChains] = {}
        self.effects: dict[int, dict[str, AuditedEffects]] = {}
        self._figure_names: set[str] = set()
        for name, given in _named(chains).items():
            used = self._chosen(name, given, rows, on_failure)
            self._reserve(name)
            self.add_rows(name, list(used.prompts), [list(texts) for texts in used.texts])
            self.chains[name] = used

    def _chosen(self, name: str, chains: TextChains, rows: int | None, on_failure: str) -> TextChains:
        try:
            complete, left_out = complete_chains(chains.cut(_STEPS), on_failure)
            self.left_out[name] = left_out
            if left_out:
                logger.warning("Chains %s: rows without all rewrites are left out: %s.", name, left_out)
            return complete if rows is None else sample_rows(complete, rows, self.seed)
        except (TypeError, ValueError) as error:
            raise type(error)(f"chains {name!r}: {error}") from error

    def _reserve(self, name: str) -> None:
        """Note how figures of these texts are called: the log of a resumed training may have those of others, too."""
        first = f"{self.metric_prefix}rate/{name}"
        names = {f"{first}_size"} | {
            f"{first}{ending}{unit}{end}"
            for ending in _LOGGED
            for unit in _UNITS
            for end in ("", "_ci_low", "_ci_high")
        }
        taken = names & self._figure_names
        if taken:
            raise ValueError(
                f"chains {name!r}: {min(taken)!r} would be a figure of other chains, too: rename one of them"
            )
        self._figure_names |= names

    def is_figure(self, name: str) -> bool:
        """See [`~trl_ext.evaluation.training.audit_callback.ScoredRowsCallback.is_figure`]."""
        return name in self._figure_names

    def figures_of(self, rewards: dict[str, list[np.ndarray]]) -> dict[str, float]:
        """See [`~trl_ext.evaluation.training.audit_callback.ScoredRowsCallback.figures_of`]."""
        step = self.trainer.state.global_step
        figures: dict[str, float] = {}
        for name, chains in self.chains.items():
            clusters = None if chains.clusters is None else np.array(chains.clusters, dtype=object)
            table = RewardChains(chains.w, np.stack(rewards[name]), clusters, np.array(chains.ids, dtype=object))
            found = AuditedEffects(
                step,
                name,
                estimate_effects(table),
                normalised_effects(table, bootstrap=self.bootstrap, seed=self.seed),
            )
            self.rewards[name] = table
            self.effects.setdefault(step, {})[name] = found
            figures |= _logged(f"{self.metric_prefix}rate/{name}", found)
        return figures

    def keep(self, step: int) -> None:
        """Append the effects of a step to the file."""
        if self.path is not None:
            on_main_process(lambda: append_lines(self.path, [e.to_dict() for e in self.effects[step].values()]))

    def on_train_begin(self, args, state, control, **kwargs):
        """Leave in the file what is of this training, then evaluate what is due."""
        if self.path is not None:
            steps = {row["step"] for row in state.log_history if any(map(self.is_figure, row))}
            on_main_process(lambda: _keep_steps(self.path, steps))
        super().on_train_begin(args, state, control, **kwargs)


def sample_rows(chains: TextChains, rows: int, seed: int = 0) -> TextChains:
    """
    Some rows, with and without the attribute in the proportion of all, but at least two of both (all, if there are fewer).

    Args:
        chains ([`TextChains`]): Texts and their rewrites.
        rows (`int`): Number of rows. All rows if there are no more.
        seed (`int`, *optional*, defaults to `0`): Seed of the draw.

    Returns:
        [`TextChains`]: The rows in their order.

    Raises:
        ValueError: `rows` is less than these least ones.

    Example:
        ```python
        >>> from trl_ext.rate import TextChains, sample_rows
        >>> chains = TextChains(
        ...     "length", tuple("abcdef"), ("Why?",) * 6, [True] * 4 + [False] * 2, tuple((text,) for text in "abcdef")
        ... )
        >>> sample_rows(chains, 4).w.tolist()
        [True, True, False, False]

        ```
    """
    check_whole_number("rows", rows, 0)
    if rows >= len(chains):
        return chains
    sizes = [int(chains.w.sum()), int((~chains.w).sum())]
    least = [min(2, size) for size in sizes]
    if rows < sum(least):
        raise ValueError(f"`rows` must be at least {sum(least)}, two with the attribute and two without; got {rows}")
    fewest, most = max(least[0], rows - sizes[1]), min(rows - least[1], sizes[0])
    treated = min(max(round(rows * sizes[0] / len(chains)), fewest), most)
    rng = np.random.default_rng(seed)
    drawn = [
        rng.choice(np.flatnonzero(chains.w == value), count, replace=False)
        for value, count in ((True, treated), (False, rows - treated))
    ]
    return chains.select(np.sort(np.concatenate(drawn)))


def _named(chains: TextChains | Mapping[str, TextChains] | str | Path) -> dict[str, TextChains]:
    if isinstance(chains, TextChains):
        return {chains.attribute: chains}
    if isinstance(chains, str | Path):
        return read_all_chains(chains)
    if not isinstance(chains, Mapping):
        raise TypeError(f"`chains` must be TextChains, a mapping of them, or a path; got {type(chains).__name__}")
    if not chains:
        raise ValueError("`chains` is empty: give at least one")
    for name, value in chains.items():
        if not isinstance(value, TextChains):
            raise TypeError(f"chains {name!r} must be TextChains, got {type(value).__name__}")
    return dict(chains)


def _logged(name: str, found: AuditedEffects) -> dict[str, float]:
    figures: dict[str, float] = {}
    for ending, effect in _LOGGED.items():
        for unit, estimate in zip(_UNITS, (found.normalised[effect], found.effects[effect]), strict=True):
            if estimate is not None and math.isfinite(estimate.value):
                figures |= logged_figures(f"{name}{ending}{unit}", estimate)
    if name in figures:
        figures[f"{name}_size"] = abs(figures[name])
    return figures


def _check_path(path: Path) -> None:
    """Raise what would else end the training at its first evaluation."""
    is_new = not path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise ValueError(f"`path` must be a file that can be written, got {str(path)!r}: {error}") from error
    _lines_by_step(path)


def _lines_by_step(path: Path) -> tuple[list[tuple[int, str]], bytes]:
    """Lines of the file of effects with their steps, and what a kill left of the last one."""
    if not path.is_file():
        return [], b""
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    try:
        return [(json.loads(line)["step"], line) for line in whole.decode("utf-8").split("\n") if whole], torn
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is not a file of effects by step ({error!r}): give another path") from error


def _keep_steps(path: Path, steps: set[int]) -> None:
    """Keep the lines of some steps: what follows the checkpoint of a resume is evaluated again."""
    lines, torn = _lines_by_step(path)
    kept = [line for step, line in lines if step in steps]
    if torn or len(kept) < len(lines):
        logger.warning(
            "%s: %d of %d lines are of no step that this training goes on from, and are removed.",
            path, len(lines) - len(kept), len(lines),
        )  # fmt: skip
        write_text_atomically(path, "".join(f"{line}\n" for line in kept))
