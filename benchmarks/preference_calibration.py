#!/usr/bin/env python
"""
Is a quickly trained reward model better calibrated after a calibration, on pairs that trained neither?

    python benchmarks/preference_calibration.py demo OUTPUT
    python benchmarks/preference_calibration.py LIE_FOLDER OUTPUT [--fold 0] [--train-pairs 200]

The head of the bundled all-MiniLM-L6-v2 is a logistic regression on the frozen encoder's output for the training pairs,
with a weak penalty: as sure of itself as any model that has seen its pairs often enough. Half of the questions of the
held-out pairs fit, the other half measures, for each method and for several splits. The model is stored with its
temperature in OUTPUT, loaded again and compared.
"""

import argparse
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tasks.calibrate_run import scored_pairs
from tasks.pair_calibration import METHODS, calibrate_pairs, format_calibration, split_by_question
from tasks.rapl.lie_data import find_lie_files, load_lie_preferences
from trl_ext import RewardScorer
from trl_ext.data import load_demo_preferences, resolve_model
from trl_ext.data.bundled import ENCODER
from trl_ext.scoring import CalibratedScorer, save_calibration


def load(data: str, fold: int, train_pairs: int) -> tuple[Dataset, Dataset]:
    """Training pairs and held-out pairs."""
    if data == "demo":
        splits = load_demo_preferences()
        return splits["train"].select(range(train_pairs)), concatenate_datasets([splits["validation"], splits["test"]])
    files = find_lie_files(data, fold)
    return load_lie_preferences(files.train).shuffle(seed=0).select(range(train_pairs)), load_lie_preferences(
        files.val
    )


def features(scorer: RewardScorer, pairs: Dataset) -> np.ndarray:
    """What the head sees `(N, 2, H)` of every pair's responses."""
    seen: dict[float, np.ndarray] = {}

    def remember(head, inputs, rewards):
        seen.update(zip(rewards[:, 0].tolist(), inputs[0].float().numpy(), strict=True))

    handle = scorer.model.classifier.register_forward_hook(remember)
    rewards = scorer.score_dataset(pairs)["reward"]
    handle.remove()
    return np.array([seen[reward] for reward in rewards]).reshape(len(pairs), 2, -1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("output", type=Path)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--train-pairs", type=int, default=200)
    parser.add_argument("--splits", type=int, default=5)
    arguments = parser.parse_args()
    train, held_out = load(arguments.data, arguments.fold, arguments.train_pairs)

    torch.manual_seed(0)
    path = resolve_model(ENCODER)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model.config.problem_type = "regression"
    seen, new = (
        features(RewardScorer(model, tokenizer, max_length=256, max_length_policy="truncate_left"), rows)
        for rows in (train, held_out)
    )
    differences = seen[:, 0] - seen[:, 1]
    both, labels = np.concatenate([differences, -differences]), np.repeat([1, 0], len(train))
    head = LogisticRegression(C=100.0, fit_intercept=False, max_iter=5000).fit(both, labels).coef_[0]
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor(head)[None])
        model.classifier.bias.zero_()
    model.save_pretrained(arguments.output)
    tokenizer.save_pretrained(arguments.output)

    rewards = new @ head
    table = held_out.to_pandas().assign(reward_chosen=rewards[:, 0], reward_rejected=rewards[:, 1])
    right = float(np.mean(rewards[:, 0] > rewards[:, 1]))
    print(f"{len(train)} training pairs, {len(held_out)} held-out pairs, {right:.3f} of their labels predicted\n")
    for method in METHODS:
        changes = []
        for seed in range(arguments.splits):
            fit, rest = split_by_question(table, 0.5, seed)
            try:
                measured = calibrate_pairs(
                    fit, rest, method=method, names=("fit", "rest"), truth_column="correct_chosen"
                )
            except ValueError as error:
                print(f"{method}, split {seed}: {error}\n")
                continue
            changes.append(measured.to_labels.ece_change.value)
            if seed == 0:
                print(f"{format_calibration(measured)}\n", flush=True)
                if method == "temperature":
                    save_calibration(arguments.output, measured.calibration, overwrite=True)
        print(
            f"{method}: change of the ECE of {len(changes)} splits: {', '.join(f'{change:+.3f}' for change in changes)}\n"
        )

    few = held_out.select(range(8))
    again = CalibratedScorer.from_pretrained(str(arguments.output), max_length=256, max_length_policy="truncate_left")
    plain = RewardScorer(str(arguments.output), max_length=256, max_length_policy="truncate_left")
    raw, calibrated = (scored_pairs(scorer, few) for scorer in (plain, again))
    temperature = again.calibration.preference.temperature
    gap = [np.abs(part["reward_chosen"] - part["reward_rejected"]) for part in (raw, calibrated)]
    probability = again.calibration.preference_probability(calibrated["reward_chosen"], calibrated["reward_rejected"])
    print(
        f"Reloaded: raw differences over T and calibrated ones differ by {np.max(np.abs(gap[0] / temperature - gap[1])):.1e};"
    )
    print(
        f"confidence of 8 pairs raw {np.mean(expit(gap[0])):.3f}, calibrated {np.mean(np.maximum(probability, 1 - probability)):.3f}"
    )


if __name__ == "__main__":
    main()
