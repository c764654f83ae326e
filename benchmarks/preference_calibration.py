#!/usr/bin/env python
"""
Is a quickly trained reward model better calibrated after a calibration, on questions that trained neither?

    python benchmarks/preference_calibration.py demo OUTPUT
    python benchmarks/preference_calibration.py LIE_FOLDER OUTPUT [--train-pairs 200]

The head of the bundled all-MiniLM-L6-v2 is a logistic regression on the frozen encoder's output for the training pairs,
with a weak penalty: as sure of itself as any model that has seen its pairs often enough. There are five of them: of the demo,
for five seeds (each draws other training questions and other labels); of LIE, for five folds that keep questions together, so
that every pair is held out once. The held-out pairs of each get their probabilities by cross-fitting within them; what changes
is measured on all together, clustered by question (the same question, held out of several heads, is one cluster). The first
model is stored with its temperature in OUTPUT, loaded again and compared.
"""

import argparse
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, concatenate_datasets
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tasks.calibrate_run import scored_pairs
from tasks.calibration_files import format_changes
from tasks.pair_calibration import cross_probabilities, fit_pairs, measured_changes
from tasks.pair_groups import question_groups
from tasks.rapl.lie_data import grouped_folds, read_full_train, to_preferences
from trl_ext import RewardScorer
from trl_ext.data import load_demo_preferences, resolve_model
from trl_ext.data.bundled import ENCODER
from trl_ext.scoring import CalibratedScorer, save_calibration
from trl_ext.scoring.calibrated import PREFERENCE_METHODS


REPEATS = 5


def load(data: str, train_pairs: int) -> list[tuple[Dataset, Dataset]]:
    """Training pairs and held-out pairs, of other questions, of every repeat."""
    if data == "demo":
        splits = [load_demo_preferences(seed=seed) for seed in range(REPEATS)]
        return [
            (part["train"].select(range(train_pairs)), concatenate_datasets([part["validation"], part["test"]]))
            for part in splits
        ]
    pairs = read_full_train(data)
    every = to_preferences(pairs)
    return [
        (every.select(np.random.default_rng(0).permutation(train)[:train_pairs]), every.select(rest))
        for train, rest in grouped_folds(pairs, REPEATS)
    ]


def embed(scorer: RewardScorer, datasets: list[Dataset]) -> dict[tuple[str, str], np.ndarray]:
    """What the head sees `(H,)` of every response to a prompt; each is computed once."""
    answers: dict[str, dict[str, None]] = {}
    for pairs in datasets:
        for prompt, *sides in zip(pairs["prompt"], pairs["chosen"], pairs["rejected"], strict=True):
            answers.setdefault(prompt, {}).update(dict.fromkeys(sides))
    seen: dict[float, np.ndarray] = {}

    def remember(head, inputs, rewards):
        seen.update(zip(rewards[:, 0].tolist(), inputs[0].float().numpy(), strict=True))

    handle = scorer.model.classifier.register_forward_hook(remember)
    rewards = scorer.score(list(answers), [list(responses) for responses in answers.values()])
    handle.remove()
    return {
        (prompt, response): seen[float(reward)]
        for (prompt, responses), of_prompt in zip(answers.items(), rewards, strict=True)
        for response, reward in zip(responses, of_prompt, strict=True)
    }


def features(seen: dict[tuple[str, str], np.ndarray], pairs: Dataset) -> np.ndarray:
    """What the head sees of both responses `(N, 2, H)` of pairs."""
    return np.array(
        [
            [seen[prompt, chosen], seen[prompt, rejected]]
            for prompt, chosen, rejected in zip(pairs["prompt"], pairs["chosen"], pairs["rejected"], strict=True)
        ]
    )


def fit_head(seen: np.ndarray) -> np.ndarray:
    """Weights `(H,)` of a logistic regression of pairs `(N, 2, H)`, in both orders."""
    differences = seen[:, 0] - seen[:, 1]
    both, labels = np.concatenate([differences, -differences]), np.repeat([1, 0], len(seen))
    return LogisticRegression(C=100.0, fit_intercept=False, max_iter=5000).fit(both, labels).coef_[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("output", type=Path)
    parser.add_argument("--train-pairs", type=int, default=200)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    path = resolve_model(ENCODER)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model.config.problem_type = "regression"
    length = {"max_length": 256, "max_length_policy": "truncate_left"}
    scorer = RewardScorer(model, tokenizer, **length)
    heads, tables = [], []
    repeats = load(arguments.data, arguments.train_pairs)
    seen = embed(scorer, [part for repeat in repeats for part in repeat])
    for train, held_out in repeats:
        head = fit_head(features(seen, train))
        rewards = features(seen, held_out) @ head
        table = held_out.to_pandas().assign(reward_chosen=rewards[:, 0], reward_rejected=rewards[:, 1])
        right = float(np.mean(rewards[:, 0] > rewards[:, 1]))
        known = len(set(train["question_id"]) & set(held_out["question_id"]))
        print(
            f"head {len(heads)}: {len(train)} training pairs, {len(held_out)} held-out pairs of {known} trained questions, "
            f"{right:.3f} of their labels predicted",
            flush=True,
        )
        heads.append(head)
        tables.append(table)

    for method in PREFERENCE_METHODS:
        measured, probabilities = [], []
        for number, table in enumerate(tables):
            try:
                found, _ = cross_probabilities(table, name=f"held-out pairs of head {number}", method=method)
                whole = fit_pairs(table, description=f"held-out pairs of head {number}", method=method)
            except ValueError as error:
                print(f"{method}, head {number}, refused: {error}")
                continue
            measured.append(table)
            probabilities.append(found)
            facts = whole.provenance["preference"]["parameters"]
            shown = [
                f"{name} {float(x['value']):.2f} [{float(x['ci_low']):.2f}, {float(x['ci_high']):.2f}]"
                for name, x in facts.items()
                if isinstance(x, dict)
            ]
            change = measured_changes(table, found, question_groups(table), "correct_chosen", 0)[0].ece_change
            print(f"{method}, head {number}: {', '.join(shown)}; change of the ECE {change.value:+.3f}", flush=True)
        if not measured:
            continue
        pairs = pd.concat(measured, ignore_index=True)
        changes = measured_changes(
            pairs, np.concatenate(probabilities, axis=1), question_groups(pairs), "correct_chosen", 0
        )
        print(f"\n{method}: {len(pairs)} pairs of {len(measured)} heads, {len(set(question_groups(pairs)))} questions")
        print(f"{format_changes(*changes)}\n", flush=True)

    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor(heads[0])[None])
        model.classifier.bias.zero_()
    model.save_pretrained(arguments.output)
    tokenizer.save_pretrained(arguments.output)
    stored = fit_pairs(tables[0], description=f"held-out pairs of {Path(arguments.data).name}", method="temperature")
    save_calibration(arguments.output, stored, overwrite=True)
    few = held_out.select(range(8))
    again = CalibratedScorer.from_pretrained(str(arguments.output), **length)
    plain = RewardScorer(str(arguments.output), **length)
    raw, calibrated = (scored_pairs(scorer, few) for scorer in (plain, again))
    gap = [np.abs(part["reward_chosen"] - part["reward_rejected"]) for part in (raw, calibrated)]
    difference = np.max(np.abs(gap[0] / again.calibration.preference.temperature - gap[1]))
    print(f"Reloaded: raw differences over T and calibrated ones differ by {difference:.1e};")
    print(f"mean confidence of 8 pairs raw {np.mean(expit(gap[0])):.3f}, calibrated {np.mean(expit(gap[1])):.3f}")


if __name__ == "__main__":
    main()
