"""RM-Bench: three right and three wrong answers in three styles, all compared with each other."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from .base import Benchmark, BenchmarkResult
from .data import read_splits, source_name
from .rewards import TIES, check_rewards, row_frame, subset_estimates, tie_details
from .rm_bench import DOMAINS, STYLES, rm_bench_accuracy
from .rm_bench_data import load_rm_bench, rm_bench_row
from .rows import Row, check_columns, check_option, make_rows


logger = logging.getLogger(__name__)

LEVELS = ("hard", "normal", "easy")


class RMBench(Benchmark):
    """
    RM-Bench: share of the nine comparisons of a prompt that the right answer wins, by domain and by who has the richer
    style, see [`rm_bench_accuracy`].

    References:
        - RM-Bench: Benchmarking Reward Models of Language Models with Subtlety and Style (Liu et al.),
          https://arxiv.org/abs/2410.16184

    Args:
        ties (`str`, *optional*, defaults to `"loss"`):
            What equal rewards are worth: `"loss"` nothing, as published; `"half"` one half.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Example:
        ```python
        >>> from datasets import Dataset

        >>> row = {"id": 1, "prompt": "1 + 1?", "domain": "math"}
        >>> row |= {"chosen": ["2", "It is 2.", "**2**"], "rejected": ["3", "It is 3.", "**3**"]}
        >>> benchmark = RMBench()
        >>> result = benchmark.evaluate(benchmark.load(Dataset.from_list([row])), [[0.5, 1.5, 2.5, 0.0, 1.0, 2.0]])
        >>> [result.sections[name].value for name in ("hard", "normal", "easy")]
        [0.0, 1.0, 1.0]
        ```
    """

    name = "rm_bench"
    hub_id = "THU-KEG/RM-Bench"

    def __init__(self, *, ties: str = "loss", level: float = 0.95):
        check_option("ties", ties, tuple(TIES))
        self.ties, self.level = ties, level

    def load(self, source: str | Path | Dataset | None = None, *, split: str | None = None) -> Dataset:
        """
        Rows with `id`, `prompt`, `chosen` and `rejected` (three texts each: concise, detailed, markdown) and `domain`;
        in the public files per domain, that of the file's name. `subset` is the domain, the source's own subset is kept
        as `source_subset`. See [`Benchmark.load`].
        """
        source = self.hub_id if source is None else source
        name = source_name(source)
        if split is None and _has_public_files(source):
            data = load_rm_bench(source)
        else:
            data = _read_rows(source, split, name)
        data = data.rename_column("subset", "source_subset")

        def read_row(row: dict[str, Any], index: int, where: str) -> Row:
            prompt = [{"role": "user", "content": row["prompt"]}]
            return Row(row["id"], row["domain"], prompt, [*row["chosen"], *row["rejected"]], len(STYLES))

        return make_rows(data, name, read_row, used=("chosen", "rejected"))

    def evaluate(self, rows: Dataset, rewards: Sequence[np.ndarray]) -> BenchmarkResult:
        """
        Figures of domains, styles and overall. See [`Benchmark.evaluate`].

        Returns:
            [`BenchmarkResult`]: `overall` is the plain mean of the domains that are there: without all four it is not
            comparable with published ones, and `details["missing_domains"]` says so. `sections` are the domains
            (`safety-*` together) and `hard`, `normal` and `easy`, means over domains. In `rows`, `score` is the share of
            the nine comparisons won. `details` has the matrices.
        """
        rewards = np.stack(_of_six(rows, check_rewards(rows, rewards)))
        chosen, rejected = rewards[:, :3], rewards[:, 3:]
        frame = row_frame(rows, rewards, self.ties)
        accuracy = rm_bench_accuracy(
            chosen,
            rejected,
            frame["cluster"].to_numpy(),
            domains=frame["subset"].to_numpy(),
            ties=self.ties,
            level=self.level,
        )
        difference = chosen[:, :, None] - rejected[:, None, :]
        cells = np.where(difference == 0, 0.5 if self.ties == "half" else 0.0, difference > 0)
        upper, lower = np.triu_indices(3, 1), np.tril_indices(3, -1)
        frame = frame.assign(
            section=[next(domain for domain in DOMAINS if name.startswith(domain)) for name in frame["subset"]],
            score=cells.mean(axis=(1, 2)),
            tied=(difference == 0).any(axis=(1, 2)),
            hard=cells[:, *upper].mean(axis=1),
            normal=cells[:, range(3), range(3)].mean(axis=1),
            easy=cells[:, *lower].mean(axis=1),
        )
        return BenchmarkResult(
            self.name,
            accuracy.average,
            {name: part.average for name, part in accuracy.domains.items()}
            | {name: getattr(accuracy, name) for name in LEVELS},
            subset_estimates(frame, self.level),
            frame,
            {
                **tie_details(frame, self.ties),
                "missing_domains": list(accuracy.missing_domains),
                "styles": list(STYLES),
                "domains": {name: part.to_dict() for name, part in accuracy.domains.items()},
                "all_prompts": accuracy.all_prompts.to_dict(),
            },
        )


def _has_public_files(source: str | Path | Dataset | DatasetDict) -> bool:
    """Whether it is a JSON file, or a folder of those of the repository."""
    if isinstance(source, (Dataset, DatasetDict)):
        return False
    path = Path(source).expanduser()
    if path.is_file():
        return path.suffix.lower() == ".json"
    return any(
        folder.is_dir() and ((folder / "total_dataset.json").is_file() or any(folder.glob("*_filtered.json")))
        for folder in (path, path / "data")
    )


def _read_rows(source: str | Path | Dataset | DatasetDict, split: str | None, name: str) -> Dataset:
    rows = []
    for part, data in read_splits(source, split=split).items():
        check_columns(data, ("id", "prompt", "chosen", "rejected"), name)
        for index, row in enumerate(data.with_format(None)):
            rows.append(rm_bench_row(row, part.removesuffix("_filtered"), f"{name}, row {index}"))
    return Dataset.from_list(rows)


def _of_six(rows: Dataset, rewards: list[np.ndarray]) -> list[np.ndarray]:
    for identifier, values, right in zip(rows["id"], rewards, rows["num_correct"], strict=True):
        if len(values) != 2 * len(STYLES) or right != len(STYLES):
            raise ValueError(
                f"row {identifier!r} has {right} right of {len(values)} responses; RM-Bench has {len(STYLES)} of "
                f"{2 * len(STYLES)}. Evaluate rows of RMBench.load."
            )
    return rewards
