"""Expected best-of-k: against all choices, by hand, with ties and with prompts of different size."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation.accuracy import best_of_n
from trl_ext.evaluation.accuracy.best_of_n import best_of_k_curve, rank_candidates, select_best
from trl_ext.evaluation.statistics import mean_estimate


@pytest.mark.parametrize("name", ["best_of_k_curve", "rank_candidates", "select_best"])
def test_examples(name):
    assert failed_examples(getattr(best_of_n, name)) == 0


def by_choices(rewards, qualities, k):
    """Mean over all choices of k of the mean quality of those with the highest reward."""
    values = []
    for choice in combinations(range(len(rewards)), k):
        reward, quality = np.array(rewards)[list(choice)], np.array(qualities)[list(choice)]
        values.append(quality[reward == reward.max()].mean())
    return np.mean(values)


class TestCurve:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 3), st.floats(-2, 2)), min_size=1, max_size=7))
    def test_is_the_mean_over_all_choices(self, candidates):
        rewards, qualities = (list(values) for values in zip(*candidates, strict=True))
        curve = best_of_k_curve([rewards], [qualities])
        for index, k in enumerate(curve.k):
            assert curve.quality[index].value == pytest.approx(by_choices(rewards, qualities, k), abs=1e-12)
            assert curve.oracle[index].value == pytest.approx(by_choices(qualities, qualities, k), abs=1e-12)
            assert curve.regret[index].value >= -1e-12

    def test_ends(self):
        rng = np.random.default_rng(0)
        rewards, qualities = rng.normal(size=(2, 20, 8))
        curve = best_of_k_curve(rewards, qualities)
        assert curve.quality[0].value == pytest.approx(qualities.mean())
        assert curve.quality[-1].value == pytest.approx(
            np.take_along_axis(qualities, rewards.argmax(axis=1)[:, None], axis=1).mean()
        )
        assert curve.regret[0].value == pytest.approx(0)
        expected = mean_estimate(qualities.mean(axis=1))
        assert (curve.quality[0].se, curve.quality[0].ci_low) == pytest.approx((expected.se, expected.ci_low))

    def test_a_perfect_model_has_no_regret_and_a_useless_one_no_gain(self):
        quality = np.random.default_rng(1).normal(size=(30, 6))
        perfect = best_of_k_curve(quality, quality)
        assert all(estimate.value == pytest.approx(0, abs=1e-12) for estimate in perfect.regret)
        assert np.all(np.diff([estimate.value for estimate in perfect.quality]) > 0)
        constant = best_of_k_curve(np.zeros((30, 6)), quality)
        assert [estimate.value for estimate in constant.quality] == pytest.approx([quality.mean()] * 6)
        assert constant.tied_prompts == 30

    def test_prompts_with_fewer_candidates_are_counted(self):
        curve = best_of_k_curve([[1.0, 2.0], [3.0, 1.0, 2.0], [1.0]], [[0.0, 1.0], [1.0, 0.0, 0.0], [1.0]])
        assert curve.left_out == (0, 1, 2)
        assert [estimate.n for estimate in curve.quality] == [3, 2, 1]
        assert curve.quality[1].value == pytest.approx((1 + 2 / 3) / 2)
        assert curve.table()["left_out"].tolist() == [0, 1, 2]

    def test_many_candidates_stay_exact(self):
        # qualities 0..n-1 in the order of the rewards: the expected largest of k is (n + 1) k / (k + 1) - 1
        n, ks = 500, (1, 7, 250, 500)
        curve = best_of_k_curve([np.arange(n)], [np.arange(n)], ks=ks)
        assert [estimate.value for estimate in curve.quality] == pytest.approx([(n + 1) * k / (k + 1) - 1 for k in ks])

    def test_right_and_wrong_responses_have_intervals_within_the_unit_interval(self):
        curve = best_of_k_curve([[1.0, 2.0]] * 20, [[0.0, 1.0]] * 20)
        assert curve.quality[1].value == 1 and 0.7 < curve.quality[1].ci_low < 0.9
        assert curve.quality[1].ci_high == 1

    @pytest.mark.parametrize("kind", ["fractions", "right and wrong"])
    def test_intervals_do_not_depend_on_the_unit(self, kind):
        rng = np.random.default_rng(0)
        quality = rng.uniform(0.45, 0.55, (100, 8)) if kind == "fractions" else np.round(rng.random((100, 8)))
        rewards = quality + rng.normal(0, 0.5, quality.shape)
        one, other = (best_of_k_curve(rewards, 100 * scale * quality - 7, ks=[1, 4]) for scale in (0.01, 1))
        plain = best_of_k_curve(rewards, quality, ks=[1, 4])
        for figure in ("quality", "oracle", "regret"):
            offset = 0 if figure == "regret" else -7
            for estimate, unit in zip(getattr(plain, figure), getattr(other, figure), strict=True):
                for name in ("value", "ci_low", "ci_high"):
                    assert getattr(unit, name) == pytest.approx(100 * getattr(estimate, name) + offset, abs=1e-9)
                assert unit.se == pytest.approx(100 * estimate.se)
        width = one.quality[1].ci_high - one.quality[1].ci_low
        assert width == pytest.approx(2 * 1.984 * one.quality[1].se, rel=0.04)  # about t with 99 degrees of freedom

    def test_one_response_leaves_no_regret(self):
        rng = np.random.default_rng(1)
        regret = best_of_k_curve(rng.random((30, 7)), np.round(rng.random((30, 7))), ks=[1, 3]).regret
        assert (regret[0].value, regret[0].se, regret[0].ci_low, regret[0].ci_high) == (0, 0, 0, 0)
        assert regret[1].value - regret[1].ci_low == pytest.approx(2.045 * regret[1].se, rel=1e-3)

    def test_kl(self):
        curve = best_of_k_curve([[1.0, 2.0, 3.0, 4.0]], [[0.0] * 4])
        assert curve.kl == pytest.approx([0, np.log(2) - 1 / 2, np.log(3) - 2 / 3, np.log(4) - 3 / 4])

    def test_clusters_widen_the_interval(self):
        rng = np.random.default_rng(2)
        quality = np.repeat(rng.normal(size=(10, 1)), 10, axis=0) + rng.normal(0, 0.1, (100, 3))
        alone, together = (
            best_of_k_curve(rng.normal(size=(100, 3)), quality, clusters=clusters)
            for clusters in (None, np.arange(100) // 10)
        )
        assert together.quality[2].se > 2 * alone.quality[2].se

    def test_intervals_cover(self):
        rng = np.random.default_rng(3)
        covered = 0
        for _ in range(200):
            rewards = rng.normal(size=(40, 4))
            qualities = rewards + rng.normal(size=(40, 4))
            # the mean of the largest of four standard normals
            estimate = best_of_k_curve(rewards, qualities, ks=[4]).quality[0]
            covered += estimate.ci_low <= 1.02938 <= estimate.ci_high
        assert 0.905 <= covered / 200 <= 0.99

    def test_intervals_cover_where_few_prompts_are_unsolvable(self):
        rng = np.random.default_rng(5)
        curves = []
        for _ in range(150):
            solved = np.where(rng.random(100) < 0.02, 0.0, rng.beta(3, 1, 100))
            right = (rng.random((100, 16)) < solved[:, None]).astype(float)
            rewards = right + rng.normal(0, 0.7, (100, 16))
            curves.append(best_of_k_curve(rewards, right, ks=[4, 8]))
        for figure in ("quality", "oracle"):
            for estimates in zip(*(getattr(curve, figure) for curve in curves), strict=True):
                # the estimator is unbiased: its mean over the draws is close enough to the truth
                truth = np.mean([estimate.value for estimate in estimates])
                covered = np.mean([estimate.ci_low <= truth <= estimate.ci_high for estimate in estimates])
                assert covered >= 0.92
                width = np.mean([estimate.ci_high - estimate.ci_low for estimate in estimates])
                assert width < 1.3 * 3.92 * np.std([estimate.value for estimate in estimates])

    @pytest.mark.parametrize(
        ("rewards", "qualities", "options", "message"),
        [
            ([[1.0]], [[1.0], [2.0]], {}, "rewards are of 1 prompts, qualities of 2"),
            ([[1.0, 2.0]], [[1.0]], {}, "prompt 0 has 2 rewards and 1 qualities"),
            ([[1.0], []], [[1.0], []], {}, "rewards of prompt 1 is empty"),
            ([[1.0, np.nan]], [[1.0, 0.0]], {}, "rewards of prompt 0 has 1 values that are not finite"),
            ([], [], {}, "no prompts"),
            ([[1.0, 2.0]], [[1.0, 0.0]], {"ks": [3]}, "whole numbers from 1 to 2"),
            ([[1.0, 2.0]], [[1.0, 0.0]], {"clusters": [1, 2]}, "one label per prompt"),
        ],
    )
    def test_refuses(self, rewards, qualities, options, message):
        with pytest.raises(ValueError, match=message):
            best_of_k_curve(rewards, qualities, **options)


class TestSelection:
    def test_ranks(self):
        assert [ranks.tolist() for ranks in rank_candidates([[3.0, 1.0, 3.0], [5.0]])] == [[1, 3, 1], [1]]

    def test_first_of_equal_rewards(self):
        selection = select_best([[1.0, 3.0, 3.0], [2.0]])
        assert selection.indices.tolist() == [1, 0] and selection.tied.tolist() == [2, 1]

    def test_random_of_equal_rewards(self):
        first, again, other = (select_best([[1.0, 1.0]] * 200, ties="random", seed=seed).indices for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert 70 < first.sum() < 130 and (first != other).any()

    def test_refuses(self):
        with pytest.raises(ValueError, match="first, random"):
            select_best([[1.0]], ties="last")
        with pytest.raises(ValueError, match="rewards of prompt 1 is empty"):
            select_best([[1.0], []])
