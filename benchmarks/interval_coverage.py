"""
Do the intervals of benchmark figures cover the truth as often as they say?

    python benchmarks/interval_coverage.py --replications 2000 --output outputs/interval_coverage.csv

Draws benchmarks of a known truth, and prints how many of the 95 % intervals of `stratified_estimate` contain it, beside the
plain percentile bootstrap and, where a figure is one subset, Wilson's interval. Truths are drawn anew for every replication.
The Ties score and the overall score of RewardBench 2 are those of the product's own functions, on drawn rewards.
About three quarters of an hour on one core.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from trl_ext.evaluation.benchmarks.rewardbench import EXAMPLE_COUNTS, SECTIONS
from trl_ext.evaluation.benchmarks.rewardbench2_ties import rewardbench2_ties_score
from trl_ext.evaluation.statistics import proportion_estimate, stratified_estimate, weighted_average, wilson_interval


# Rows of the subset whose weight is not their number
ROWS = EXAMPLE_COUNTS | {"math-prm": 447}
RM_BENCH_PROMPTS = {"chat": 129, "code": 228, "math": 529, "safety": 441}
REWARDBENCH_2_PROMPTS = {"Factuality": 475, "Precise IF": 160, "Math": 183, "Safety": 450, "Focus": 495}
TIES_PAIRS = 51


@dataclass
class Sample:
    """Rows of a drawn benchmark, the truth of every stratum, and the weights of its figures."""

    values: np.ndarray
    strata: np.ndarray
    clusters: np.ndarray | None
    truth: dict[str, float]
    figures: dict[str, dict[str, float]]


def _rows(strata: list[tuple[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    names = np.concatenate([np.full(len(values), name, dtype=object) for name, values in strata])
    return np.concatenate([values for _, values in strata]), names


def rewardbench(rng: np.random.Generator, low: float, high: float) -> Sample:
    """RewardBench: right and wrong rows, accuracies of subsets uniform in [low, high]."""
    truth = {name: rng.uniform(low, high) for name in ROWS}
    values, strata = _rows([(name, (rng.random(n) < truth[name]).astype(float)) for name, n in ROWS.items()])
    sections = {section: {name: EXAMPLE_COUNTS[name] for name in names} for section, names in SECTIONS.items()}
    overall = {name: w / sum(ws.values()) for ws in sections.values() for name, w in ws.items()}
    return Sample(values, strata, None, truth, {"overall": overall, **sections})


def rm_bench(rng: np.random.Generator, low: float, high: float, correlation: float) -> Sample:
    """RM-Bench: nine comparisons per prompt, correlated within it; domains weigh the same."""
    truth = {name: rng.uniform(low, high) for name in RM_BENCH_PROMPTS}
    parts = []
    for name, n in RM_BENCH_PROMPTS.items():
        total = 1 / correlation - 1
        chance = rng.beta(truth[name] * total, (1 - truth[name]) * total, n)
        parts.append((name, (rng.random((n, 9)) < chance[:, None]).astype(float).ravel()))
    values, strata = _rows(parts)
    return Sample(values, strata, np.arange(len(values)) // 9, truth, {"overall": dict.fromkeys(truth, 1.0)})


def rewardbench_2(rng: np.random.Generator, low: float, high: float) -> Sample:
    """RewardBench 2 without Ties: best of four by prompt, some of it shared between equal rewards; equal weights."""
    truth, parts = {}, []
    for name, n in REWARDBENCH_2_PROMPTS.items():
        p, equal = rng.uniform(low, high), rng.uniform(0, 0.1)
        truth[name] = (1 - equal) * p + equal * 0.5
        parts.append((name, np.where(rng.random(n) < equal, 0.5, rng.random(n) < p)))
    values, strata = _rows(parts)
    return Sample(values, strata, None, truth, {"mean of five": dict.fromkeys(truth, 1.0)})


def few_clusters(rng: np.random.Generator, low: float, high: float, clusters: int) -> Sample:
    """One subset of a few prompts with about five rows each, within-prompt correlation .25."""
    truth = rng.uniform(low, high)
    sizes = 1 + rng.poisson(4, clusters)
    labels = np.repeat(np.arange(clusters), sizes)
    chance = rng.beta(3 * truth, 3 * (1 - truth), clusters)
    values, strata = _rows([("s", (rng.random(labels.size) < chance[labels]).astype(float))])
    return Sample(values, strata, labels, {"s": truth}, {"mean": {"s": 1.0}})


def small(rng: np.random.Generator, low: float, high: float, rows: int) -> Sample:
    """Six subsets of a few rows, as in a debugging run; equal weights."""
    truth = {f"s{index}": rng.uniform(low, high) for index in range(6)}
    values, strata = _rows([(name, (rng.random(rows) < p).astype(float)) for name, p in truth.items()])
    return Sample(values, strata, None, truth, {"overall": dict.fromkeys(truth, 1.0)})


DESIGNS: dict[str, Callable[[np.random.Generator], Sample]] = {
    "RewardBench, .5-.97": partial(rewardbench, low=0.5, high=0.97),
    "RewardBench, .9-.99": partial(rewardbench, low=0.9, high=0.99),
    "RM-Bench, .5-.97, within-prompt correlation .05": partial(rm_bench, low=0.5, high=0.97, correlation=0.05),
    "RM-Bench, .5-.97, within-prompt correlation .5": partial(rm_bench, low=0.5, high=0.97, correlation=0.5),
    "RewardBench 2, .5-.97": partial(rewardbench_2, low=0.5, high=0.97),
    "six subsets of 20 rows, .5-.97": partial(small, low=0.5, high=0.97, rows=20),
    "30 prompts of about 5 rows, .5-.97": partial(few_clusters, low=0.5, high=0.97, clusters=30),
    "10 prompts of about 5 rows, .5-.97": partial(few_clusters, low=0.5, high=0.97, clusters=10),
}
# How much the rewards of right answers lie above those of wrong ones, and their standard deviation within a question
MODELS_OF_TIES = ((1.5, 0.6), (3.0, 0.6), (3.6, 0.45), (4.0, 0.4), (4.5, 0.4))


def ties_rows(
    rng: np.random.Generator, questions: int, strength: float, noise: float
) -> tuple[list[str], list[np.ndarray], list[int]]:
    """Ids, rewards and numbers of right answers of Ties questions of different difficulty."""
    ids, rewards, counts = [], [], []
    for question in range(questions):
        level, right, wrong = strength + rng.normal(0, 0.7), int(rng.integers(2, 7)), rng.integers(3, 9)
        for kind, several, others in (("ref", 1, wrong), ("tied", right, wrong + 3)):
            ids.append(f"{kind}:{question}")
            rewards.append(np.concatenate([rng.normal(level, noise, several), rng.normal(0, 0.5, others)]))
            counts.append(several)
    return ids, rewards, counts


def ties_coverage(
    replications: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
    models: tuple[tuple[float, float], ...] = MODELS_OF_TIES,
    questions_of_truth: int = 20_000,
) -> pd.DataFrame:
    """
    Coverage of the Ties score of RewardBench 2 by `rewardbench2_ties_score` for weak to perfect models, and of the
    overall score of all six subsets, as `RewardBench2` makes it.

    A truth is the score on many questions.
    """
    truths = {
        model: rewardbench2_ties_score(
            *ties_rows(np.random.default_rng([seed, 1]), questions_of_truth, *model), resamples=2
        ).score
        for model in models
    }
    hits: dict[str, list[bool]] = {}
    for replication in tqdm(range(replications), leave=False):
        rng = np.random.default_rng([seed, replication, 2])
        options = {"resamples": resamples, "seed": replication}
        for model, truth in truths.items():
            of_model = {}
            for questions in (TIES_PAIRS, 10):
                score = rewardbench2_ties_score(*ties_rows(rng, questions, *model), **options).score
                name = f"Ties, {questions} questions, truth {truth.value:.3f}"
                hits.setdefault(name, []).append(score.ci_low <= truth.value <= score.ci_high)
                of_model[questions] = score
            sample = rewardbench_2(rng, 0.5, 0.97)
            parts = [proportion_estimate(sample.values[sample.strata == name].astype(float)) for name in sample.truth]
            overall = weighted_average([*parts, of_model[TIES_PAIRS]])
            mean = (sum(sample.truth.values()) + truth.value) / 6
            hits.setdefault("overall", []).append(overall.ci_low <= mean <= overall.ci_high)
    return _table({(figure, "the product's own"): covered for figure, covered in hits.items()})


def _table(hits: dict[tuple[str, str], list[bool]]) -> pd.DataFrame:
    table = []
    for (figure, method), covered in hits.items():
        share = wilson_interval(sum(covered), len(covered))
        table.append(
            {"figure": figure, "method": method, "coverage": share.value, "low": share.ci_low, "high": share.ci_high}
        )
    return pd.DataFrame(table)


def coverage(
    design: Callable[[np.random.Generator], Sample],
    replications: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
    methods: tuple[str, ...] = ("smoothed", "percentile", "wilson"),
    subsets: bool = True,
) -> pd.DataFrame:
    """Share of intervals that contain the truth, by figure and method, with its Wilson interval."""
    hits: dict[tuple[str, str], list[bool]] = {}
    for replication in tqdm(range(replications), leave=False):
        rng = np.random.default_rng([seed, replication])
        sample = design(rng)
        figures = dict(sample.figures)
        if subsets:
            figures |= {name: {name: 1.0} for name in sample.truth}
        for figure, weights in figures.items():
            truth = sum(weights[name] * sample.truth[name] for name in weights) / sum(weights.values())
            rows = np.isin(sample.strata, list(weights))
            clusters = None if sample.clusters is None else sample.clusters[rows]
            for method in methods:
                if method == "wilson":
                    if len(weights) > 1:
                        continue
                    estimate = proportion_estimate(sample.values[rows], clusters)
                else:
                    estimate = stratified_estimate(
                        *(sample.values[rows], sample.strata[rows], weights),
                        **{"clusters": clusters, "resamples": resamples, "seed": replication, "method": method},
                    )
                hits.setdefault((figure, method), []).append(estimate.ci_low <= truth <= estimate.ci_high)
    return _table(hits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("outputs/interval_coverage.csv"))
    arguments = parser.parse_args()
    options = {"resamples": arguments.resamples, "seed": arguments.seed}
    designs = {name: partial(coverage, design) for name, design in DESIGNS.items()}
    designs["RewardBench 2 with Ties"] = ties_coverage
    tables = []
    for name, measure in designs.items():
        table = measure(arguments.replications, **options)
        tables.append(table.assign(design=name))
        wide = table.pivot(index="figure", columns="method", values="coverage").reindex(table["figure"].unique())
        print(f"\n{name}\n{wide.round(3).to_string()}", flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(tables).to_csv(arguments.output, index=False)


if __name__ == "__main__":
    main()
