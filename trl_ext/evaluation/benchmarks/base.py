"""What benchmarks of reward models have in common: rows of prompts with right and wrong responses, and figures of rewards."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from datasets import Dataset

from ..statistics import Estimate


# Columns of a benchmark's rows; others are kept
ROW_COLUMNS = ("id", "subset", "prompt", "responses", "num_correct", "cluster")


@dataclass(frozen=True)
class BenchmarkResult:
    """
    Figures of a reward model on a benchmark.

    Args:
        benchmark (`str`):
            Name of the benchmark.
        overall ([`Estimate`] or `None`):
            The benchmark's single figure; `None` if it has none, or the data lack parts that it needs.
        sections (`dict[str, Estimate]`):
            Groups of subsets, as the benchmark reports them.
        subsets (`dict[str, Estimate]`):
            Every subset that is there.
        rows (`pandas.DataFrame`):
            A row per prompt: `id`, `subset`, `section`, `cluster`, `score` (what the row is worth, in [0, 1]), `tied`
            (whether equal rewards decided it), `margin` (lowest reward of a right response minus highest of a wrong
            one), and columns of the benchmark's own.
        details (`dict[str, Any]`):
            What else belongs to the figures, for JSON: rules, counts of ties, what is missing.
    """

    benchmark: str
    overall: Estimate | None
    sections: dict[str, Estimate]
    subsets: dict[str, Estimate]
    rows: pd.DataFrame
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All but the rows, for JSON."""
        return {
            "benchmark": self.benchmark,
            "overall": None if self.overall is None else self.overall.to_dict(),
            "sections": {name: estimate.to_dict() for name, estimate in self.sections.items()},
            "subsets": {name: estimate.to_dict() for name, estimate in self.subsets.items()},
            **self.details,
        }

    def headline(self) -> dict[str, Estimate]:
        """The overall figure and the sections by name: what a table or a training log shows."""
        return ({} if self.overall is None else {"overall": self.overall}) | self.sections


class Benchmark(abc.ABC):
    """
    A benchmark of reward models: where its rows come from, and what rewards mean on it.

    Attributes:
        name (`str`): Name, as in [`get_benchmark`].
        hub_id (`str` or `None`): Dataset on the Hub that is read by default.
    """

    name: ClassVar[str]
    hub_id: ClassVar[str | None] = None

    @abc.abstractmethod
    def load(self, source: str | Path | Dataset | None = None, *, split: str | None = None) -> Dataset:
        """
        Rows of the benchmark, checked.

        Args:
            source (`str` or `Path` or [`~datasets.Dataset`], *optional*):
                Hub id; a `.parquet`, `.json`, `.jsonl` or `.csv` file; a folder of such files or of `save_to_disk`; or a
                dataset in memory. By default the benchmark's own on the Hub.
            split (`str`, *optional*):
                Split, where the source has several.

        Returns:
            [`~datasets.Dataset`]: `id` (text, unique), `subset`, `prompt` (messages), `responses` (texts, the right ones
            first), `num_correct`, `cluster` (rows of one cluster are not independent), and what else the source has.

        Raises:
            `ValueError` or `TypeError`: A row is not as it must be: source, row, column and what is allowed are named.
        """

    @abc.abstractmethod
    def evaluate(self, rows: Dataset, rewards: Sequence[np.ndarray]) -> BenchmarkResult:
        """
        Figures of rewards.

        Args:
            rows ([`~datasets.Dataset`]):
                Rows of [`Benchmark.load`], all or some.
            rewards (`list[np.ndarray]`):
                For each row the rewards of its responses, in order.

        Returns:
            [`BenchmarkResult`]

        Raises:
            ValueError: rewards are missing, too many, or not finite; the row is named.
        """
