"""Labels of annotators of known commitment have the distribution that the annotator model gives them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trl_ext.annotators import corrupt_labels, label_levels, preference_label_probability
from trl_ext.annotators.corruption import LABEL_KINDS, LABEL_LEVELS


DRAWN = tuple(LABEL_LEVELS)
GOLDEN_KINDS = {"sampled": "hard", "interpolated": "ordinal3", "fineinterpolated": "ordinal5"}
probabilities = st.floats(0, 1)


class TestByHand:
    def test_three_levels(self):
        # 0.6 = 0.8 * 0.5 + 0.2 * 1
        np.testing.assert_allclose(label_levels([0.6], "ordinal3")[1], [[0, 0.8, 0.2]], atol=1e-15)

    def test_five_levels(self):
        # 0.6 = (2/3) 0.5 + (1/3) 0.8
        np.testing.assert_allclose(label_levels([0.6], "ordinal5")[1], [[0, 0, 2 / 3, 1 / 3, 0]], atol=1e-15)

    def test_half_committed(self):
        # half of (0, 0, 2/3, 1/3, 0), and a quarter at either end
        np.testing.assert_allclose(
            label_levels([0.6], "ordinal5", eta=0.5)[1], [[1 / 4, 0, 1 / 3, 1 / 6, 1 / 4]], atol=1e-15
        )

    def test_hard(self):
        # 0.75 * 0.9 + 0.25 / 2 = 0.8
        np.testing.assert_allclose(label_levels([0.9], "hard", eta=0.75)[1], [[0.2, 0.8]], atol=1e-15)

    def test_soft(self):
        np.testing.assert_allclose(corrupt_labels([0.9, 0.2], [0.75, 0.0], kind="soft"), [0.8, 0.5], atol=1e-15)


def test_golden_level_probabilities(shared_dir):
    cases = json.loads((shared_dir / "golden" / "annotator.json").read_text())["label_types"]
    assert cases
    for case in cases:
        for name, kind in GOLDEN_KINDS.items():
            levels, found = label_levels([case["p"]], kind)
            expected = [case[name].get(f"{level:g}", 0.0) for level in levels]
            assert sum(value > 0 for value in expected) == len(case[name])
            np.testing.assert_allclose(found[0], expected, rtol=1e-9, atol=1e-12)
        assert corrupt_labels([case["p"]], 1.0, kind="soft")[0] == pytest.approx(case["oracle"], rel=1e-12)


@given(p=arrays(np.float64, st.integers(1, 8), elements=probabilities), eta=probabilities, kind=st.sampled_from(DRAWN))
def test_levels_have_probabilities_with_the_mean_of_the_annotator_model(p, eta, kind):
    levels, found = label_levels(p, kind, eta)
    assert found.shape == (p.size, levels.size) and (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(found @ levels, preference_label_probability(p, eta), atol=1e-12)


@given(p=probabilities, kind=st.sampled_from(DRAWN))
def test_a_committed_annotator_uses_the_two_levels_around_p(p, kind):
    levels, found = label_levels([p], kind)
    used = levels[found[0] > 0]
    assert used.size <= 2 and used.min() <= p <= used.max()
    # no level lies between those used
    assert not ((levels > used.min()) & (levels < used.max())).any()


@given(p=probabilities, eta=probabilities, kind=st.sampled_from(DRAWN))
def test_swapped_responses_have_the_mirrored_distribution(p, eta, kind):
    _, found = label_levels([p], kind, eta)
    _, mirrored = label_levels([1 - p], kind, eta)
    np.testing.assert_allclose(found[0], mirrored[0, ::-1], atol=1e-12)


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("p", [0.0, 0.13, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("eta", [0.0, 0.35, 1.0])
def test_shares_of_drawn_labels(kind, p, eta):
    n = 40_000
    labels = corrupt_labels(np.full(n, p), eta, kind=kind, seed=11)
    levels, (expected,) = label_levels([p], kind, eta)
    assert np.isin(labels, levels).all()
    shares = np.array([(labels == level).mean() for level in levels])
    # four standard errors; where the probability is 0 or 1, the share is
    assert (np.abs(shares - expected) <= 4 * np.sqrt(expected * (1 - expected) / n) + 1e-12).all()
    variance = ((levels - levels @ expected) ** 2) @ expected
    assert abs(labels.mean() - (eta * p + (1 - eta) / 2)) <= 4 * np.sqrt(variance / n) + 1e-12


@pytest.mark.parametrize("kind", DRAWN)
def test_draws_of_different_pairs_are_independent(kind):
    n = 40_000
    labels = corrupt_labels(np.full(n, 0.7), 0.8, kind=kind, seed=5)
    lag = np.corrcoef(labels[:-1], labels[1:])[0, 1]
    assert abs(lag) < 4 / np.sqrt(n)


def test_each_pair_has_the_commitment_of_its_annotator():
    n = 20_000
    p, eta = np.full(2 * n, 0.9), np.repeat([1.0, 0.2], n)
    labels = corrupt_labels(p, eta, seed=2)
    for rows, expected in ((slice(0, n), 0.9), (slice(n, None), 0.2 * 0.9 + 0.4)):
        assert abs(labels[rows].mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / n)


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_the_ends_of_p_and_eta(kind):
    np.testing.assert_array_equal(corrupt_labels([0.0, 1.0, 0.0, 1.0], 1.0, kind=kind), [0, 1, 0, 1])
    labels = corrupt_labels(np.linspace(0, 1, 200), 0.0, kind=kind)
    assert set(labels) == ({0.5} if kind == "soft" else {0.0, 1.0})


@pytest.mark.parametrize("kind", DRAWN)
def test_the_seed_decides(kind):
    p = np.linspace(0, 1, 500)
    first = corrupt_labels(p, 0.5, kind=kind, seed=3)
    assert np.array_equal(first, corrupt_labels(p, 0.5, kind=kind, seed=3))
    assert not np.array_equal(first, corrupt_labels(p, 0.5, kind=kind, seed=4))
    # further rows and other rows leave a pair's label alone
    assert np.array_equal(first[:100], corrupt_labels(p[:100], 0.5, kind=kind, seed=3))
    assert np.array_equal(first[1:], corrupt_labels(np.r_[1.0, p[1:]], 0.5, kind=kind, seed=3)[1:])


class TestBadInput:
    @pytest.mark.parametrize("value", [-0.1, 1.2, np.nan, np.inf])
    def test_probabilities(self, value):
        with pytest.raises(ValueError, match=rf"p must lie in \[0, 1\].*1 rows; first: row 1, value {value:g}"):
            corrupt_labels([0.5, value], 0.5)

    @pytest.mark.parametrize("value", [-0.1, 1.2, np.nan])
    def test_eta(self, value):
        with pytest.raises(ValueError, match=r"eta must lie in \[0, 1\].*swapped responses"):
            corrupt_labels([0.5], value)
        with pytest.raises(ValueError, match=rf"eta must lie in \[0, 1\].*row 1, value {value:g}"):
            corrupt_labels([0.5, 0.5], [0.5, value])

    def test_shapes(self):
        with pytest.raises(ValueError, match=r"p must have shape \(N,\), got \(2, 1\)"):
            corrupt_labels([[0.5], [0.5]], 0.5)
        with pytest.raises(ValueError, match=r"one value per pair, \(2,\), got \(3,\)"):
            corrupt_labels([0.5, 0.5], [0.5, 0.5, 0.5])
        with pytest.raises(ValueError, match=r"one value per pair, \(2,\), got \(1,\)"):
            corrupt_labels([0.5, 0.5], [0.5])

    def test_nothing(self):
        with pytest.raises(ValueError, match="p is empty"):
            corrupt_labels([], 0.5)

    def test_kinds(self):
        with pytest.raises(ValueError, match="kind must be one of hard, soft, ordinal3, ordinal5, got 'ordinal7'"):
            corrupt_labels([0.5], 0.5, kind="ordinal7")
        with pytest.raises(ValueError, match="A soft label has one value, no levels"):
            label_levels([0.5], "soft")
