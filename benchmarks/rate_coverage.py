"""
Do the default intervals of RATE cover the truth, and do the estimators tend to what theory says?

    python benchmarks/rate_coverage.py --replications 2000 --json outputs/rate_coverage.json

For scenarios S1 to S8 of `trl_ext.rate.experiments.simulation` and for clustered rewards (60 prompts with four texts each, effects that
differ between prompts with standard deviation 0.8): the distance of every effect from its closed form at 20,000 rows, in
standard errors, and the share of replications whose 95 % interval contains the causal effect (RATE) or what the estimator
tends to (the others). S5 to S7 break RATE's assumptions: there its intervals miss the causal effect, as they must.
About two minutes on one core.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl_ext.evaluation.statistics import wilson_interval
from trl_ext.rate import RewardChains, estimate_effects
from trl_ext.rate.experiments.simulation import CLUSTERED, SCENARIOS, RewardProcess


RIGHT = ("S1", "S2", "S3", "S4", "S8", "clustered")  # where RATE's assumptions hold
ROWS = {"clustered": 240}
PROCESSES: dict[str, RewardProcess] = {**SCENARIOS, "clustered": CLUSTERED}


def distances(process: RewardProcess, n: int, seed: int) -> dict[str, float]:
    """Distance of every effect from its closed form at n rows, in standard errors."""
    effects, expected = estimate_effects(process.simulate(n, seed)), process.expectations()
    return {name: (effects[name].value - value) / effects[name].se for name, value in expected.items()}


def coverage(
    process: RewardProcess, n: int, replications: int, seed: int, *, truth: str = "causal", se: str | None = None
) -> dict[str, int]:
    """
    In how many replications the interval of each effect contains what it should.

    Args:
        process ([`~trl_ext.rate.RewardProcess`]): How rewards come about.
        n (`int`): Rows of a replication, a multiple of the rows of a prompt.
        replications (`int`): How many.
        seed (`int`): Seed.
        truth (`str`): `"causal"`: the causal effect for RATE, else what the estimator tends to; `"limit"`: that for all.
        se (`str`, *optional*): As in [`~trl_ext.rate.estimate_effects`].
    """
    wanted = process.expectations()
    if truth == "causal":
        wanted |= {f"{group}_rewritten_rewrite": value for group, value in process.true_effects().items()}
    # All rows in one draw: prompts are numbered on, so that no replication shares one with another
    chains = process.simulate(n * replications, seed)
    hits = dict.fromkeys(wanted, 0)
    for start in range(0, n * replications, n):
        rows = slice(start, start + n)
        clusters = None if chains.clusters is None else chains.clusters[rows]
        effects = estimate_effects(RewardChains(chains.w[rows], chains.rewards[rows], clusters), se=se)
        for name, value in wanted.items():
            hits[name] += effects[name].ci_low <= value <= effects[name].ci_high
    return hits


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Figures of all scenarios."""
    found: dict[str, Any] = {}
    for index, (name, process) in enumerate(PROCESSES.items()):
        n, seed = ROWS.get(name, options.rows), options.seed + 100 * index
        own: dict[str, Any] = {"rows": n, "distance_in_standard_errors": distances(process, 20_000, seed)}
        kinds = {"coverage": None, "coverage_reference": "reference"}
        if name == "clustered":
            kinds["coverage_paired"] = "paired"
        for key, se in kinds.items():
            hits = coverage(process, n, options.replications, seed + 1, se=se)
            own[key] = {
                effect: wilson_interval(count, options.replications).to_dict() for effect, count in hits.items()
            }
        found[name] = own
        print(
            f"{name}: {n} rows, largest distance {np.abs(list(own['distance_in_standard_errors'].values())).max():.2f} SE"
        )
        for key in kinds:
            print(f"  {key:<20}" + "  ".join(f"{_short(e)} {c['value']:.3f}" for e, c in own[key].items()))
    return {"replications": options.replications, "seed": options.seed, "scenarios": found}


def _short(name: str) -> str:
    return name.replace("_effect", "").replace("_rewritten_rewrite", "_RATE").replace("_single_rewrite", "_single")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    found = run(options)
    if options.json:
        from tasks.json_files import write_json

        write_json(options.json, found)


if __name__ == "__main__":
    main()
