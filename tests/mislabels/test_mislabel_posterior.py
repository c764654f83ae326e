"""The probability of a wrong label against simulation, and the figures that are made of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.mislabels import (
    average_precision,
    compare_evidence,
    estimate_wrong_labels,
    flag_wrong_labels,
    precision_at,
    wrong_label_probability,
)


def labels(eta: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Margins of what the annotator chose, and whether that is wrong."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 2, n)
    truth = generator.random(n) < 1 / (1 + np.exp(-x))
    wrong = generator.random(n) < (1 - eta) / 2
    return np.where(truth ^ wrong, x, -x), wrong


class TestProbability:
    def test_by_hand(self):
        # q = 0.9, x = -2: 0.1 * 0.8808 / (0.9 * 0.1192 + 0.1 * 0.8808) = 0.0881 / 0.1954 = 0.451
        assert wrong_label_probability([-2.0], 0.8)[0] == pytest.approx(0.451, abs=5e-4)

    @pytest.mark.parametrize("eta", [0.8, 0.3, -0.5])
    def test_is_the_share_of_wrong_labels_in_a_simulation(self, eta):
        margins, wrong = labels(eta, 200_000, 0)
        p = wrong_label_probability(margins, eta)
        for low in np.arange(0, 1, 0.1):
            inside = (p >= low) & (p < low + 0.1)
            if inside.sum() > 500:
                spread = 4 * np.sqrt(0.25 / inside.sum())
                assert wrong[inside].mean() == pytest.approx(p[inside].mean(), abs=spread)

    @given(x=st.floats(-1e4, 1e4), eta=st.floats(-1, 1))
    def test_the_other_label_has_the_other_probability(self, x, eta):
        p = wrong_label_probability([x, -x], [eta, -eta])
        assert 0 <= p[0] <= 1 and p.sum() == pytest.approx(1)

    def test_complete_commitment_and_refusals(self):
        assert wrong_label_probability([-50.0, 50.0], [1.0, -1.0]).tolist() == [0.0, 1.0]
        with pytest.raises(ValueError, match="eta"):
            wrong_label_probability([0.0], 1.5)


class TestFlags:
    @given(st.lists(st.sampled_from([0.1, 0.5, 0.8, 0.95, 1.0]), min_size=1, max_size=30), st.floats(0.01, 0.99))
    def test_expected_false_discoveries_stay_within_the_level(self, p, fdr):
        p = np.array(p)
        flagged = flag_wrong_labels(p, fdr)
        if flagged.any():
            assert np.mean(1 - p[flagged]) <= fdr + 1e-12
            assert p[flagged].min() > p[~flagged].max(initial=-1)

    def test_share_of_right_labels_among_the_flagged(self):
        margins, wrong = labels(0.6, 100_000, 1)
        flagged = flag_wrong_labels(wrong_label_probability(margins, 0.6), 0.2)
        assert flagged.sum() > 1000 and 1 - wrong[flagged].mean() == pytest.approx(0.2, abs=0.02)


def by_people(etas, labels_each: int, seed: int, sd: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins in a unit of their own, annotators, and whether labels are wrong."""
    parts = [labels(eta, labels_each, 1000 * seed + k) for k, eta in enumerate(etas)]
    margins, wrong = (np.concatenate(part) for part in zip(*parts, strict=True))
    return 0.3 * sd / 2 * margins, np.repeat(np.arange(len(etas)), labels_each), wrong


class TestNumbers:
    def test_is_what_importance_sampling_of_the_model_gives(self):
        generator = np.random.default_rng(0)
        margins, who, draws = np.array([2.0, 1.0, -0.5, 1.5, 1.0]), np.array([0, 0, 0, 1, 1]), 400_000
        scale = np.exp(generator.normal(np.log(2), 1.25, draws)) / np.median(np.abs(margins))
        mean, k = generator.beta(2, 1.25, draws), generator.choice([1.0, 3, 10, 30, 80, 200], draws)
        q = generator.beta(1 + (mean * k)[:, None], 1 + ((1 - mean) * k)[:, None], (draws, 2))[:, who]
        judge = 1 / (1 + np.exp(-scale[:, None] * margins))
        said = q * judge + (1 - q) * (1 - judge)
        expected = np.average((1 - q) * (1 - judge) / said, axis=0, weights=said.prod(axis=1))
        found = estimate_wrong_labels(margins, who)
        np.testing.assert_allclose(found.p_wrong, expected, atol=0.005)
        np.testing.assert_allclose(np.exp(found.log_odds), found.p_wrong / (1 - found.p_wrong))

    def test_intervals_contain_the_numbers_when_scale_and_commitments_are_estimated(self):
        total, each = [], []
        for seed in range(24):
            margins, who, wrong = by_people((0.95, 0.9, 0.8, 0.4, 0.0), 20, seed)
            found = estimate_wrong_labels(margins, who)
            total.append(found.total.ci_low <= wrong.sum() <= found.total.ci_high)
            each += [one.ci_low <= wrong[who == k].sum() <= one.ci_high for k, one in enumerate(found.counts)]
        assert np.mean(total) >= 0.9 and np.mean(each) >= 0.93

    def test_the_total_is_the_sum_over_annotators_and_the_seed_decides(self):
        margins, who, _ = by_people((0.9, 0.2), 30, 0)
        found = estimate_wrong_labels(margins, who)
        assert found.total.value == pytest.approx(sum(one.value for one in found.counts))
        assert found.total.value == pytest.approx(found.p_wrong.sum()) and found.total.n == 60
        assert found.counts == estimate_wrong_labels(margins, who).counts
        assert "measured coverage" in found.total.method

    def test_people_with_two_labels_each_are_taken_as_the_others_are(self):
        expected, true, right = [], [], []
        for seed in range(4):
            margins, who, wrong = by_people([0.8] * 100, 2, seed)
            found = estimate_wrong_labels(margins, who)
            flagged = flag_wrong_labels(found.p_wrong, 0.1)
            expected.append(found.p_wrong.sum())
            true.append(wrong.sum())
            right += list(~wrong[flagged])
        assert np.sum(expected) == pytest.approx(np.sum(true), rel=0.3)
        assert np.mean(right) < 0.2

    def test_few_labels_leave_doubt(self):
        found = estimate_wrong_labels([1.0] * 20)
        assert found.total.ci_low == 0 and found.total.ci_high >= 1 and found.p_wrong.min() > 1e-4
        assert not found.scale_is_known and np.isfinite([found.scale.ci_low, found.scale.ci_high]).all()
        nothing = estimate_wrong_labels(np.zeros(10))
        assert nothing.total.ci_high - nothing.total.ci_low >= 5

    def test_many_labels_of_one_person(self):
        margins, wrong = labels(0.8, 20_000, 0)
        found = estimate_wrong_labels(margins)
        assert found.scale_is_known and found.scale.value == pytest.approx(1, abs=0.1)
        assert found.total.ci_low <= wrong.sum() <= found.total.ci_high
        assert found.total.ci_high - found.total.ci_low < 800

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([np.nan],), "margins must be finite"),
            (([1.0, 2.0], ["a"]), "one id per margin, 2, got 1"),
            (([1.0], ["a"], {"prior": (0, 1)}), "prior"),
            (([1.0], ["a"], {"level": 1.0}), "level"),
        ],
    )
    def test_refuses(self, arguments, message):
        arguments, keys = arguments[:2], dict(*arguments[2:])
        with pytest.raises(ValueError, match=message):
            estimate_wrong_labels(*arguments, **keys)


class TestRanking:
    def test_average_precision_is_that_of_scikit_learn(self):
        from sklearn.metrics import average_precision_score

        generator = np.random.default_rng(0)
        scores, wrong = generator.integers(0, 8, 60), generator.random(60) < 0.3
        assert average_precision(scores, wrong) == pytest.approx(average_precision_score(wrong, scores))
        weights = generator.integers(0, 3, (4, 60))
        expected = [average_precision_score(wrong, scores, sample_weight=row) for row in weights]
        np.testing.assert_allclose(average_precision(scores, wrong, weights), expected)

    def test_precision_counts_equal_scores_by_their_average(self):
        assert precision_at([3, 1, 1, 1], [1, 1, 0, 0], 2).value == pytest.approx((1 + 1 / 3) / 2)
        with pytest.raises(ValueError, match="k must be from 1"):
            precision_at([1.0], [1], 2)

    def test_comparison_of_a_good_and_a_useless_ranking(self):
        generator = np.random.default_rng(0)
        wrong = generator.random(400) < 0.2
        evidence = {"useless": generator.random(400), "good": wrong + generator.normal(0, 0.5, 400)}
        table = compare_evidence(evidence, wrong, np.arange(400) // 2, reference="good", resamples=200)
        table = table.set_index(["evidence", "measure"])
        assert table.loc[("useless", "average_precision"), "difference_high"] < 0
        assert table.loc[("good", "lift"), "value"] == pytest.approx(
            table.loc[("good", "precision"), "value"] / wrong.mean()
        )
        assert np.isnan(table.loc[("good", "precision"), "difference"])
        assert table.loc[("useless", "auroc"), "ci_low"] < 0.5 < table.loc[("useless", "auroc"), "ci_high"]
