"""RewardBench 2: is the best of several responses a right one? And do equally right answers score alike?"""

import difflib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import ArrayLike

from ..statistics import weighted_average
from .base import Benchmark, BenchmarkResult
from .data import read_benchmark_data, source_name
from .rewardbench2_ties import VARIANTS, check_num_correct, flat_rewards, rewardbench2_ties_score, ties_id
from .rewards import best_share, check_rewards, row_frame, subset_estimates, tie_details
from .rows import EMPTY, Row, check_columns, check_option, make_rows, text_of
from .texts import check_texts, read_prompt


logger = logging.getLogger(__name__)

# Subsets with the number of their rows, in the order of the paper's tables
SUBSETS = {"Factuality": 475, "Precise IF": 160, "Math": 183, "Safety": 450, "Focus": 495, "Ties": 102}
TIES_SUBSET = "Ties"

_COUNTS = ("num_correct", "num_incorrect", "total_completions")


def rewardbench2_best_of_n(rewards_of_rows: Sequence[ArrayLike], num_correct: Sequence[int] | int = 1) -> np.ndarray:
    """
    What each row of RewardBench 2 is worth: 1 if a right response alone has the highest reward, 0 if only wrong ones have
    it, and where several have it the share of right ones among them (for one right response, 1 over their number).

    Args:
        rewards_of_rows (`Sequence[array_like]`):
            For every row the rewards of its responses, the right ones first; shape `(K,)`, or `(K, 1)` as in old score
            files.
        num_correct (`Sequence[int]` or `int`, *optional*, defaults to `1`):
            Number of right responses of every row, or of all.

    Returns:
        `numpy.ndarray` of shape `(N,)`

    Raises:
        ValueError: a reward is not finite, or a row has no right or no wrong response.

    Example:
        ```python
        >>> rewardbench2_best_of_n([[2.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 2.0]]).tolist()
        [1.0, 0.5, 0.0]
        ```
    """
    counts = [num_correct] * len(rewards_of_rows) if np.ndim(num_correct) == 0 else list(num_correct)
    if len(counts) != len(rewards_of_rows):
        raise ValueError(f"num_correct must have one value per row, got {len(counts)} for {len(rewards_of_rows)} rows")
    worth = np.empty(len(counts))
    for index, (values, right) in enumerate(zip(rewards_of_rows, counts, strict=True)):
        rewards = flat_rewards(values, f"row {index}")
        check_num_correct(right, len(rewards), f"row {index}")
        worth[index] = best_share(rewards, right)
    return worth


class RewardBench2(Benchmark):
    """
    RewardBench 2: best of four responses in five subsets, and the Ties subset, see [`rewardbench2_ties_score`].

    References:
        - RewardBench 2: Advancing Reward Model Evaluation (Malik et al.), https://arxiv.org/abs/2506.01937

    Args:
        ties_variant (`str`, *optional*, defaults to `"0.1.5"`):
            Version of `rewardbench` whose Ties score is meant: `"0.1.5"` or `"0.1.4"`.
        empty (`str`, *optional*, defaults to `"error"`):
            What happens to rows with an empty prompt or response: `"error"`; `"drop"`, with a warning; or `"keep"`, for
            empty responses and scorers that take them.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of resamples of the bootstrap of the Ties score.
        seed (`int`, *optional*, defaults to `0`):
            Its seed.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Example:
        ```python
        >>> from datasets import Dataset

        >>> row = {"id": "0", "prompt": "1 + 1?", "chosen": ["2"], "rejected": ["3", "4", "5"], "subset": "Math"}
        >>> benchmark = RewardBench2()
        >>> result = benchmark.evaluate(benchmark.load(Dataset.from_list([row])), [[1.0, 1.0, 0.0, 0.0]])
        >>> result.subsets["Math"].value, result.overall, result.details["missing_subsets"][0]
        (0.5, None, 'Factuality')
        ```
    """

    name = "rewardbench2"
    hub_id = "allenai/reward-bench-2"
    default_split = "test"

    def __init__(
        self,
        *,
        ties_variant: str = "0.1.5",
        empty: str = "error",
        resamples: int = 2000,
        seed: int = 0,
        level: float = 0.95,
    ):
        check_option("ties_variant", ties_variant, VARIANTS)
        check_option("empty", empty, EMPTY)
        self.ties_variant, self.empty = ties_variant, empty
        self.resamples, self.seed, self.level = resamples, seed, level

    def load(self, source: str | Path | Dataset | None = None, *, split: str | None = None) -> Dataset:
        """
        Rows with `id`, `prompt` (text or messages), `chosen` and `rejected` (lists of texts) and `subset`; `num_correct`,
        `num_incorrect` and `total_completions` must agree with the lists. See [`Benchmark.load`].

        The rows of a Ties question are one cluster.
        """
        source = self.hub_id if source is None else source
        name = source_name(source)
        data = read_benchmark_data(source, split=split, default_split=self.default_split)
        check_columns(data, ("id", "prompt", "chosen", "rejected", "subset"), name)

        def read_row(row: dict[str, Any], index: int, where: str) -> Row:
            return _read_row(row, where, self.empty == "keep")

        return make_rows(data, name, read_row, used=("chosen", "rejected", *_COUNTS), empty=self.empty)

    def evaluate(self, rows: Dataset, rewards: Sequence[np.ndarray]) -> BenchmarkResult:
        """
        Figures of subsets and overall. See [`Benchmark.evaluate`].

        Returns:
            [`BenchmarkResult`]: `overall` is the plain mean of the six subsets, `None` if one has no rows; they are both
            `sections` and `subsets`. In `rows`, `score` of a Ties row says whether all of its right responses are above
            all wrong ones. `details` has `missing_subsets`, `ties` and their rule, and `ties_subset`: the parts of the
            Ties score, and ids without counterpart.
        """
        rewards = check_rewards(rows, rewards)
        frame = row_frame(rows, rewards, "half")
        of_ties = (frame["subset"] == TIES_SUBSET).to_numpy()
        frame.loc[of_ties, "score"] = (frame["margin"] > 0).astype(float)
        frame.loc[of_ties, "tied"] = frame["margin"] == 0
        subsets = subset_estimates(frame[~of_ties], self.level)
        details: dict[str, Any] = {}
        if of_ties.any():
            chosen = np.flatnonzero(of_ties)
            counts = rows["num_correct"][:]
            ties = rewardbench2_ties_score(
                frame["id"][of_ties].tolist(),
                [rewards[index] for index in chosen],
                [counts[index] for index in chosen],
                variant=self.ties_variant,
                resamples=self.resamples,
                seed=self.seed,
                level=self.level,
            )
            subsets[TIES_SUBSET] = ties.score
            details["ties_subset"] = ties.to_dict()
        subsets = {name: subsets[name] for name in SUBSETS if name in subsets}
        missing = [name for name in SUBSETS if name not in subsets]
        if missing:
            logger.warning("no overall score: the data have no rows of the subsets %s", ", ".join(missing))
        return BenchmarkResult(
            self.name,
            None if missing else weighted_average(list(subsets.values()), level=self.level),
            subsets,
            subsets,
            frame,
            {**tie_details(frame, "half"), "ties_rule": "share", "missing_subsets": missing, **details},
        )


def _read_row(row: dict[str, Any], where: str, allow_empty: bool) -> Row:
    subset = row["subset"]
    if subset not in SUBSETS:
        close = difflib.get_close_matches(str(subset), SUBSETS, n=1)
        raise ValueError(
            f"{where}: column 'subset' holds {subset!r}, which is not a subset of RewardBench 2"
            + (f"; did you mean {close[0]!r}?" if close else f"; they are {', '.join(SUBSETS)}")
        )
    identifier = text_of(row, "id", where)
    prompt = read_prompt(row["prompt"], f"{where}: column 'prompt'")
    sides = {side: check_texts(row[side], f"{where}: column '{side}'", allow_empty) for side in ("chosen", "rejected")}
    right, wrong = (len(texts) for texts in sides.values())
    for column, count in zip(_COUNTS, (right, wrong, right + wrong), strict=True):
        if row.get(column) is not None and row[column] != count:
            raise ValueError(
                f"{where}: column '{column}' is {row[column]!r}, but 'chosen' has {right} and 'rejected' {wrong} texts"
            )
    cluster = None
    if subset == TIES_SUBSET:
        try:
            kind, number = ties_id(identifier)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if kind == "ref" and right != 1:
            raise ValueError(f"{where}: column 'chosen' has {right} texts; 'ref:<n>' has one right response")
        cluster = f"{TIES_SUBSET}:{number}"
    return Row(identifier, subset, prompt, [*sides["chosen"], *sides["rejected"]], right, cluster)
