"""The table of an experiment: figures of every row over folds and seeds, beside the published ones."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.rapl.experiment_rows import PUBLISHED, Row
from tasks.train_report import mark_pairs
from trl_ext.evaluation.biases.lie import RESPONSE_KINDS
from trl_ext.evaluation.statistics import Estimate, mean_estimate, proportion_estimate, ratio_estimate


FIGURES = {
    "length_weight": "W_length",
    "correctness_weight": "W_correct",
    "ratio": "W_correct / W_length",
    "length_weight_per_sd": "W_length per s.d.",
    "correctness_weight_per_sd": "W_correct per s.d.",
    "correct_over_incorrect": "right over wrong answers",
    "accuracy_to_labels": "accuracy to labels",
    "accuracy_to_truth": "accuracy to truth",
}
PUBLISHED_FIGURES = ("length_weight", "correctness_weight", "ratio")


@dataclass(frozen=True)
class Cell:
    """
    One training run.

    Args:
        row ([`~tasks.rapl.experiment_rows.Row`]): Method and reliability.
        fold (`int`): Fold of the data.
        seed (`int`): Seed of the training.
        folder (`Path`): Output directory of the run.
    """

    row: Row
    fold: int
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        return f"fold {self.fold}, seed {self.seed}"


def read_cell(cell: Cell) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Gains of length and correctness on every row of the answer grid, and the marked evaluation pairs, of a finished run."""
    truth = json.loads((cell.folder / "results.json").read_text(encoding="utf-8"))
    truth = truth["provenance"]["config"]["correctness_label_col_name"]
    grid = pd.read_csv(cell.folder / "grid_rewards.csv", float_precision="round_trip")
    sc, lc, si, li = (grid[kind].to_numpy() for kind in RESPONSE_KINDS)
    wins = [(1 + np.sign(right - wrong)) / 2 for right, wrong in ((lc, li), (sc, si), (sc, li), (lc, si))]
    gains = pd.DataFrame(
        {
            "row": np.arange(len(grid)),
            "question_id": grid["question_id"].astype(str),
            "cell": cell.name,
            "length": ((lc - sc) + (li - si)) / 2,
            "correctness": ((lc - li) + (sc - si)) / 2,
            "reward_sd": np.stack([sc, lc, si, li]).std(),
            "correct_over_incorrect": np.mean(wins, axis=0),  # of four comparisons: a share for each row
        }
    )
    pairs = mark_pairs(pd.read_csv(cell.folder / "test_rewards.csv", float_precision="round_trip"), truth)
    return gains, pairs.assign(cell=cell.name)


def _clusters(table: pd.DataFrame) -> np.ndarray:
    return table[["question_id", "cell"]].astype(str).to_numpy()


def summarise(cells: Iterable[Cell]) -> tuple[dict[str, Estimate], pd.DataFrame]:
    """
    Figures of one row of the table over its runs.

    The runs share the test questions, so rows are clustered by question and by run: the intervals cover other questions
    and other folds and seeds. With few runs, t has few degrees of freedom.

    Returns:
        `tuple`: Figures by name, and the gains that [`difference_to`] compares.
    """
    read = [read_cell(cell) for cell in cells]
    gains = pd.concat([grid for grid, _ in read], ignore_index=True)
    pairs = pd.concat([pairs for _, pairs in read], ignore_index=True)
    clusters = _clusters(gains)
    figures = {
        "length_weight": mean_estimate(gains["length"], clusters),
        "correctness_weight": mean_estimate(gains["correctness"], clusters),
        "ratio": ratio_estimate(gains["correctness"], gains["length"], clusters),
        "length_weight_per_sd": mean_estimate(gains["length"] / gains["reward_sd"], clusters),
        "correctness_weight_per_sd": mean_estimate(gains["correctness"] / gains["reward_sd"], clusters),
        "correct_over_incorrect": proportion_estimate(gains["correct_over_incorrect"], clusters),
    }
    for figure, column in (("accuracy_to_labels", "agrees_with_label"), ("accuracy_to_truth", "agrees_with_truth")):
        rows = pairs.dropna(subset=[column]) if column in pairs.columns else pairs.iloc[:0]
        if len(rows):
            figures[figure] = proportion_estimate(rows[column], _clusters(rows))
    return figures, gains


def difference_to(gains: pd.DataFrame, baseline: pd.DataFrame) -> Estimate | None:
    """Difference of W_correct per s.d. to a baseline, paired by run and test question; `None` without a common run."""
    both = gains.merge(baseline, on=["cell", "row", "question_id"], suffixes=("", "_baseline"))
    if both.empty:
        return None
    scaled = both["correctness"] / both["reward_sd"]
    return mean_estimate(scaled - both["correctness_baseline"] / both["reward_sd_baseline"], _clusters(both))


def _text(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    if not np.isfinite(estimate.ci_low):
        return f"{estimate.value:.2f} [not determined]"
    return f"{estimate.value:.2f} [{estimate.ci_low:.2f}, {estimate.ci_high:.2f}]"


def format_markdown(
    figures: Mapping[str, dict[str, Estimate]],
    differences: Mapping[str, Estimate | None],
    cells: Mapping[str, list[Cell]],
) -> str:
    """The layout of the paper's Table 1 (as published in brackets), then what it lacks; 95 % confidence intervals."""
    rows = {name: cells[name][0].row.title for name in figures}
    first = ["| method | runs | W_length | published | W_correct | published | W_correct / W_length | published |"]
    first.append("|---|---|---|---|---|---|---|---|")
    second = ["| method | " + " | ".join(list(FIGURES.values())[3:]) + " | W_correct per s.d. − standard |"]
    second.append("|" + "---|" * (len(FIGURES) - 1))
    for name, title in rows.items():
        published = [f"{mean:.2f} ± {spread:.2f}" for mean, spread in PUBLISHED.get(name, ())] or ["–"] * 3
        texts = [_text(figures[name][figure]) for figure in PUBLISHED_FIGURES]
        columns = [text for pair in zip(texts, published, strict=True) for text in pair]
        first.append(f"| {title} | {len(cells[name])} | {' | '.join(columns)} |")
        texts = [_text(figures[name].get(figure)) for figure in list(FIGURES)[3:]]
        second.append(f"| {title} | {' | '.join(texts)} | {_text(differences.get(name))} |")
    return "\n".join([*first, "", *second]) + "\n"


def long_table(
    figures: Mapping[str, dict[str, Estimate]],
    differences: Mapping[str, Estimate | None],
    cells: Mapping[str, list[Cell]],
) -> pd.DataFrame:
    """One row per method and figure, with the published value where there is one."""
    records: list[dict[str, Any]] = []
    for name, estimates in figures.items():
        published = dict(zip(PUBLISHED_FIGURES, PUBLISHED.get(name, ()), strict=False))
        for figure, estimate in (
            *estimates.items(),
            ("correctness_weight_per_sd_minus_standard", differences.get(name)),
        ):
            if estimate is not None:
                mean, spread = published.get(figure, (None, None))
                records.append(
                    {"row": name, "figure": figure, "runs": len(cells[name]), **estimate.to_dict()}
                    | {"published": mean, "published_spread": spread}
                )
    return pd.DataFrame(records)


def plot(figures: Mapping[str, dict[str, Estimate]], cells: Mapping[str, list[Cell]], path: Path) -> None:
    """W_correct against W_length, both per standard deviation of the reward, with 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5.5), layout="constrained")
    for index, (name, estimates) in enumerate(figures.items()):
        x, y = estimates["length_weight_per_sd"], estimates["correctness_weight_per_sd"]
        axes.errorbar(
            x.value, y.value,
            xerr=[[x.value - x.ci_low], [x.ci_high - x.value]] if np.isfinite(x.ci_low) else None,
            yerr=[[y.value - y.ci_low], [y.ci_high - y.value]] if np.isfinite(y.ci_low) else None,
            fmt="os^Dv<>pP*"[index % 10], capsize=2, elinewidth=0.8, label=cells[name][0].row.title,
        )  # fmt: skip
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_xlabel("W_length, per standard deviation of the reward")
    axes.set_ylabel("W_correct, per standard deviation of the reward")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small", frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
