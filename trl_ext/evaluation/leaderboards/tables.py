"""Tables behind the plots of a leaderboard."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..benchmarks.rm_bench import STYLES
from ..biases.length_bias import length_bias
from ..results.model_result import ModelResult
from ..results.row_matching import matched_rows


logger = logging.getLogger(__name__)


def accuracies_by_subset(results: Sequence[ModelResult]) -> pd.DataFrame:
    """`model`, `subset`, `accuracy`, `ci_low`, `ci_high`, `n` of all subsets of some results."""
    return pd.DataFrame(
        [
            {"model": result.model, "subset": name, "accuracy": estimate.value}
            | {"ci_low": estimate.ci_low, "ci_high": estimate.ci_high, "n": estimate.n}
            for result in results
            for name, estimate in result.subsets.items()
        ]
    )


def rewards_of_responses(results: Sequence[ModelResult]) -> pd.DataFrame:
    """`model`, `response` (`chosen` for right ones, `rejected` for wrong ones), `reward`, where rewards are known."""
    tables = []
    for result in results:
        if result.rows is None or "rewards" not in result.rows:
            continue
        rows = result.rows[result.rows["rewards"].notna()]
        for rewards, correct in zip(rows["rewards"], rows["num_correct"], strict=True):
            kinds = ["chosen"] * int(correct) + ["rejected"] * (len(rewards) - int(correct))
            tables.append((result.model, kinds, rewards))
    return pd.DataFrame(
        {
            "model": [model for model, kinds, _ in tables for _ in kinds],
            "response": [kind for _, kinds, _ in tables for kind in kinds],
            "reward": [reward for _, _, rewards in tables for reward in rewards],
        }
    )


def margin_correlations(results: Sequence[ModelResult]) -> pd.DataFrame | None:
    """
    Spearman correlations of the models' margins (lowest reward of a right response minus highest of a wrong one), for each
    pair over the rows that both have; of ranks, as rewards of different models have no common unit.

    Args:
        results (`Sequence[ModelResult]`):
            Results on one benchmark.

    Returns:
        `pandas.DataFrame` or `None`: square, with the models' names; `nan` below three common rows. `None` if fewer than
        two models have margins.
    """
    known = [result for result in results if result.rows is not None and "margin" in result.rows]
    tables = matched_rows(known) if len(known) > 1 else {}
    margins = {model: table["margin"].astype(np.float64) for model, table in tables.items()}
    return pd.DataFrame(margins).corr("spearman", min_periods=3) if len(margins) > 1 else None


def accuracies_by_length(results: Sequence[ModelResult], *, level: float = 0.95) -> pd.DataFrame:
    """
    Accuracy where the right response is shorter, about as long, longer than the wrong one, see [`length_bias`].

    Args:
        results (`Sequence[ModelResult]`):
            Results with lengths of responses; those without pairs are passed over. Pairs with an empty response are left
            out, as a ratio of lengths needs both; a warning counts them.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        `pandas.DataFrame`: `model`, `band`, `value`, `ci_low`, `ci_high`, `n`; lengths in characters.
    """
    records = []
    for result in results:
        rows = result.rows
        if rows is None or not {"rewards", "lengths"} <= set(rows):
            continue
        rows = rows[rows["rewards"].notna()]
        rows = rows[(rows["rewards"].map(len) == 2) & (rows["num_correct"] == 1)]
        empty = rows["lengths"].map(min) == 0
        if empty.any():
            logger.warning(
                "%s: %d of %d pairs have an empty response and are left out of the accuracy by length",
                *(result.model, int(empty.sum()), len(rows)),
            )
            rows = rows[~empty]
        if rows.empty:
            continue
        rewards, lengths = (np.array(rows[name].tolist(), dtype=np.float64).T for name in ("rewards", "lengths"))
        clusters = rows["cluster"].to_numpy() if "cluster" in rows else None
        bias = length_bias(*rewards, *lengths, clusters=clusters, level=level, resamples=2)
        for band in ("shorter", "equal", "longer"):
            figure = bias.accuracy[band]
            numbers = {name: getattr(figure, name) for name in ("value", "ci_low", "ci_high", "n")}
            records.append({"model": result.model, "band": band, **numbers})
    return pd.DataFrame(records)


def style_cells(results: Sequence[ModelResult]) -> pd.DataFrame:
    """`model`, `right`, `wrong`, `value`, `ci_low`, `ci_high` of results on RM-Bench; no rows of others."""
    cells = []
    for result in results:
        accuracies = result.details.get("all_prompts") or {}
        for right in STYLES:
            for wrong in STYLES:
                cell = accuracies.get(f"{right}_over_{wrong}")
                if cell is not None:
                    numbers = {name: float(cell[name]) for name in ("value", "ci_low", "ci_high")}
                    cells.append({"model": result.model, "right": right, "wrong": wrong, **numbers})
    return pd.DataFrame(cells)
