"""
RATE's estimators on a million rows, and the bootstrap of normalised effects: time, peak memory, and a peer in the same run.

    python benchmarks/rate_speed.py
    python benchmarks/rate_speed.py --rows 1000000 --bootstrap-rows 25000 --json outputs/rate_speed.json

The table has text labels of prompts with four texts each. Peers: cluster-robust regressions of statsmodels for each effect,
on `--peer-rows` rows; and the bootstrap as it is usually written, which draws the rows of a data frame and estimates again,
with `--peer-draws` draws. Ratios are of the same work, and the figures must agree.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl_ext.rate import aipw_effect, estimate_effects, normalised_effects, sensitivity, simulate_rewards


FEATURES = 4
LIMIT_SECONDS, LIMIT_BYTES, LIMIT_BOOTSTRAP_SECONDS = 10.0, 2 * 1024**3, 30.0


def make_table(rows: int, seed: int) -> pd.DataFrame:
    """Rewards of texts, four to a prompt; prompts have text labels."""
    table = simulate_rewards(rows, seed, scenario="S3", cluster_size=4, slope_sd=0.8).table()
    return table.assign(cluster="prompt-" + table["cluster"].astype(str)).drop(columns="id")


def differences(table: pd.DataFrame) -> dict[str, tuple[pd.Series, pd.Series]]:
    """Difference of rewards and rows of each effect but the naive one, as one writes it with pandas."""
    sign, every = 2 * table["w"] - 1, pd.Series(True, index=table.index)
    single = sign * (table["original"] - table["rewrite"])
    double = sign * (table["rewritten_rewrite"] - table["rewrite"])
    groups = {"ATE": every, "ATT": table["w"] == 1, "ATU": table["w"] == 0}
    found = {f"{group}_single_rewrite": (single, mask) for group, mask in groups.items()}
    found |= {f"{group}_rewritten_rewrite": (double, mask) for group, mask in groups.items()}
    change = table["rewritten_rewrite"] - table["original"]
    return found | {"rewrite_effect_w_1": (change, groups["ATT"]), "rewrite_effect_w_0": (change, groups["ATU"])}


def regressions(table: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Each effect with its CR1 standard error, from statsmodels."""

    def fit(outcome: pd.Series, design: np.ndarray, groups: pd.Series) -> tuple[float, float]:
        codes = pd.factorize(groups)[0]
        result = sm.OLS(outcome.to_numpy(), design).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
        return float(result.params[-1]), float(result.bse[-1])

    found = {"naive_effect": fit(table["original"], sm.add_constant(table["w"].to_numpy(float)), table["cluster"])}
    for name, (difference, mask) in differences(table).items():
        found[name] = fit(difference[mask], np.ones((int(mask.sum()), 1)), table["cluster"][mask])
    return found


def resample_rows(table: pd.DataFrame, draws: int, seed: int) -> dict[str, float]:
    """Bootstrap standard errors of normalised effects by drawing rows of the data frame."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, float]] = []
    for _ in range(draws):
        drawn = table.iloc[rng.integers(len(table), size=len(table))].reset_index(drop=True)
        groups = drawn.groupby("w")["original"]
        freedom = groups.count() - 1
        std = np.sqrt((groups.var() * freedom).sum() / freedom.sum())
        effects = {name: difference[mask].mean() / std for name, (difference, mask) in differences(drawn).items()}
        found.append(effects | {"naive_effect": (groups.mean()[1] - groups.mean()[0]) / std})
    return pd.DataFrame(found).std().to_dict()


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of wall time, and the result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def peak_bytes() -> int:
    """Most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The million rows first, while the peak is still their own."""
    table = make_table(options.rows, options.seed)
    after_data = peak_bytes()
    seconds, _ = timed(lambda: estimate_effects(table))
    peak = peak_bytes()
    features = np.random.default_rng(options.seed).normal(size=(options.rows, FEATURES))
    sensitivity_seconds, _ = timed(lambda: sensitivity(table, feature_differences=features))
    aipw_seconds, _ = timed(lambda: aipw_effect(table["w"], table["original"], features, clusters=table["cluster"]))
    part = table.iloc[: options.peer_rows]
    own_seconds, own = timed(lambda: estimate_effects(part))
    peer_seconds, peer = timed(lambda: regressions(part))
    for name, figures in peer.items():
        np.testing.assert_allclose((own[name].value, own[name].se), figures, rtol=1e-6, atol=1e-9, err_msg=name)
    small = make_table(options.bootstrap_rows, options.seed).drop(columns="cluster")
    bootstrap_seconds, found = timed(lambda: normalised_effects(small, bootstrap=options.draws, seed=options.seed))
    bootstrap_peer_seconds, errors = timed(lambda: resample_rows(small, options.peer_draws, options.seed))
    # Monte Carlo error of a standard deviation from few draws
    tolerance = 5 * (1 / np.sqrt(2 * options.peer_draws) + 1 / np.sqrt(2 * options.draws))
    for name, error in errors.items():
        np.testing.assert_allclose(found[name].se, error, rtol=tolerance, err_msg=name)
    per_draw = (bootstrap_peer_seconds / options.peer_draws) / (bootstrap_seconds / options.draws)
    return {
        "sensitivity_seconds": sensitivity_seconds, "aipw_seconds": aipw_seconds,
        "rows": options.rows, "seconds": seconds, "peak_bytes": peak, "peak_bytes_of_data": after_data,
        "peer_rows": len(part), "own_seconds": own_seconds, "peer_seconds": peer_seconds,
        "ratio": peer_seconds / own_seconds,
        "bootstrap_rows": options.bootstrap_rows, "draws": options.draws, "bootstrap_seconds": bootstrap_seconds,
        "peer_draws": options.peer_draws, "bootstrap_peer_seconds": bootstrap_peer_seconds, "bootstrap_ratio": per_draw,
        "peak_bytes_of_all": peak_bytes(),
    }  # fmt: skip


def report(found: dict[str, Any]) -> str:
    """The figures for reading."""
    return "\n".join(
        [
            f"all effects, cluster-robust, {found['rows']:,} rows: {found['seconds']:.2f} s, peak "
            f"{found['peak_bytes'] / 2**20:.0f} MiB ({found['peak_bytes_of_data'] / 2**20:.0f} MiB of it before)",
            f"  sensitivity to {FEATURES} features {found['sensitivity_seconds']:.2f} s, AIPW of as many "
            f"{found['aipw_seconds']:.2f} s",
            f"  of {found['peer_rows']:,} rows: {found['own_seconds']:.3f} s, statsmodels {found['peer_seconds']:.2f} s, "
            f"{found['ratio']:.1f} times as long",
            f"bootstrap of all normalised effects, {found['draws']:,} draws of {found['bootstrap_rows']:,} rows: "
            f"{found['bootstrap_seconds']:.2f} s",
            f"  by drawing rows of a data frame, {found['peer_draws']} draws: {found['bootstrap_peer_seconds']:.2f} s, "
            f"{found['bootstrap_ratio']:.1f} times as long a draw",
        ]
    )


def main() -> None:
    """Command line: fails if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bootstrap-rows", type=int, default=25_000)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--peer-rows", type=int, default=200_000)
    parser.add_argument("--peer-draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    found = run(options)
    print(report(found))
    if options.json:
        from tasks.json_files import write_json

        write_json(options.json, found)
    slowest = max(found[name] for name in ("seconds", "sensitivity_seconds", "aipw_seconds"))
    late = slowest > LIMIT_SECONDS or found["bootstrap_seconds"] > LIMIT_BOOTSTRAP_SECONDS
    if late or found["peak_bytes"] > LIMIT_BYTES:
        raise SystemExit(
            f"over the limits of {LIMIT_SECONDS:g} s, {LIMIT_BOOTSTRAP_SECONDS:g} s and {LIMIT_BYTES / 2**30:g} GiB"
        )


if __name__ == "__main__":
    main()
