"""What calibration is logged and evaluated by: win rates against their targets, and what became of the order within models."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from scipy import stats
from torch import Tensor

from ..arena import mismatch_degree
from ..losses import BatchObjective
from .calibration_columns import CHOSEN_CODE, REJECTED_CODE, SCORES, TARGET


_SUMS = ("batches", "gap", "anchor", "human_pairs", "human_loss", "human_correct")


class CalibrationLog:
    """
    Sums over the training steps between two logs.

    Args:
        accelerator ([`~accelerate.Accelerator`]): Its processes' human pairs are pooled, when they are asked for.
    """

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.reset()

    def reset(self) -> None:
        """Start over."""
        self.sums = torch.zeros(len(_SUMS), dtype=torch.float64)

    def _add(self, **values: Tensor | float) -> None:
        self.sums += torch.tensor([float(values.get(name, 0.0)) for name in _SUMS], dtype=torch.float64)

    def add_objective(self, matching: BatchObjective, targets: Tensor, anchor: BatchObjective | None) -> None:
        """Add the objective of a batch of all processes, which every process has."""
        if not self.accelerator.is_main_process or not (seen := matching.counts > 0).any():
            return
        gap = (matching.statistics - targets)[seen].abs().mean()
        self._add(batches=1, gap=gap, anchor=0.0 if anchor is None else anchor.value)

    def add_human(self, differences: Tensor, losses: Tensor) -> None:
        """Add the human pairs of this process: reward differences and losses `(B,)`."""
        self._add(human_pairs=len(losses), human_loss=losses.sum(), human_correct=(differences > 0).sum())

    def _totals(self) -> Tensor:
        if self.accelerator.num_processes == 1:
            return self.sums.clone()
        return self.accelerator.reduce(self.sums.to(self.accelerator.device), "sum").cpu()

    def state(self) -> list[float]:
        """What a checkpoint keeps. A collective."""
        return self._totals().tolist()

    def load_state(self, state: list[float]) -> None:
        """Continue from a `state`."""
        self.reset()
        if self.accelerator.is_main_process:
            self.sums += torch.tensor(state, dtype=torch.float64)

    def pop(self) -> dict[str, float]:
        """Metrics of the steps since the last call. A collective."""
        total = dict(zip(_SUMS, self._totals().tolist(), strict=True))
        self.reset()
        metrics = {}
        if total["batches"]:
            metrics |= {"win_rate_gap": total["gap"] / total["batches"], "anchor": total["anchor"] / total["batches"]}
        if total["human_pairs"]:
            metrics["human_loss"] = total["human_loss"] / total["human_pairs"]
            metrics["human_accuracy"] = total["human_correct"] / total["human_pairs"]
        return metrics


def calibration_metrics(rewards: np.ndarray, columns: dict[str, np.ndarray], models: Sequence[str]) -> dict[str, Any]:
    """
    Win rates of an evaluation set, by pair of models in the order of their names, and against their targets.

    Args:
        rewards (`np.ndarray` of shape `(N, 2)`): Rewards of chosen and rejected.
        columns (`dict[str, np.ndarray]`): Codes of the models, and where there are any, targets and frozen rewards.
        models (`Sequence[str]`): Names by code.

    Returns:
        `dict[str, float]`: `win_rate/a/b` (share of pairs that a wins) and `ties/a/b` of every pair; the means over the pairs
        `mean_abs_mismatch` of the absolute mismatch degree and `win_rate_gap` of the distance of win rate and target, a tie
        counting half a win, so that they do not depend on the order of names; `within_source_kendall_tau`, the mean over
        the models of the rank correlation of reward and frozen reward.
    """
    if CHOSEN_CODE not in columns:
        return {}
    chosen, rejected = (columns[name].astype(np.int64) for name in (CHOSEN_CODE, REJECTED_CODE))
    names = np.array(models, dtype=object)
    forward = names[chosen] < names[rejected]
    first, second = np.where(forward, chosen, rejected), np.where(forward, rejected, chosen)
    of_first, of_second = np.where(forward, rewards.T, rewards.T[::-1])
    metrics: dict[str, float] = {}
    mismatches, gaps = [], []
    for name, other, a, b in sorted(
        {(names[a], names[b], a, b) for a, b in zip(first, second, strict=True) if a != b}
    ):
        rows = (first == a) & (second == b)
        wins, ties = (
            float((of_first[rows] > of_second[rows]).mean()),
            float((of_first[rows] == of_second[rows]).mean()),
        )
        metrics |= {f"win_rate/{name}/{other}": wins, f"ties/{name}/{other}": ties}
        if TARGET in columns:
            target = float(np.where(forward, columns[TARGET], 1 - columns[TARGET])[rows].mean())
            mismatches.append(abs(mismatch_degree(of_first[rows], of_second[rows], target, ties="half")))
            gaps.append(abs(wins + ties / 2 - target))
    if mismatches:
        metrics |= {"mean_abs_mismatch": float(np.mean(mismatches)), "win_rate_gap": float(np.mean(gaps))}
    if all(name in columns for name in SCORES):
        metrics |= _agreement_within_sources(
            rewards, np.stack([columns[name] for name in SCORES], 1), chosen, rejected
        )
    return metrics


def _agreement_within_sources(
    rewards: np.ndarray, frozen: np.ndarray, chosen: np.ndarray, rejected: np.ndarray
) -> dict[str, float]:
    sources = np.stack([chosen, rejected], axis=1)
    taus = []
    for source in np.unique(sources):
        rows = sources == source
        if rows.sum() > 1:
            taus.append(stats.kendalltau(rewards[rows], frozen[rows]).statistic)
    taus = [tau for tau in taus if np.isfinite(tau)]  # there is none of constant rewards
    return {"within_source_kendall_tau": float(np.mean(taus))} if taus else {}
