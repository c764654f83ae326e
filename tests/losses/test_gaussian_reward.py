"""Gaussian rewards: likelihood of pairs, and of absolute judgements."""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import erfcx, expit

from trl_ext.losses import GaussianRewardLoss
from trl_ext.losses.gaussian_reward import ordinal_anchor_loss, preference_probability
from trl_ext.losses.normal_cdf import log_normal_cdf


reals = st.floats(-1e4, 1e4)
log_variances = st.floats(-20, 20)


def tensor(*values, **kwargs):
    return torch.tensor(values, dtype=torch.float64, **kwargs)


def normal_ratio(z: float) -> float:
    """phi(z) / Phi(z)."""
    return math.sqrt(2 / math.pi) / erfcx(-z / math.sqrt(2))


class TestGaussianRewardLoss:
    def test_value_by_hand(self):
        # d = 1, s_c^2 + s_r^2 = 0.5 + 1.5 = 2: z = 0.7071, Phi = 0.76025, -log = 0.27411
        loss = GaussianRewardLoss()(
            torch.tensor([1.0]), torch.tensor([0.0]),
            log_variance_chosen=torch.tensor([0.5]).log(), log_variance_rejected=torch.tensor([1.5]).log(),
        )  # fmt: skip
        torch.testing.assert_close(loss, torch.tensor([-math.log(stats.norm.cdf(1 / math.sqrt(2)))]))

    @given(reals, log_variances, log_variances)
    @example(d=-15.75, chosen=-16.6875, rejected=-17.703125)
    @example(d=-1e4, chosen=math.log(0.5), rejected=math.log(0.5))
    @example(d=-1e4, chosen=-20.0, rejected=-20.0)
    def test_gradients_in_float32(self, d, chosen, rejected):
        values = [torch.tensor([value], requires_grad=True) for value in (d, 0.0, chosen, rejected)]
        loss = GaussianRewardLoss()(*values[:2], log_variance_chosen=values[2], log_variance_rejected=values[3])
        loss.sum().backward()
        assert loss.isfinite().all()
        of_d, chosen, rejected = (value.item() for value in (values[0].detach(), *values[2:]))  # as rounded to float32
        sd = math.sqrt(math.exp(chosen) + math.exp(rejected))
        slope = -normal_ratio(of_d / sd)
        expected = [slope / sd, -slope / sd, *(-slope * of_d * math.exp(v) / (2 * sd**3) for v in (chosen, rejected))]
        # phi(z) of large z has the relative rounding error of z times z^2
        slack = 2e-5 if of_d <= 0 else 2e-5 + 2e-6 * (of_d / sd) ** 2
        for value, right in zip(values, expected, strict=True):
            assert value.grad.item() == pytest.approx(right, rel=slack, abs=1e-30)

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_slope_of_log_normal_cdf(dtype):
    """Also where it is thousands of standard deviations away: the worst pairs are those that have most to teach."""
    z = torch.tensor([-1e18, -1e9, -1e5, -1e3, -364.0, -20.0, -1.0, 0.0, 1.0, 5.0], dtype=dtype, requires_grad=True)
    value = log_normal_cdf(z)
    value.sum().backward()
    expected = torch.tensor([normal_ratio(x) for x in z.tolist()], dtype=dtype)
    torch.testing.assert_close(z.grad, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(value.detach(), torch.special.log_ndtr(z.detach()), rtol=0, atol=0)


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

    @given(reals, log_variances, st.sampled_from([0, 2]))
    @example(mean=1e4, log_variance=-20.0, label=0)
    def test_gradients_in_float32(self, mean, log_variance, label):
        values = [torch.tensor([value], requires_grad=True) for value in (mean, log_variance)]
        ordinal_anchor_loss(*values, torch.tensor([label]), tensor(-1.0, 1.0)).sum().backward()
        mean, log_variance = (value.item() for value in values)
        scale = math.exp(-log_variance / 2)
        z = (-1 - mean) * scale if label == 0 else (mean - 1) * scale
        slope = -normal_ratio(z)
        expected = [-slope * scale if label == 0 else slope * scale, -slope * z / 2]
        for value, right in zip(values, expected, strict=True):
            assert value.grad.item() == pytest.approx(right, rel=1e-5, abs=1e-30)

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
