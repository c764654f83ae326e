"""
How often do the paired tests reject when two models are equal, and do they find the minimum detectable effect?

    python benchmarks/paired_test_size.py --replications 20000

Prints, for a nominal level of 5 %, the size of McNemar's exact and mid-p test and their power at the minimum detectable
effect; the same for the permutation test on weighted subsets, on nine comparisons per prompt and on few rows; and how often
the tie band holds the truly best of several models. About ten minutes on one core.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.interval_coverage import RM_BENCH_PROMPTS, ROWS
from trl_ext.evaluation.benchmarks.rewardbench import EXAMPLE_COUNTS, SECTIONS
from trl_ext.evaluation.statistics import (
    adjust_p_values,
    mcnemar_p_values,
    minimum_detectable_effect,
    sign_flip_p_value,
)


ALPHA = 0.05


def mcnemar(n: int, discordance: float, replications: int, seed: int = 0) -> dict[str, float]:
    """Size of both forms of McNemar's test, and power of mid-p at the minimum detectable effect."""
    rng = np.random.default_rng([seed, n, round(1000 * discordance)])
    effect = minimum_detectable_effect(discordance / n, n)
    figures = {"n": n, "discordance": discordance, "minimum_detectable_effect": effect}
    for name, difference in (("size", 0.0), ("power", effect)):
        share = max(discordance, difference)  # they can't differ more than they disagree
        shares = [(share + difference) / 2, (share - difference) / 2, 1 - share]
        only_a, only_b, _ = rng.multinomial(n, shares, size=replications).T
        exact, mid_p = mcnemar_p_values(only_a, only_b)
        figures |= {f"{name}_exact": float(np.mean(exact <= ALPHA)), f"{name}_mid_p": float(np.mean(mid_p <= ALPHA))}
    return figures


def rewardbench_contributions(rng: np.random.Generator, difference: float) -> np.ndarray:
    """Weighted differences of two models on RewardBench's subsets, which disagree on 2 to 20 % of the rows of a subset."""
    parts = []
    for names in SECTIONS.values():
        total = sum(EXAMPLE_COUNTS[name] for name in names)
        for name in names:
            discordance = max(rng.uniform(0.02, 0.2), abs(difference))
            draw = rng.random(ROWS[name])
            values = np.where(draw < (discordance + difference) / 2, 1.0, np.where(draw < discordance, -1.0, 0.0))
            parts.append(values * EXAMPLE_COUNTS[name] / total / len(SECTIONS) / ROWS[name])
    return np.concatenate(parts)


def rm_bench_contributions(rng: np.random.Generator, difference: float) -> np.ndarray:
    """Differences of two models on RM-Bench: prompts whose nine comparisons go together; domains weigh the same."""
    parts = []
    for n in RM_BENCH_PROMPTS.values():
        chance = np.clip(rng.beta(2, 0.9, n)[:, None] + rng.normal(0, 0.15, (n, 2)), 0, 1)
        # who is better on a prompt is a toss, but for the difference
        chance = np.where(rng.random((n, 1)) < 0.5, chance, chance[:, ::-1])
        wins = rng.binomial(9, chance) / 9
        parts.append((wins[:, 0] - wins[:, 1] + difference) / n / len(RM_BENCH_PROMPTS))
    return np.concatenate(parts)


def few_rows(rng: np.random.Generator, difference: float) -> np.ndarray:
    """Differences of 60 rows, 15 % of them discordant."""
    draw = rng.random(60)
    return np.where(draw < 0.075 + difference / 2, 1.0, np.where(draw < 0.15, -1.0, 0.0)) / 60


CONTRIBUTIONS: dict[str, Callable[[np.random.Generator, float], np.ndarray]] = {
    "RewardBench, 23 weighted subsets": rewardbench_contributions,
    "RM-Bench, nine comparisons per prompt": rm_bench_contributions,
    "60 rows, 15 % discordant": few_rows,
}


def permutation(
    contributions: Callable[[np.random.Generator, float], np.ndarray],
    replications: int,
    *,
    difference: float = 0.0,
    permutations: int = 999,
    seed: int = 0,
) -> float:
    """Share of rejections of the sign-flip test."""
    rejected = 0
    for replication in range(replications):
        rng = np.random.default_rng([seed, replication])
        p = sign_flip_p_value(contributions(rng, difference), permutations=permutations, seed=replication)
        rejected += p <= ALPHA
    return rejected / replications


def best_in_band(models: int, lead: float, n: int, replications: int, seed: int = 0) -> float:
    """Share of replications in which the truly best model is in the tie band (mid-p, Holm)."""
    rng = np.random.default_rng([seed, models, round(1e4 * lead)])
    accuracies = np.full(models, 0.8)
    accuracies[0] += lead
    found = 0
    for _ in range(replications):
        # rows are hard for all or for some
        shared = rng.random(n)
        draw = np.where(rng.random((models, n)) < 0.7, shared, rng.random((models, n)))
        right = draw < accuracies[:, None]
        best = int(np.argmax(right.sum(axis=1)))
        others = [model for model in range(models) if model != best]
        only_best = (right[best] & ~right[others]).sum(axis=1)
        only_other = (~right[best] & right[others]).sum(axis=1)
        adjusted = adjust_p_values(mcnemar_p_values(only_best, only_other)[1])
        found += best == 0 or adjusted[others.index(0)] > ALPHA
    return found / replications


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    options = {"replications": arguments.replications, "seed": arguments.seed}
    rows = [mcnemar(n, share, **options) for n in (100, 300, 1000, 2985) for share in (0.05, 0.1, 0.2)]
    print(pd.DataFrame(rows).round(4).to_string(index=False), flush=True)
    for name, contributions in CONTRIBUTIONS.items():
        size = permutation(contributions, arguments.replications, seed=arguments.seed)
        powers = [permutation(contributions, 1000, difference=d, seed=arguments.seed) for d in (0.01, 0.02)]
        print(f"{name}: size {size:.4f}, power at .01 {powers[0]:.3f}, at .02 {powers[1]:.3f}", flush=True)
    for models in (2, 8, 20):
        for lead in (0.0, 0.01):
            share = best_in_band(models, lead, 1000, min(arguments.replications, 4000), arguments.seed)
            print(f"{models} models, the best ahead by {lead:g}, 1000 rows: in the tie band {share:.4f}", flush=True)


if __name__ == "__main__":
    main()
