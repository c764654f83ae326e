"""
What is left of a mismatch after calibration by the original's rule, by the paper's equation, and exactly.

    python benchmarks/offsets.py
    python benchmarks/offsets.py --golden ../shared/golden/charm.json --output outputs/offsets.csv

Scores of two models on the same prompts are drawn with a given correlation; the over-valued model's mean is `--shift` higher.
For each correlation the table has the mean over seeds of the mismatch degree (MD) before and after, and of the share of pairs
that the original's offset flips; in brackets the largest |MD|. With `--golden` it has a row for each case of the reference
numbers. About half a minute on one core.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl_ext.arena import elo_win_probability, solve_offset


CORRELATIONS = (0.02, 0.32, 0.6, 0.9)
METHODS = {
    "original": {"method": "reference"},
    "soft_paired": {"method": "soft_paired"},
    "soft_paired_std": {"method": "soft_paired", "temperature": "std"},
    "exact": {"method": "paired"},
}


def correlated_scores(
    n: int, correlation: float, sd: float, shift: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores `(n,)` of an over-valued and of a reference model."""
    common = math.sqrt(correlation) * generator.normal(size=n)
    own = math.sqrt(1 - correlation) * generator.normal(size=(2, n))
    return sd * (common + own[0]) + shift, sd * (common + own[1])


def compare(overvalued: np.ndarray, reference: np.ndarray, expected: float) -> dict[str, float]:
    """Mismatch degrees before and after, by method, and the share of pairs that the original's offset flips."""
    solutions = {name: solve_offset(overvalued, reference, expected, **options) for name, options in METHODS.items()}
    row = {"n": len(overvalued), "before": solutions["exact"].mismatch_before}
    row["attainable"] = solutions["exact"].attainable
    row |= {name: solution.mismatch_after for name, solution in solutions.items()}
    return row | {"flipped": solutions["original"].flipped / len(overvalued)}


def synthetic(
    correlations: Iterable[float], seeds: int, n: int, sd: float, shift: float, expected: float
) -> pd.DataFrame:
    """A row per correlation and seed."""
    rows = []
    for correlation in correlations:
        for seed in range(seeds):
            scores = correlated_scores(n, correlation, sd, shift, np.random.default_rng(seed))
            rows.append({"correlation": correlation, "seed": seed} | compare(*scores, expected))
    return pd.DataFrame(rows)


def golden_cases(path: Path) -> pd.DataFrame:
    """A row per case with two models."""
    rows = []
    for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
        scores = np.array(case["scores_overvalued"]), np.array(case["scores_reference"])
        rows.append({"case": case["id"]} | compare(*scores, elo_win_probability(*case["elo"])))
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame, by: str) -> str:
    """A line per value of `by`: means, and in brackets the largest absolute value where there are several rows."""
    names = ("before", *METHODS)
    lines = [f"| {by} | n | before | " + " | ".join(METHODS) + " | flipped by the original |", "|---" * 8 + "|"]
    for value, rows in table.groupby(by, sort=False):
        cells = [f"{rows[name].mean():+.4f}" for name in names]
        if len(rows) > 1:
            cells = [f"{cell} ({rows[name].abs().max():.4f})" for cell, name in zip(cells, names, strict=True)]
        lines.append(f"| {value} | {rows['n'].iloc[0]} | " + " | ".join(cells) + f" | {rows['flipped'].mean():.0%} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000, help="prompts")
    parser.add_argument("--sd", type=float, default=8.0, help="standard deviation of the scores")
    parser.add_argument("--shift", type=float, default=3.0, help="how much higher the over-valued model scores")
    parser.add_argument("--expected", type=float, default=elo_win_probability(1216, 1273), help="expected win rate")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--correlations", type=float, nargs="+", default=CORRELATIONS)
    parser.add_argument("--golden", type=Path, help="reference numbers, for a second table")
    parser.add_argument("--output", type=Path, help="CSV file for the rows")
    options = parser.parse_args()
    table = synthetic(options.correlations, options.seeds, options.n, options.sd, options.shift, options.expected)
    print(as_markdown(table, "correlation"))
    if options.golden:
        print("\n" + as_markdown(golden_cases(options.golden), "case"))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
