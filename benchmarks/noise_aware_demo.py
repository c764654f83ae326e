"""
Noise-aware against plain training of a real model on the demo questions, through `tasks/train.py`.

The truth is made for this benchmark: a response is worth 2 if it is correct and 0.5 more if it is detailed, and the
oracle's preference between two responses is σ of the difference, e.g. 0.82 for a correct concise one over an incorrect
detailed one. Every pair of the four responses to a training question is labelled by simulated annotators of commitment η,
with P(label = 1) = η p + (1 − η)/2. Models are judged on questions that no training pair has.

Two scenarios: `one_eta`, the share of four votes of annotators who all have η = 0.5; and `annotators`, one vote by each of
two of the twelve annotators of the demo data, whose η is between 0.02 and 0.98. `forward` is told the η of each of them,
`forward_mean_eta` their mean only.
"""

import dataclasses
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit
from tqdm.auto import tqdm

from trl_ext.annotators import corrupt_labels
from trl_ext.data.demo import ANNOTATORS, KINDS, demo_prompt, load_demo_questions, split_questions
from trl_ext.evaluation import mean_estimate, oracle_scores, paired_difference


FIGURES = ("cross_entropy", "entropy", "excess", "accuracy")
MOST_SCALE = 10.0  # largest factor on the rewards that is tried
CORRECT, DETAILED = 2.0, 0.5  # what a response is worth
VOTES = {"one_eta": 4, "annotators": 2}  # labels of each training pair
ONE_ETA = 0.5
ETA = {annotator.annotator_id: annotator.eta for annotator in ANNOTATORS}
# What the runs of a scenario differ in
RUNS = {
    "one_eta": {
        "soft_label": {"noise_method": "soft_label", "num_train_epochs": 3},
        "forward": {"noise_method": "forward", "eta": ONE_ETA, "num_train_epochs": 3},
        "backward": {"noise_method": "backward", "eta": ONE_ETA, "num_train_epochs": 3},
    },
    "annotators": {  # two rows a pair: fewer epochs
        "soft_label": {"noise_method": "soft_label", "num_train_epochs": 2},
        "forward": {"noise_method": "forward", "annotator_eta_path": "eta.json", "num_train_epochs": 2},
        "forward_mean_eta": {
            "noise_method": "forward",
            "eta": float(np.mean(list(ETA.values()))),
            "num_train_epochs": 2,
        },
    },
}
SETTINGS = {
    "learning_rate": 5e-4,
    "per_device_train_batch_size": 16,
    "gradient_accumulation_steps": 1,
    "weight_scale": 1.0,
    "use_peft": False,
    "train_last_layers": 1,
    "eval_strategy": "no",
    "eval_before_training": False,
    "verify_round_trip": False,
    "cpu_threads": 1,
}


def mean_over_seeds(name: str, values: ArrayLike) -> dict:
    """Mean with a t interval; that of an accuracy, which knows no bounds, is cut to [0, 1]."""
    estimate = mean_estimate(values)
    if name == "accuracy":
        low, high = np.clip((estimate.ci_low, estimate.ci_high), 0.0, 1.0)
        method = f"{estimate.method}, cut to [0, 1]"
        estimate = dataclasses.replace(estimate, ci_low=float(low), ci_high=float(high), method=method)
    return estimate.to_dict()


def true_reward(kind: str) -> float:
    """What a response of this kind is worth."""
    return CORRECT * kind.startswith("correct") + DETAILED * kind.endswith("detailed")


def all_pairs(questions: list[dict], seed: int) -> pd.DataFrame:
    """Every pair of responses to every question, in random order, with the preference of the oracle."""
    generator = np.random.default_rng([seed, 3])
    rows = []
    for question in questions:
        for pair in combinations(KINDS, 2):
            first, second = generator.permutation(pair).tolist()
            rows.append(
                {
                    "id": f"{question['id']}-{first}-{second}",
                    "question_id": question["id"],
                    "prompt": demo_prompt(question["question"]),
                    "chosen": question[first],
                    "rejected": question[second],
                    "oracle_probability": expit(true_reward(first) - true_reward(second)),
                }
            )
    return pd.DataFrame(rows)


def simulate(scenario: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labelled training pairs, and test pairs of other questions."""
    questions = split_questions(load_demo_questions(), seed)
    pairs = all_pairs(questions["train"] + questions["calibration"], seed)
    test = all_pairs(questions["test"] + questions["validation"], seed)
    votes = pairs.loc[pairs.index.repeat(VOTES[scenario])].reset_index(drop=True)
    stream = np.random.SeedSequence([seed, 4])
    if scenario == "one_eta":
        votes["label"] = corrupt_labels(votes["oracle_probability"].to_numpy(), ONE_ETA, seed=stream)
        # The losses are linear in the label: the share of the votes gives the gradient of all of them at once
        pairs["label"] = votes.groupby("id")["label"].mean().loc[pairs["id"]].to_numpy()
        return pairs, test
    generator = np.random.default_rng([seed, 5])
    names = [generator.choice(list(ETA), VOTES[scenario], replace=False) for _ in range(len(pairs))]
    votes["annotator_id"] = np.concatenate(names)
    eta = votes["annotator_id"].map(ETA).to_numpy()
    votes["label"] = corrupt_labels(votes["oracle_probability"].to_numpy(), eta, seed=stream)
    return votes, test


def train(model: str, scenario: str, name: str, seed: int, output_dir: Path) -> pd.DataFrame:
    """Train one run unless its rewards are there; return the scored test pairs."""
    from tasks.train import ex

    data_dir = output_dir / "data" / f"{scenario}-seed{seed}"
    folder = output_dir / f"{scenario}-{name}-seed{seed}"
    if not (folder / "results.json").is_file():
        data_dir.mkdir(parents=True, exist_ok=True)
        for split, rows in zip(("train", "test"), simulate(scenario, seed), strict=True):
            rows.to_parquet(data_dir / f"{split}.parquet")
        (data_dir / "eta.json").write_text(json.dumps(ETA), encoding="utf-8")
        choices = dict(RUNS[scenario][name])
        if "annotator_eta_path" in choices:
            choices["annotator_eta_path"] = str(data_dir / choices["annotator_eta_path"])
        ex.observers = []
        ex.run(
            config_updates=SETTINGS
            | choices
            | {
                "model_name": model,
                "seed": seed,
                "train_data_path": str(data_dir / "train.parquet"),
                "eval_data_path": str(data_dir / "test.parquet"),
                "output_dir": str(folder),
                "frozen_cache_dir": str(output_dir / "frozen"),
                "trainer": {"disable_tqdm": True},
            }
        )
        for weights in folder.glob("*.safetensors"):  # the rewards are what is compared
            weights.unlink()
    return pd.read_csv(folder / "test_rewards.csv")


def best_scale(table: pd.DataFrame) -> dict[str, float]:
    """
    The factor on the rewards with which scored pairs are closest to the oracle, and the excess that is left.

    It tells apart what is wrong with the scale of rewards and what with their order. Fitted on the test pairs: one
    parameter, for each model.
    """
    differences = (table["reward_chosen"] - table["reward_rejected"]).to_numpy()

    def excess(scale: float) -> float:
        return oracle_scores(scale * differences, np.zeros(len(table)), table["oracle_probability"]).excess.value

    fit = minimize_scalar(excess, bounds=(0.0, MOST_SCALE), method="bounded")
    return {"best scale": float(fit.x), "excess at the best scale": float(fit.fun)}


def demo_figures(model: str, seeds: list[int], output_dir: Path) -> list[dict]:
    """A row per scenario and run: means over seeds with t intervals, and paired differences to plain soft labels."""
    rows = []
    runs = [(scenario, name) for scenario, names in RUNS.items() for name in names]
    progress = tqdm([(*run, seed) for run in runs for seed in seeds], desc="Runs")
    found = {}
    for scenario, name, seed in progress:
        table = train(model, scenario, name, seed, output_dir)
        scores = oracle_scores(table["reward_chosen"], table["reward_rejected"], table["oracle_probability"])
        found[scenario, name, seed] = {key: getattr(scores, key).value for key in FIGURES} | best_scale(table)
    for scenario, name in runs:
        values, plain = (pd.DataFrame([found[scenario, run, seed] for seed in seeds]) for run in (name, "soft_label"))
        row = {"scenario": scenario, "method": name}
        row |= {key: mean_over_seeds(key, values[key]) for key in values}
        if name != "soft_label":
            row |= {
                f"{key} - soft_label": paired_difference(values[key], plain[key]).to_dict()
                for key in ("excess", "accuracy", "excess at the best scale")
            }
        rows.append(row)
    return rows
