"""
How many of the labels that look most wrong are wrong: demo data over several seeds, by kind of evidence.

    python benchmarks/mislabels.py                       # twenty seeds, MiniLM features: minutes on two cores
    python benchmarks/mislabels.py --lie LIE_train_0.csv --pairs 800 --seeds 1

`planted`: true labels, 10 % of them exchanged at random (also 5 and 20 %). `annotators`: the labels of the twelve simulated annotators, whose
errors are not random: who does not read takes the longer answer. A seed draws the split, labels, planted errors and folds.
Intervals are t intervals over seeds; for LIE they are over draws of pairs from one file. The last lines are about the
probabilities: how often intervals of numbers of wrong labels contain them, and how many of the flagged labels are right.
"""

import argparse
import sys
from pathlib import Path

import datasets
import numpy as np
import pandas as pd


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tasks.mislabels_config import DEFAULTS
from tasks.mislabels_data import load_pairs
from trl_ext.evaluation import mean_estimate
from trl_ext.mislabels import find_mislabels, pair_features


def measure(config: dict, model: str, cache: str) -> list[dict]:
    """Precision at 10 %, lift and average precision of every evidence for one seed, and the estimated number of errors."""
    data, wrong = load_pairs(config)
    features = pair_features(
        data, model, cache_dir=cache, progress=False, max_length_policy="truncate_prompt_left", batch_size=32
    )
    report = find_mislabels(data, features, wrong=wrong, seed=config["seed"], resamples=2)
    table = report.comparison.pivot(index="evidence", columns="measure", values="value")
    estimate = report.figures["wrong_labels"]
    rows = table.reset_index().to_dict("records")
    annotators, labels = report.annotators, report.table
    inside = (annotators["wrong_low"] <= annotators["wrong"]) & (annotators["wrong"] <= annotators["wrong_high"])
    flagged = labels.loc[labels["flagged"], "wrong"]
    for row in rows:
        row |= {"annotators_covered": float(inside.mean()), "flagged": len(flagged)}
        row |= {"right_of_flagged": float(1 - flagged.mean()) if len(flagged) else 0.0}
        row |= {"brier": float(((labels["p_wrong"] - labels["wrong"]) ** 2).mean())}
        row |= {"base": float(wrong.mean()), "wrong": int(wrong.sum()), "estimated": estimate.value}
        row |= {"covered": float(estimate.ci_low <= wrong.sum() <= estimate.ci_high), "seed": config["seed"]}
    return rows


def _figure(values: pd.Series) -> str:
    figure = mean_estimate(values)
    return f"{figure.value:.3f} [{figure.ci_low:.3f}, {figure.ci_high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--model", default="bundled:all-minilm-l6-v2")
    parser.add_argument("--cache", default="outputs/features")
    parser.add_argument("--lie", help="a LIE training file instead of the demo")
    parser.add_argument("--pairs", type=int, default=800, help="pairs drawn from the LIE file")
    parser.add_argument("--output", default="outputs/mislabels.csv")
    args = parser.parse_args()
    datasets.disable_progress_bars()
    scenarios = {"planted": {"planted_errors": 0.1}, "annotators": {}}
    scenarios |= {f"planted {share:g}": {"planted_errors": share} for share in (0.05, 0.2)}
    if args.lie:
        lie = {"train_data_path": args.lie, "train_dataset_size": args.pairs}
        scenarios = {"planted": {**lie, "planted_errors": 0.1}, "people": {**lie, "truth_col_name": "correct_chosen"}}
    rows = []
    for name, keys in scenarios.items():
        for seed in range(args.seeds):
            rows += [
                {"scenario": name, **row}
                for row in measure({**DEFAULTS, **keys, "seed": seed}, args.model, args.cache)
            ]
            print(f"{name}, seed {seed}", file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.output, index=False)
    for (name, evidence), own in table.groupby(["scenario", "evidence"], sort=False):
        cells = []
        for measure_name in ("precision", "lift", "average_precision", "auroc"):
            cells.append(_figure(own[measure_name]))
        print(f"| {name} | {evidence} | {own['base'].mean():.3f} | " + " | ".join(cells) + " |")
    for name, own in table.drop_duplicates(["scenario", "seed"]).groupby("scenario", sort=False):
        print(
            f"{name}: {own['wrong'].mean():.1f} wrong, estimated {np.round(own['estimated'].tolist(), 1).tolist()}, "
            f"{own['covered'].sum():.0f} of {len(own)} intervals cover, {own['annotators_covered'].mean():.3f} of those of "
            f"single annotators; of {own['flagged'].mean():.1f} flagged labels {_figure(own['right_of_flagged'])} are right; "
            f"Brier score {_figure(own['brier'])}, of the base rate {(own['base'] * (1 - own['base'])).mean():.3f}"
        )


if __name__ == "__main__":
    main()
