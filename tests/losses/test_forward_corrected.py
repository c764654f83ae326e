import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import BradleyTerryLoss, CommitmentLoss, EpsilonRAPLLoss, ForwardCorrectedLoss, SoftLabelLoss


def value_and_gradient(d, eta, label=None, dtype=torch.float32):
    chosen = torch.tensor([d], dtype=dtype, requires_grad=True)
    columns = {"eta": torch.tensor([eta], dtype=dtype)}
    if label is not None:
        columns["label"] = torch.tensor([label], dtype=dtype)
    loss = ForwardCorrectedLoss()(chosen, torch.zeros(1, dtype=dtype), **columns)
    loss.sum().backward()
    return loss.item(), chosen.grad.item()


class TestForwardCorrectedLoss:
    def test_value_by_hand(self):
        # d = 2: sigma(2) = 0.880797, sigma(-2) = 0.119203; eta = 0.5: q(2) = 0.690399, q(-2) = 0.309601
        assert value_and_gradient(2.0, 0.5)[0] == pytest.approx(0.370486, abs=1e-6)
        assert value_and_gradient(2.0, 0.5, 0.0)[0] == pytest.approx(1.172470, abs=1e-6)
        # label 0.8: 0.8 * 0.370486 + 0.2 * 1.172470 = 0.530883
        assert value_and_gradient(2.0, 0.5, 0.8)[0] == pytest.approx(0.530883, abs=1e-6)

    def test_gradient_by_hand(self):
        # q'(2) = 0.5 * 0.880797 * 0.119203 = 0.0524968; -0.8 q' / 0.690399 + 0.2 q' / 0.309601 = -0.0269178
        assert value_and_gradient(2.0, 0.5, 0.8)[1] == pytest.approx(-0.0269178, abs=1e-6)

    @pytest.mark.parametrize("d", [-1e4, -90.0, -1.0, 0.0, 1.0, 90.0, 1e4])
    @pytest.mark.parametrize("eta", [0.0, 1e-30, 0.5, 1.0])
    @pytest.mark.parametrize("label", [None, 0.0, 0.3, 1.0])
    def test_value_and_gradient_are_finite_at_the_extremes(self, d, eta, label):
        value, gradient = value_and_gradient(d, eta, label)
        assert math.isfinite(value) and math.isfinite(gradient)
        assert value >= 0

    def test_the_slope_at_the_extremes_is_right_not_only_finite(self):
        # eta = 1: Bradley–Terry, slope -1 where the label is contradicted. eta < 1: nothing pulls any more
        assert value_and_gradient(-1e4, 1.0) == (1e4, -1.0)
        assert value_and_gradient(1e4, 1.0, 0.0) == (1e4, 1.0)
        value, gradient = value_and_gradient(-1e4, 0.5)
        assert value == pytest.approx(math.log(4)) and gradient == 0
        assert value_and_gradient(3.0, 0.0, 0.7) == (pytest.approx(math.log(2)), 0.0)

    @given(d=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8), eta=st.floats(0, 1, width=32))
    def test_of_hard_labels_is_epsilon_rapl_and_commitment(self, d, eta):
        d, zeros, eta = torch.tensor(d), torch.zeros(len(d)), torch.full((len(d),), eta)
        found = ForwardCorrectedLoss()(d, zeros, eta=eta)
        assert torch.equal(found, EpsilonRAPLLoss()(d, zeros, p=eta))
        torch.testing.assert_close(found, CommitmentLoss()(d, zeros, eta=eta), rtol=1e-5, atol=1e-6)
        reversed_ = ForwardCorrectedLoss()(d, zeros, eta=eta, label=zeros)
        assert torch.equal(reversed_, ForwardCorrectedLoss()(zeros, d, eta=eta))

    @given(d=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8), label=st.floats(0, 1, width=32))
    def test_without_noise_it_is_soft_label_cross_entropy(self, d, label):
        d, zeros, label = torch.tensor(d), torch.zeros(len(d)), torch.full((len(d),), label)
        found = ForwardCorrectedLoss()(d, zeros, eta=torch.ones(len(d)), label=label)
        torch.testing.assert_close(found, SoftLabelLoss()(d, zeros, label=label), rtol=1e-6, atol=1e-6)

    @given(
        d=st.floats(-30, 30), eta=st.floats(0, 1), label=st.floats(0, 1)
    )  # in float64 the plain formula is well conditioned here
    def test_agrees_with_its_formula(self, d, eta, label):
        q = (1 + eta * math.tanh(d / 2)) / 2
        found, _ = value_and_gradient(d, eta, label, torch.float64)
        if 1e-9 < q < 1 - 1e-9:
            assert found == pytest.approx(-label * math.log(q) - (1 - label) * math.log(1 - q), rel=1e-6, abs=1e-9)

    @given(d=st.floats(-6, 6), eta=st.floats(0.05, 1))
    def test_is_stationary_where_the_reported_probability_is_matched(self, d, eta):
        # label = q(d), what an annotator reports whose true preference is sigma(d): no pull
        q = (1 + eta * math.tanh(d / 2)) / 2
        assert value_and_gradient(d, eta, q, torch.float64)[1] == pytest.approx(0, abs=1e-9)
        # and a pull back from either side
        assert value_and_gradient(d - 0.5, eta, q, torch.float64)[1] < 0
        assert value_and_gradient(d + 0.5, eta, q, torch.float64)[1] > 0

    def test_a_clean_soft_label_is_corrected_a_second_time(self):
        # the true preference is 0.7, i.e. d = 0.847298; with eta = 0.5 the minimum moves to (0.7 - 0.25) / 0.5 = 0.9
        d = math.log(9)
        assert value_and_gradient(d, 0.5, 0.7, torch.float64)[1] == pytest.approx(0, abs=1e-12)
        clean = SoftLabelLoss()
        at = torch.tensor([math.log(7 / 3)], dtype=torch.float64, requires_grad=True)
        clean(at, torch.zeros(1), label=torch.tensor([0.7], dtype=torch.float64)).sum().backward()
        assert at.grad.item() == pytest.approx(0, abs=1e-12)

    def test_every_pair_has_its_own_annotator(self):
        d, eta, label = torch.tensor([1.0, -0.5, 2.0]), torch.tensor([0.9, 0.2, 0.0]), torch.tensor([1.0, 0.25, 0.6])
        together = ForwardCorrectedLoss()(d, torch.zeros(3), eta=eta, label=label)
        for i in range(3):
            alone, _ = value_and_gradient(d[i].item(), eta[i].item(), label[i].item())
            assert together[i].item() == pytest.approx(alone, rel=1e-6)

    def test_the_best_constant_difference_is_the_true_preference(self):
        """40,000 drawn labels of one pair: the maximum of the likelihood is at the truth, that of Bradley–Terry is not."""
        generator = np.random.default_rng(0)
        n, eta, p = 40_000, 0.5, 0.9
        share = float((generator.random(n) < eta * p + (1 - eta) / 2).mean())
        d = torch.linspace(-1, 5, 6001, dtype=torch.float64)
        columns = {"label": torch.full_like(d, share)}
        corrected = ForwardCorrectedLoss()(d, torch.zeros_like(d), eta=torch.full_like(d, eta), **columns)
        plain = SoftLabelLoss()(d, torch.zeros_like(d), **columns)
        # standard error of the share: sqrt(.7 * .3 / n) = .0023, of p: twice that
        assert torch.sigmoid(d[corrected.argmin()]).item() == pytest.approx(p, abs=0.015)
        assert torch.sigmoid(d[plain.argmin()]).item() == pytest.approx(0.7, abs=0.01)

    def test_refuses_an_adversary(self):
        with pytest.raises(ValueError, match=r"'eta'.* 1 values outside \[0, 1\]; first: row 1, value -0.2"):
            ForwardCorrectedLoss()(torch.zeros(2), torch.zeros(2), eta=torch.tensor([0.5, -0.2]))

    def test_an_annotator_who_guesses_teaches_nothing(self):
        columns = {"eta": torch.zeros(3), "label": torch.tensor([0.0, 0.5, 1.0])}
        found = ForwardCorrectedLoss()(torch.tensor([5.0, 0.0, -5.0]), torch.zeros(3), **columns)
        torch.testing.assert_close(found, torch.full((3,), math.log(2)))

    def test_full_commitment_is_bradley_terry(self):
        d = torch.tensor([-1e4, -3.0, 0.0, 3.0, 1e4])
        found = ForwardCorrectedLoss()(d, torch.zeros(5), eta=torch.ones(5))
        assert torch.equal(found, BradleyTerryLoss()(d, torch.zeros(5)))
