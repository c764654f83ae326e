"""
Does removing the curve of length help? On synthetic rewards whose quality and length bias are known.

    python benchmarks/length_calibration.py --prompts 2000

Four responses per prompt; reward = quality + bias(length) + noise. The curve is fitted on one half of the prompts and
judged on the other: the share of pairs of responses to a prompt that are ordered as their quality, raw, with the curve of
all rewards, with that of differences within prompts, and with the true bias removed. In three worlds: quality does not
depend on length; prompts that ask for length get higher rewards; longer responses are better. A few seconds on one core.
"""

import argparse
import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from trl_ext.evaluation.statistics import Estimate, paired_difference, proportion_estimate
from trl_ext.scoring.calibrated import fit_length_calibration


RESPONSES = 4
# Weight of the log length in the reward beside the quality, from without bias to one that outweighs it
BIASES = {"none": 0.0, "moderate": 0.7, "strong": 2.0}
WORLDS = {
    "length tells nothing": {"of_prompt": 0.0, "merit": 0.0},
    "prompts differ": {"of_prompt": 2.0, "merit": 0.0},
    "longer is better": {"of_prompt": 0.0, "merit": 1.0},
}


def draw(rng: np.random.Generator, prompts: int, bias: float, of_prompt: float, merit: float) -> dict[str, np.ndarray]:
    """Lengths, quality, true bias and rewards of `prompts` x 4 responses."""
    level = rng.normal(0, 0.6, (prompts, 1))  # of the log length
    log_lengths = 5 + level + rng.normal(0, 0.5, (prompts, RESPONSES))
    lengths = np.maximum(1, np.exp(log_lengths).round())
    z = np.log(lengths) - 5
    # `merit` is the slope of quality on length between responses to a prompt, `of_prompt` that between prompts
    quality = rng.normal(size=(prompts, RESPONSES)) + merit * z + of_prompt * level
    effect = bias * (z + 0.4 * z**2)
    rewards = quality + effect + rng.normal(0, 0.5, (prompts, RESPONSES))
    return {"lengths": lengths, "quality": quality, "bias": effect, "rewards": rewards}


def right_order(rewards: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """For every pair of responses to a prompt `(P, pairs)`, 1 if the rewards order it as the quality does."""
    pairs = list(combinations(range(rewards.shape[1]), 2))
    return np.stack([(rewards[:, i] > rewards[:, j]) == (quality[:, i] > quality[:, j]) for i, j in pairs], axis=1)


def compare(
    prompts: int, bias: float, world: Mapping[str, float], seed: int
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Accuracy by method, and its gain over raw rewards; intervals are clustered by prompt."""
    rng = np.random.default_rng(seed)
    fitted, judged = (draw(rng, prompts // 2, bias, **world) for _ in range(2))
    rewards, lengths = fitted["rewards"].ravel(), fitted["lengths"].ravel()
    ids = np.repeat(np.arange(prompts // 2), RESPONSES)
    shape = judged["rewards"].shape
    calibrations = {
        "all rewards": fit_length_calibration(rewards, lengths, unit="tokens"),
        "within prompts": fit_length_calibration(rewards, lengths, unit="tokens", prompts=ids),
    }
    values = {"raw": judged["rewards"]}
    for name, calibration in calibrations.items():
        values[name] = calibration.apply(judged["rewards"].ravel(), lengths=judged["lengths"].ravel()).reshape(shape)
    values["oracle"] = judged["rewards"] - judged["bias"]
    right = {name: right_order(of_method, judged["quality"]).astype(float) for name, of_method in values.items()}
    clusters = np.repeat(np.arange(shape[0]), right["raw"].shape[1])
    accuracy = {name: proportion_estimate(found.ravel(), clusters) for name, found in right.items()}
    gain = {
        name: paired_difference(found.ravel(), right["raw"].ravel(), clusters)
        for name, found in right.items()
        if name != "raw"
    }
    return accuracy, gain


def table(prompts: int, seed: int) -> pd.DataFrame:
    """A row per world, bias and method: accuracy and gain with their 95 % intervals."""
    rows = []
    for world, options in WORLDS.items():
        for bias, slope in BIASES.items():
            accuracy, gain = compare(prompts, slope, options, seed)
            for method, found in accuracy.items():
                row = {"world": world, "bias": bias, "rewards": method, "accuracy": found.value}
                row |= {"ci_low": found.ci_low, "ci_high": found.ci_high}
                if method in gain:
                    change = gain[method]
                    row |= {"gain": change.value, "gain_low": change.ci_low, "gain_high": change.ci_high}
                rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(table(arguments.prompts, arguments.seed).round(3).to_string(index=False, na_rep=""))


if __name__ == "__main__":
    main()
