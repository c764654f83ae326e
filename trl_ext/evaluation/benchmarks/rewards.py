"""Rewards of a benchmark's rows: their check, and what each row is worth."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from datasets import Dataset

from ..statistics import Estimate, proportion_estimate
from .base import ROW_COLUMNS


logger = logging.getLogger(__name__)

# What a row is worth whose highest reward is that of right and of wrong responses
TIES = {
    "loss": "equal rewards of a right and a wrong response count as lost",
    "half": "equal rewards count half: the share of right ones among the responses with the highest reward",
}


def check_rewards(rows: Dataset, rewards: Sequence[np.ndarray]) -> list[np.ndarray]:
    """
    Rewards as float64 arrays, one per row with a value for each of its responses.

    Raises:
        ValueError: rewards are missing, too many, or not finite; the row is named.
    """
    missing = [column for column in ROW_COLUMNS if column not in rows.column_names]
    if missing:
        raise ValueError(
            f"rows must be those of Benchmark.load, but lack the columns {', '.join(missing)}; they have "
            f"{', '.join(rows.column_names)}"
        )
    ids = rows["id"][:]
    if not ids:
        raise ValueError("there are no rows to evaluate")
    if len(rewards) != len(ids):
        detail = (
            f"the first row without is {len(rewards)} (id {ids[len(rewards)]!r})"
            if len(rewards) < len(ids)
            else f"the last row is {len(ids) - 1} (id {ids[-1]!r})"
        )
        raise ValueError(f"rewards must have an array per row: {len(ids)} rows, but {len(rewards)} arrays; {detail}")
    checked = []
    for index, (identifier, responses, values) in enumerate(zip(ids, rows["responses"], rewards, strict=True)):
        where = f"row {index} (id {identifier!r})"
        array = np.asarray(values, dtype=np.float64)
        if array.shape != (len(responses),):
            raise ValueError(
                f"{where} has {len(responses)} responses and needs rewards of shape ({len(responses)},), got {array.shape}"
            )
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise ValueError(f"{where}: the reward of response {bad[0]} is {array[bad[0]]}; rewards must be finite")
        checked.append(array)
    return checked


def row_frame(rows: Dataset, rewards: Sequence[np.ndarray], ties: str) -> pd.DataFrame:
    """
    A table with a row per row: what it is worth, and how clearly.

    Args:
        rows ([`~datasets.Dataset`]):
            Rows of a benchmark.
        rewards (`Sequence[np.ndarray]`):
            Rewards from [`check_rewards`].
        ties (`str`):
            Key of `TIES`.

    Returns:
        `pandas.DataFrame`: `id`, `subset`, `section` (the subset), `cluster`, `score` (1 if a right response has the
        highest reward; `nan` for rows that mark none as right), `tied` (right and wrong responses share the highest
        reward), `margin` (lowest reward of a right response minus highest of a wrong one), `identical` (a right and a
        wrong response are the same text).
    """
    scores, tied, margins, identical = [], [], [], []
    for values, responses, right in zip(rewards, rows["responses"], rows["num_correct"], strict=True):
        if not 1 <= right < len(values):
            scores.append(np.nan), tied.append(False), margins.append(np.nan), identical.append(False)
            continue
        share = best_share(values, right)
        equal = 0.0 < share < 1.0
        scores.append(0.0 if equal and ties == "loss" else share)
        tied.append(equal)
        margins.append(values[:right].min() - values[right:].max())
        identical.append(not set(responses[:right]).isdisjoint(responses[right:]))
    return pd.DataFrame(
        {
            "id": rows["id"][:],
            "subset": rows["subset"][:],
            "section": rows["subset"][:],
            "cluster": rows["cluster"][:],
            "score": np.array(scores),
            "tied": np.array(tied, dtype=bool),
            "margin": np.array(margins),
            "identical": np.array(identical, dtype=bool),
        }
    )


def best_share(rewards: np.ndarray, num_correct: int) -> float:
    """Share of right responses, which are the first, among those with the highest reward."""
    best = rewards == rewards.max()
    return float(best[:num_correct].sum() / best.sum())


def subset_estimates(frame: pd.DataFrame, level: float, column: str = "score") -> dict[str, Estimate]:
    """Mean of every subset, in the order of the rows, with Wilson's interval for clustered rows."""
    return {
        name: proportion_estimate(part[column].to_numpy(), part["cluster"].to_numpy(), level)
        for name, part in frame.groupby("subset", sort=False)
    }


def tie_details(frame: pd.DataFrame, ties: str) -> dict[str, object]:
    """Rule and number of ties by subset, and of pairs that nothing but a tie can come of, for the details of a result."""
    counts = frame.groupby("subset", sort=False)["tied"].sum()
    identical = int(frame["identical"].sum())
    if identical:
        logger.warning("%d rows have a right and a wrong response of the same text, which tie", identical)
    return {
        "ties": {name: int(count) for name, count in counts.items() if count},
        "ties_rule": ties,
        "ties_rule_text": TIES[ties],
        "identical_responses": identical,
    }
