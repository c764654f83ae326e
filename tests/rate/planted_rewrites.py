"""Rewards of texts with a planted effect and rewriters with planted faults: the process of golden/rate.json."""

import numpy as np

from trl_ext.rate import RewardChains


SCENARIOS = {
    "S1": {},
    "S5": {"mu_to1": 0.4, "m1": 0.5},
    "S6": {"beta0": 0.5, "carry": 0.5, "m1": 1.0, "s": 0.3},
    "S7": {"lam": -0.3, "fail": 0.2},
}


def planted(rng, n, steps=2, *, clusters=None, pi=0.5, beta0=1.0, lam=-0.5, m1=0.0, m0=0.0, s0=1.0, mu_to1=0.0,
            mu_to0=0.0, s=1.0, carry=0.0, fail=0.0, between=0.0):  # fmt: skip
    """
    Rewards, what the attribute is in every text (N, K + 1), and what else can be measured of the texts (N, K + 1).

    R = a + beta0 W + lam xi; a rewrite into t keeps `carry` of xi, adds mu_t and noise, and fails with probability `fail`.
    A fifth of the variance of the noise is not in what is measured.
    With clusters, effects of a cluster share a deviation of `between`.
    """
    w = rng.random(n) < pi
    state, xi = w.copy(), np.where(w, m1, m0) + s0 * rng.normal(size=n)
    base, effect = rng.normal(size=n), np.full(n, beta0)
    if clusters is not None:
        effect = effect + between * rng.normal(size=clusters.max() + 1)[clusters]
    hidden = np.zeros(n)
    states, others, unseen = [state], [xi], [hidden]
    for step in range(1, steps + 1):
        target = w ^ bool(step % 2)
        done = (state == target) | (rng.random(n) >= fail)
        state = np.where(done, target, state)
        xi = carry * xi + np.where(target, mu_to1, mu_to0) + s * np.sqrt(0.8) * rng.normal(size=n)
        hidden = carry * hidden + s * np.sqrt(0.2) * rng.normal(size=n)
        states.append(state)
        others.append(xi)
        unseen.append(hidden)
    state, xi = np.stack(states, axis=1), np.stack(others, axis=1)
    rewards = base[:, None] + effect[:, None] * state + lam * (xi + np.stack(unseen, axis=1))
    return RewardChains(w, rewards, clusters, np.arange(n)), state, xi


def signed_difference(chains, xi):
    """Feature of the text that should have the attribute minus that of the one that should not."""
    return chains.sign * (xi[:, 2] - xi[:, 1])
