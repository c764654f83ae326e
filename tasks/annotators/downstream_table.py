"""What the trainings of the downstream experiment learned, over seeds: table, and rows for the charts."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from tasks.annotators.downstream_scenarios import CLEAN, CORRUPTED, Cell, Scenario, methods_for
from trl_ext.evaluation.accuracy.oracle import oracle_values
from trl_ext.evaluation.statistics import Estimate, mean_estimate, proportion_estimate


PAIR, SEED = "pair", "seed"
FIGURES = {"cross_entropy": "oracle cross-entropy", "accuracy": "oracle accuracy"}


def read_cell(cell: Cell) -> pd.DataFrame:
    """
    Figures of every held-out pair, after the last step of a finished training.

    Returns:
        `pd.DataFrame`: `pair`, `cluster` (its prompt), `seed`, `cross_entropy` (nats) of σ(reward difference) against the
        oracle's probability, and `accuracy`: 1 where the rewards order the pair as the oracle
        does, 0 where not (a tie in reward is not correct), NaN where the oracle has no preference.
    """
    scored = pd.read_csv(cell.folder / "test_rewards.csv", float_precision="round_trip")
    p = scored["oracle_probability"].to_numpy()
    difference = (scored["reward_chosen"] - scored["reward_rejected"]).to_numpy()
    cross_entropy, _, correct = oracle_values(difference, p)
    return pd.DataFrame(
        {
            PAIR: scored["id"].astype(str),
            "cluster": scored["prompt_id"].astype(str),
            SEED: str(cell.seed),
            "cross_entropy": cross_entropy,
            "accuracy": correct,
        }
    )


class Results:
    """
    Figures of all finished trainings.

    Args:
        cells (iterable of [`Cell`]): Finished trainings.
    """

    def __init__(self, cells: Iterable[Cell]):
        self._pairs: dict[tuple[str, float, str], list[pd.DataFrame]] = {}
        for cell in cells:
            self._pairs.setdefault((cell.dataset, cell.eta, cell.method), []).append(read_cell(cell))

    def pairs(self, dataset: str, eta: float, method: str) -> pd.DataFrame | None:
        """Pairs of all seeds; `None` if no training is finished."""
        found = self._pairs.get((dataset, eta, method))
        return None if found is None else pd.concat(found, ignore_index=True)

    def figures(self, dataset: str, eta: float, method: str) -> dict[str, Estimate]:
        """
        Oracle cross-entropy and accuracy with 95 % intervals.

        The runs share the held-out pairs, so rows are clustered by prompt and by seed (a seed draws labels and weights):
        the intervals cover other prompts and other seeds. With few seeds, t has few degrees of freedom.
        """
        pairs = self.pairs(dataset, eta, method)
        if pairs is None:
            return {}
        known = pairs.dropna(subset=["accuracy"])
        figures = {"cross_entropy": mean_estimate(pairs["cross_entropy"], _clusters(pairs))}
        if len(known):
            figures["accuracy"] = proportion_estimate(known["accuracy"], _clusters(known))
        return figures

    def gain(self, dataset: str, eta: float, method: str, figure: str = "cross_entropy") -> Estimate | None:
        """Difference of a method to plain training on the same labels, paired by pair and seed."""
        ours, plain = self.pairs(dataset, eta, method), self.pairs(dataset, eta, "plain")
        if ours is None or plain is None or method == "plain":
            return None
        both = ours.merge(plain, on=[PAIR, SEED, "cluster"], suffixes=("", "_plain")).dropna(subset=[figure])
        if both.empty:
            return None
        return mean_estimate(both[figure] - both[f"{figure}_plain"], _clusters(both))

    def seeds(self, dataset: str, eta: float, method: str) -> int:
        """Number of finished trainings."""
        return len(self._pairs.get((dataset, eta, method), ()))


def mean_entropy(held_out: Dataset) -> float:
    """Mean entropy of the oracle on the held-out pairs, in nats: no model has less cross-entropy."""
    p = np.asarray(held_out["oracle_probability"], dtype=np.float64)
    return float(oracle_values(np.zeros_like(p), p)[1].mean())


def _clusters(pairs: pd.DataFrame) -> np.ndarray:
    """Prompt and seed; of a single seed, the prompt alone: it tells nothing of others."""
    return pairs[["cluster", SEED] if pairs[SEED].nunique() > 1 else "cluster"].to_numpy(dtype=str)


def result_table(scenarios: Iterable[Scenario], results: Results, methods: Iterable[str]) -> pd.DataFrame:
    """
    One row per scenario, method and figure.

    Returns:
        `pd.DataFrame`: `dataset`, `condition`, `name`, `monitor`, `contract`, `budget`, `c`, `n_monitor`, `effort`, `wage`,
        `principal_utility`, `method`, `seeds`, `figure`, `value`, `se`, `ci_low`, `ci_high`, `n`, `interval`, and `reason` for a
        scenario without a contract, which has no figures.
    """
    rows: list[dict[str, Any]] = []
    for scenario in scenarios:
        common = {
            **{
                key: getattr(scenario, key)
                for key in ("dataset", "condition", "name", "monitor", "contract", "budget")
            },
            **{"c": scenario.c, "n_monitor": scenario.n, "effort": scenario.effort, "wage": scenario.wage},
            **{"principal_utility": scenario.value, "reason": scenario.reason},
        }
        if not scenario.is_feasible:
            rows.append(common)
            continue
        for method in methods_for(scenario.eta, methods):
            key = (scenario.dataset, scenario.eta, method)
            figures: Mapping[str, Estimate | None] = results.figures(*key) | {
                f"{figure}_minus_plain": results.gain(*key, figure) for figure in FIGURES
            }
            for figure, estimate in figures.items():
                if estimate is not None:
                    record = estimate.to_dict()
                    rows.append(
                        {
                            **common,
                            **{"method": method, "seeds": results.seeds(*key), "figure": figure},
                            **{"interval": record.pop("method")},
                            **record,
                        }
                    )
    return pd.DataFrame(rows)


def format_markdown(table: pd.DataFrame, entropy: Mapping[str, float]) -> str:
    """Scenarios with effort, wage, and figures with 95 % intervals."""
    lines = []
    for dataset, part in table.groupby("dataset", sort=False):
        lines.append(f"{dataset}: entropy of the oracle {entropy[dataset]:.4f} nats, the least cross-entropy there is")
        lines += [
            "",
            "| labels | effort η | expected wage | training | seeds | cross-entropy (nats) | accuracy | cross-entropy − plain |",
        ]
        lines.append("|---|---|---|---|---|---|---|---|")
        for (name, _), scenario in part.groupby(["name", "condition"], sort=False):
            first = scenario.iloc[0]
            if first["reason"]:
                lines.append(f"| {name} | none: {first['reason']} | – | – | – | – | – | – |")
                continue
            wage = "–" if first["condition"] in (CLEAN, CORRUPTED) else f"{first['wage']:.4f}"
            for method, rows in scenario.groupby("method", sort=False):
                cells = [_text(rows, figure) for figure in ("cross_entropy", "accuracy", "cross_entropy_minus_plain")]
                lines.append(
                    f"| {name} | {first['effort']:.4f} | {wage} | {method} | {rows.iloc[0]['seeds']:g} | {' | '.join(cells)} |"
                )
        lines.append("")
    return "\n".join(lines)


def _text(rows: pd.DataFrame, figure: str) -> str:
    found = rows[rows["figure"] == figure]
    if found.empty:
        return "–"
    value, low, high = found.iloc[0][["value", "ci_low", "ci_high"]]
    return f"{value:.4f}" if not np.isfinite(low) else f"{value:.4f} [{low:.4f}, {high:.4f}]"
