"""The test sets of public preference data that RewardBench calls prior sets."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets

from .base import Benchmark, BenchmarkResult
from .data import read_splits, source_name
from .rewardbench import PREFERENCE_SETS, PRIOR, PRIOR_SETS, rewardbench_prior_sets
from .rewards import TIES, check_rewards, row_frame, subset_estimates, tie_details
from .rows import EMPTY, Row, check_columns, check_option, make_rows, read_pair, text_of


logger = logging.getLogger(__name__)

# RewardBench drops both halves of PKU-SafeRLHF, whose labels it doesn't trust
DROPPED_SETS = ("pku_better", "pku_safer")
ALL_SETS = tuple(name for name in PREFERENCE_SETS if name not in DROPPED_SETS)


class PreferenceTestSets(Benchmark):
    """
    Accuracy on test sets of public preference data.

    References:
        - RewardBench: Evaluating Reward Models for Language Modeling (Lambert et al.), https://arxiv.org/abs/2403.13787,
          section 4.1

    Args:
        sets (`str` or `Sequence[str]`, *optional*, defaults to `"prior"`):
            Sets to read: `"prior"`, the four whose mean counts in RewardBench (`anthropic_helpful`, `anthropic_hhh`,
            `shp`, `summarize`); `"all"`, all but `pku_better` and `pku_safer`, which RewardBench drops; or names.
        ties (`str`, *optional*, defaults to `"loss"`):
            What equal rewards are worth: `"loss"` nothing, as published; `"half"` one half.
        empty (`str`, *optional*, defaults to `"error"`):
            What happens to rows with an empty prompt or response: `"error"`; `"drop"`, with a warning; or `"keep"`, for
            empty responses and scorers that take them.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Example:
        ```python
        >>> from datasets import Dataset

        >>> row = {"id": 0, "prompt": [{"role": "user", "content": "1 + 1?"}], "chosen": "2", "rejected": "3"}
        >>> benchmark = PreferenceTestSets()
        >>> result = benchmark.evaluate(benchmark.load(Dataset.from_list([row | {"subset": "shp"}])), [[1.0, 0.0]])
        >>> result.overall.value, result.details["missing_sets"]
        (1.0, ['anthropic_helpful', 'anthropic_hhh', 'summarize'])
        ```
    """

    name = "preference_test_sets"
    hub_id = "allenai/pref-test-sets"

    def __init__(
        self, sets: str | Sequence[str] = "prior", *, ties: str = "loss", empty: str = "error", level: float = 0.95
    ):
        check_option("ties", ties, tuple(TIES))
        check_option("empty", empty, EMPTY)
        named = {"prior": PRIOR_SETS, "all": ALL_SETS}
        if isinstance(sets, str):
            sets = named.get(sets, (sets,))
        unknown = [name for name in sets if name not in PREFERENCE_SETS]
        if unknown or not len(sets):
            raise ValueError(
                f"sets must be 'prior', 'all' or some of {', '.join(PREFERENCE_SETS)}; got {', '.join(unknown) or 'none'}"
            )
        self.sets, self.ties, self.empty, self.level = tuple(sets), ties, empty, level

    def load(self, source: str | Path | Dataset | None = None, *, split: str | None = None) -> Dataset:
        """
        Rows with `prompt` (messages or text), `chosen`, `rejected` (texts) and `id`, a split per set, which becomes the
        subset (the source's own is kept as `subsubset`); a source of other splits must name the set in its column
        `subset`. See [`Benchmark.load`].
        """
        source = self.hub_id if source is None else source
        name = source_name(source)
        parts = []
        for set_name, data in read_splits(source, split=split).items():
            check_columns(data, ("prompt", "chosen", "rejected"), f"{name}, split '{set_name}'")
            if set_name in PREFERENCE_SETS:
                if set_name not in self.sets and split is None:
                    continue
                if "subset" in data.column_names:
                    data = data.rename_column("subset", "subsubset")
                data = data.add_column("subset", [set_name] * len(data))
            else:
                check_columns(data, ("subset",), f"{name}, whose split '{set_name}' is not one of the sets,")
            parts.append(data)
        if not parts:
            raise ValueError(f"{name} has none of the sets {', '.join(self.sets)}")
        data = concatenate_datasets(parts)
        asked = (*self.sets, split) if split in PREFERENCE_SETS else self.sets

        def read_row(row: dict[str, Any], index: int, where: str) -> Row:
            if row["subset"] not in PREFERENCE_SETS:
                raise ValueError(
                    f"{where}: column 'subset' holds {row['subset']!r}, which is not one of {', '.join(PREFERENCE_SETS)}"
                )
            identifier = text_of(row, "id", where) if "id" in row else str(index)
            return read_pair(row, where, f"{row['subset']}/{identifier}", row["subset"], self.empty == "keep")

        known = [
            index for index, subset in enumerate(data["subset"]) if subset in asked or subset not in PREFERENCE_SETS
        ]
        if not known:
            raise ValueError(f"{name} has no rows of the sets {', '.join(self.sets)}")
        if len(known) < len(data):
            logger.info("%d of %d rows are of other sets than %s", len(data) - len(known), len(data), ", ".join(asked))
            data = data.select(known)
        return make_rows(data, name, read_row, used=("chosen", "rejected"), empty=self.empty)

    def evaluate(self, rows: Dataset, rewards: Sequence[np.ndarray]) -> BenchmarkResult:
        """
        Accuracy of every set, and their mean. See [`Benchmark.evaluate`].

        Returns:
            [`BenchmarkResult`]: `overall` is RewardBench's Prior Sets, the plain mean of those of the four that are there
            (`None` without any); `details["missing_sets"]` names the others.
        """
        frame = row_frame(rows, check_rewards(rows, rewards), self.ties)
        subsets = subset_estimates(frame, self.level)
        missing = [name for name in PRIOR_SETS if name not in subsets]
        if missing:
            logger.warning(
                "the data lack %d of the %d prior sets: %s", len(missing), len(PRIOR_SETS), ", ".join(missing)
            )
        overall = rewardbench_prior_sets(subsets, level=self.level)
        return BenchmarkResult(
            self.name,
            overall,
            {},
            subsets,
            frame.assign(section=[PRIOR if name in PRIOR_SETS else "" for name in frame["subset"]]),
            {**tie_details(frame, self.ties), "missing_sets": missing},
        )
