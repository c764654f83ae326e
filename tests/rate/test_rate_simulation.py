"""Simulated rewards: estimators tend to their closed forms, and intervals cover the truth."""

import numpy as np
import pytest

from benchmarks.rate_coverage import PROCESSES, RIGHT, ROWS, coverage, distances
from trl_ext.rate import estimate_effects, simulate_rewards
from trl_ext.rate.experiments.simulation import SCENARIOS, RewardProcess


RATE = tuple(f"{group}_rewritten_rewrite" for group in ("ATE", "ATT", "ATU"))


@pytest.mark.parametrize("name", list(PROCESSES))
def test_closed_forms_at_20000_rows(name):
    found = distances(PROCESSES[name], 20_000, seed=list(PROCESSES).index(name))
    assert len(found) == 9 and max(map(abs, found.values())) < 4


@pytest.mark.parametrize("name", RIGHT)
def test_rate_tends_to_the_causal_effect(name):
    process = PROCESSES[name]
    for group, value in process.true_effects().items():
        assert process.expectations()[f"{group}_rewritten_rewrite"] == pytest.approx(value)


@pytest.mark.parametrize("name", ["S5", "S6", "S7"])
def test_broken_assumptions_bias_rate(name):
    process = SCENARIOS[name]
    bias = process.expectations()["ATE_rewritten_rewrite"] - process.true_effects()["ATE"]
    assert bias == pytest.approx({"S5": -0.2, "S6": 0.0625, "S7": -0.36}[name])


def test_coverage_of_default_intervals():
    # 3.2 standard errors of a share of .95 in 200 are .05
    for name, seed in (("S4", 2), ("clustered", 3)):
        hits = coverage(PROCESSES[name], ROWS.get(name, 300), 200, seed)
        for effect in RATE:
            assert 0.9 <= hits[effect] / 200 <= 0.995, (name, effect)
    # Rows for independent although they share a prompt, and independent groups although rows are paired
    assert coverage(PROCESSES["clustered"], 240, 100, 3, se="paired")["ATE_rewritten_rewrite"] < 0.9 * 100
    assert coverage(PROCESSES["S8"], 300, 50, 3, se="reference")["ATE_rewritten_rewrite"] == 50


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_coverage_is_93_to_97_percent(name):
    replications = 4000
    hits = coverage(PROCESSES[name], ROWS.get(name, 500), replications, seed=100 + RIGHT.index(name))
    for effect, count in hits.items():
        assert 0.93 <= count / replications <= 0.97, effect


def test_error_falls_with_the_root_of_the_number_of_rows():
    for name in RIGHT:
        few, many = (estimate_effects(PROCESSES[name].simulate(n, seed=7)) for n in (8000, 32_000))
        for effect in few:
            assert few[effect].se / many[effect].se == pytest.approx(2, rel=0.1), (name, effect)


class TestSimulation:
    def test_what_is_drawn(self):
        process = RewardProcess(pi=0.3, beta0=2.0, lam=0.0, sigma_a=0.0)
        chains = process.simulate(5000, seed=0, steps=4)
        # Nothing but the attribute is in these rewards: they alternate
        assert chains.rewards.shape == (5000, 5) and chains.clusters is None
        assert np.array_equal(chains.rewards[:, ::2], np.repeat(2.0 * chains.w[:, None], 3, axis=1))
        assert np.array_equal(chains.rewards[:, 1::2], np.repeat(2.0 * ~chains.w[:, None], 2, axis=1))
        assert abs(chains.w.mean() - 0.3) < 4 * np.sqrt(0.21 / 5000)

    def test_rows_of_a_prompt_share_its_level_and_effect(self):
        chains = simulate_rewards(400, seed=0, lam=0.0, slope_sd=1.0, cluster_size=4)
        for prompt in range(100):
            rows = chains.select(chains.clusters == prompt)
            assert len(rows) == 4
            assert np.ptp(np.where(rows.w, rows.original, rows.rewrite)) < 1e-12
            assert np.ptp(np.where(rows.w, rows.rewrite, rows.original)) < 1e-12

    def test_seed(self):
        first, again, other = (simulate_rewards(20, seed=seed).rewards for seed in (1, 1, 2))
        assert np.array_equal(first, again) and not np.array_equal(first, other)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"scenario": "S9"}, "scenario must be one of S1, .* got 'S9'"),
            ({"p1": 0.3}, "no parameter 'p1'; there are pi, rho"),
            ({"pi": 1.3}, r"pi must be a probability in \[0, 1\], got 1.3"),
            ({"s0": -1.0}, "s0 is a standard deviation"),
            ({"cluster_size": 0}, "cluster_size must be at least 1"),
            ({"steps": -1}, "steps at least 0"),
        ],
    )
    def test_bad_input(self, options, message):
        with pytest.raises(ValueError, match=message):
            simulate_rewards(10, 0, **options)
