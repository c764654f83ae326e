"""
Which way to calibrate a reward model by ratings of models, where the truth is known.

    python benchmarks/calibration_toy.py                       # the table of docs/calibration_toy.md
    python benchmarks/calibration_toy.py --seeds 0 1 --json outputs/calibration_toy.json

Seven models of known quality answer prompts; a reward model pays too much for the style of one of them. Every method
trains a copy of it further on 2,000 prompts without labels, for the same number of steps. Measured on 2,000 others. See
docs/calibration_toy.md for what the toy leaves out.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor
from tqdm.auto import tqdm


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.calibration_toy_world import MODELS, OVERVALUED, RATINGS, REFERENCE, ToyRewardModel, ToyWorld
from tasks.json_files import write_json
from trl_ext.arena import ScoreTable, mismatch_degree, solve_joint_offsets, solve_offset
from trl_ext.evaluation.statistics import mean_estimate, paired_difference
from trl_ext.evaluation.table_formats import to_markdown
from trl_ext.losses import BradleyTerryLoss, RewardScale, SoftLabelLoss, WinRateMatchingLoss, WithinSourceAnchorLoss
from trl_ext.losses.reward_scale import ANCHOR_COEFFICIENT


PROMPTS = 2000
STEPS = 300
BATCH = 256  # prompts of a step
LEARNING_RATE = 3e-3  # all methods have converged; see the guide for 1e-3

ONE_PAIR = ((MODELS.index(OVERVALUED), MODELS.index(REFERENCE)),)
ALL_PAIRS = tuple(itertools.combinations(range(len(MODELS)), 2))
MEASURES = ("pair_mismatch", "mean_mismatch", "accuracy", "spearman")


@dataclass(frozen=True)
class Task:
    """
    What a method may use: no quality, no labels.

    Args:
        features (`torch.Tensor` of shape `(N, M, 24)`): Responses to the prompts for calibration.
        frozen (`torch.Tensor` of shape `(N, M)`): Their rewards before calibration.
        win_rates (`torch.Tensor` of shape `(M, M)`): Expected by the ratings.
        pairs (`tuple[tuple[int, int], ...]`): Pairs of models that are calibrated.
        world (`ToyWorld`): For its ratings.
    """

    features: Tensor
    frozen: Tensor
    win_rates: Tensor
    pairs: tuple[tuple[int, int], ...]
    world: ToyWorld

    @property
    def sides(self) -> tuple[Tensor, Tensor]:
        """First and second models of the pairs, `(P,)` each."""
        first, second = torch.tensor(self.pairs).T
        return first, second

    @property
    def targets(self) -> Tensor:
        """Win rates `(P,)` of the first models."""
        return self.win_rates[self.sides]

    @property
    def scale(self) -> RewardScale:
        """That of the differences of frozen rewards, of every pair about its mean."""
        first, second = self.sides
        differences = self.frozen[:, first] - self.frozen[:, second]
        return RewardScale.of(differences.flatten().numpy(), np.tile(np.arange(len(first)), PROMPTS))


# From rewards (B, M) of a batch of prompts and their indices to a scalar
Objective = Callable[[Tensor, Tensor], Tensor]


def labelled(task: Task, labels: Tensor, temperature: float = 1.0) -> Objective:
    """Mean cross-entropy with labels `(N, P)`: P(the first model's response is better)."""
    first, second = task.sides
    cross_entropy = SoftLabelLoss(temperature)

    def objective(rewards: Tensor, prompts: Tensor) -> Tensor:
        label = labels[prompts].flatten()
        return cross_entropy(rewards[:, first].flatten(), rewards[:, second].flatten(), label=label).mean()

    return objective


def offset_differences(task: Task, offsets: Tensor) -> Tensor:
    """Differences `(N, P)` of frozen rewards with offsets `(M,)` added."""
    first, second = task.sides
    return (task.frozen + offsets)[:, first] - (task.frozen + offsets)[:, second]


def one_offset(task: Task, method: str) -> Tensor:
    """Offsets `(M,)` of which that of the over-valued model is not zero."""
    ((overvalued, reference),) = task.pairs
    scores = task.frozen.double().numpy()
    solution = solve_offset(scores[:, overvalued], scores[:, reference], task.targets.item(), method=method)
    return float(solution) * torch.nn.functional.one_hot(torch.tensor(overvalued), len(MODELS))


def joint_offsets(task: Task) -> Tensor:
    """Offsets `(M,)` of all models."""
    table = ScoreTable.from_columns(dict(zip(MODELS, task.frozen.double().numpy().T, strict=True)))
    solution = solve_joint_offsets(table, task.world.ratings)
    return torch.tensor([solution.offsets[model] for model in MODELS], dtype=torch.float32)


def offsets_of(task: Task, method: str) -> Tensor:
    """Offsets `(M,)` by their name in `METHODS`."""
    return joint_offsets(task) if method == "joint" else one_offset(task, method)


def hard_flips(task: Task, method: str) -> Objective:
    """CHARM: who wins after the offset is the label."""
    return labelled(task, (offset_differences(task, offsets_of(task, method)) > 0).float())


def soft_labels(task: Task, method: str) -> Objective:
    """The probability with which the first model's response wins after the offset is the label."""
    offsets = offsets_of(task, method)
    return labelled(task, torch.sigmoid(offset_differences(task, offsets) / task.scale.sd), task.scale.sd)


def extremes(task: Task) -> Objective:
    """CHARM with several models: the best and the worst response to a prompt after the offsets of all are a pair."""
    scores, reference = task.frozen.double().numpy(), MODELS.index(REFERENCE)
    offsets = torch.zeros(len(MODELS))
    for model in set(range(len(MODELS))) - {reference}:
        expected = task.win_rates[model, reference].item()
        offsets[model] = float(solve_offset(scores[:, model], scores[:, reference], expected, method="reference"))
    corrected = task.frozen + offsets
    best, worst = corrected.argmax(dim=1), corrected.argmin(dim=1)

    def objective(rewards: Tensor, prompts: Tensor) -> Tensor:
        rows = torch.arange(len(prompts))
        return BradleyTerryLoss()(rewards[rows, best[prompts]], rewards[rows, worst[prompts]]).mean()

    return objective


def constant_labels(task: Task) -> Objective:
    """The expected win rate is the label of every pair: a wrong target, here to show that it is."""
    return labelled(task, task.targets.expand(PROMPTS, -1))


def matching(task: Task, anchor: float = 0.0) -> Objective:
    """Win rates of the batch as expected, and `anchor` times the within-source variance, relative to the frozen one's."""
    first, second = task.sides
    scale = task.scale
    win_rates = WinRateMatchingLoss(temperature=scale.temperature)
    anchored = sorted(set(itertools.chain(*task.pairs)))

    def objective(rewards: Tensor, prompts: Tensor) -> Tensor:
        groups = torch.arange(len(first)).expand(len(prompts), -1).flatten()
        loss = win_rates((rewards[:, first] - rewards[:, second]).flatten(), groups, task.targets).loss
        if anchor:
            chosen = torch.arange(len(anchored)).expand(len(prompts), -1).flatten()
            changes = (rewards[:, anchored].flatten(), task.frozen[prompts][:, anchored].flatten())
            within = WithinSourceAnchorLoss()(*changes, chosen, len(anchored))
            loss = loss + scale.anchor_weight(anchor) * within.loss
        return loss

    return objective


METHODS: dict[str, tuple[tuple[tuple[int, int], ...], Callable[[Task], Objective]]] = {
    "hard flips, original's offset, 1 pair": (ONE_PAIR, lambda task: hard_flips(task, "reference")),
    "hard flips, exact offset, 1 pair": (ONE_PAIR, lambda task: hard_flips(task, "paired")),
    "hard flips, original's offsets, best and worst of 7": (ALL_PAIRS, extremes),
    "hard flips, joint offsets, 21 pairs": (ALL_PAIRS, lambda task: hard_flips(task, "joint")),
    "soft labels, original's offset, 1 pair": (ONE_PAIR, lambda task: soft_labels(task, "reference")),
    "soft labels, exact offset, 1 pair": (ONE_PAIR, lambda task: soft_labels(task, "paired")),
    "soft labels, joint offsets, 21 pairs": (ALL_PAIRS, lambda task: soft_labels(task, "joint")),
    "constant label, 1 pair": (ONE_PAIR, constant_labels),
    "constant label, 21 pairs": (ALL_PAIRS, constant_labels),
    "matching, 1 pair": (ONE_PAIR, matching),
    "matching, 21 pairs": (ALL_PAIRS, matching),
    "matching + anchor, 1 pair": (ONE_PAIR, lambda task: matching(task, ANCHOR_COEFFICIENT)),
    "matching + anchor, 21 pairs": (ALL_PAIRS, lambda task: matching(task, ANCHOR_COEFFICIENT)),
}

BEST = "matching + anchor, 21 pairs"
COMPARED = (
    (BEST, "matching + anchor, 1 pair"),
    (BEST, "matching, 21 pairs"),
    (BEST, "soft labels, original's offset, 1 pair"),
    (BEST, "soft labels, exact offset, 1 pair"),
    (BEST, "hard flips, original's offset, 1 pair"),
    ("matching + anchor, 1 pair", "soft labels, original's offset, 1 pair"),
    ("matching + anchor, 1 pair", "soft labels, exact offset, 1 pair"),
    ("soft labels, original's offset, 1 pair", "hard flips, original's offset, 1 pair"),
    ("soft labels, exact offset, 1 pair", "hard flips, exact offset, 1 pair"),
    ("soft labels, exact offset, 1 pair", "hard flips, original's offset, 1 pair"),
    ("soft labels, joint offsets, 21 pairs", "hard flips, joint offsets, 21 pairs"),
)


def train(task: Task, objective: Objective, seed: int, learning_rate: float = LEARNING_RATE) -> ToyRewardModel:
    """Train a copy of the reward model further."""
    model = task.world.copy_of_reward_model().requires_grad_(True)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    generator = torch.Generator().manual_seed(seed)
    used = sorted(set(itertools.chain(*task.pairs)))
    for _ in range(STEPS):
        prompts = torch.randperm(PROMPTS, generator=generator)[:BATCH]
        rewards = task.frozen[prompts].clone()
        rewards[:, used] = model(task.features[prompts][:, used])
        optimizer.zero_grad()
        objective(rewards, prompts).backward()
        optimizer.step()
        schedule.step()
    return model.requires_grad_(False)


def measure(rewards: np.ndarray, quality: np.ndarray, win_rates: np.ndarray) -> dict[str, float]:
    """Figures of rewards `(N, M)` of the test prompts."""
    mismatch = {
        (a, b): abs(mismatch_degree(rewards[:, a], rewards[:, b], win_rates[a, b])) for a, b in (*ALL_PAIRS, *ONE_PAIR)
    }
    first, second = np.array(ALL_PAIRS).T
    right = (rewards[:, first] > rewards[:, second]) == (quality[:, first] > quality[:, second])
    return {
        "pair_mismatch": mismatch[ONE_PAIR[0]],
        "mean_mismatch": float(np.mean([mismatch[pair] for pair in ALL_PAIRS])),
        "accuracy": float(right.mean()),
        "spearman": float(spearmanr(rewards.mean(axis=0), list(RATINGS.values())).statistic),
    }


def run(seed: int, methods: tuple[str, ...] = tuple(METHODS), learning_rate: float = LEARNING_RATE) -> pd.DataFrame:
    """A row of figures for the raw reward model and for every method, in one world."""
    world = ToyWorld(seed)
    calibration, test = world.responses(PROMPTS), world.responses(PROMPTS)
    win_rates = world.ratings.win_probabilities(MODELS)
    frozen = world.reward_model(calibration.features)
    models = {"raw": world.reward_model}
    for name in methods:
        pairs, make_objective = METHODS[name]
        task = Task(calibration.features, frozen, torch.tensor(win_rates, dtype=torch.float32), pairs, world)
        models[name] = train(task, make_objective(task), seed, learning_rate)
    rewards = {name: model(test.features).double().numpy() for name, model in models.items()}
    rewards["true quality"] = test.quality.double().numpy()
    rows = [
        {"method": name, "seed": seed, **measure(values, test.quality.numpy(), win_rates)}
        for name, values in rewards.items()
    ]
    return pd.DataFrame(rows)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard error over seeds, a row per method in their order."""
    table = []
    for method, part in rows.groupby("method", sort=False):
        estimates = {name: mean_estimate(part[name].to_numpy()) for name in MEASURES}
        table.append({"method": method} | {n: f"{e.value:.3f} ± {e.se:.3f}" for n, e in estimates.items()})
    return pd.DataFrame(table)


def comparisons(rows: pd.DataFrame) -> pd.DataFrame:
    """Paired differences over seeds of the accuracies of methods, with 95 % t intervals."""
    accuracy = rows.pivot(index="seed", columns="method", values="accuracy")
    table = []
    for first, second in COMPARED:
        difference = paired_difference(accuracy[first].to_numpy(), accuracy[second].to_numpy())
        interval = f"[{difference.ci_low:+.4f}, {difference.ci_high:+.4f}]"
        table.append({"first": first, "second": second, "difference": f"{difference.value:+.4f}", "95 %": interval})
    return pd.DataFrame(table)


def main() -> None:
    """Run all seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--json", type=Path, help="write the figures of every seed to this file")
    arguments = parser.parse_args()
    started = time.perf_counter()
    progress = tqdm(arguments.seeds, unit="seed")
    rows = pd.concat([run(seed, learning_rate=arguments.learning_rate) for seed in progress])
    print(to_markdown(summary(rows)))
    if len(arguments.seeds) > 1:
        print(to_markdown(comparisons(rows)))
    print(f"{time.perf_counter() - started:.0f} s")
    if arguments.json:
        write_json(arguments.json, {"learning_rate": arguments.learning_rate, "rows": rows.to_dict("records")})


if __name__ == "__main__":
    main()
