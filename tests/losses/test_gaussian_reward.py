"""Gaussian rewards: likelihood of pairs, and of absolute judgements."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import expit

from trl_ext.losses import GaussianRewardLoss, ordinal_anchor_loss, preference_probability


reals = st.floats(-1e4, 1e4)
log_variances = st.floats(-20, 20)


def tensor(*values, **kwargs):
    return torch.tensor(values, dtype=torch.float64, **kwargs)


class TestGaussianRewardLoss:
    def test_value_by_hand(self):
        # d = 1, s_c^2 + s_r^2 = 0.5 + 1.5 = 2: z = 0.7071, Phi = 0.76025, -log = 0.27411
        loss = GaussianRewardLoss()(
            torch.tensor([1.0]), torch.tensor([0.0]),
            log_variance_chosen=torch.tensor([0.5]).log(), log_variance_rejected=torch.tensor([1.5]).log(),
        )  # fmt: skip
        torch.testing.assert_close(loss, torch.tensor([-math.log(stats.norm.cdf(1 / math.sqrt(2)))]))

    @given(reals, log_variances, log_variances)
    def test_finite_gradients(self, d, chosen, rejected):
        values = [torch.tensor([value], requires_grad=True) for value in (d, 0.0, chosen, rejected)]
        loss = GaussianRewardLoss()(*values[:2], log_variance_chosen=values[2], log_variance_rejected=values[3])
        loss.sum().backward()
        assert loss.isfinite().all() and all(value.grad.isfinite().all() for value in values)

    @given(st.floats(-5, 5), st.floats(-2, 2), st.floats(0.1, 10), st.floats(-5, 5))
    def test_pairs_identify_neither_scale_nor_location(self, d, log_variance, factor, shift):
        variance = tensor(log_variance)

        def loss(mean, other, variance):
            return GaussianRewardLoss()(mean, other, log_variance_chosen=variance, log_variance_rejected=variance)

        torch.testing.assert_close(
            loss(tensor(d), tensor(0.0), variance),
            loss(tensor(factor * d + shift), tensor(shift), variance + 2 * math.log(factor)),
        )

    def test_bfloat16_is_computed_in_float32(self):
        half = torch.ones(2, dtype=torch.bfloat16)
        loss = GaussianRewardLoss()(half, 0 * half, log_variance_chosen=half, log_variance_rejected=half)
        assert loss.dtype == torch.float32


class TestOrdinalAnchorLoss:
    @given(st.floats(-6, 6), st.floats(-3, 3), st.floats(-3, 3), st.floats(0.01, 5))
    def test_probabilities_sum_to_one(self, mean, log_variance, low, width):
        losses = ordinal_anchor_loss(
            tensor(mean).expand(3), tensor(log_variance).expand(3), torch.arange(3), tensor(low, low + width)
        )
        assert torch.exp(-losses).sum().item() == pytest.approx(1, abs=1e-9)

    def test_values_are_those_of_scipy(self):
        losses = ordinal_anchor_loss(tensor(0.3, 0.3, 0.3), tensor(0.5, 0.5, 0.5), torch.arange(3), tensor(-1.0, 0.5))
        normal = stats.norm(0.3, math.exp(0.25))
        expected = [normal.cdf(-1), normal.cdf(0.5) - normal.cdf(-1), normal.sf(0.5)]
        torch.testing.assert_close(losses, -tensor(*expected).log())

    @given(reals, log_variances, st.sampled_from([-1, 0, 1, 2]), st.floats(1e-9, 10))
    def test_finite_gradients(self, mean, log_variance, label, width):
        values = [tensor(value, requires_grad=True) for value in (mean, log_variance)]
        thresholds = torch.tensor([0.0, width], dtype=torch.float64, requires_grad=True)
        loss = ordinal_anchor_loss(*values, torch.tensor([label]), thresholds)
        loss.sum().backward()
        assert loss.isfinite().all() and loss.item() >= -1e-6
        assert all(value.grad.isfinite().all() for value in (*values, thresholds))
        if label == -1:
            assert loss.item() == 0 and values[0].grad.item() == 0

    def test_anchors_identify_the_variance(self):
        """As often bad as good: the mean is in the middle, and how often it is fair tells the standard deviation."""
        counts, thresholds = tensor(30.0, 40.0, 30.0), tensor(-1.0, 1.0)
        mean, log_variance = tensor(0.4, requires_grad=True), tensor(1.0, requires_grad=True)
        optimizer = torch.optim.LBFGS([mean, log_variance], max_iter=100, line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            loss = counts @ ordinal_anchor_loss(mean.expand(3), log_variance.expand(3), torch.arange(3), thresholds)
            loss.backward()
            return loss

        optimizer.step(closure)
        # Phi(1/s) - Phi(-1/s) = 0.4: s = 1 / z(0.7)
        assert mean.item() == pytest.approx(0, abs=1e-4)
        assert math.exp(log_variance.item() / 2) == pytest.approx(1 / stats.norm.ppf(0.7), rel=1e-3)


@pytest.mark.parametrize("d", [-3.0, 0.0, 0.5, 2.0, 8.0])
@pytest.mark.parametrize("variance", [0.0, 0.3, 4.0, 25.0])
def test_preference_probability(d, variance):
    found = preference_probability(tensor(d), tensor(variance)).item()
    sd = math.sqrt(variance)
    exact = expit(d) if sd == 0 else integrate.quad(
        lambda x: expit(x) * stats.norm.pdf(x, d, sd), d - 9 * sd, d + 9 * sd, limit=200
    )[0]  # fmt: skip
    assert found == pytest.approx(exact, abs=0.02)
    assert (found - 0.5) * d >= 0
