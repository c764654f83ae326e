"""RewardBench: pairs of a chosen and a rejected response in 23 subsets and four sections."""

import difflib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from ..statistics import Estimate, stratified_estimate, weighted_average
from .base import Benchmark, BenchmarkResult
from .data import read_benchmark_data, source_name
from .rewardbench import (
    EXAMPLE_COUNTS,
    OVERALL_WEIGHTS,
    PRIOR,
    SECTIONS,
    rewardbench_overall,
    rewardbench_prior_sets,
    rewardbench_section_scores,
)
from .rewards import TIES, check_rewards, row_frame, tie_details
from .rows import EMPTY, Row, check_columns, check_option, make_rows, read_pair, text_of


logger = logging.getLogger(__name__)

INTERVALS = ("bootstrap", "mover")
_SECTION_OF = {subset: section for section, members in SECTIONS.items() for subset in members}


class RewardBench(Benchmark):
    """
    RewardBench: accuracy on pairs, by section, weighted by the benchmark's example counts.

    References:
        - RewardBench: Evaluating Reward Models for Language Modeling (Lambert et al.), https://arxiv.org/abs/2403.13787

    Args:
        prior_sets (`Mapping[str, Estimate | float]` or [`BenchmarkResult`], *optional*):
            Accuracies on the preference test sets, or the result of [`PreferenceTestSets`]. Their mean then counts in
            the overall score with half the weight of a section.
        ties (`str`, *optional*, defaults to `"loss"`):
            What equal rewards are worth: `"loss"` nothing, as published; `"half"` one half.
        interval (`str`, *optional*, defaults to `"bootstrap"`):
            Of sections and the overall score: `"bootstrap"` draws prompts within subsets; `"mover"` combines Wilson's
            intervals of the subsets, and has width where all rows are right.
        empty (`str`, *optional*, defaults to `"error"`):
            What happens to rows with an empty prompt or response: `"error"`; `"drop"`, with a warning; or `"keep"`, for
            empty responses and scorers that take them.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of resamples of the bootstrap.
        seed (`int`, *optional*, defaults to `0`):
            Its seed.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Example:
        ```python
        >>> from datasets import Dataset

        >>> pairs = {"id": [0, 1], "prompt": ["1 + 1?", "2 + 2?"], "chosen": ["2", "4"], "rejected": ["3", "5"]}
        >>> benchmark = RewardBench()
        >>> rows = benchmark.load(Dataset.from_dict(pairs | {"subset": ["mt-bench-easy", "donotanswer"]}))
        >>> result = benchmark.evaluate(rows, [[1.0, 0.0], [0.0, 1.0]])
        >>> result.sections["Chat"].value, result.sections["Safety"].value, result.overall
        (1.0, 0.0, None)
        ```
    """

    name = "rewardbench"
    hub_id = "allenai/reward-bench"
    default_split = "filtered"

    def __init__(
        self,
        prior_sets: Mapping[str, Estimate | float] | BenchmarkResult | None = None,
        *,
        ties: str = "loss",
        interval: str = "bootstrap",
        empty: str = "error",
        resamples: int = 2000,
        seed: int = 0,
        level: float = 0.95,
    ):
        check_option("ties", ties, tuple(TIES))
        check_option("interval", interval, INTERVALS)
        check_option("empty", empty, EMPTY)
        prior_sets = prior_sets.subsets if isinstance(prior_sets, BenchmarkResult) else prior_sets
        self.prior = None if prior_sets is None else rewardbench_prior_sets(prior_sets, level=level)
        self.ties, self.interval, self.empty = ties, interval, empty
        self.resamples, self.seed, self.level = resamples, seed, level

    def load(self, source: str | Path | Dataset | None = None, *, split: str | None = None) -> Dataset:
        """Rows with `prompt`, `chosen`, `rejected` (texts or messages), `subset` and `id`. See [`Benchmark.load`]."""
        source = self.hub_id if source is None else source
        name = source_name(source)
        data = read_benchmark_data(source, split=split, default_split=self.default_split)
        check_columns(data, ("chosen", "rejected", "subset"), name)

        def read_row(row: dict[str, Any], index: int, where: str) -> Row:
            subset = row["subset"]
            if subset not in EXAMPLE_COUNTS:
                close = difflib.get_close_matches(str(subset), EXAMPLE_COUNTS, n=1)
                raise ValueError(
                    f"{where}: column 'subset' holds {subset!r}, which is not a subset of RewardBench"
                    + (f"; did you mean {close[0]!r}?" if close else f"; they are {', '.join(EXAMPLE_COUNTS)}")
                )
            identifier = text_of(row, "id", where) if "id" in row else str(index)
            return read_pair(row, where, identifier, subset, self.empty == "keep")

        return make_rows(data, name, read_row, used=("chosen", "rejected"), empty=self.empty)

    def evaluate(self, rows: Dataset, rewards: Sequence[np.ndarray]) -> BenchmarkResult:
        """
        Accuracies of subsets, sections and overall. See [`Benchmark.evaluate`].

        Returns:
            [`BenchmarkResult`]: `overall` is `None` if a section has no rows. Sections have `Prior Sets` too, if they
            were given. `details` has `missing_subsets`, `missing_sections`, `ties` and their rule, and the weights.
        """
        rewards = check_rewards(rows, rewards)
        frame = row_frame(rows, rewards, self.ties).assign(
            reward_chosen=[values[0] for values in rewards], reward_rejected=[values[1] for values in rewards]
        )
        scores = rewardbench_section_scores(
            frame["subset"].to_numpy(),
            frame["reward_chosen"].to_numpy(),
            frame["reward_rejected"].to_numpy(),
            clusters=frame["cluster"].to_numpy(),
            ties=self.ties,
            level=self.level,
        )
        sections = {name: estimate for name, estimate in scores.sections.items() if estimate.n}
        frame["section"] = frame["subset"].map(_SECTION_OF)
        missing = [name for name in SECTIONS if name not in sections]
        if self.interval == "bootstrap":
            sections = {name: self._bootstrap(frame, scores.subsets, [name]) for name in sections}
            core = None if missing else self._bootstrap(frame, scores.subsets, list(SECTIONS))
        else:
            core = None if missing else rewardbench_overall(sections, level=self.level)
        overall = core
        if self.prior is not None:
            if core is not None:
                weights = [sum(OVERALL_WEIGHTS[name] for name in SECTIONS), OVERALL_WEIGHTS[PRIOR]]
                overall = weighted_average([core, self.prior], weights, self.level)
            sections[PRIOR] = self.prior
        if missing:
            logger.warning("no overall score: the data have no rows of %s", ", ".join(missing))
        return BenchmarkResult(
            self.name,
            overall,
            sections,
            scores.subsets,
            frame,
            {
                **tie_details(frame, self.ties),
                "missing_subsets": list(scores.missing_subsets),
                "missing_sections": missing,
                "interval": self.interval,
                "subset_weights": {name: EXAMPLE_COUNTS[name] for name in scores.subsets},
                "section_weights": {name: OVERALL_WEIGHTS[name] for name in sections},
            },
        )

    def _bootstrap(self, frame: pd.DataFrame, present: Mapping[str, Estimate], sections: list[str]) -> Estimate:
        weights = {}
        for section in sections:
            members = [name for name in SECTIONS[section] if name in present]
            total = sum(EXAMPLE_COUNTS[name] for name in members)
            weights |= {name: EXAMPLE_COUNTS[name] / total for name in members}
        part = frame[frame["subset"].isin(list(weights))]
        return stratified_estimate(
            part["score"].to_numpy(),
            part["subset"].to_numpy(),
            weights,
            clusters=part["cluster"].to_numpy(),
            resamples=self.resamples,
            seed=self.seed,
            level=self.level,
        )
