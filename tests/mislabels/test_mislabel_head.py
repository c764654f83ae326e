"""Closed forms of the reward head against brute force: finite differences, and training again without a pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from trl_ext.mislabels import cross_influence, fit_head, leave_out_margins, pair_influence, self_influence
from trl_ext.mislabels.head import choose_penalty, cross_fit_margins, scale_features


def pairs(seed: int, n: int = 60, d: int = 4) -> np.ndarray:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, d))
    truth = x @ np.array([2.0, -1.0, 0.5, 0.0])[:d]
    return x * np.where(generator.random(n) < 1 / (1 + np.exp(-truth)), 1, -1)[:, None]


def weighted_minimum(x: np.ndarray, weights: np.ndarray, penalty: float, n: int) -> np.ndarray:
    """Minimum of sum w l / n + penalty/2 |theta|^2, by another optimiser."""

    def objective(theta):
        d = x @ theta
        gradient = penalty * theta - (weights / (1 + np.exp(d))) @ x / n
        return weights @ np.logaddexp(0, -d) / n + penalty / 2 * theta @ theta, gradient

    return minimize(objective, np.zeros(x.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-11}).x


class TestFitHead:
    @pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-4])
    def test_is_the_minimum_that_another_optimiser_finds(self, penalty):
        x = pairs(0)
        np.testing.assert_allclose(
            fit_head(x, penalty).theta, weighted_minimum(x, np.ones(60), penalty, 60), atol=1e-5
        )

    def test_by_hand(self):
        # one feature, three labels for, one against: J' = -(3 s(-t) - s(t)) / 4 + 0.1 t = 0 at t = 0.745
        theta = fit_head([[1.0], [1.0], [1.0], [-1.0]], 0.1).theta[0]
        sigma = 1 / (1 + np.exp(-theta))
        assert abs(-(3 * (1 - sigma) - sigma) / 4 + 0.1 * theta) < 1e-9

    def test_huge_features_do_not_overflow(self):
        head = fit_head(1e4 * pairs(1), 1e-3)
        assert np.isfinite(head.theta).all() and np.isfinite(head.inverse_hessian).all()

    @pytest.mark.parametrize(("x", "penalty"), [(np.ones(3), 1.0), (np.ones((0, 2)), 1.0), (np.ones((3, 2)), 0.0)])
    def test_refuses(self, x, penalty):
        with pytest.raises(ValueError, match="must"):
            fit_head(x, penalty)


class TestInfluence:
    def test_is_the_derivative_of_the_held_out_loss_by_the_weight(self):
        x, targets, epsilon = pairs(0), pairs(1, 30), 1e-4
        found = pair_influence(fit_head(x, 0.05), x, targets)
        for row in (0, 7, 31):
            losses = []
            for sign in (1, -1):
                weights = np.ones(60)
                weights[row] += sign * epsilon * 60  # J + epsilon l_i, and J is a mean
                losses.append(np.logaddexp(0, -targets @ weighted_minimum(x, weights, 0.05, 60)).mean())
            assert found[row] == pytest.approx((losses[0] - losses[1]) / (2 * epsilon), rel=1e-3, abs=1e-5)

    def test_predicts_the_loss_after_leaving_a_pair_out(self):
        x, targets = pairs(2, 200), pairs(3, 100)
        found = pair_influence(fit_head(x, 0.05), x, targets)
        before = np.logaddexp(0, -targets @ fit_head(x, 0.05).theta).mean()
        changes = []
        for row in range(0, 200, 10):
            without = weighted_minimum(np.delete(x, row, 0), np.ones(199), 0.05, 200)
            changes.append(np.logaddexp(0, -targets @ without).mean() - before)
        predicted = -found[::10] / 200
        assert np.corrcoef(predicted, changes)[0, 1] > 0.999
        np.testing.assert_allclose(predicted, changes, atol=0.2 * np.abs(changes).max())

    def test_self_influence_is_that_on_the_pair_itself(self):
        x = pairs(0)
        head = fit_head(x, 0.05)
        each = [-pair_influence(head, x[row : row + 1], x[row : row + 1])[0] for row in range(60)]
        np.testing.assert_allclose(self_influence(head, x), each, rtol=1e-10)

    def test_cross_influence_of_a_wrong_label_is_harmful(self):
        x = np.abs(pairs(0, 100, 1))
        x[3] *= -1  # all others say the same
        found = cross_influence(x, np.arange(100) % 4, 0.1)
        assert found.argmax() == 3 and found[3] > 0 > np.delete(found, 3).max()


class TestLeaveOut:
    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 1000), size=st.integers(1, 4), penalty=st.sampled_from([0.1, 1e-2, 1e-4]))
    def test_is_the_margin_of_the_minimum_without_the_group(self, seed, size, penalty):
        x = pairs(seed, 24)
        groups = np.arange(24) // size
        rest = groups != groups[5]
        exact = fit_head(x[rest], penalty * 24 / rest.sum()).margins(x[~rest])
        np.testing.assert_allclose(leave_out_margins(fit_head(x, penalty), x, groups)[~rest], exact, atol=0.01)

    @pytest.mark.parametrize("penalty", [1e-2, 1e-3, 1e-4])
    def test_knows_nothing_of_the_label_even_with_more_features_than_pairs(self, penalty):
        (x,) = scale_features(np.random.default_rng(0).normal(size=(50, 80)) + 0.5)
        for row in (0, 17, 49):
            other = x.copy()
            other[row] *= -1
            both = [leave_out_margins(fit_head(one, penalty), one, np.arange(50))[row] for one in (x, other)]
            assert sum(both) == pytest.approx(0, abs=0.02)

    def test_groups_that_do_not_settle_are_fitted_again(self):
        x = pairs(0, 30)
        head = fit_head(x, 1e-7)
        found = leave_out_margins(head, x, np.arange(30) // 6)
        exact = fit_head(x[6:], 1e-7 * 30 / 24).margins(x[:6])
        np.testing.assert_allclose(found[:6], exact, atol=0.01)

    def test_is_nearly_the_margin_after_training_again(self):
        x = pairs(0, 150)
        found = leave_out_margins(fit_head(x, 0.02), x, np.arange(150))
        again = [weighted_minimum(np.delete(x, row, 0), np.ones(149), 0.02, 150) @ x[row] for row in range(0, 150, 7)]
        np.testing.assert_allclose(found[::7], again, atol=0.02)

    def test_the_margin_of_training_is_too_high(self):
        # a head that can fit every label: without the label itself it is no better than a coin
        noise = np.random.default_rng(0).normal(size=(80, 200))
        (x,) = scale_features(noise)
        head = fit_head(x, 1e-3)
        assert (head.margins(x) > 0).all()
        assert abs((leave_out_margins(head, x, np.arange(80)) > 0).mean() - 0.5) < 0.2
        assert abs((cross_fit_margins(x, np.arange(80) % 5, 1e-3) > 0).mean() - 0.5) < 0.2


def test_a_rotation_into_the_span_of_few_pairs_changes_nothing():
    wide = np.random.default_rng(0).normal(size=(20, 50))
    reduced, others = scale_features(wide, wide[:3])
    assert reduced.shape == (20, 20) and np.mean((reduced**2).sum(1)) == pytest.approx(1)
    plain = wide / np.sqrt(np.mean((wide**2).sum(1)))
    np.testing.assert_allclose(fit_head(reduced, 0.01).margins(others), fit_head(plain, 0.01).margins(plain[:3]))
    with pytest.raises(ValueError, match="all features are 0"):
        scale_features(np.zeros((4, 2)))


def test_the_penalty_fits_the_noise():
    folds = np.arange(60) % 5
    clean = choose_penalty(scale_features(np.abs(pairs(0)))[0], folds)  # all labels agree
    noise = choose_penalty(scale_features(np.random.default_rng(0).normal(size=(60, 30)))[0], folds)
    assert clean == 1e-4 < noise
