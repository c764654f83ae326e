"""Results of made-up reward models, evaluated by the real engine: rewards know the right answer, and are noisy."""

import zlib
from pathlib import Path

import numpy as np
from datasets import Dataset

from trl_ext.evaluation.benchmarks.registry import get_benchmark
from trl_ext.evaluation.benchmarks.rewardbench import EXAMPLE_COUNTS
from trl_ext.evaluation.benchmarks.run import evaluate_benchmark
from trl_ext.scoring.base import WindowScorer


class NoisyScorer(WindowScorer):
    """
    Rewards of right answers are `skill` higher, of longer ones `liking` per doubling of length, and noise has deviation 1.
    """

    progress = False

    def __init__(self, name: str, skill: float, liking: float = 0.0) -> None:
        self.name, self.skill, self.liking = name, skill, liking

    def settings(self):
        return {"model": self.name, "skill": self.skill, "liking": self.liking}

    def provenance(self):
        return {"model": self.name}

    def score_groups(self, groups):
        rewards = []
        for group in groups:
            for index, response in enumerate(group.responses):
                noise = np.random.default_rng(zlib.crc32(f"{self.name} {response}".encode())).normal()
                rewards.append(self.skill * (index == 0) + self.liking * np.log2(len(str(response))) + noise)
        return np.array(rewards), {}


def pairs(rows_per_subset: int = 8, subsets=tuple(EXAMPLE_COUNTS), seed: int = 0) -> Dataset:
    """Pairs of responses of all lengths for every subset of RewardBench."""
    rng = np.random.default_rng(seed)
    rows = []
    for subset in subsets:
        for number in range(rows_per_subset):
            lengths = rng.integers(2, 40, size=2)
            name = f"{subset} {number}"
            rows.append(
                {
                    **{"prompt": f"What of {name}?", "chosen": f"yes {name}" + " so" * lengths[0]},
                    **{"rejected": f"no {name}" + " so" * lengths[1], "subset": subset, "id": len(rows)},
                }
            )
    return Dataset.from_list(rows)


def evaluate(folder: Path, scorer: NoisyScorer, data: Dataset, benchmark: str = "rewardbench"):
    """Evaluate a scorer into `<folder>/<benchmark>/<name>`; returns the benchmark's rows, its result and rewards."""
    known = get_benchmark(benchmark)
    rows = known.load(data)
    place = Path(folder) / benchmark / scorer.name.replace("/", "__")
    return rows, *evaluate_benchmark(known, scorer, rows, place, model=scorer.name)
