"""Effects: what is not identified, standard errors, and what must not change them."""

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trl_ext.evaluation.statistics import Estimate
from trl_ext.rate import RewardChains, estimate_effects, normalised_effects, paired_effects, simulate_rewards
from trl_ext.rate.estimators.estimands import EFFECTS, REWRITE_EFFECTS
from trl_ext.rate.estimators.group_difference import cluster_degrees


NAMES = (*EFFECTS, *REWRITE_EFFECTS)
COLUMNS = ("original", "rewrite", "rewritten_rewrite")
TREATED = {
    "w": [1, 1, 1],
    "original": [1.0, 2.0, 4.0],
    "rewrite": [0.0, 1.0, 1.0],
    "rewritten_rewrite": [1.0, 2.0, 2.0],
}


def known(effects) -> set[str]:
    return {name for name, estimate in effects.items() if estimate is not None}


def values(effects) -> np.ndarray:
    return np.array([estimate.value for estimate in effects.values()])


class TestWhatIsIdentified:
    def test_by_the_number_of_rewrites(self):
        table = dict(simulate_rewards(20, seed=1).table())
        del table["rewritten_rewrite"]
        assert known(estimate_effects(table)) == {name for name in EFFECTS if not name.endswith("rewritten_rewrite")}
        del table["rewrite"]
        effects = estimate_effects(table)
        assert known(effects) == {"naive_effect"} and tuple(effects) == NAMES
        assert effects.notes == ("0 rewrites of each text: RATE needs 2",)
        with pytest.raises(ValueError, match="there are 0 rewrites"):
            paired_effects(table)

    def test_later_rewrites_change_nothing(self):
        long = simulate_rewards(50, seed=1, steps=3)
        assert estimate_effects(long) == estimate_effects(RewardChains(long.w, long.rewards[:, :3]))

    @pytest.mark.parametrize("treated", [True, False])
    @pytest.mark.parametrize("se", ["paired", "cluster", "reference"])
    def test_one_sided(self, treated, se):
        table = {**TREATED, "w": [int(treated)] * 3, "cluster": ["a", "a", "b"]}
        effects = estimate_effects(table, se=se)
        group, other = ("ATT", "ATU") if treated else ("ATU", "ATT")
        assert (
            effects["naive_effect"]
            is effects[f"{other}_rewritten_rewrite"]
            is effects[f"{other}_single_rewrite"]
            is None
        )
        assert (
            effects["ATE_rewritten_rewrite"].value
            == effects[f"{group}_rewritten_rewrite"].value
            == (1 if treated else -1)
        )
        assert effects["ATE_single_rewrite"].se == pytest.approx(effects[f"{group}_single_rewrite"].se)
        assert f"naive effect and {other} are not identified" in effects.notes[0]
        written = json.dumps(effects.to_dict(), allow_nan=False)
        assert json.loads(written)["naive_effect"] is None
        assert json.dumps(effects.to_original(), allow_nan=False).count("null") == 6
        assert all(estimate is None or np.isfinite(estimate.value) for estimate in normalised_effects(table).values())

    def test_a_single_row_of_a_group_has_no_standard_error(self):
        table = {
            "w": [1, 0, 0],
            "original": [1.0, 2.0, 4.0],
            "rewrite": [0.0, 1.0, 3.0],
            "rewritten_rewrite": [1.0, 2.0, 2.0],
        }
        for se in ("paired", "reference"):
            found = estimate_effects(table, se=se).to_dict()
            for name in ("naive_effect", "ATT_rewritten_rewrite", "ATT_single_rewrite"):
                assert found[name]["value"] is not None and found[name]["se"] is None and found[name]["ci_low"] is None
            assert found["ATE_rewritten_rewrite"]["se"] > 0
        # Its influence on its own mean is 0, which must not pass for certainty
        delta = normalised_effects(table, method="delta")
        assert np.isnan(delta["ATT_single_rewrite"].se) and np.isnan(delta["naive_effect"].se)

    def test_a_single_cluster_of_a_group_has_no_standard_error(self):
        chains = simulate_rewards(40, seed=0)
        clusters = np.where(chains.w, 0, np.arange(40))
        effects = estimate_effects(RewardChains(chains.w, chains.rewards, clusters))
        assert np.isnan(effects["naive_effect"].se) and np.isnan(effects["ATT_rewritten_rewrite"].se)
        assert effects["ATU_rewritten_rewrite"].se > 0

    def test_constant_rewards(self):
        # 0.1 has no exact float: means of three and of four of them differ
        table = {"w": [1, 1, 1, 0, 0, 0, 0], **dict.fromkeys(COLUMNS, [0.1] * 7)}
        effects = estimate_effects(table)
        for estimate in effects.values():
            assert (estimate.value, estimate.se, estimate.ci_low, estimate.ci_high) == (0, 0, 0, 0)
        assert effects.reward_std == 0
        for method in ("bootstrap", "delta"):
            assert set(normalised_effects(table, method=method, bootstrap=10).values()) == {None}

    def test_reward_std_is_pooled_within_groups(self):
        table = {"w": [1, 1, 0, 0, 0], "original": [101.0, 103.0, 1.0, 2.0, 3.0]}
        # squared deviations 2 and 2, with 5 - 2 degrees of freedom
        assert estimate_effects(table).reward_std == pytest.approx(np.sqrt(4 / 3))
        assert estimate_effects({"w": [1, 0], "original": [1.0, 2.0]}).reward_std is None
        assert estimate_effects({"w": [1, 1, 1], "original": [1.0, 2.0, 3.0]}).reward_std == 1


class TestStandardErrors:
    def test_paired_is_the_t_test_of_differences(self):
        chains = simulate_rewards(60, seed=3, scenario="S3")
        estimate = estimate_effects(chains)["ATT_rewritten_rewrite"]
        test = stats.ttest_rel(chains.rewritten_rewrite[chains.w], chains.rewrite[chains.w])
        low, high = test.confidence_interval(0.95)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((low, high))

    def test_naive_is_welch(self):
        chains = simulate_rewards(60, seed=3, scenario="S4")
        estimate = estimate_effects(chains, level=0.9)["naive_effect"]
        test = stats.ttest_ind(chains.original[chains.w], chains.original[~chains.w], equal_var=False)
        low, high = test.confidence_interval(0.9)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((low, high))

    @pytest.mark.parametrize("name", NAMES)
    def test_cluster_is_cr1_of_statsmodels(self, name):
        chains = simulate_rewards(240, seed=2, cluster_size=4, slope_sd=0.8, beta0=0.5)
        estimate = estimate_effects(chains)[name]
        mask = {"ATT": chains.w, "w_1": chains.w, "ATU": ~chains.w, "w_0": ~chains.w}.get(
            name[:3] if name[:2] == "AT" else name[-3:], np.ones(240, dtype=bool)
        )
        outcome = {
            "naive_effect": chains.original,
            "single_rewrite": chains.sign * (chains.original - chains.rewrite),
            "rewritten_rewrite": paired_effects(chains),
        }.get(name.removeprefix(name[:4]) if name[:2] == "AT" else name, chains.rewritten_rewrite - chains.original)
        design = np.stack([np.ones(240), chains.w], axis=1) if name == "naive_effect" else np.ones((240, 1))
        groups = np.asarray(chains.clusters)[mask]
        fit = sm.OLS(outcome[mask], design[mask]).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
        low, high = fit.conf_int()[-1]
        assert (estimate.value, estimate.se) == pytest.approx((fit.params[-1], fit.bse[-1]))
        # The naive effect has somewhat fewer degrees of freedom than G - 1
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((low, high), rel=0.01 * (name == "naive_effect"))
        assert estimate.ci_low <= low + 1e-12 and estimate.ci_high >= high - 1e-12

    @pytest.mark.parametrize(("treated", "most"), [(2, 2.5), (5, 6.0), (30, 59.0)])
    def test_few_clusters_of_a_group_have_few_degrees_of_freedom(self, treated, most):
        w = np.arange(60) < treated
        degrees = cluster_degrees(np.repeat(w, 4), np.repeat(np.arange(60), 4))
        parts = [
            (count - 1) / count**2 for count in (treated, 60 - treated)
        ]  # expectations of CR1's, each of so many clusters
        welch = sum(parts) ** 2 / sum(
            part**2 / (count - 1) for part, count in zip(parts, (treated, 60 - treated), strict=True)
        )
        assert degrees == pytest.approx(min(welch, 59)) and degrees <= most

    def test_naive_effect_of_few_clusters_covers(self):
        hits, rng, clusters = 0, np.random.default_rng(0), np.repeat(np.arange(30), 4)
        for _ in range(200):
            rewards = rng.normal(size=30)[clusters] + 0.5 * rng.normal(size=120)
            effects = estimate_effects(RewardChains(clusters < 3, rewards[:, None], clusters))
            hits += effects["naive_effect"].ci_low <= 0 <= effects["naive_effect"].ci_high
        assert hits >= 184  # 160 with 29 degrees of freedom
        assert "clusters with rows that have the attribute: 3" in " ".join(effects.notes)

    def test_a_large_cluster_is_named(self):
        sizes = np.array([60, *[5] * 30])
        chains = simulate_rewards(210, seed=0)
        effects = estimate_effects(RewardChains(chains.w, chains.rewards, np.repeat(np.arange(31), sizes)))
        assert "one cluster has 29% of the rows" in " ".join(effects.notes)

    def test_no_infinity_in_json(self):
        chains = simulate_rewards(20, seed=0)
        with np.errstate(all="ignore"):
            effects = estimate_effects(RewardChains(chains.w, 1e200 * chains.rewards))
        json.dumps(effects.to_dict(), allow_nan=False)

    def test_cluster_formula_of_the_golden_file(self, shared_dir):
        """Its inputs are not stored: its CR0 and CR1 are related as the formula says, and so is ours."""
        golden = json.loads((shared_dir / "golden" / "rate.json").read_text())["cluster_reference_not_original"]
        for group in ("ATE", "ATT", "ATU"):
            found = golden[group]
            factor = np.sqrt(found["clusters"] / (found["clusters"] - 1))
            assert found["se_cluster_CR1"] == pytest.approx(found["se_cluster_CR0"] * factor)
        chains = simulate_rewards(240, seed=2, cluster_size=4, slope_sd=0.8)
        delta = paired_effects(chains)
        sums = pd.Series(delta - delta.mean()).groupby(chains.clusters).sum()
        cr1 = np.sqrt(60 / 59 * (sums**2).sum()) / 240
        assert estimate_effects(chains)["ATE_rewritten_rewrite"].se == pytest.approx(cr1)

    def test_default_follows_the_table(self):
        chains = simulate_rewards(40, seed=0, cluster_size=2)
        assert estimate_effects(chains).se == "cluster"
        assert estimate_effects(RewardChains(chains.w, chains.rewards)).se == "paired"
        with pytest.raises(ValueError, match="needs a column 'cluster'"):
            estimate_effects(RewardChains(chains.w, chains.rewards), se="cluster")
        with pytest.raises(ValueError, match="'paired', 'cluster', 'reference', got 'robust'"):
            estimate_effects(chains, se="robust")
        with pytest.raises(ValueError, match="level 0.95"):
            estimate_effects(chains, se="reference", level=0.9)
        with pytest.raises(ValueError, match="level must lie strictly between 0 and 1, got 95"):
            estimate_effects(chains, level=95)

    def test_labels_of_several_kinds(self):
        chains = simulate_rewards(12, seed=0)
        mixed = RewardChains(chains.w, chains.rewards, [1, "1", 2, 2, 3, 3, 4, 4, 5, 5, 6, 6])
        plain = RewardChains(chains.w, chains.rewards, np.array([7, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]))
        assert estimate_effects(mixed) == estimate_effects(plain)


@st.composite
def tables(draw):
    n = draw(st.integers(4, 12))
    numbers = st.lists(st.integers(-1000, 1000), min_size=n, max_size=n)
    w = [1, 1, 0, 0] + draw(st.lists(st.integers(0, 1), min_size=n - 4, max_size=n - 4))
    return pd.DataFrame({"w": w, **{name: np.array(draw(numbers)) / 8 for name in COLUMNS}})


few = settings(max_examples=30)


class TestRewardChains:
    def test_what_callers_write_later_changes_nothing(self):
        w, rewards, clusters = np.array([True, False]), np.zeros((2, 3)), np.array([0, 1])
        chains = RewardChains(w, rewards, clusters)
        w[0], rewards[0, 0], clusters[0] = False, 9.0, 1
        assert chains.w[0] and chains.rewards[0, 0] == 0 and chains.clusters[0] == 0

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"w": [1, 0], "original": [1 + 2j, 0]}, "'original' must be real numbers"),
            (
                {"w": [1, 0], "original": np.array([1j, 0], dtype=object)},
                "'original' must be numbers; first other: row 0",
            ),
            ({"w": 1, "original": [1.0]}, r"'w' must have shape \(N,\), got the single value 1"),
        ],
    )
    def test_bad_tables(self, table, message):
        with pytest.raises(ValueError, match=message):
            RewardChains.of_table(table)


class TestInvariance:
    @few
    @given(tables(), st.integers(-(10**6), 10**6))
    def test_a_constant_cancels(self, table, constant):
        shifted = table.assign(**{name: table[name] + constant for name in COLUMNS})
        before, after = estimate_effects(table), estimate_effects(shifted)
        for name in NAMES:
            assert after[name].value == pytest.approx(before[name].value, abs=1e-8)
            assert after[name].se == pytest.approx(before[name].se, abs=1e-8)
        assert after.reward_std == pytest.approx(before.reward_std, abs=1e-8)

    @few
    @given(tables())
    def test_the_opposite_attribute_has_the_opposite_effect(self, table):
        effects, opposite = estimate_effects(table), estimate_effects(table.assign(w=1 - table["w"]))
        swap = {"ATT": "ATU", "ATU": "ATT"}
        for name in EFFECTS:
            other = opposite[swap.get(name[:3], name[:3]) + name[3:]]
            assert (other.value, other.se) == pytest.approx((-effects[name].value, effects[name].se), abs=1e-9)
        assert opposite["rewrite_effect_w_0"] == effects["rewrite_effect_w_1"]

    @few
    @given(tables(), st.sampled_from([0.001, 0.5, 3.0, 1e6]))
    def test_scale(self, table, factor):
        scaled = table.assign(**{name: table[name] * factor for name in COLUMNS})
        assert values(estimate_effects(scaled)) == pytest.approx(
            values(estimate_effects(table)) * factor, abs=1e-9 * factor
        )
        before, after = (normalised_effects(t, method="delta") for t in (table, scaled))
        for name in NAMES:
            assert (before[name] is None) == (after[name] is None)
            if before[name] is not None:
                assert after[name].value == pytest.approx(before[name].value, rel=1e-6, abs=1e-9)
                assert after[name].se == pytest.approx(before[name].se, rel=1e-6, abs=1e-9)

    @few
    @given(tables(), st.integers(2, 4))
    def test_repeated_rows_of_a_cluster_tell_nothing_new(self, table, times):
        """Each row with its copies as a cluster: effects and CR1 standard errors of means are those of the rows."""
        repeated = pd.concat([table.assign(cluster=table.index)] * times)
        paired, clustered = estimate_effects(table), estimate_effects(repeated)
        assert clustered.se == "cluster"
        assert values(clustered) == pytest.approx(values(paired), abs=1e-9)
        for name in NAMES[1:]:
            assert clustered[name].se == pytest.approx(paired[name].se, abs=1e-9)
            assert clustered[name].ci_high == pytest.approx(paired[name].ci_high, abs=1e-8)
        naive = estimate_effects(table.assign(cluster=table.index))["naive_effect"].se
        n, m = len(table), times * len(table)
        ratio = np.sqrt((m - 1) / (m - 2) * (n - 2) / (n - 1))
        assert clustered["naive_effect"].se == pytest.approx(naive * ratio, abs=1e-9)

    @few
    @given(tables(), st.randoms(use_true_random=False))
    def test_order_of_rows(self, table, random):
        order = list(range(len(table)))
        random.shuffle(order)
        found = estimate_effects(table.iloc[order])
        assert values(found) == pytest.approx(values(estimate_effects(table)), abs=1e-9)


class TestNormalised:
    def test_bootstrap_is_that_of_rows_drawn_one_by_one(self):
        """The sufficient statistics give, for the same draws, what recomputing on drawn rows gives."""
        chains = simulate_rewards(120, seed=4, scenario="S3", cluster_size=3)
        found = normalised_effects(chains, bootstrap=200, seed=9)
        whole = estimate_effects(chains)
        rng = np.random.default_rng(9)
        draws = rng.multinomial(40, np.full(40, 1 / 40), size=200)
        replicates = []
        for counts in draws:
            rows = np.repeat(np.arange(120), counts[np.asarray(chains.clusters)])
            effects = estimate_effects(RewardChains(chains.w[rows], chains.rewards[rows]))
            replicates.append([*values(effects), np.log(effects.reward_std)])
        covariance = np.cov(np.array(replicates).T)
        for i, name in enumerate(NAMES):
            # that of effect and log divisor, with the standard error that the effect has by itself
            se, spread = whole[name].se, np.sqrt(covariance[-1, -1] * 40 / 39)
            correlation = covariance[i, -1] / np.sqrt(covariance[i, i] * covariance[-1, -1])
            ratio = whole[name].value / whole.reward_std
            both = np.array([1 / whole.reward_std * se, -ratio * spread])
            variance = both @ np.array([[1, correlation], [correlation, 1]]) @ both
            assert (found[name].value, found[name].se) == pytest.approx((ratio, np.sqrt(variance)))
            assert (
                found[name].ci_low < ratio - 1.5 * found[name].se < ratio + 1.5 * found[name].se < found[name].ci_high
            )

    def test_zero_is_in_both_intervals_or_in_neither(self):
        disagreeing = excluded = 0
        for seed in range(20):
            chains = simulate_rewards(24, seed=seed, beta0=0.28, cluster_size=1 + seed % 2)
            for method in ("bootstrap", "delta"):
                found = normalised_effects(chains, bootstrap=60, method=method)
                for name, estimate in estimate_effects(chains).items():
                    raw = estimate.ci_low > 0 or estimate.ci_high < 0
                    excluded += raw
                    disagreeing += raw != (found[name].ci_low > 0 or found[name].ci_high < 0)
        assert disagreeing == 0 and excluded > 50

    def test_covers_in_small_samples(self):
        """Percentiles of resamples cover the effect in ten rows with .88."""
        truth, hits = 0.5 / np.sqrt(1.25), []  # deviation of rewards: 1 of the text, .5 of its style
        for seed in range(150):
            found = normalised_effects(simulate_rewards(20, seed=10_000 + seed, beta0=0.5), bootstrap=60)[
                "ATT_rewritten_rewrite"
            ]
            if not np.isnan(found.se):
                hits.append(found.ci_low <= truth <= found.ci_high)
        assert len(hits) > 135 and np.mean(hits) > 0.925

    def test_bootstrap_and_delta_agree(self):
        chains = simulate_rewards(3000, seed=5, scenario="S3")
        bootstrap, delta = normalised_effects(chains), normalised_effects(chains, method="delta")
        effects = estimate_effects(chains)
        for name in NAMES:
            assert bootstrap[name].se == pytest.approx(delta[name].se, rel=0.08)
            assert delta[name].value == pytest.approx(effects[name].value / effects.reward_std)
            assert bootstrap[name].n == delta[name].n
        # The divisor's error is not ignored
        assert delta["naive_effect"].se != pytest.approx(effects["naive_effect"].se / effects.reward_std, rel=1e-3)

    def test_seed_and_options(self):
        chains = simulate_rewards(60, seed=1)
        assert normalised_effects(chains, bootstrap=50, seed=1) == normalised_effects(chains, bootstrap=50, seed=1)
        assert normalised_effects(chains, bootstrap=50, seed=1) != normalised_effects(chains, bootstrap=50, seed=2)
        with pytest.raises(ValueError, match="method must be 'bootstrap' or 'delta'"):
            normalised_effects(chains, method="jackknife")

    def test_resamples_without_treated_rows_are_told(self):
        chains = simulate_rewards(60, seed=1)
        rare = RewardChains(np.arange(60) < 1, chains.rewards)
        found = normalised_effects(rare, bootstrap=100)
        assert np.isnan(found["ATT_single_rewrite"].se) and "lack rows" in found["ATT_single_rewrite"].method
        assert isinstance(found["ATE_single_rewrite"], Estimate) and found["ATE_single_rewrite"].se > 0

    def test_large_offset(self):
        chains = simulate_rewards(200, seed=1)
        shifted = RewardChains(chains.w, chains.rewards + 1e6)
        for name, estimate in normalised_effects(shifted, bootstrap=50).items():
            assert estimate.ci_low == pytest.approx(normalised_effects(chains, bootstrap=50)[name].ci_low, abs=1e-6)


def test_few_clusters_are_noted_and_few_rows_of_a_group_have_an_interval():
    few = simulate_rewards(40, 0, cluster_size=20)
    assert any("2 clusters: intervals rest on 1 degrees of freedom" in note for note in estimate_effects(few).notes)
    rng = np.random.default_rng(0)
    w = np.arange(100) < 6
    chains = RewardChains(w, rng.normal(size=(100, 3)) + w[:, None])
    found = normalised_effects(chains, bootstrap=2000)["ATT_rewritten_rewrite"]
    assert np.isfinite([found.ci_low, found.ci_high]).all() and "resamples lack rows" in found.method
