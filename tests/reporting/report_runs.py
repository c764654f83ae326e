"""Folders of runs for tests of the report: made-up rewards, everything else computed by the library."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tests.synthetic_results import NoisyScorer, evaluate, pairs
from trl_ext.annotators import monitor_annotators
from trl_ext.arena import RatingTable, ScoreTable, mismatch_table, significant_pairs
from trl_ext.data import load_demo_preferences
from trl_ext.evaluation import calibration_report, lie_weights, mean_estimate
from trl_ext.rate import RewardChains, rate_report
from trl_ext.reporting import data_health


HOSTILE = "<script>alert('x')</script>"
LONG = "organisation-of-a-name/" + "a-reward-model-of-very-many-parts-" * 2 + "8B-v0.2"


def write(path: Path, content) -> None:
    """A JSON file as the scripts write it: NaN is text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value))
    path.write_text(json.dumps(json.loads(text, parse_constant=str), allow_nan=False), encoding="utf-8")


def train(folder: Path, skill: float = 0.8, seed: int = 0) -> pd.DataFrame:
    """What `tasks/train.py` writes, of rewards that know the right answer a little; returns the scored test pairs."""
    rng = np.random.default_rng(seed)
    demo = load_demo_preferences()
    table = demo["test"].to_pandas()
    right = np.where(table["correct_chosen"] == 1, 1, -1)
    table["reward_chosen"] = rng.normal(size=len(table)) + skill * right
    table["reward_rejected"] = rng.normal(size=len(table)) - skill * right
    difference = table["reward_chosen"] - table["reward_rejected"]
    table["agrees_with_label"] = (difference > 0).astype(float)
    table["agrees_with_truth"] = (difference * right > 0).astype(float)
    clusters = table["question_id"].to_numpy()
    figures = {}
    for when, lift in (("before", 0.0), ("after", skill)):
        rewards = {kind: rng.normal(size=29) + lift * kind.startswith("correct") + 0.4 * kind.endswith("detailed")
                   for kind in ("correct_concise", "correct_detailed", "incorrect_concise", "incorrect_detailed")}  # fmt: skip
        weights = {
            name: one
            for name, one in lie_weights(rewards).to_dict().items()
            if isinstance(one, dict) and "value" in one
        }
        guess = rng.random(len(table)) < 0.5
        for name in ("label", "truth"):
            scores = guess if when == "before" else table[f"agrees_with_{name}"]
            figures[f"{when}_accuracy_to_{name}{'s' if name == 'label' else ''}"] = mean_estimate(
                np.asarray(scores, dtype=float), clusters
            ).to_dict()
        figures |= {f"{when}_{name}": one for name, one in weights.items()}
    length = {
        "rows": 480,
        "over_length": 3,
        "truncated": 1,
        "dropped": 2,
        "first_row": 7,
        "max_length": 1024,
        "policy": "drop",
    }
    write(
        folder / "results.json",
        {
            "figures": figures,
            "weights": {"n": 480, "mean": 1.06, "constant_reliability": None, "quantiles": {"0.5": 1.0}},
            "round_trip": {"rows": 8, "max_difference": 9e-7, "tolerance": 1e-5},
            "provenance": {
                "command": ["tasks/train.py", "with", "rapl_method=beta"],
                "model": {"name": "bundled:smollm2-135m-instruct", "commit": None, "sha256": {"model.safetensors": "ab" * 32}},
                "config": {"seed": 42, "learning_rate": 3e-4},
                "versions": {"trl_ext": "0.1.0", "torch": "2.13.0"},
                "length": {"train": length},
                "data_sha256": {"train": "cd" * 32},
            },
        },
    )  # fmt: skip
    log = [{"step": step, "loss": 0.7 - 0.01 * step, "accuracy": 0.5 + 0.01 * step} for step in range(2, 31, 2)]
    log += [
        {"step": step, "eval_loss": 0.69 - 0.005 * step, "eval_accuracy": 0.5 + 0.012 * step}
        for step in range(3, 31, 3)
    ]
    write(folder / "training_log.json", {"log_history": [*log, {"step": 30, "train_runtime": 498.0}]})
    write(folder / "data_health.json", data_health(demo["train"]))
    table.to_csv(folder / "test_rewards.csv", index=False)
    return table


def only_results(folder: Path) -> None:
    """Leave out what is drawn for each run by itself: one run has enough of it."""
    for name in ("data_health.json", "training_log.json"):
        (folder / name).unlink()


def calibrate(folder: Path, table: pd.DataFrame) -> None:
    """Reports of calibration, raw and tempered, and ECE during training."""
    difference = (table["reward_chosen"] - table["reward_rejected"]).to_numpy()
    reports = {
        side: calibration_report(1 / (1 + np.exp(-scale * difference)), table["correct_chosen"].to_numpy(), resamples=100)
        for side, scale in (("raw", 3.0), ("calibrated", 1.2))
    }  # fmt: skip
    change = mean_estimate(np.array([-0.1, -0.2, -0.15])).to_dict()
    facts = {
        "method": "temperature",
        "fitted_on": {"data": "demo", "pairs": 60},
        "measured_on": {"data": "demo"},
        "ece_change": change,
    }
    write(folder / "calibration" / "calibration.json", facts | {side: one.to_dict() for side, one in reports.items()})
    history = [
        {"step": step, "ece": mean_estimate(np.array([0.2, 0.25, 0.3]) - step / 200).to_dict()}
        for step in (10, 20, 30)
    ]
    write(folder / "calibration" / "training.json", history)


def audit(folder: Path, models: list[str]) -> None:
    """RATE's effects of two attributes on some reward models."""
    rng = np.random.default_rng(1)
    chains = {}
    for attribute, effect in (("length", 0.5), (f"politeness {HOSTILE}", 0.0)):
        has, quality = rng.random(200) < 0.5, rng.normal(size=200)
        chains["demo", attribute] = {
            model: RewardChains(has, np.stack([quality + effect * one + 0.3 * rng.normal(size=200) for one in (has, ~has, has)], axis=1))
            for model in models
        }  # fmt: skip
    rate_report(chains, bootstrap=0).write(folder / "rate" / "effects")


def compare_ratings(folder: Path, models: list[str]) -> None:
    """Mismatch degrees before and after a calibration."""
    rng = np.random.default_rng(2)
    ratings = RatingTable.from_ratings(dict(zip(models, rng.normal(1200, 60, len(models)), strict=True)))
    place = folder / "mismatch" / "evaluation" / "hard"
    place.mkdir(parents=True)
    for when, spread in (("before", 0.8), ("after", 0.2)):
        scores = ScoreTable.from_columns({name: rng.normal(rng.normal(0, spread), 1, 60) for name in models})
        table = mismatch_table(scores, ratings, bootstrap=50)
        table.assign(**significant_pairs(table)).to_csv(place / f"mismatch_{when}.csv", index=False)
    row = {
        "figure": "mean absolute mismatch",
        "before": 0.5,
        "after": 0.2,
        "change": -0.3,
        "ci_low": -0.4,
        "ci_high": -0.2,
    }
    write(
        place / "results.json", {"name": "hard", "headline": [row | {"n": 30, "verdict": "better"}], "provenance": {}}
    )


def monitor(folder: Path) -> None:
    """Annotators who answer twice, two of them those of the training pairs, one with a hostile name."""
    rng = np.random.default_rng(3)
    rows = []
    for name, eta in (
        ("annotator-01", 0.95),
        ("annotator-02", 0.6),
        (HOSTILE, 0.1),
        ("an annotator with a name of quite some length", 0.8),
    ):
        for item in range(60):
            first = int(rng.random() < 0.5)
            again = first if rng.random() < eta else int(rng.random() < 0.5)
            rows += [(f"i{item}", name, first), (f"i{item}", name, again)]
    report = monitor_annotators(pd.DataFrame(rows, columns=["item_id", "annotator_id", "label"]), "self", eta0=0.5)
    place = folder / "monitoring"
    place.mkdir(parents=True)
    report.save(place / "annotators.csv")
    write(
        place / "results.json", report.summary() | {"provenance": {"config": {"eta0": 0.5}, "command": ["monitor.py"]}}
    )


def suspect(folder: Path, table: pd.DataFrame) -> None:
    """A ranking of pairs."""
    place = folder / "mislabels"
    pairs = (
        table[["id", "annotator_id"]].head(40).assign(rank=range(1, 41), evidence=np.linspace(1, 0, 40), margin=0.1)
    )
    write(place / "mislabels.json", {"figures": {"precision": mean_estimate([1, 0, 1, 1]).to_dict()}, "settings": {}})
    pairs.assign(prompt=HOSTILE).to_csv(place / "mislabels.csv", index=False)
    shares = pd.DataFrame(
        {
            "annotator_id": ["a", "b"],
            "n": [20, 30],
            "expected_wrong": [2.0, 9.0],
            "wrong_low": [1.0, 5.0],
            "wrong_high": [5.0, 14.0],
        }
    )
    shares.to_csv(place / "annotators.csv", index=False)


def whole_run(folder: Path, *, skill: float = 0.8, seed: int = 0) -> Path:
    """A run with every kind of evidence, with long and hostile names."""
    folder.mkdir(parents=True)
    table = train(folder, skill, seed)
    calibrate(folder, table)
    audit(folder, [f"outputs__{folder.name}", LONG])
    compare_ratings(folder, ["plain", "verbose", LONG, LONG + "x", HOSTILE])
    monitor(folder)
    suspect(folder, table)
    evaluate(folder / "evaluation", NoisyScorer(f"{HOSTILE}{LONG}", skill), pairs(4))
    lie = {kind: np.random.default_rng(4).normal(size=20) for kind in
           ("correct_concise", "correct_detailed", "incorrect_concise", "incorrect_detailed")}  # fmt: skip
    write(folder / "evaluation" / "lie" / "results.json", {"sets": {"lie": {"figures": lie_weights(lie).to_dict()}}})
    return folder
