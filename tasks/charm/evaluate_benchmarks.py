"""Benchmarks before and after a calibration: paired differences of all figures that they report."""

import numpy as np
import pandas as pd

from trl_ext.evaluation import BenchmarkResult, PairedComparison, compare_paired
from trl_ext.evaluation.benchmarks.rewardbench import EXAMPLE_COUNTS, SECTIONS


RM_BENCH_LEVELS = {"overall": "score", "hard": "hard", "normal": "normal", "easy": "easy"}


def compare_results(
    before: BenchmarkResult, after: BenchmarkResult, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> dict[str, PairedComparison]:
    """
    Differences of the figures of two results on the same rows of RewardBench or RM-Bench, after minus before.

    Args:
        before ([`~trl_ext.evaluation.BenchmarkResult`]): Of the reward model before.
        after ([`~trl_ext.evaluation.BenchmarkResult`]): After.
        level (`float`): Confidence level.
        resamples (`int`): Of the bootstrap.
        seed (`int`): Its seed.

    Returns:
        `dict[str, PairedComparison]`: By figure. RewardBench: its sections, whose subsets have the benchmark's weights, and
        `overall` if all are there. RM-Bench: `overall`, `hard`, `normal` and `easy`, means over domains, and domains.
    """
    rows = before.rows.set_index("id")
    others = after.rows.set_index("id").loc[rows.index]
    options = {"level": level, "resamples": resamples, "seed": seed}

    def compare(mask: np.ndarray, column: str, strata: pd.Series, weights: dict[str, float]) -> PairedComparison:
        return compare_paired(
            *(others.loc[mask, column], rows.loc[mask, column]),
            strata=strata[mask].to_numpy(),
            weights=weights,
            clusters=rows.loc[mask, "cluster"].to_numpy(),
            **options,
        )

    everything = np.ones(len(rows), dtype=bool)
    if before.benchmark == "rewardbench":
        sections, subsets = rows["section"], rows["subset"].astype(str)
        found = {}
        weights: dict[str, float] = {}
        for section in SECTIONS:
            mask = (sections == section).to_numpy()
            if not mask.any():
                continue
            present = {name: EXAMPLE_COUNTS[name] for name in SECTIONS[section] if name in set(subsets[mask])}
            found[section] = compare(mask, "score", subsets, present)
            weights |= {name: count / sum(present.values()) for name, count in present.items()}
        overall = {"overall": compare(everything, "score", subsets, weights)} if len(found) == len(SECTIONS) else {}
        return overall | found
    domains = rows["section"].astype(str)
    alike = dict.fromkeys(domains, 1.0)
    found = {name: compare(everything, column, domains, alike) for name, column in RM_BENCH_LEVELS.items()}
    for domain in alike:
        found[domain] = compare((domains == domain).to_numpy(), "score", domains, {domain: 1.0})
    return found


def change_table(
    before: BenchmarkResult, after: BenchmarkResult, comparisons: dict[str, PairedComparison]
) -> pd.DataFrame:
    """A row per figure: `benchmark, figure, before, after, change, se, ci_low, ci_high, p_value, n`."""
    rows = []
    for figure, comparison in comparisons.items():
        values = {name: result.headline()[figure].value for name, result in (("before", before), ("after", after))}
        change = comparison.difference
        rows.append(
            {
                **{"benchmark": before.benchmark, "figure": figure, **values, "change": change.value, "se": change.se},
                **{
                    "ci_low": change.ci_low,
                    "ci_high": change.ci_high,
                    "p_value": comparison.p_value,
                    "n": comparison.n,
                },
            }
        )
    return pd.DataFrame(rows)
