"""The numbers behind the figures of section 3, as tables."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from trl_ext.annotators import (
    error_lower_bound,
    expert_c,
    expert_c_items,
    fano_error_bound,
    incentive,
    kl_divergence,
    maximal_information,
    samples_until_error,
    self_consistency_c,
)
from trl_ext.annotators.monitoring_test import minimal_error_sum


EXPERTS = ("certain", "80%", "random", "noisy")
NOISE_SD = 0.1  # of the noisy expert's probabilities

Probabilities = Mapping[str, np.ndarray]


def folded_histogram(probabilities: Probabilities, n_bins: int = 15) -> pd.DataFrame:
    """
    Histogram of max(p, 1 − p): how clear the pairs are.

    Args:
        probabilities (`Mapping[str, np.ndarray]`): True preference probabilities `(N,)` by name of the dataset.
        n_bins (`int`, *optional*, defaults to `15`): Bins from 0.5 to 1.

    Returns:
        `pandas.DataFrame`: `dataset`, `bin_low`, `bin_high`, `n`, `density` (integrates to 1), `mean`.
    """
    edges = np.linspace(0.5, 1.0, n_bins + 1)
    tables = []
    for name, p in probabilities.items():
        folded = np.maximum(p, 1 - p)
        counts, _ = np.histogram(folded, edges)
        density = counts / (p.size * np.diff(edges))
        columns = {"bin_low": edges[:-1], "bin_high": edges[1:], "n": counts, "density": density}
        tables.append(pd.DataFrame({"dataset": name} | columns | {"mean": folded.mean()}))
    return pd.concat(tables, ignore_index=True)


def lower_bounds(
    probabilities: Probabilities, flips0: Sequence[float], flips1: Sequence[float], n: np.ndarray
) -> pd.DataFrame:
    """
    Lower bound on the sum of errors of every test between two commitments, with an expert without doubt.

    Args:
        probabilities (`Mapping[str, np.ndarray]`): True preference probabilities by name of the dataset.
        flips0, flips1 (`Sequence[float]`): 1 − η0 and 1 − η1; pairs with η0 < η1 are taken.
        n (`np.ndarray`): Numbers of monitored samples.

    Returns:
        `pandas.DataFrame`: `dataset`, `eta0`, `eta1`, `n`, `lower_bound`, `kl` (nats per sample).
    """
    tables = []
    for name, p in probabilities.items():
        c = expert_c_items(p)
        for eta0, eta1 in _hypotheses(flips0, flips1):
            kl = kl_divergence(eta0, eta1, c)
            columns = {"n": n, "lower_bound": error_lower_bound(n, kl), "kl": kl}
            tables.append(pd.DataFrame({"dataset": name, "eta0": eta0, "eta1": eta1} | columns))
    return pd.concat(tables, ignore_index=True)


def _hypotheses(flips0: Sequence[float], flips1: Sequence[float]) -> list[tuple[float, float]]:
    pairs = [(round(1 - a, 12), round(1 - b, 12)) for b in flips1 for a in flips0]
    return [(eta0, eta1) for eta0, eta1 in pairs if eta0 < eta1]


def samples_needed(
    probabilities: Probabilities, flips0: Sequence[float], flips1: Sequence[float], error: float
) -> pd.DataFrame:
    """Smallest n at which [`lower_bounds`] is at most `error`: `dataset`, `c_bar`, `eta0`, `eta1`, `error`, `n`."""
    rows = []
    for name, p in probabilities.items():
        c = expert_c_items(p)
        for eta0, eta1 in _hypotheses(flips0, flips1):
            needed = samples_until_error(error, kl_divergence(eta0, eta1, c))
            rows.append(
                {"dataset": name, "c_bar": expert_c(p), "eta0": eta0, "eta1": eta1, "error": error, "n": needed}
            )
    return pd.DataFrame(rows)


def monitor_errors(
    probabilities: Probabilities,
    eta0: Sequence[float],
    eta1: Sequence[float],
    deltas: Sequence[float],
    n: np.ndarray,
    delta_convention: str = "paper",
) -> pd.DataFrame:
    """
    Exact sum of errors of the self-consistency monitor's best test, and the bound that no expert monitor can beat.

    Args:
        probabilities (`Mapping[str, np.ndarray]`): True preference probabilities by name of the dataset.
        eta0, eta1 (`Sequence[float]`): Commitments of both hypotheses, all combinations.
        deltas (`Sequence[float]`): δ, how often a committed annotator contradicts himself.
        n (`np.ndarray`): Numbers of monitored samples.
        delta_convention (`str`, *optional*, defaults to `"paper"`): Of [`~trl_ext.annotators.self_consistency_c`].

    Returns:
        `pandas.DataFrame`: `monitor`, `dataset` (of `expert bound`), `delta` (of `self`), `eta0`, `eta1`, `n`, `error_sum`.
    """
    tables = []
    for low in eta0:
        for high in eta1:
            shared = {"eta0": low, "eta1": high, "n": n}
            for delta in deltas:
                errors = minimal_error_sum(low, high, n, self_consistency_c(delta, delta_convention))
                tables.append(
                    pd.DataFrame({"monitor": "self", "dataset": None, "delta": delta} | shared | {"error_sum": errors})
                )
            for name, p in probabilities.items():
                bound = error_lower_bound(n, kl_divergence(low, high, expert_c_items(p)))
                columns = {"monitor": "expert bound", "dataset": name, "delta": np.nan}
                tables.append(pd.DataFrame(columns | shared | {"error_sum": bound}))
    return pd.concat(tables, ignore_index=True)


def incentives(probabilities: Probabilities, etas: Sequence[float], n: np.ndarray) -> pd.DataFrame:
    """
    How fast the probability of passing grows with commitment, where the test asks for more agreements than expected.

    Args:
        probabilities (`Mapping[str, np.ndarray]`): True preference probabilities by name of the dataset.
        etas (`Sequence[float]`): Commitments.
        n (`np.ndarray`): Numbers of monitored samples.

    Returns:
        `pandas.DataFrame`: `monitor`, `dataset` (of `expert`), `c`, `eta`, `n`, `incentive` (per unit of commitment).
    """
    monitors = [("self", None, self_consistency_c(0.0))]
    monitors += [("expert", name, expert_c(p)) for name, p in probabilities.items()]
    rows = [
        {"monitor": monitor, "dataset": name, "c": c, "eta": eta, "n": int(samples)}
        | {"incentive": incentive(eta, int(samples), c)}
        for monitor, name, c in monitors
        for eta in etas
        for samples in n
    ]
    return pd.DataFrame(rows)


def information_bounds(
    probabilities: Probabilities, separations: Sequence[float], n: np.ndarray, *, legacy: bool = False, seed: int = 0
) -> pd.DataFrame:
    """
    Fano's bound on the probability of missing an annotator's commitment, for four kinds of expert. Agreements are counted, as
    in the paper, without regard to which pair they come from.

    `certain` and `80%` report the better response with probability 1 and 0.8; `random` draws from the true probabilities;
    `noisy` from these with normal noise of standard deviation 0.1, cut to [0, 1].

    Args:
        probabilities (`Mapping[str, np.ndarray]`): True preference probabilities by name of the dataset.
        separations (`Sequence[float]`): Distances ε between neighbouring commitments.
        n (`np.ndarray`): Numbers of monitored samples.
        legacy (`bool`, *optional*, defaults to `False`): The numbers of the original program, which are no bound.
        seed (`int`, *optional*, defaults to `0`): Of the noise.

    Returns:
        `pandas.DataFrame`: `dataset`, `expert`, `separation`, `n`, `information` (nats per sample; legacy: bits), `bound`.
    """
    units = "legacy" if legacy else "nats"
    tables = []
    for name, p in probabilities.items():
        for expert in EXPERTS:
            c = float(_expert_c_items(p, expert, seed).mean())
            information = maximal_information(c, units)
            for separation in separations:
                columns = {"n": n, "information": information, "bound": fano_error_bound(n, c, separation, units)}
                tables.append(pd.DataFrame({"dataset": name, "expert": expert, "separation": separation} | columns))
    return pd.concat(tables, ignore_index=True)


def _expert_c_items(p: np.ndarray, expert: str, seed: int) -> np.ndarray:
    if expert == "noisy":
        noise = np.random.default_rng([seed, 4]).normal(0, NOISE_SD, p.size)
        return expert_c_items(p, np.clip(p + noise, 0, 1))
    return expert_c_items(p, {"certain": 1.0, "80%": 0.8, "random": "p"}[expert])
