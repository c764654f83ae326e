"""
Do the intervals of mismatch degrees contain the truth as often as they say?

    python benchmarks/mismatch_coverage.py --replications 2000 --output outputs/mismatch_coverage.csv

Draws wins, ties and losses of a known win rate, and ratings of a known difference with published intervals, and prints how
many of the 95 % intervals of `mismatch_table` contain the true mismatch degree, beside the percentile bootstrap of prompts.
With `--clusters`, prompts come in clusters whose outcomes hang together. About five minutes on one core.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm
from tqdm.auto import tqdm


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl_ext.arena.mismatch.intervals import EffectivePrompts, mismatch_interval, relative_mismatch
from trl_ext.arena.mismatch.paired_outcomes import TIES
from trl_ext.arena.mismatch.pairwise_counts import count_pairs
from trl_ext.arena.ratings.win_probability import ELO_SCALE, elo_win_probability


DRAWS = 1000
LEVEL = 0.95
SIZES = (50, 200, 1000)
EXPECTED = (0.4, 0.64)
WIN_RATES = (0.0, 0.005, 0.02, 0.1, 0.4, 0.64, 0.9, 0.98, 0.995, 1.0)
TIE_SHARES = (0.0, 0.2)  # of the prompts that are not won
RATING_ERRORS = (0.0, 6.0)  # Elo points, of one rating
CORRELATION = 0.3  # of the latent scores of one cluster
CLUSTER_SIZE = 5


def outcomes(rng: np.random.Generator, n: int, win: float, tie: float, clustered: bool) -> np.ndarray:
    """Scores `(n, 2)` of two models, of which the first wins and ties with given probabilities."""
    if clustered:
        common = np.repeat(rng.normal(size=n // CLUSTER_SIZE), CLUSTER_SIZE)
        place = norm.cdf(np.sqrt(CORRELATION) * common + np.sqrt(1 - CORRELATION) * rng.normal(size=n))
    else:
        place = rng.random(n)
    return np.stack([(place < win) * 1.0, ((place >= win) & (place >= win + tie)) * 1.0], axis=1)


def percentile(
    scores: np.ndarray, clusters: np.ndarray | None, expected: np.ndarray, ties: str, rng: np.random.Generator
) -> np.ndarray:
    """The plain bootstrap of prompts, which draws from their wins, ties and losses, or of clusters."""
    worth = (scores[:, 0] > scores[:, 1]) + TIES[ties] * (scores[:, 0] == scores[:, 1])
    if clusters is None:
        values, counts = np.unique(worth, return_counts=True)
        rates = rng.multinomial(len(worth), counts / len(worth), size=DRAWS) @ values / len(worth)
    else:
        units = worth.reshape(-1, CLUSTER_SIZE).mean(axis=1)
        rates = units[rng.integers(len(units), size=(DRAWS, len(units)))].mean(axis=1)
    return np.quantile(relative_mismatch(rates, expected), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])


def coverage(
    n: int, expected: float, win: float, tie_share: float, rating_error: float, ties: str, clustered: bool,
    replications: int, seed: int,
) -> dict[str, float]:  # fmt: skip
    """Share of the intervals that contain the true mismatch degree, and mean widths."""
    rng = np.random.default_rng(seed)
    tie = tie_share * (1 - win)
    truth = relative_mismatch(win + TIES[ties] * tie, expected)
    difference = ELO_SCALE * np.log10(expected / (1 - expected))
    clusters = np.arange(n) // CLUSTER_SIZE if clustered else None
    inside, widths = np.zeros(2), np.zeros(2)
    for _ in range(replications):
        scores = outcomes(rng, n, win, tie, clustered)
        counts = count_pairs(scores)
        effective = EffectivePrompts.of(scores, counts, clusters, ties)
        published = difference + rng.normal(0, rating_error * np.sqrt(2))
        drawn = elo_win_probability(published + rng.normal(0, rating_error * np.sqrt(2), DRAWS), 0.0)
        seen = int(counts.wins[0, 1]), int(counts.ties[0, 1]), int(counts.wins[1, 0])
        _, *own = mismatch_interval(seen, effective.for_draws(LEVEL)[0, 1], drawn, ties, LEVEL, DRAWS, rng)
        for way, (low, high) in enumerate((own, percentile(scores, clusters, drawn, ties, rng))):
            # the end of an exact interval may equal the truth but for rounding
            inside[way] += low - 1e-12 <= truth <= high + 1e-12
            widths[way] += high - low
    names = ("coverage", "coverage_percentile"), ("width", "width_percentile")
    return dict(zip(names[0] + names[1], np.concatenate([inside, widths]) / replications, strict=True))


def run(sizes: tuple[int, ...], clustered: bool, replications: int, seed: int) -> pd.DataFrame:
    """Every setting."""
    settings = list(product(sizes, EXPECTED, WIN_RATES, TIE_SHARES, RATING_ERRORS, TIES))
    rows = []
    for index, (n, expected, win, tie_share, error, ties) in enumerate(tqdm(settings)):
        found = coverage(n, expected, win, tie_share, error, ties, clustered, replications, seed + index)
        names = ("n", "expected", "win_rate", "tie_share", "rating_error", "ties")
        rows.append(dict(zip(names, (n, expected, win, tie_share, error, ties), strict=True)) | found)
    return pd.DataFrame(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="prompts")
    parser.add_argument("--clusters", action="store_true", help=f"clusters of {CLUSTER_SIZE} prompts")
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="CSV file")
    options = parser.parse_args()
    table = run(tuple(options.sizes), options.clusters, options.replications, options.seed)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.output, index=False)
    columns = ["coverage", "coverage_percentile", "width", "width_percentile"]
    near = np.where(table["win_rate"].between(0.1, 0.9), "0.1 to 0.9", "near 0 or 1")
    print(table.groupby(["n", pd.Series(near, name="win rate")])[columns].agg(["mean", "min"]).round(3).to_string())


if __name__ == "__main__":
    main()
