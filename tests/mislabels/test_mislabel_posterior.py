"""The probability of a wrong label against simulation, and the figures that are made of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.mislabels import (
    average_precision,
    compare_evidence,
    count_wrong_labels,
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


def test_the_number_of_wrong_labels_is_covered():
    covered = []
    for seed in range(200):
        margins, wrong = labels(0.7, 100, seed)
        found = count_wrong_labels(margins, 0.7, 0.7, 0.7)  # the commitment known: the spread of the labels alone
        assert 0 <= found.ci_low <= found.value <= found.ci_high <= 100
        covered.append(found.ci_low <= wrong.sum() <= found.ci_high)
    assert 0.9 <= np.mean(covered) <= 0.99


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
