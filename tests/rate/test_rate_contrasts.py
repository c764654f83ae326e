"""Reward models against each other, and many effects at once."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from trl_ext.evaluation import cluster_bootstrap
from trl_ext.evaluation.statistics import adjust_p_values
from trl_ext.rate import RewardChains, adjust_family, compare_reward_models, estimate_effects, normalised_effects


RATE = "ATE_rewritten_rewrite"


def scored(effects, n=200, seed=0, clusters=None, noise=0.3, shared=1.0, scale=1.0):
    """Rewards of the same texts by several models, which agree on what is shared."""
    rng = np.random.default_rng(seed)
    w = rng.random(n) < 0.5
    has = np.stack([w, ~w, w], axis=1)
    texts = shared * rng.normal(size=(n, 3))
    tables = {}
    for name, effect in effects.items():
        rewards = scale * (texts + effect * has + noise * rng.normal(size=(n, 3)))
        tables[name] = RewardChains(w, rewards, clusters, np.array([f"row-{i}" for i in range(n)]))
    return tables


@pytest.fixture(scope="module")
def three():
    return scored({"base": 0.5, "same": 0.5, "less": 0.2})


@pytest.fixture(scope="module")
def compared(three):
    return compare_reward_models(three, resamples=400)


class TestCompareRewardModels:
    def test_difference_is_that_of_rows(self, three, compared):
        first = compared.contrasts[0]
        assert (first.a, first.b, first.unit) == ("base", "same", "reward")
        rows = three["base"].sign * np.diff(three["base"].rewards - three["same"].rewards, axis=1)[:, 1]
        test = stats.ttest_1samp(rows, 0)
        assert first.difference.value == pytest.approx(rows.mean())
        assert first.p_value == pytest.approx(test.pvalue)
        assert (first.difference.ci_low, first.difference.ci_high) == pytest.approx(tuple(test.confidence_interval()))
        assert first.effect_a.value == pytest.approx(estimate_effects(three["base"])[RATE].value)
        assert first.effect_a.se == pytest.approx(estimate_effects(three["base"])[RATE].se)

    def test_pairing_pays(self, compared):
        for contrast in compared.contrasts[:3]:
            unpaired = math.hypot(contrast.effect_a.se, contrast.effect_b.se)
            assert contrast.difference.se < 0.5 * unpaired

    def test_finds_what_is_there(self, compared):
        found = {(c.a, c.b): c.max_t < 0.05 for c in compared.contrasts if c.unit == "reward"}
        assert found == {("base", "same"): False, ("base", "less"): True, ("same", "less"): True}
        assert list(compared.table().columns[:4]) == ["a", "b", "estimand", "unit"]
        json.dumps(compared.to_dict(), allow_nan=False)

    def test_corrections(self, compared):
        inside = [c for c in compared.contrasts if c.unit == "reward"]
        p_values = np.array([c.p_value for c in inside])
        assert [c.holm for c in inside] == pytest.approx(adjust_p_values(p_values, "holm"))
        assert [c.fdr_bh for c in inside] == pytest.approx(adjust_p_values(p_values, "fdr_bh"))
        for c in inside:
            assert c.p_value <= c.max_t <= min(1.0, 3 * c.p_value)
            assert c.simultaneous.ci_low < c.difference.ci_low and c.simultaneous.ci_high > c.difference.ci_high

    def test_normalised_is_scale_free(self, three, compared):
        scaled = dict(three)
        scaled["less"] = RewardChains(three["less"].w, 7 + 50 * three["less"].rewards, None, three["less"].ids)
        again = compare_reward_models(scaled, resamples=400)
        for before, after in zip(compared.contrasts, again.contrasts, strict=True):
            if before.unit == "sd":
                assert after.difference.value == pytest.approx(before.difference.value)
                assert after.difference.ci_low == pytest.approx(before.difference.ci_low)
                assert after.p_value == pytest.approx(before.p_value)

    @pytest.mark.parametrize("seed", range(5))
    def test_a_rescaled_model_does_not_differ(self, seed):
        """Its difference is rounding, which has no distribution."""
        rng = np.random.default_rng(seed)
        chains = scored({"a": 0.5}, seed=seed)["a"]
        scale = rng.uniform(0.1, 5)
        for rewards, unit in ((scale * chains.rewards + rng.normal(), "sd"), (chains.rewards + 1e3, "reward")):
            tables = {"a": chains, "b": RewardChains(chains.w, rewards, None, chains.ids)}
            found = compare_reward_models(tables, estimands=[RATE, "naive_effect"], resamples=40, draws=100).contrasts
            for contrast in (part for part in found if part.unit == unit):
                assert contrast.difference.value == contrast.difference.se == contrast.simultaneous.ci_low == 0
                assert contrast.p_value == contrast.holm == contrast.max_t == 1

    def test_tests_and_intervals_agree(self):
        rejected = 0
        for seed in range(15):
            tables = scored({"a": 0.5, "b": 0.38, "c": 0.5}, n=30, seed=seed)
            for contrast in compare_reward_models(tables, resamples=60, draws=200).contrasts:
                for p, estimate in ((contrast.p_value, contrast.difference), (contrast.max_t, contrast.simultaneous)):
                    assert (p < 0.05) == (estimate.ci_low > 0 or estimate.ci_high < 0)
                    rejected += p < 0.05
        assert 10 < rejected < 150

    def test_naive_effects_are_welch(self):
        chains = scored({"a": 0.5}, n=40)["a"]
        few = RewardChains(np.arange(40) < 3, chains.rewards, None, chains.ids)
        wanted = estimate_effects(few)["naive_effect"]
        member = adjust_family({("a", "b", "c"): few}, estimands=["naive_effect"], draws=100).members[0]
        assert (member.estimate.se, member.estimate.ci_low) == pytest.approx((wanted.se, wanted.ci_low))
        twice = {"a": few, "b": RewardChains(few.w, few.rewards[::-1], None, few.ids)}
        found = compare_reward_models(twice, estimands=["naive_effect"], normalised=False, draws=100).contrasts[0]
        shift = few.rewards[:, 0] - few.rewards[::-1, 0]
        welch = stats.ttest_ind(shift[few.w], shift[~few.w], equal_var=False)
        assert found.p_value == pytest.approx(welch.pvalue)

    def test_normalised_effects_are_those_of_one_model(self, three, compared):
        alone = normalised_effects(three["base"], bootstrap=400)[RATE]
        joint = next(c.effect_a for c in compared.contrasts if c.unit == "sd" and c.a == "base")
        assert joint.value == pytest.approx(alone.value)
        assert (joint.ci_low, joint.ci_high) == pytest.approx((alone.ci_low, alone.ci_high))

    def test_bootstrap_and_influence_agree(self, compared):
        for contrast in compared.contrasts:
            assert contrast.simultaneous.value == pytest.approx(contrast.difference.value)
            assert contrast.simultaneous.se == pytest.approx(contrast.difference.se, rel=0.15)

    def test_clusters(self):
        clusters = np.arange(120) // 6
        tables = scored({"a": 0.5, "b": 0.5}, n=120, clusters=clusters)
        found = compare_reward_models(tables, estimands=["ATE_single_rewrite", "ATT_rewritten_rewrite"], resamples=800)
        shift = tables["a"].rewards - tables["b"].rewards
        rows = tables["a"].sign * (shift[:, 0] - shift[:, 1])
        booted = cluster_bootstrap(lambda weights: weights @ rows / weights.sum(axis=1), clusters, resamples=800)
        single = found.contrasts[0].difference
        assert single.se == pytest.approx(booted.se, rel=0.1)
        alone = estimate_effects(RewardChains(tables["a"].w, shift, clusters))["ATE_single_rewrite"]
        assert (single.value, single.se, single.ci_low) == pytest.approx((alone.value, alone.se, alone.ci_low))

    def test_baseline_and_order_of_rows(self, three, compared):
        order = np.random.default_rng(0).permutation(200)
        shuffled = {**three, "less": three["less"].select(order)}
        found = compare_reward_models(shuffled, baseline="base", normalised=False)
        assert [(c.a, c.b) for c in found.contrasts] == [("same", "base"), ("less", "base")]
        assert found.contrasts[0].difference.value == pytest.approx(-compared.contrasts[0].difference.value)
        assert found.contrasts[1].difference.value == pytest.approx(-compared.contrasts[1].difference.value)

    def test_other_ids_are_an_error_or_counted(self, three, caplog):
        fewer = {**three, "less": three["less"].select(np.arange(5, 200))}
        with pytest.raises(ValueError, match=r"'less' has not scored 5 rows of 'base'; first: id 'row-0'"):
            compare_reward_models(fewer)
        found = compare_reward_models(fewer, intersect=True, normalised=False)
        assert found.n == 195 and found.left_out == {"base": 5, "same": 5, "less": 0}
        assert "left out" in caplog.text

    def test_one_sided_data(self, three):
        treated = {name: chains.select(chains.w) for name, chains in three.items()}
        found = compare_reward_models(
            treated, estimands=["ATT_rewritten_rewrite", "ATU_rewritten_rewrite"], resamples=100
        )
        assert {c.estimand for c in found.contrasts} == {"ATT_rewritten_rewrite"} and len(found.contrasts) == 6

    def test_bad_input(self, three):
        base = three["base"]
        flipped, w = base.w.copy(), "differ in w in 1 rows; first: row 3"
        flipped[3] = ~flipped[3]
        labelled = RewardChains(base.w, base.rewards, np.arange(200), base.ids)
        for tables, message in (
            ({"base": base}, "at least two"),
            ({"base": base, "b": RewardChains(flipped, base.rewards, None, base.ids)}, w),
            ({"base": base, "b": RewardChains(base.w, base.rewards)}, "ids of rows, or none"),
            ({"base": base, "b": labelled}, "clusters, or none"),
            ({"base": base, "b": RewardChains(base.w, base.rewards[:, :2], None, base.ids)}, "of 2 rewrites"),
            (
                {"base": RewardChains(base.w, base.rewards), "b": RewardChains(base.w[:9], base.rewards[:9])},
                "same rows",
            ),
        ):
            with pytest.raises(ValueError, match=message):
                compare_reward_models(tables)
        with pytest.raises(ValueError, match="baseline 'x' is not"):
            compare_reward_models(three, baseline="x")
        with pytest.raises(ValueError, match="effects must be of"):
            compare_reward_models(three, estimands=["ATE"])


class TestAdjustFamily:
    def test_members_have_their_own_estimates(self, three):
        family = adjust_family({(name, "length", "imdb"): table for name, table in three.items()})
        assert len(family.members) == 3
        for member in family.members:
            alone = estimate_effects(three[member.reward_model])[RATE]
            assert (member.estimate.value, member.estimate.se) == pytest.approx((alone.value, alone.se))
            assert member.estimate.ci_low == pytest.approx(alone.ci_low)
        json.dumps(family.to_dict(), allow_nan=False)

    def test_copies_of_one_effect_cost_nothing(self):
        table = scored({"a": 0.08}, n=100)["a"]
        single = adjust_family({("a", "length", "imdb"): table}).members[0]
        assert single.max_t == pytest.approx(single.p_value)
        assert single.simultaneous.ci_low == pytest.approx(single.estimate.ci_low)
        copies = adjust_family({(f"m{i}", "length", "imdb"): table for i in range(20)}).members[0]
        assert copies.holm == pytest.approx(min(1.0, 20 * single.p_value))
        assert copies.max_t == pytest.approx(single.p_value, abs=0.02)
        assert copies.simultaneous.ci_low == pytest.approx(single.estimate.ci_low, rel=0.02)

    def test_independent_effects_cost_what_sidak_says(self):
        tables = {("m", "length", f"data{i}"): scored({"m": 0.0}, n=400, seed=i)["m"] for i in range(10)}
        for member in adjust_family(tables).members:
            assert member.max_t == pytest.approx(1 - (1 - member.p_value) ** 10, abs=0.02)

    def test_rows_are_shared_by_id_or_cluster(self):
        table = scored({"m": 0.1}, n=300)["m"]
        other = RewardChains(table.w, table.rewards, None, np.array([f"other-{i}" for i in range(300)]))
        together = adjust_family({("a", "x", "d"): table, ("b", "x", "d"): table.select(np.arange(300)[::-1])})
        apart = adjust_family({("a", "x", "d"): table, ("b", "x", "d"): other})
        p = together.members[0].p_value
        assert together.members[0].max_t == pytest.approx(p, abs=0.02)
        assert apart.members[0].max_t == pytest.approx(1 - (1 - p) ** 2, abs=0.02)

    @pytest.mark.slow
    def test_family_wise_error_and_joint_coverage(self):
        errors = covered = 0
        for seed in range(1000):
            tables = scored(dict.fromkeys("abcde", 0.0), n=60, seed=seed, noise=1.0)
            family = adjust_family({(name, "x", "d"): table for name, table in tables.items()}, draws=2000)
            errors += min(member.max_t for member in family.members) <= 0.05
            covered += all(m.simultaneous.ci_low <= 0 <= m.simultaneous.ci_high for m in family.members)
        assert 0.03 < errors / 1000 < 0.07
        assert 0.93 < covered / 1000 < 0.97

    def test_effects_without_error(self):
        exact = RewardChains(np.ones(5), np.tile([0.0, 1.0, 1.0], (5, 1)), ids=np.arange(5))
        certain = RewardChains(np.ones(5), np.tile([0.0, 1.0, 2.0], (5, 1)), ids=np.arange(5))
        alone = RewardChains(np.ones(1), np.array([[0.0, 1.0, 2.0]]), ids=np.arange(1))
        members = adjust_family(
            {(name, "x", name): t for name, t in (("0", exact), ("1", certain), ("?", alone))}
        ).members
        assert [member.p_value for member in members[:2]] == [1.0, 0.0]
        assert math.isnan(members[2].p_value) and math.isnan(members[2].max_t)

    def test_absent_effects_are_named(self):
        table = scored({"m": 0.1}, n=50)["m"]
        family = adjust_family(
            {("m", "x", "d"): table.select(table.w)}, estimands=["ATT_rewritten_rewrite", "ATU_rewritten_rewrite"]
        )
        assert family.absent == (("m", "x", "d", "ATU_rewritten_rewrite"),) and len(family.table()) == 1

    def test_bad_input(self):
        table = scored({"m": 0.1}, n=20)["m"]
        bare, labelled = RewardChains(table.w, table.rewards), RewardChains(table.w, table.rewards, np.arange(20))
        for tables, message in (
            ({}, "no tables"),
            ({"m": table}, r"\(reward model, attribute, data\)"),
            ({("a", "x", "d"): bare, ("b", "x", "d"): table}, "neither ids nor clusters"),
            ({("a", "x", "d"): labelled, ("b", "x", "d"): table}, "matched by clusters"),
        ):
            with pytest.raises(ValueError, match=message):
                adjust_family(tables)
