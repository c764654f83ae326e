"""Paired tests hold their size, agree with what others compute, and find what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from benchmarks.paired_test_size import CONTRIBUTIONS, mcnemar, permutation
from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation.statistics import mcnemar_p_values, minimum_detectable_effect, paired_tests, sign_flip_p_value


@pytest.mark.parametrize("name", ["mcnemar_p_values", "sign_flip_p_value", "minimum_detectable_effect"])
def test_examples(name):
    assert failed_examples(getattr(paired_tests, name), vars(paired_tests)) == 0


class TestMcNemar:
    @settings(max_examples=30)
    @given(st.integers(0, 60), st.integers(0, 60))
    def test_exact_agrees_with_statsmodels(self, only_a, only_b):
        exact, mid_p = mcnemar_p_values(only_a, only_b)
        assert exact == pytest.approx(statsmodels_mcnemar([[5, only_a], [only_b, 5]], exact=True).pvalue, abs=1e-12)
        n = only_a + only_b
        # mid-p: the tail without the half of the observed outcome's probability, on both sides
        assert mid_p == pytest.approx(min(1, exact - stats.binom.pmf(only_a, n, 0.5)) if only_a != only_b else 1.0)

    def test_no_discordant_rows(self):
        assert tuple(map(float, mcnemar_p_values(0, 0))) == (1.0, 1.0)

    @pytest.mark.parametrize(
        ("n", "discordance"), [(300, 0.1), (300, 0.2), (1000, 0.05), (1000, 0.1), (2985, 0.05), (2985, 0.2)]
    )
    def test_mid_p_holds_its_size_and_finds_the_detectable_effect(self, n, discordance):
        figures = mcnemar(n, discordance, 20_000)
        assert 0.04 <= figures["size_mid_p"] <= 0.06
        assert figures["size_exact"] <= 0.05 + 0.003
        assert figures["size_exact"] < figures["size_mid_p"]
        assert figures["power_mid_p"] == pytest.approx(0.8, abs=0.03)

    def test_refuses_shares(self):
        with pytest.raises(ValueError, match="only_a must hold whole numbers"):
            mcnemar_p_values(0.5, 1)


class TestSignFlip:
    @settings(max_examples=10, deadline=None)
    @given(st.lists(st.integers(-4, 4), min_size=2, max_size=10).filter(any))
    def test_agrees_with_all_signs(self, contributions):
        contributions = np.array(contributions, dtype=float)
        signs = np.array(np.meshgrid(*[[-1, 1]] * contributions.size)).reshape(contributions.size, -1)
        sums, observed = np.abs(contributions @ signs), abs(contributions.sum())
        expected = np.mean(sums > observed) + 0.5 * np.mean(sums == observed)
        assert sign_flip_p_value(contributions, permutations=20_000) == pytest.approx(expected, abs=0.02)

    def test_drawn_one_by_one_or_by_size(self):
        # contributions moved by a hair each have a size of their own; 59 minuses: no sum ties with the observed one
        contributions = np.repeat([1.0, -1.0], [80, 59])
        hair = contributions * (1 + np.linspace(0, 1e-15, 139)) + np.linspace(0, 1e-4, 139)
        few, many = (sign_flip_p_value(c, permutations=40_000) for c in (contributions, hair))
        # sums of 139 signs: 2 * (P(more than 80) + P(80) / 2), normal with a quarter of the variance
        expected = 2 * (stats.binom.sf(80, 139, 0.5) + stats.binom.pmf(80, 139, 0.5) / 2)
        assert few == pytest.approx(expected, abs=0.005)
        assert many == pytest.approx(expected, abs=0.015)

    def test_holds_its_size_with_weights(self):
        size = permutation(CONTRIBUTIONS["RewardBench, 23 weighted subsets"], 1500, permutations=199, seed=7)
        # standard error of 5 % over 1500 samples: 0.56 %
        assert 0.033 <= size <= 0.067

    def test_holds_its_size_with_clusters_and_power_grows(self):
        contributions = CONTRIBUTIONS["RM-Bench, nine comparisons per prompt"]
        assert 0.025 <= permutation(contributions, 500, permutations=199) <= 0.075
        small, large = (permutation(contributions, 60, difference=d, permutations=199) for d in (0.01, 0.03))
        assert 0.08 < small < large and large > 0.85

    @pytest.mark.slow
    @pytest.mark.parametrize("name", list(CONTRIBUTIONS)[:2])
    def test_size_over_ten_thousand_samples(self, name):
        assert 0.04 <= permutation(CONTRIBUTIONS[name], 10_000) <= 0.06

    def test_never_zero_and_one_without_differences(self):
        assert 0 < sign_flip_p_value(np.ones(200)) < 1e-4
        assert sign_flip_p_value(np.zeros(5)) == 1.0

    @pytest.mark.parametrize("contributions", [[], [[1.0]], [np.nan]])
    def test_refuses(self, contributions):
        with pytest.raises(ValueError, match=r"shape \(G,\)"):
            sign_flip_p_value(contributions)


class TestMinimumDetectableEffect:
    @settings(max_examples=30)
    @given(st.floats(0.05, 0.5), st.integers(300, 10_000))
    def test_solves_its_equation(self, discordance, n):
        effect = minimum_detectable_effect(discordance / n, n, level=0.9, power=0.7)
        z, z_power = stats.norm.ppf([0.95, 0.7])
        right = z * np.sqrt(discordance / n) + z_power * np.sqrt((discordance - effect**2) / n)
        assert effect == pytest.approx(right, rel=1e-9)

    def test_shrinks_with_rows_and_grows_with_power(self):
        base = minimum_detectable_effect(0.1 / 1000, 1000)
        assert minimum_detectable_effect(0.1 / 4000, 4000) == pytest.approx(base / 2, rel=0.01)
        assert minimum_detectable_effect(0.1 / 1000, 1000, power=0.9) > base

    def test_without_discordance_some_rows_must_differ(self):
        # (1.959964 + 0.841621)^2 = 7.848880 discordant rows of 1000
        assert minimum_detectable_effect(0.0, 1000) == pytest.approx(7.848880 / 1000, rel=0.002)
        assert np.isnan(minimum_detectable_effect(0.0, 5))

    @pytest.mark.parametrize("arguments", [(-1.0, 10), (0.1, 0)])
    def test_refuses(self, arguments):
        with pytest.raises(ValueError, match="null_variance"):
            minimum_detectable_effect(*arguments)
        with pytest.raises(ValueError, match="power must"):
            minimum_detectable_effect(0.1, 10, power=0.5)
