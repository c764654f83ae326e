"""Planning: rows for an effect, and effects for so many rows."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from trl_ext.evaluation import mean_estimate
from trl_ext.rate import RewardChains, minimum_detectable_effect, sample_size


def pilot(n=60, sd=0.5, seed=0, clusters=None, between=0.0, scale=1.0):
    """Texts whose effects have standard deviation `sd`, and rewards of originals with deviation 1, times `scale`."""
    rng = np.random.default_rng(seed)
    w = np.arange(n) % 2 == 0
    effects = sd * rng.normal(size=n)
    if clusters is not None:
        effects = effects + between * rng.normal(size=clusters.max() + 1)[clusters]
    rewards = np.stack([rng.normal(size=n), np.zeros(n), np.where(w, effects, -effects)], axis=1)
    return RewardChains(w, scale * rewards, clusters)


class TestSampleSize:
    def test_figures_of_published_runs(self, shared_dir):
        # specs: 114/325/818, 458/1,299/3,272 and 2,862/8,118/20,450 rows, by the normal approximation, rounded
        golden = json.loads((shared_dir / "golden" / "rate.json").read_text())["published_notebook_effects"]
        ratios = []
        for run in golden["per_dataset"]:
            found = run["pipeline_2025_01_10"]
            rows = found["Y1_count"] + found["Y0_count"]
            ratios.append(run["v1_paired_ATE_stderr"] * math.sqrt(rows) / found["reward_std"])
        chosen = [min(ratios), float(np.median(ratios)), max(ratios)]
        assert [round(ratio, 2) for ratio in chosen] == [0.38, 0.64, 1.02]
        expected = {0.1: [114, 325, 818], 0.05: [458, 1299, 3272], 0.02: [2862, 8118, 20450]}
        for effect, sizes in expected.items():
            for ratio, rows in zip(chosen, sizes, strict=True):
                # t needs two rows more than the normal approximation: z²/2 = 1.9
                assert 0 < sample_size(ratio, effect).n - rows <= 3

    @pytest.mark.parametrize(("sd", "effect", "power"), [(0.64, 0.1, 0.8), (1.0, 0.5, 0.9), (1.0, 1.5, 0.8)])
    def test_is_that_of_statsmodels(self, sd, effect, power):
        expected = TTestPower().solve_power(effect_size=effect / sd, alpha=0.05, power=power)
        assert sample_size(sd, effect, power=power).n == math.ceil(expected)

    def test_units(self):
        by_sd, scaled = sample_size(pilot(), 0.2), sample_size(pilot(scale=9.0), 0.2)
        assert by_sd.n == scaled.n and scaled.effect == pytest.approx(9 * by_sd.effect)
        assert sample_size(pilot(), by_sd.effect, unit="reward").n == by_sd.n
        assert sample_size(pilot(), -0.2).n == by_sd.n

    def test_interval_is_chi_square(self):
        # effects -1 and 1 have no heavy tails: the interval of the variance is s² · 59 / chi2(59)
        signs = np.where(np.arange(60) % 2, 1.0, -1.0)
        found = sample_size(
            RewardChains(np.ones(60), np.stack([0 * signs, 0 * signs, signs], axis=1)), 0.05, unit="reward"
        )
        low, high = 59 / stats.chi2.ppf([0.975, 0.025], 59)
        assert (found.ci_low / found.n, found.ci_high / found.n) == pytest.approx((low, high), rel=0.01)
        assert found.ci_low < found.n < found.ci_high

    @pytest.mark.slow
    @pytest.mark.parametrize("heavy", [False, True])
    def test_interval_covers_the_true_need(self, heavy):
        covered, truth = 0, sample_size(1.0, 0.1).n
        for seed in range(200):
            rng = np.random.default_rng(seed)
            effects = rng.standard_t(6, 100) / math.sqrt(1.5) if heavy else rng.normal(size=100)
            rewards = np.stack([np.zeros(100), np.zeros(100), effects], axis=1)
            found = sample_size(RewardChains(np.ones(100), rewards), 0.1, unit="reward")
            covered += found.ci_low <= truth <= found.ci_high
        assert covered / 200 > (0.85 if heavy else 0.9)

    def test_design_effect(self):
        clusters = np.arange(400) // 4
        chains = pilot(400, clusters=clusters, between=0.5)
        found = sample_size(chains, 0.1)
        rows = chains.sign * (chains.of(2) - chains.of(1))
        assert found.design_effect == pytest.approx((mean_estimate(rows, clusters).se / mean_estimate(rows).se) ** 2)
        assert found.icc == pytest.approx(0.5, abs=0.15)  # between² / (between² + sd²)
        assert found.clusters == math.ceil(found.n / 4)
        # the interval of the mean at n rows has the half width that the power needs
        other = sample_size(chains, 0.1, cluster_size=8)
        assert other.design_effect == pytest.approx(1 + 7 * found.icc)
        assert other.n > found.n

    @pytest.mark.parametrize("design", ["rows", "clusters"])
    def test_power_is_what_is_planned(self, design):
        size, icc, effect, repetitions = (1, 0.0, 0.3, 2000) if design == "rows" else (4, 0.5, 0.3, 2000)
        planned = sample_size(1.0, effect, cluster_size=size, icc=icc)
        groups = math.ceil(planned.n / size)
        rng = np.random.default_rng(0)
        values = math.sqrt(icc) * rng.normal(size=(repetitions, groups, 1))
        values = effect + values + math.sqrt(1 - icc) * rng.normal(size=(repetitions, groups, size))
        means = values.mean(axis=2)
        t = means.mean(axis=1) / (means.std(axis=1, ddof=1) / math.sqrt(groups))
        found = np.mean(np.abs(t) > stats.t.ppf(0.975, groups - 1))
        assert found == pytest.approx(0.8, abs=0.03)  # 3 standard errors of .009; whole clusters add a little

    def test_of_one_group(self):
        assert sample_size(pilot(), 0.2, estimand="ATT").n != sample_size(pilot(), 0.2, estimand="ATU").n
        one_sided = pilot().select(pilot().w)
        assert sample_size(one_sided, 0.2).n == sample_size(one_sided, 0.2, estimand="ATT").n
        with pytest.raises(ValueError, match="ATU: no row has w = 0"):
            sample_size(one_sided, 0.2, estimand="ATU")

    @pytest.mark.parametrize(
        ("first", "effect", "options", "message"),
        [
            (0.5, 0.0, {}, "not 0"),
            (-1.0, 0.1, {}, "above 0"),
            (0.5, 0.1, {"unit": "points"}, "'sd', 'reward'"),
            (0.5, 0.1, {"power": 0.01}, "power must"),
            (0.5, 0.1, {"alpha": 1.5}, "alpha must"),
            (0.5, 0.1, {"cluster_size": 0.5}, "cluster_size must"),
            (0.5, 0.1, {"icc": 0.3}, "icc=0.3 needs cluster_size"),
            (RewardChains(np.ones(1), np.zeros((1, 3))), 0.1, {}, "two are needed"),
            (RewardChains(np.ones(9), np.zeros((9, 3))), 0.1, {}, "two are needed"),
            (RewardChains(np.ones(9), np.zeros((9, 2))), 0.1, {}, "1 rewrites"),
        ],
    )
    def test_bad_input(self, first, effect, options, message):
        with pytest.raises(ValueError, match=message):
            sample_size(first, effect, **options)


class TestMinimumDetectableEffect:
    @settings(max_examples=20)
    @given(sd=st.floats(0.1, 5), effect=st.floats(0.1, 1), power=st.floats(0.5, 0.95))
    def test_is_the_inverse_of_sample_size(self, sd, effect, power):
        n = sample_size(sd, effect, power=power).n
        assert minimum_detectable_effect(sd=sd, n=n, power=power) <= effect * (1 + 1e-6)
        if n > 3:
            assert minimum_detectable_effect(sd=sd, n=n - 1, power=power) >= effect * (1 - 1e-6)

    def test_of_an_estimate_of_rewards_and_of_an_error(self):
        chains = pilot()
        estimate = mean_estimate(chains.sign * (chains.of(2) - chains.of(1)))
        expected = TTestPower().solve_power(nobs=60, alpha=0.05, power=0.8) * estimate.se * math.sqrt(60)
        assert minimum_detectable_effect(estimate) == pytest.approx(expected)
        assert minimum_detectable_effect(chains) == pytest.approx(expected)
        assert minimum_detectable_effect(estimate.se, degrees=59) == pytest.approx(expected)
        assert minimum_detectable_effect(0.1) == pytest.approx(0.1 * (1.959964 + 0.841621), rel=1e-5)

    def test_clusters_count(self):
        clusters = np.arange(60) // 6
        chains = pilot(clusters=clusters, between=0.5)
        assert minimum_detectable_effect(chains) > minimum_detectable_effect(pilot(clusters=None))
        rows = chains.sign * (chains.of(2) - chains.of(1))
        estimate = mean_estimate(rows, clusters)
        assert minimum_detectable_effect(chains) == pytest.approx(minimum_detectable_effect(estimate, degrees=9))
        larger = minimum_detectable_effect(chains, n=240)
        assert larger < minimum_detectable_effect(chains) / 2  # half the error, and more degrees of freedom

    def test_without_an_error_there_is_none(self):
        assert math.isnan(minimum_detectable_effect(mean_estimate([1.0])))
        assert math.isnan(minimum_detectable_effect(sd=1.0, n=1))
        assert minimum_detectable_effect(0.0) == 0.0

    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            ((), {}, "give a standard error"),
            ((), {"sd": 1.0}, "both sd and n"),
            ((0.1,), {"sd": 1.0}, "for planning without data"),
            ((-0.1,), {}, "at least 0"),
            ((np.int64(-1),), {}, "at least 0"),
            ((pilot(),), {"n": 0}, "n must be at least 1"),
            ((0.1,), {"power": 1.0}, "power must"),
            ((), {"sd": 1.0, "n": 10, "icc": 2.0}, "icc must"),
        ],
    )
    def test_bad_input(self, arguments, options, message):
        with pytest.raises(ValueError, match=message):
            minimum_detectable_effect(*arguments, **options)
