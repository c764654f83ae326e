"""Effects over data sets, over levels of a sweep, and the subsets that make two attributes go together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_ext.evaluation.statistics import Estimate
from trl_ext.rate import (
    RewardChains,
    TextChains,
    combine_data_sets,
    correlated_chains,
    correlated_counts,
    correlated_rows,
    estimate_effects,
    normalised_effects,
    simulate_rewards,
    sweep_effects,
)


def estimate(value: float, se: float) -> Estimate:
    return Estimate(value, se, value - 2 * se, value + 2 * se, 100, "t")


class TestDataSets:
    def test_reference_is_the_original_figure(self, shared_dir):
        import json

        golden = json.loads((shared_dir / "golden" / "rate.json").read_text())
        cases = {case["name"]: case for case in golden["cases"]}
        seen = 0
        for bar in golden["aggregation_naive_vs_RATE"]["exact"]:
            members = [
                member["case"]
                for member in golden["aggregation_naive_vs_RATE"]["members"]
                if (member["model"], member["concept"]) == (bar["model"], bar["concept"])
            ]
            if not set(members) <= set(cases):  # their inputs are not stored
                continue
            seen += 1
            for key, name in (("naive", "naive_effect"), ("rate", "ATE_rewritten_rewrite")):
                sets = [Estimate(*cases[m]["outputs"]["normalised_by_reward_std"][name], 0, 0, 1, "") for m in members]
                found = combine_data_sets(sets, method="reference").estimate
                assert (found.value, found.se) == pytest.approx((bar[key], bar[f"{key}_err"]), rel=1e-9)
        assert seen == 3

    def test_root_mean_square_is_not_the_error_of_a_mean(self):
        sets = [estimate(1.0, 0.3), estimate(3.0, 0.4)]
        reference, mean = (combine_data_sets(sets, method=method).estimate for method in ("reference", "mean"))
        assert reference.value == mean.value == 2
        assert reference.se == pytest.approx(np.sqrt((0.09 + 0.16) / 2)) and mean.se == pytest.approx(0.25)

    def test_fixed(self):
        found = combine_data_sets([estimate(1.0, 0.1), estimate(2.0, 0.2)], method="fixed")
        # weights 100 and 25
        assert found.estimate.value == pytest.approx(1.2) and found.estimate.se == pytest.approx(1 / np.sqrt(125))
        assert found.q == pytest.approx(100 * 0.04 + 25 * 0.64)

    def test_random_covers_the_mean_of_data_sets_like_these(self):
        rng = np.random.default_rng(0)
        hits = fixed = 0
        for _ in range(100):
            ses = rng.uniform(0.05, 0.15, 6)
            sets = [estimate(v, se) for v, se in zip(rng.normal(rng.normal(0.5, 0.3, 6), ses), ses, strict=True)]
            found = combine_data_sets(sets, method="random").estimate
            hits += found.ci_low <= 0.5 <= found.ci_high
            found = combine_data_sets(sets, method="fixed").estimate
            fixed += found.ci_low <= 0.5 <= found.ci_high
        assert 0.88 <= hits / 100 and fixed / 100 < 0.7

    def test_equal_effects_have_no_spread(self):
        found = combine_data_sets([estimate(1.0, 0.1)] * 3, method="random")
        assert found.tau == pytest.approx(0, abs=1e-6) and found.q_p_value == 1
        assert found.estimate.se == pytest.approx(0.1 / np.sqrt(3))

    def test_one_data_set(self):
        found = combine_data_sets([estimate(1.0, 0.1)])
        assert found.estimate.value == 1 and np.isnan(found.q_p_value)
        with pytest.raises(ValueError, match="needs two data sets"):
            combine_data_sets([estimate(1.0, 0.1)], method="random")

    @pytest.mark.parametrize("bad", [(np.nan, 0.1), (1.0, np.nan), (1.0, 0.0)])
    def test_bad_input(self, bad):
        with pytest.raises(ValueError, match="estimate 1 must be finite with a standard error above 0"):
            combine_data_sets([estimate(1.0, 0.1), estimate(*bad)])
        with pytest.raises(ValueError, match="method must be one of"):
            combine_data_sets([estimate(1.0, 0.1)], method="concatenate")
        with pytest.raises(ValueError, match="empty"):
            combine_data_sets([])

    def test_levels_of_intervals(self):
        found = estimate_effects(simulate_rewards(60, seed=0))["ATE_rewritten_rewrite"]
        assert combine_data_sets([found, found]).estimate.se > 0
        with pytest.raises(ValueError, match="estimate 0 has an interval of level 0.95, not 0.9"):
            combine_data_sets([found, found], level=0.9)
        with pytest.raises(ValueError, match="the original's bars have level 0.95"):
            combine_data_sets([found, found], method="reference", level=0.9)
        with pytest.raises(ValueError, match="estimate 1 is None"):
            combine_data_sets([found, None])


class TestSweep:
    @pytest.fixture(scope="class")
    def tables(self):
        return {x / 4: simulate_rewards(300, seed=x, beta0=0.3, m1=x / 4, cluster_size=3) for x in range(5)}

    def test_levels_are_those_of_the_estimators(self, tables):
        raw = sweep_effects(tables, normalised=False).table
        ratios = sweep_effects(tables).table
        assert len(raw) == 15 and list(raw["level"].unique()) == [0, 0.25, 0.5, 0.75, 1]
        for (_, plain), (_, ratio) in zip(raw.iterrows(), ratios.iterrows(), strict=True):
            chains = tables[plain["level"]]
            wanted = estimate_effects(chains)[plain["estimator"]]
            assert plain["value"] == pytest.approx(wanted.value)
            assert (plain["se"], plain["ci_low"]) == pytest.approx((wanted.se, wanted.ci_low))
            wanted = normalised_effects(chains, method="delta")[plain["estimator"]]
            assert (ratio["value"], ratio["se"]) == pytest.approx((wanted.value, wanted.se), rel=0.002)

    def test_estimators_by_name(self, tables):
        for names in (["naive"], ["ATE_single"], []):
            with pytest.raises(ValueError, match="effects must be of 'naive_effect'"):
                sweep_effects(tables, estimators=names)
        table = sweep_effects(tables, estimators=["ATT_rewritten_rewrite"]).table
        assert list(table["n"]) == [int(chains.w.sum()) for chains in tables.values()]

    def test_levels_with_few_clusters_of_their_own(self):
        hits, rng, clusters = 0, np.random.default_rng(0), np.repeat([0, 1], 5)
        for _ in range(100):
            tables = {}
            for at in range(4):
                effects = rng.normal(size=2)[clusters] + 0.3 * rng.normal(size=10)
                rewards = np.stack([0 * effects, 0 * effects, effects], axis=1)
                tables[at] = RewardChains(np.ones(10), rewards, clusters + 2 * at)
            slope = sweep_effects(tables, normalised=False).slopes["ATE_rewritten_rewrite"]
            hits += slope.ci_low <= 0 <= slope.ci_high
        assert hits > 92  # 82 with one correction for all clusters of all levels

    def test_slope_of_independent_levels(self, tables):
        plain = {at: RewardChains(chains.w, chains.rewards) for at, chains in tables.items()}
        sweep = sweep_effects(plain, normalised=False)
        for name, slope in sweep.slopes.items():
            rows = sweep.table[sweep.table["estimator"] == name]
            assert slope.value == pytest.approx(np.polyfit(rows["level"], rows["value"], 1)[0])
            weights = (rows["level"] - 0.5) / ((rows["level"] - 0.5) ** 2).sum()
            assert slope.se == pytest.approx(np.sqrt(((weights * rows["se"]) ** 2).sum()), rel=0.01)
        assert set(sweep.slope_table()["estimator"]) == set(sweep.slopes)

    def test_slope_knows_that_levels_share_rows(self):
        """The same rows at all levels with an effect that grows: the slope has no error, whatever the effects have."""
        chains = simulate_rewards(200, seed=0)
        tables = {}
        for at in (0.0, 1.0, 2.0):
            rewards = chains.rewards.copy()
            rewards[:, 2] += 0.1 * at * chains.sign
            tables[at] = RewardChains(chains.w, rewards, ids=chains.ids)
        slope = sweep_effects(tables, normalised=False).slopes["ATE_rewritten_rewrite"]
        assert slope.value == pytest.approx(0.1) and slope.se < 1e-12
        without = {at: RewardChains(part.w, part.rewards) for at, part in tables.items()}
        assert sweep_effects(without, normalised=False).slopes["ATE_rewritten_rewrite"].se > 0.01

    def test_slopes_cover(self):
        hits = 0
        for seed in range(60):
            sweep = sweep_effects({x: simulate_rewards(120, seed, beta0=0.2 * x, cluster_size=3, slope_sd=0.5)
                                   for x in (0.0, 1.0, 2.0)} | {3.0: simulate_rewards(90, seed, beta0=0.6, cluster_size=3)},
                                  normalised=False)  # fmt: skip
            slope = sweep.slopes["ATE_rewritten_rewrite"]
            hits += slope.ci_low <= 0.2 <= slope.ci_high
        assert 0.85 <= hits / 60

    def test_unknown_effects(self, tables):
        one_sided = {at: chains.select(chains.w) for at, chains in tables.items()}
        sweep = sweep_effects(one_sided)
        assert sweep.slopes["naive_effect"] is None and sweep.slopes["ATE_rewritten_rewrite"].se > 0
        found = sweep.to_dict()
        assert found["slopes"]["naive_effect"] is None
        assert {row["value"] for row in found["levels"] if row["estimator"] == "naive_effect"} == {None}

    def test_bad_input(self, tables):
        with pytest.raises(ValueError, match="two different levels"):
            sweep_effects({0.0: tables[0.0]})
        plain = RewardChains(tables[0.5].w, tables[0.5].rewards)
        with pytest.raises(ValueError, match="level 0.5 has no clusters"):
            sweep_effects({0.0: tables[0.0], 0.5: plain})


class TestCorrelatedRows:
    @settings(max_examples=10)
    @given(
        st.lists(st.tuples(st.booleans(), st.booleans()), min_size=40, max_size=200), st.integers(0, 9), st.booleans()
    )
    def test_correlation_and_rows(self, pairs, seed, negative):
        first, second = np.array(pairs + [(a, b) for a in (0, 1) for b in (0, 1)] * 20, dtype=bool).T
        picked = correlated_rows(first, second, seed=seed, negative=negative)
        assert len(picked) == 11
        sizes = pd.Series(list(zip(first, second, strict=True))).value_counts()
        for level, rows in enumerate(picked):
            assert len(np.unique(rows)) == len(rows) <= 2 * sizes.min()
            phi = np.corrcoef(first[rows], second[rows])[0, 1]
            # counts are whole: a correlation is right to a few rows of a cell
            assert abs(phi - (-1 if negative else 1) * level / 10) <= 4 / sizes.min()
            # half of the rows have the first attribute
            assert first[rows].mean() == 0.5

    def test_levels_share_rows_and_follow_the_seed(self):
        rng = np.random.default_rng(0)
        first, second = rng.random((2, 4000)) < 0.5
        picked = correlated_rows(first, second, seed=1)
        shared = len(np.intersect1d(picked[4], picked[5])) / len(picked[4])
        assert shared > 0.9
        again, other = correlated_rows(first, second, seed=1), correlated_rows(first, second, seed=2)
        assert all(np.array_equal(a, b) for a, b in zip(picked, again, strict=True))
        assert not np.array_equal(picked[5], other[5])

    def test_texts(self):
        first, second = np.arange(80) % 2 == 0, np.arange(80) % 4 < 2
        texts = TextChains("length", tuple(map(str, range(80))), ("prompt",) * 80, first, (("text",),) * 80)
        levels = correlated_chains(texts, second, [0, 10], seed=3)
        assert list(levels) == [0.0, 1.0]
        assert all(int(name) % 4 in (0, 3) for name in levels[1.0].ids) and len(levels[1.0]) == 40

    def test_bad_input(self):
        with pytest.raises(ValueError, match="first only, second only, neither. have 2, 0, 0 and 2 rows"):
            correlated_rows([1, 1, 0, 0], [1, 1, 0, 0])
        with pytest.raises(ValueError, match="all need at least 3"):
            correlated_rows([1, 1, 0, 0], [1, 0, 1, 0], cell_size=3)
        with pytest.raises(ValueError, match=r"shape \(N,\)"):
            correlated_rows([1, 1, 0, 0], [1, 0])
        for level in (11, 0.5):
            with pytest.raises(ValueError, match="whole number from 0 to 10"):
                correlated_counts(10, [level])
        with pytest.raises(ValueError, match="cell_size must be at least 1"):
            correlated_counts(0)

    def test_values_are_not_guessed(self):
        for bad in ([2, 1, 0, 0], [float("nan"), 1, 0, 0], [None, 1, 0, 0]):
            with pytest.raises(ValueError, match="column 'first' must be 1 .* or 0; 1 values are not, first: row 0"):
                correlated_rows(bad, [0, 1, 0, 1])
        with pytest.raises(ValueError, match="cell_size 1 is too small"):
            correlated_counts(1)
