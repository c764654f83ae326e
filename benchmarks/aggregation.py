"""What the aggregation methods recover of planted annotators: error, coverage of 95 % intervals, time.

    python benchmarks/aggregation.py --datasets 100

Prints the table of docs/aggregation.md. 8 annotators, 1000 items, 4 votes an item drawn at random.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from tqdm import trange


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from trl_ext.evaluation import mean_estimate
from trl_ext.reliability.aggregation import (
    dawid_skene,
    glad,
    majority_vote,
    noisy_bradley_terry,
    simulate_comparisons,
    simulate_votes,
)


SKILLS = np.array([0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.2])
ETAS = np.array([0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1, -0.4])
SCORES = np.random.default_rng(0).normal(0, 1.5, 30)
ITEMS, VOTES = 1000, 4


def mean_skill_over_difficulties(sd: float) -> np.ndarray:
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    return expit(np.outer(logit(SKILLS), np.exp(sd * nodes))) @ (weights / weights.sum())


def constant(seed: int):
    return simulate_votes(SKILLS, ITEMS, VOTES, seed=seed)


def difficult(seed: int):
    return simulate_votes(SKILLS, ITEMS, VOTES, difficulty_sd=1.0, seed=seed)


def comparisons(seed: int):
    table = simulate_comparisons(SCORES, ETAS, ITEMS, VOTES, seed=seed)
    numbers = {f"response-{i + 1:02d}": score for i, score in enumerate(SCORES)}
    pairs = table.drop_duplicates("item_id")
    first = pairs["response_a"].map(numbers) > pairs["response_b"].map(numbers)
    return table, pd.DataFrame({"item_id": pairs["item_id"].to_numpy(), "label": first.to_numpy().astype(int)})


def measure(name: str, method: Callable, simulate: Callable, planted: np.ndarray, datasets: int) -> str:
    errors, inside, right, seconds = [], [], [], []
    for seed in trange(datasets, desc=name, leave=False, disable=None):
        table, truth = simulate(seed)
        start = time.perf_counter()
        result = method(table)
        seconds.append(time.perf_counter() - start)
        annotators = result.annotators.set_index("annotator_id").sort_index()
        errors.append((annotators["skill"] - planted).to_numpy())
        inside.append(((annotators["ci_low"] <= planted) & (planted <= annotators["ci_high"])).to_numpy())
        label = result.items.set_index("item_id")["label"].loc[truth["item_id"]].to_numpy()
        right.append(1 - np.abs(label - truth["label"].to_numpy()).mean())
    errors, has_se = np.array(errors), annotators["skill_se"].notna().all()
    coverage = mean_estimate(np.mean(inside, axis=1)) if has_se else None
    covered = f"{coverage.value:.3f} ({coverage.ci_low:.3f}–{coverage.ci_high:.3f})" if has_se else "–"
    cells = [
        name,
        f"{np.mean(right):.3f}",
        f"{np.abs(errors).mean():.4f}",
        f"{np.abs(errors[:10]).max():.3f}",
        f"{np.abs(errors).max():.3f}",
        f"{(np.abs(errors) < 0.05).mean():.1%}",
        covered,
        f"{np.median(seconds):.3f}",
    ]
    return "| " + " | ".join(cells) + " |"


def counted(seed: int) -> np.ndarray:
    """Skills from counting votes against the known truth: no method can do better."""
    table, truth = constant(seed)
    merged = table.merge(truth, on="item_id")
    return (merged["label_x"] == merged["label_y"]).groupby(merged["annotator_id"]).mean().to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=100, help="simulated tables per row (default: %(default)s)")
    n = parser.parse_args().datasets
    logging.disable(logging.WARNING)

    known = np.array([counted(seed) - SKILLS for seed in range(n)])
    print(
        "| method, data | label accuracy | mean error | largest, 10 | largest, all | within 0.05 | coverage | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| truth known, skills constant | 1 | {np.abs(known).mean():.4f} | {np.abs(known[:10]).max():.3f} | "
        f"{np.abs(known).max():.3f} | {(np.abs(known) < 0.05).mean():.1%} | – | – |"
    )
    mean_skills = mean_skill_over_difficulties(1.0)
    two_coin = partial(dawid_skene, model="two_coin")
    for name, method, simulate, planted in (
        ("majority, skills constant", majority_vote, constant, SKILLS),
        ("Dawid–Skene one coin, skills constant", dawid_skene, constant, SKILLS),
        ("Dawid–Skene two coins, skills constant", two_coin, constant, SKILLS),
        ("GLAD, skills constant", glad, constant, SKILLS),
        ("Dawid–Skene one coin, items differ", dawid_skene, difficult, mean_skills),
        ("GLAD, items differ", glad, difficult, mean_skills),
        ("GLAD at the mode, items differ", partial(glad, difficulty="mode"), difficult, mean_skills),
        ("noisy Bradley–Terry, 30 responses", noisy_bradley_terry, comparisons, (1 + ETAS) / 2),
    ):
        print(measure(name, method, simulate, planted, n), flush=True)


if __name__ == "__main__":
    main()
