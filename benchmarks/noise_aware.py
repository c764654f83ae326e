"""
Does training that knows the label noise find the true preferences, where training that does not is held back by it?

    python benchmarks/noise_aware.py
    python benchmarks/noise_aware.py --model bundled:all-minilm-l6-v2 --output_dir outputs/noise_aware

Without `--model`, a toy: a linear reward model, 16,000 pairs, one hard label each by an annotator of commitment η, batches
of 8. With it, the demo questions with simulated annotators, through `tasks/train.py`; see `benchmarks/noise_aware_demo.py`.
Either prints the cross-entropy to the true preferences, its floor and the excess, with 95 % intervals over seeds.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor


METHODS = ("soft_label", "forward", "backward")
ETAS = (1.0, 0.8, 0.5)
PAIRS, TEST_PAIRS, FEATURES, BATCH = 16_000, 16_000, 10, 8
SPREAD = 2.2055  # standard deviation of the true differences: the mean entropy of σ(d) is 0.438
LEARNING_RATE = 0.03


def draw_pairs(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences of features `(N, F)` of pairs, and their true differences of rewards `(N,)`."""
    weights = np.random.default_rng([seed, 0]).normal(size=FEATURES)
    features = np.random.default_rng([seed, 1]).normal(size=(count, FEATURES))
    return features, features @ (SPREAD * weights / np.linalg.norm(weights))


def toy_losses() -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    """Loss of differences, labels and η, each `(B,)`, by method."""
    from trl_ext.losses import BackwardCorrectedLoss, ForwardCorrectedLoss, SoftLabelLoss

    soft_label, forward, backward = SoftLabelLoss(), ForwardCorrectedLoss(), BackwardCorrectedLoss()

    def either_order(d: Tensor, label: Tensor, eta: Tensor) -> Tensor:
        zeros = torch.zeros_like(d)
        return label * backward(d, zeros, eta=eta) + (1 - label) * backward(zeros, d, eta=eta)

    return {
        "soft_label": lambda d, label, eta: soft_label(d, torch.zeros_like(d), label=label),
        "forward": lambda d, label, eta: forward(d, torch.zeros_like(d), eta=eta, label=label),
        "backward": either_order,
    }


def train_toy(method: str, features: Tensor, labels: Tensor, eta: float) -> Tensor:
    """
    Fit a linear reward model for each of S seeds at once: they share nothing but the steps.

    Args:
        method (`str`): One of `METHODS`.
        features (`torch.Tensor`): Differences of features `(S, N, F)`.
        labels (`torch.Tensor`): Labels `(S, N)`.
        eta (`float`): Commitment of the annotators.

    Returns:
        `torch.Tensor`: weights `(S, F)`.
    """
    loss = toy_losses()[method]
    seeds, count, size = features.shape
    weights = torch.zeros(seeds, size, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, count // BATCH)
    etas = torch.full((seeds * BATCH,), eta)
    for start in range(0, count - BATCH + 1, BATCH):
        batch = slice(start, start + BATCH)
        differences = torch.einsum("sbf,sf->sb", features[:, batch], weights).flatten()
        optimizer.zero_grad()
        # the sum over seeds: each seed has its own weights, hence its own gradient
        (loss(differences, labels[:, batch].flatten(), etas).sum() / BATCH).backward()
        optimizer.step()
        schedule.step()
    return weights.detach()


def run_toy(eta: float, seeds: Sequence[int], methods: Sequence[str] = METHODS) -> dict[str, dict[str, np.ndarray]]:
    """
    Train the toy with each method on the same labels.

    Returns:
        `dict`: For every method `cross_entropy`, `entropy`, `excess` and `accuracy` on unseen pairs, each `(S,)`.
    """
    from trl_ext.annotators import corrupt_labels
    from trl_ext.evaluation import oracle_scores

    drawn = [draw_pairs(seed, PAIRS + TEST_PAIRS) for seed in seeds]
    features = torch.tensor(np.stack([x[:PAIRS] for x, _ in drawn]), dtype=torch.float32)
    labels = [
        corrupt_labels(expit(d[:PAIRS]), eta, seed=np.random.SeedSequence([seed, 2]))
        for seed, (_, d) in zip(seeds, drawn, strict=True)
    ]
    labels = torch.tensor(np.stack(labels), dtype=torch.float32)
    found = {}
    for method in methods:
        weights = train_toy(method, features, labels, eta).double().numpy()
        scores = [
            oracle_scores(x[PAIRS:] @ w, np.zeros(TEST_PAIRS), expit(d[PAIRS:]))
            for w, (x, d) in zip(weights, drawn, strict=True)
        ]
        names = ("cross_entropy", "entropy", "excess", "accuracy")
        found[method] = {name: np.array([getattr(score, name).value for score in scores]) for name in names}
    return found


def toy_figures(seeds: Sequence[int], etas: Sequence[float] = ETAS) -> list[dict]:
    """A row per η and method: means over seeds with t intervals, and the paired difference to plain soft labels."""
    from benchmarks.noise_aware_demo import mean_over_seeds
    from trl_ext.evaluation import paired_difference

    rows = []
    for eta in etas:
        found = run_toy(eta, seeds)
        for method, figures in found.items():
            row = {"eta": eta, "method": method}
            row |= {name: mean_over_seeds(name, values) for name, values in figures.items()}
            if method != "soft_label":
                plain = found["soft_label"]["excess"]
                row["excess - soft_label"] = paired_difference(figures["excess"], plain).to_dict()
            rows.append(row)
    return rows


def cell(figure: dict | None) -> str:
    """A figure with its interval, for a table."""
    if figure is None:
        return "-"
    return f"{figure['value']:.4f} [{figure['ci_low']:.4f}, {figure['ci_high']:.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=None, help="default: 0 to 9, with --model 0 to 4")
    parser.add_argument("--model", help="train this model on the demo questions instead of the toy")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/noise_aware"))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.model is not None:
        from benchmarks.noise_aware_demo import demo_figures

        rows = demo_figures(arguments.model, arguments.seeds or list(range(5)), arguments.output_dir)
        columns = ["cross_entropy", "excess", "best scale", "excess at the best scale", "accuracy"]
        columns += [f"{name} - soft_label" for name in ("excess", "excess at the best scale", "accuracy")]
    else:
        rows = toy_figures(arguments.seeds or list(range(10)))
        columns = ["cross_entropy", "entropy", "excess", "accuracy", "excess - soft_label"]
    for row in rows:
        print(", ".join(f"{name} {row[name]}" for name in row if not isinstance(row[name], dict)))
        for column in columns:
            if column in row:
                print(f"    {column:<38} {cell(row[column])}")
    print("means over seeds, 95 % t intervals, those of accuracies cut to [0, 1]; differences are paired by seed")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
