"""
Do the intervals of the change of an absolute mismatch degree contain the truth as often as they say?

    python benchmarks/mismatch_change_coverage.py --replications 1000 --output outputs/mismatch_change_coverage.csv

Draws normal scores of policy models before and after a calibration, whose true mismatch degrees are known, and prints how
many of the 95 % intervals of `compare_mismatch` contain the true change, beside a percentile bootstrap of prompts; for one
pair of models, and for the mean over the pairs of five. About ten minutes on one core.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm
from tqdm.auto import tqdm


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl_ext.arena import RatingTable, ScoreTable, compare_mismatch, win_probability_matrix


DRAWS = 1000
LEVEL = 0.95
SIZES = (40, 200, 1000)
# true mismatch before and after of one pair
PAIRS = ((0.4, 0.0), (0.4, 0.02), (0.4, 0.1), (0.4, 0.4), (0.4, -0.1), (0.8, 0.0), (0.1, 0.0), (0.0, 0.0), (0.0, 0.1))
RATINGS = np.array([1000.0, 1040.0, 1080.0, 1120.0, 1160.0])
BEFORE = np.array([0.8, 0.0, 0.0, 0.1, -0.2])  # what is added to the mean scores that agree with the ratings
# everything right after; only the first model; or half of it
AFTER = {"all right": np.zeros(5), "first model right": np.array([0.0, 0.0, 0.0, 0.1, -0.2]), "half": BEFORE / 2}
RATING_ERROR = 8.0  # Elo points
SHARED, KEPT = 0.6, 0.8  # of the variance of scores: by prompts; correlation of a model's own part before and after


def scores(rng: np.random.Generator, n: int, means: np.ndarray) -> list[ScoreTable]:
    """Tables before and after of models with mean scores `(2, M)`."""
    models = tuple(f"m{i}" for i in range(means.shape[1]))
    prompt = np.sqrt(SHARED) * rng.normal(size=(n, 1))
    first, second = rng.normal(size=(2, n, len(models)))
    own = (first, KEPT * first + np.sqrt(1 - KEPT**2) * second)
    ids = tuple(map(str, range(n)))
    return [
        ScoreTable(ids, models, prompt + np.sqrt(1 - SHARED) * part + mean)
        for part, mean in zip(own, means, strict=True)
    ]


def mismatch(means: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """True mismatch degrees `(M, M)`."""
    wins = norm.cdf((means[:, None] - means[None]) / np.sqrt(2 * (1 - SHARED)))
    return (wins - expected) / np.maximum(expected, 1 - expected)


def percentile_interval(tables: list[ScoreTable], expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Percentiles of the change of the mean absolute mismatch over resampled prompts."""
    off = ~np.eye(len(expected), dtype=bool)
    n = len(tables[0])
    weights = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS) / n
    sizes = []
    for table in tables:
        won = (table.scores[:, :, None] > table.scores[:, None, :])[:, off]
        sizes.append(np.abs((weights @ won - expected[off]) / np.maximum(expected, 1 - expected)[off]).mean(axis=1))
    return np.quantile(sizes[1] - sizes[0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])


def coverage(
    name: str, n: int, means: np.ndarray, ratings: np.ndarray, error: float, replications: int
) -> dict[str, float | str | int]:
    """A row of the table."""
    expected = win_probability_matrix(ratings)
    off = ~np.eye(len(ratings), dtype=bool)
    before, after = (np.abs(mismatch(part, expected)[off]).mean() for part in means)
    truth = after - before
    rng = np.random.default_rng(0)
    found = []
    for seed in range(replications):
        tables = scores(rng, n, means)
        noisy = ratings + error * rng.normal(size=ratings.size)
        frame = pd.DataFrame({"model": tables[0].models, "rating": noisy})
        if error:
            half = norm.ppf((1 + LEVEL) / 2) * error
            frame = frame.assign(rating_low=noisy - half, rating_high=noisy + half)
        ours = compare_mismatch(*tables, RatingTable(frame), draws=DRAWS, seed=seed, level=LEVEL).figure()
        low, high = percentile_interval(tables, win_probability_matrix(noisy), rng)
        found.append([ours.ci_low <= truth <= ours.ci_high, ours.ci_high < 0, ours.ci_high - ours.ci_low,
                      low <= truth <= high, high < 0, high - low, ours.value - truth])  # fmt: skip
    mean = np.mean(found, axis=0)
    names = ("covers", "falls", "width", "percentile_covers", "percentile_falls", "percentile_width", "bias")
    return {
        **{"case": name, "n": n, "rating_error": error, "before": before, "after": after},
        **dict(zip(names, mean.tolist(), strict=True)),
    }


def pair_means(before: float, after: float) -> np.ndarray:
    """Mean scores of two equally rated models with these mismatches."""
    scale = np.sqrt(2 * (1 - SHARED))
    return np.array([[norm.ppf((1 + value) / 2) * scale, 0.0] for value in (before, after)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=Path("outputs/mismatch_change_coverage.csv"))
    arguments = parser.parse_args()
    equal = np.array([1000.0, 1000.0])
    right = norm.ppf(win_probability_matrix(RATINGS)[:, 0]) * np.sqrt(2 * (1 - SHARED))
    cases = [(f"{a:g} to {b:g}", n, pair_means(a, b), equal, 0.0) for n in SIZES for a, b in PAIRS]
    cases += [
        (f"five models, {name}", n, np.stack([right + BEFORE, right + after]), RATINGS, error)
        for n, error in ((60, 0.0), (300, 0.0), (300, RATING_ERROR))
        for name, after in AFTER.items()
    ]
    rows = []
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    for case in tqdm(cases, desc="Cases"):
        rows.append(coverage(*case, arguments.replications))
        pd.DataFrame(rows).to_csv(arguments.output, index=False)
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
