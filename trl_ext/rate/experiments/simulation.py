"""Rewards with a known effect of an attribute: to check estimators, and to see what misleads them."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..chains.reward_chains import RewardChains


@dataclass(frozen=True)
class RewardProcess:
    r"""
    How simulated rewards come about.

    An original has the attribute, \( W = 1 \), with probability `pi`. Its topic \( Z \sim N(\rho(2W-1), 1) \) is not
    touched by rewrites. Its style \( \xi \sim N(m_W, s_0^2) \) is: a rewrite into t makes it
    \( c\,\xi + \mu_t + s\,N(0, 1) \), and sets the attribute to t, but not with probability `fail`. The reward is
    \( a + \gamma Z + (\beta_0 + \beta_1 Z + u) W + \lambda \xi \), with \( a \sim N(0, \sigma_a^2) \) and
    \( u \sim N(0, \text{slope\_sd}^2) \) of the prompt: rows of a cluster share them.

    Args:
        pi (`float`): Share of originals with the attribute.
        rho (`float`): How the topic goes with the attribute.
        beta0, beta1 (`float`): Effect of the attribute at topic 0, and its change with the topic.
        gamma (`float`): Effect of the topic.
        lam (`float`): Effect of the style.
        m1, m0 (`float`): Mean style of originals with and without the attribute.
        s0 (`float`): Standard deviation of the style of originals.
        mu_to1, mu_to0 (`float`): Mean style that rewrites into either direction add.
        s (`float`): Standard deviation of the style that rewrites add.
        sigma_a (`float`): Standard deviation of the level of prompts.
        carry (`float`): Share c of the style that rewrites keep: 0 washes it off, 1 leaves it.
        fail (`float`): Probability that a rewrite does not change the attribute.
        cluster_size (`int`): Rows of a prompt.
        slope_sd (`float`): Standard deviation of the effect between prompts.

    Raises:
        ValueError: A probability lies outside [0, 1], or a standard deviation is negative.

    Example:
        ```python
        >>> from trl_ext.rate.experiments.simulation import SCENARIOS
        >>> expected = SCENARIOS["S6"].expectations()
        >>> SCENARIOS["S6"].true_effects()["ATE"], round(expected["naive_effect"], 3)
        (0.5, 0.0)
        >>> round(expected["ATE_rewritten_rewrite"], 4)
        0.5625

        ```
    """

    pi: float = 0.5
    rho: float = 0.0
    beta0: float = 1.0
    beta1: float = 0.0
    gamma: float = 0.0
    lam: float = -0.5
    m1: float = 0.0
    m0: float = 0.0
    s0: float = 1.0
    mu_to1: float = 0.0
    mu_to0: float = 0.0
    s: float = 1.0
    sigma_a: float = 1.0
    carry: float = 0.0
    fail: float = 0.0
    cluster_size: int = 1
    slope_sd: float = 0.0

    def __post_init__(self):
        for name in ("pi", "fail"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a probability in [0, 1], got {getattr(self, name)}")
        for name in ("s0", "s", "sigma_a", "slope_sd"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is a standard deviation and must be at least 0, got {getattr(self, name)}")
        if self.cluster_size < 1:
            raise ValueError(f"cluster_size must be at least 1, got {self.cluster_size}")

    def simulate(self, n: int, seed: int, steps: int = 2) -> RewardChains:
        """
        Draw rewards.

        Args:
            n (`int`): Number of originals.
            seed (`int`): Seed.
            steps (`int`, *optional*, defaults to `2`): Number of rewrites K.

        Returns:
            [`RewardChains`]: With clusters if a prompt has several rows.
        """
        if n < 1 or steps < 0:
            raise ValueError(f"n must be at least 1 and steps at least 0, got n={n}, steps={steps}")
        rng = np.random.default_rng(seed)
        prompts = np.arange(n) // self.cluster_size
        w = rng.random(n) < self.pi
        topic = rng.normal(self.rho * np.where(w, 1.0, -1.0), 1.0)
        level = rng.normal(0.0, self.sigma_a, prompts[-1] + 1)[prompts]
        slope = rng.normal(0.0, self.slope_sd, prompts[-1] + 1)[prompts]
        base, effect = level + self.gamma * topic, self.beta0 + self.beta1 * topic + slope
        style = rng.normal(np.where(w, self.m1, self.m0), self.s0)
        has = w.copy()
        rewards = np.empty((n, steps + 1))
        for step in range(steps + 1):
            if step:
                target = w ^ bool(step % 2)
                added = np.where(target, self.mu_to1, self.mu_to0)
                style = self.carry * style + added + self.s * rng.normal(size=n)
                has = np.where(rng.random(n) < self.fail, has, target)
            rewards[:, step] = base + effect * has + self.lam * style
        return RewardChains(w, rewards, prompts if self.cluster_size > 1 else None, np.arange(n))

    def true_effects(self) -> dict[str, float]:
        """The causal effects `ATE`, `ATT` and `ATU`, in reward units."""
        treated, untreated = self.beta0 + self.beta1 * self.rho, self.beta0 - self.beta1 * self.rho
        return {"ATE": self.pi * treated + (1 - self.pi) * untreated, "ATT": treated, "ATU": untreated}

    def expectations(self) -> dict[str, float]:
        """What estimators tend to for many rows, by name of the effect, in reward units."""
        true = self.true_effects()
        c, lam, flipped = self.carry, self.lam, 1 - self.fail
        att = flipped * true["ATT"] + lam * (self.m1 - (c * self.m1 + self.mu_to0))
        atu = flipped * true["ATU"] + lam * ((c * self.m0 + self.mu_to1) - self.m0)
        rate_att = flipped**2 * true["ATT"] + lam * (-c * (1 - c) * self.m1 + self.mu_to1 - (1 - c) * self.mu_to0)
        rate_atu = flipped**2 * true["ATU"] + lam * (c * (1 - c) * self.m0 + (1 - c) * self.mu_to1 - self.mu_to0)
        return {
            "naive_effect": 2 * self.gamma * self.rho + true["ATT"] + lam * (self.m1 - self.m0),
            "ATE_single_rewrite": self.pi * att + (1 - self.pi) * atu,
            "ATT_single_rewrite": att,
            "ATU_single_rewrite": atu,
            "ATE_rewritten_rewrite": self.pi * rate_att + (1 - self.pi) * rate_atu,
            "ATT_rewritten_rewrite": rate_att,
            "ATU_rewritten_rewrite": rate_atu,
            "rewrite_effect_w_1": rate_att - att,
            "rewrite_effect_w_0": atu - rate_atu,
        }


# S1 to S4 and S8: RATE is right. S5 to S7: what biases it
SCENARIOS: dict[str, RewardProcess] = {
    "S1": RewardProcess(),
    "S2": RewardProcess(beta0=0.0, m1=1.0),
    "S3": RewardProcess(beta0=0.5, gamma=0.7, rho=0.5, m1=0.8, m0=0.1, mu_to1=-0.2, mu_to0=-0.2),
    "S4": RewardProcess(pi=0.1, beta0=0.5, beta1=0.6, rho=0.4, gamma=0.3, m1=0.5, lam=-0.4),
    "S5": RewardProcess(mu_to1=0.4, m1=0.5),
    "S6": RewardProcess(beta0=0.5, m1=1.0, carry=0.5, s=0.3),
    "S7": RewardProcess(lam=-0.3, fail=0.2),
    "S8": RewardProcess(beta0=0.2, sigma_a=3.0, lam=-0.3, s=0.5, s0=0.5, m1=0.5),
}
CLUSTERED = RewardProcess(beta0=0.5, cluster_size=4, slope_sd=0.8)


def simulate_rewards(
    n: int, seed: int, *, scenario: str | None = None, steps: int = 2, **parameters: Any
) -> RewardChains:
    """
    Rewards with a known effect of an attribute.

    Args:
        n (`int`): Number of originals.
        seed (`int`): Seed.
        scenario (`str`, *optional*): Name in `SCENARIOS` (`"S1"` to `"S8"`) to start from.
        steps (`int`, *optional*, defaults to `2`): Number of rewrites.
        **parameters: Parameters of [`RewardProcess`] that differ.

    Returns:
        [`RewardChains`]

    Raises:
        ValueError: There is no such scenario or parameter, or a parameter is out of range.

    Example:
        ```python
        >>> from trl_ext.rate import simulate_rewards
        >>> chains = simulate_rewards(240, seed=0, beta0=0.5, cluster_size=4, slope_sd=0.8)
        >>> chains.rewards.shape, len(set(chains.clusters))
        ((240, 3), 60)

        ```
    """
    if scenario is not None and scenario not in SCENARIOS:
        raise ValueError(f"scenario must be one of {', '.join(SCENARIOS)}, got {scenario!r}")
    known = [field.name for field in fields(RewardProcess)]
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise ValueError(f"there is no parameter {unknown[0]!r}; there are {', '.join(known)}")
    process = RewardProcess() if scenario is None else SCENARIOS[scenario]
    return replace(process, **parameters).simulate(n, seed, steps)
