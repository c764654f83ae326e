"""
Does reliability-aware training find the truth better than standard training, on held-out questions of the demo data?

    python benchmarks/reliability_gain.py --seeds 0 1 2 3 4 --output_dir outputs/reliability_gain

Trains the demo with each method and seed (the seed changes the split, the annotators' labels and the optimisation; the
methods share it) and prints accuracy to the truth with the paired difference to standard training, clustered by question.
About three minutes a run on two cores. Runs that are complete in the output directory are not repeated.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm


def train(method: str, seed: int, output_dir: Path) -> pd.DataFrame:
    """Train one run unless its results are there; return its scored test pairs."""
    from tasks.train import ex

    folder = output_dir / f"{method}-seed{seed}"
    if not (folder / "results.json").is_file():
        ex.observers = []
        ex.run(
            config_updates={
                "rapl_method": method,
                "seed": seed,
                "demo_seed": seed,
                "eval_before_training": False,
                "eval_strategy": "no",
                "verify_round_trip": False,
                "output_dir": str(folder),
            }
        )
        (folder / "model.safetensors").unlink()  # half a gigabyte a run; the rewards are what is compared
    table = pd.read_csv(folder / "test_rewards.csv")
    table["seed"], table["method"] = seed, method
    return table


def compare(tables: list[pd.DataFrame], baseline: str) -> dict[str, dict]:
    """Accuracy to the truth of every method, and its paired difference to the baseline."""
    from trl_ext.evaluation.statistics import mean_estimate, paired_difference

    rows = pd.concat(tables).pivot_table(
        index=["seed", "question_id", "id"], columns="method", values="agrees_with_truth"
    )
    # Questions recur in the test splits of several seeds: they are the clusters, not (seed, question)
    clusters = rows.index.get_level_values("question_id").to_numpy()
    figures = {}
    for method in rows.columns:
        figures[method] = mean_estimate(rows[method].to_numpy(), clusters).to_dict()
        if method != baseline:
            difference = paired_difference(rows[method].to_numpy(), rows[baseline].to_numpy(), clusters)
            figures[f"{method} - {baseline}"] = difference.to_dict()
            # The variation between runs counts as well: one paired difference per seed
            means = rows.groupby(level="seed").mean()
            if len(means) > 1:
                over_seeds = paired_difference(means[method].to_numpy(), means[baseline].to_numpy())
                figures[f"{method} - {baseline}, by seed"] = over_seeds.to_dict()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", default=["beta"], choices=["beta", "p", "margin"])
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/reliability_gain"))
    arguments = parser.parse_args()
    runs = [(method, seed) for seed in arguments.seeds for method in ("none", *arguments.methods)]
    tables = [train(method, seed, arguments.output_dir) for method, seed in tqdm(runs, desc="Runs")]
    figures = compare(tables, "none")
    (arguments.output_dir / "figures.json").write_text(json.dumps(figures, indent=2))
    for table in tables:
        accuracy = table["agrees_with_truth"].mean()
        print(f"seed {table['seed'].iloc[0]}  {table['method'].iloc[0]:<8} accuracy to the truth {accuracy:.3f}")
    for name, figure in figures.items():
        print(
            f"{name:<24} {figure['value']:+.3f} [{figure['ci_low']:+.3f}, {figure['ci_high']:+.3f}]  n={figure['n']}"
        )


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
