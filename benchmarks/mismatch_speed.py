"""
All pairwise mismatch degrees with intervals: time, peak memory, and how much faster than resampling rows.

    python benchmarks/mismatch_speed.py
    python benchmarks/mismatch_speed.py --prompts 1000000 --models 20 --json outputs/mismatch_speed.json

The table has `--prompts` prompts, each with a score for every model. The peer is the bootstrap as it is usually written: draw
rows with replacement, count the wins of every pair again. It runs on `--peer-prompts` prompts and `--peer-draws` draws, the
product on the same, and their intervals must agree.
"""

import argparse
import resource
import sys
import time
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl_ext.arena import RatingTable, ScoreTable, mismatch_table, rating_agreement
from trl_ext.arena.mismatch.intervals import relative_mismatch


LIMIT_SECONDS = 60.0
LIMIT_BYTES = 2 * 1024**3
TOLERANCE = 0.01  # of the ends of intervals: both have Monte Carlo error


def simulate(prompts: int, models: int, seed: int) -> tuple[ScoreTable, RatingTable]:
    """Scores with a common effect of the prompt, rounded so that there are ties, and ratings with intervals."""
    rng = np.random.default_rng(seed)
    columns = np.empty((prompts, models))
    difficulty = rng.normal(0, 2, prompts)
    for column in range(models):
        columns[:, column] = np.round(difficulty + rng.normal(column / models, 1, prompts), 2)
    names = tuple(f"model-{index:02d}" for index in range(models))
    ratings = RatingTable.from_ratings(dict(zip(names, rng.normal(1200, 60, models), strict=True)))
    table = ratings.table.assign(rating_low=lambda t: t["rating"] - 5, rating_high=lambda t: t["rating"] + 5)
    return ScoreTable(tuple(map(str, range(prompts))), names, columns), RatingTable(table)


def resample_rows(scores: ScoreTable, ratings: RatingTable, draws: int, seed: int) -> np.ndarray:
    """Ends of the intervals `(pairs, 2)` by drawing rows; the win rates alone vary."""
    rng = np.random.default_rng(seed)
    pairs = list(permutations(range(len(scores.models)), 2))
    rates = np.empty((draws, len(pairs)))
    for draw in range(draws):
        rows = scores.scores[rng.integers(len(scores), size=len(scores))]
        rates[draw] = [np.mean(rows[:, i] > rows[:, j]) for i, j in pairs]
    expected = ratings.win_probabilities(scores.models)[tuple(np.array(pairs).T)]
    return np.quantile(relative_mismatch(rates, expected), [0.025, 0.975], axis=0).T


def timed(function) -> tuple[float, Any]:
    """Seconds, and the result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def peak_bytes() -> int:
    """Most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The whole table first, while the peak is still its own."""
    scores, ratings = simulate(options.prompts, options.models, options.seed)
    after_data = peak_bytes()
    seconds, table = timed(lambda: mismatch_table(scores, ratings, bootstrap=options.draws, seed=options.seed))
    peak = peak_bytes()
    agreement_seconds, agreement = timed(
        lambda: rating_agreement(scores, ratings, bootstrap=options.draws, seed=options.seed)
    )
    agreement_peak = peak_bytes()
    clustered_seconds, _ = timed(
        lambda: mismatch_table(
            scores, ratings, bootstrap=options.draws, seed=options.seed, clusters=np.arange(len(scores)) // 4
        )
    )
    small = ScoreTable(scores.prompt_ids[: options.peer_prompts], scores.models, scores.scores[: options.peer_prompts])
    peer_seconds, peer = timed(lambda: resample_rows(small, ratings, options.peer_draws, options.seed))
    own_seconds, own = timed(
        lambda: mismatch_table(
            small, ratings, bootstrap=options.peer_draws, rating_uncertainty=False, seed=options.seed
        )
    )
    difference = float(np.abs(own[["ci_low", "ci_high"]].to_numpy() - peer).max())
    if not difference <= TOLERANCE:
        raise AssertionError(f"intervals differ by up to {difference:.4f} from those of resampled rows")
    return {
        "prompts": options.prompts, "models": options.models, "rows": len(table), "draws": options.draws,
        "seconds": seconds, "peak_bytes": peak, "peak_bytes_of_data": after_data, "clustered_seconds": clustered_seconds,
        "agreement_seconds": agreement_seconds, "agreement_peak_bytes": agreement_peak, "peak_bytes_of_all": peak_bytes(),
        "spearman": agreement.spearman.to_dict(),
        "peer_prompts": options.peer_prompts, "peer_draws": options.peer_draws, "peer_seconds": peer_seconds,
        "own_seconds": own_seconds, "ratio": peer_seconds / own_seconds, "largest_difference": difference,
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--peer-prompts", type=int, default=20_000)
    parser.add_argument("--peer-draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    found = run(options)
    if options.json:
        from tasks.json_files import write_json

        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.json, found)
    gibibytes = 1024**3
    print(
        f"{found['prompts']:,} prompts x {found['models']} models, {found['rows']} ordered pairs, {found['draws']} draws\n"
        f"mismatch_table     {found['seconds']:7.2f} s  (limit {LIMIT_SECONDS:g} s); with clusters "
        f"{found['clustered_seconds']:.2f} s\n"
        f"peak memory        {found['peak_bytes'] / gibibytes:7.2f} GiB (limit {LIMIT_BYTES / gibibytes:g} GiB), of which "
        f"building the scores {found['peak_bytes_of_data'] / gibibytes:.2f}\n"
        f"rating_agreement   {found['agreement_seconds']:7.2f} s, peak {found['agreement_peak_bytes'] / gibibytes:.2f} GiB\n"
        f"resampling rows    {found['peer_seconds']:7.2f} s for {found['peer_prompts']:,} prompts and "
        f"{found['peer_draws']} draws; the product {found['own_seconds']:.3f} s: {found['ratio']:.0f} times faster; "
        f"intervals differ by at most {found['largest_difference']:.4f}"
    )
    if found["seconds"] > LIMIT_SECONDS or found["peak_bytes"] > LIMIT_BYTES:
        sys.exit("over the limit")


if __name__ == "__main__":
    main()
