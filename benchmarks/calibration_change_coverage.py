#!/usr/bin/env python
"""
Do the intervals of what a calibration changed hold the truth? Simulated pairs, a temperature cross-fitted in five folds.

    python benchmarks/calibration_change_coverage.py [--samples 400] [--pairs 60 100 150 300]

The truth is the change on unlimited data of the five temperatures that were fitted. Printed for each world and number of pairs:
the true change of the ECE and the mean of those found; for the basic interval at 95 %, for the one that
`preference_calibration_change` gives, and for the interval of the log-loss: coverage, how often it lies below 0, and how often
it does so although the truth does not.
"""

import argparse
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy.special import expit

from trl_ext.evaluation import cluster_bootstrap, preference_calibration_change, preferred_orientation
from trl_ext.evaluation.calibration.pairs import N_BINS
from trl_ext.evaluation.calibration.scores import bin_codes, bin_edges, weighted_ece
from trl_ext.scoring.calibrated.preference_likelihood import fit_likelihood


# name -> standard deviation of the reward differences, probability of a label as a function of them
WORLDS = {
    "calibrated, differences of sd 1": (1.0, expit),
    "calibrated, differences of sd 2": (2.0, expit),
    "four times too sure": (4.0, lambda d: expit(d / 4)),
    "1.25 times too sure": (1.5, lambda d: expit(d / 1.25)),
    "not sure enough (T = .36)": (0.6, lambda d: expit(d / 0.36)),
    "60 % of the labels are guesses": (6.0, lambda d: 0.4 * expit(d) + 0.3),
}
UNLIMITED = 20000


def ece_rows(p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaps and bins of pairs."""
    confidence, agreement = preferred_orientation(p, y)
    return confidence - agreement, bin_codes(confidence, bin_edges(confidence, N_BINS, "uniform"))


def ece_change(weights: np.ndarray, before: tuple, after: tuple) -> np.ndarray:
    return weighted_ece(weights, *after) - weighted_ece(weights, *before)


def losses(d: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, -d) + (1 - y) * d


def _slope(d: np.ndarray, y: np.ndarray) -> float:
    return float(fit_likelihood(d[:, None], y, np.ones_like(d), np.arange(d.size), 1.0).coefficients[0])


def sample(generator: np.random.Generator, sd: float, curve, n: int, resamples: int) -> dict | None:
    """Truths and intervals of one sample; `None` if a fold allows no temperature."""
    d = generator.normal(0, sd, n)
    y = (generator.random(n) < curve(d)).astype(float)
    fold = generator.permutation(n) % 5
    slopes = np.array([_slope(d[fold != k], y[fold != k]) for k in range(5)])
    if (slopes < 1e-3).any():
        return None
    many = generator.normal(0, sd, UNLIMITED)
    q, own = curve(many), slopes[np.arange(UNLIMITED) % 5]
    whole = np.ones((1, UNLIMITED))
    found = preference_calibration_change(d, expit(d * slopes[fold]), y, resamples=resamples)
    before, after = ece_rows(expit(d), y), ece_rows(expit(d * slopes[fold]), y)
    plain = cluster_bootstrap(lambda weights: ece_change(weights, before, after), np.arange(n), resamples=resamples)
    return {
        "ece": ece_change(whole, ece_rows(expit(many), q), ece_rows(expit(many * own), q))[0],
        "log_loss": np.mean(losses(many * own, q) - losses(many, q)),
        "value": found.ece_change.value,
        "basic": (2 * plain.value - plain.ci_high, 2 * plain.value - plain.ci_low),
        "given": (found.ece_change.ci_low, found.ece_change.ci_high),
        "loss": (found.log_loss_change.ci_low, found.log_loss_change.ci_high),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--pairs", type=int, nargs="+", default=[60, 100, 150, 300])
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = np.random.default_rng(arguments.seed)
    for name, (sd, curve) in WORLDS.items():
        for n in arguments.pairs:
            rows = []
            while len(rows) < arguments.samples:
                row = sample(generator, sd, curve, n, arguments.resamples)
                rows += [] if row is None else [row]
            true, value = (np.mean([row[key] for row in rows]) for key in ("ece", "value"))
            print(f"{name}, {n} pairs: change of the ECE {true:+.3f}, found on average {value:+.3f}")
            for title, key, target in (("ECE, basic", "basic", "ece"), ("ECE, as given", "given", "ece"), ("log-loss", "loss", "log_loss")):  # fmt: skip
                ends, truth = np.array([row[key] for row in rows]), np.array([row[target] for row in rows])
                below = ends[:, 1] < 0
                covered = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
                print(
                    f"  {title:14} covers {covered:.3f}, below 0 {below.mean():.3f}, wrongly {np.mean(below & (truth >= 0)):.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
