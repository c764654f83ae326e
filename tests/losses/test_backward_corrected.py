import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import BackwardCorrectedLoss, BradleyTerryLoss


def value_and_gradient(d, eta, dtype=torch.float32):
    chosen = torch.tensor([d], dtype=dtype, requires_grad=True)
    loss = BackwardCorrectedLoss()(chosen, torch.zeros(1, dtype=dtype), eta=torch.tensor([eta], dtype=dtype))
    loss.sum().backward()
    return loss.item(), chosen.grad.item()


class TestBackwardCorrectedLoss:
    def test_value_by_hand(self):
        # eta = 0.5: epsilon = 0.25. d = 2: (0.75 * 0.126928 - 0.25 * 2.126928) / 0.5 = -0.873072
        # d = -2: (0.75 * 2.126928 - 0.25 * 0.126928) / 0.5 = 3.126928
        assert value_and_gradient(2.0, 0.5)[0] == pytest.approx(-0.873072, abs=1e-6)
        assert value_and_gradient(-2.0, 0.5)[0] == pytest.approx(3.126928, abs=1e-6)

    def test_gradient_by_hand(self):
        # -(0.75 sigma(-2) + 0.25 sigma(2)) / 0.5 = -(0.75 * 0.119203 + 0.25 * 0.880797) / 0.5 = -0.619203
        assert value_and_gradient(2.0, 0.5)[1] == pytest.approx(-0.619203, abs=1e-6)

    def test_a_pair_pulls_one_over_eta_times_as_much_at_equal_rewards(self):
        # Bradley–Terry: -1/2; here -1 / (2 * 0.2) = -2.5
        assert value_and_gradient(0.0, 0.2)[1] == pytest.approx(-2.5)

    def test_has_no_lower_bound(self):
        # (1 - eta) / (2 eta) = 0.5 at eta = 0.5: the loss falls by half the difference, with slope -0.5, for ever
        assert value_and_gradient(1e4, 0.5) == (-5e3, -0.5)

    @pytest.mark.parametrize("eta", [0.01, 0.5, 1.0])
    @pytest.mark.parametrize("d", [-1e4, 1e4])
    def test_extremes_are_finite(self, d, eta):
        value, gradient = value_and_gradient(d, eta)
        slope = -(1 - eta) / (2 * eta)
        assert value == pytest.approx(slope * d + max(-d, 0), rel=1e-5)
        assert gradient == pytest.approx(slope - (d < 0), rel=1e-5)

    @given(d=st.floats(-30, 30), eta=st.floats(0.01, 1))
    def test_is_unbiased(self, d, eta):
        # The true label is drawn against the responses as they are: right with probability (1 + eta) / 2, else reversed
        right, _ = value_and_gradient(d, eta, torch.float64)
        reversed_, _ = value_and_gradient(-d, eta, torch.float64)
        expectation = (1 + eta) / 2 * right + (1 - eta) / 2 * reversed_
        clean = BradleyTerryLoss()(torch.tensor([d], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)).item()
        assert expectation == pytest.approx(clean, abs=1e-10 / eta)

    def test_the_gradient_is_unbiased(self):
        # eta = 0.4: 0.7 * g(1.5) - 0.3 * g(-1.5) = -sigma(-1.5) = -0.182426
        gradient = 0.7 * value_and_gradient(1.5, 0.4)[1] - 0.3 * value_and_gradient(-1.5, 0.4)[1]
        assert gradient == pytest.approx(-0.182426, abs=1e-6)

    def test_the_mean_over_drawn_labels_is_the_clean_loss(self):
        generator = np.random.default_rng(0)
        n, eta = 40_000, 0.4
        d = torch.from_numpy(generator.normal(1.0, 1.0, n))
        sign = torch.from_numpy(np.where(generator.random(n) < (1 + eta) / 2, 1.0, -1.0))
        zeros = torch.zeros(n, dtype=torch.float64)
        noisy = BackwardCorrectedLoss()(sign * d, zeros, eta=torch.full((n,), eta, dtype=torch.float64))
        difference = noisy - BradleyTerryLoss()(d, zeros)
        standard_error = difference.std().item() / np.sqrt(n)
        assert abs(difference.mean().item()) < 4 * standard_error
        # uncorrected, the noise shows: many standard errors away
        assert (BradleyTerryLoss()(sign * d, zeros) - BradleyTerryLoss()(d, zeros)).mean() > 20 * standard_error

    @given(d=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8))
    def test_without_noise_it_is_bradley_terry(self, d):
        chosen, zeros = torch.tensor(d), torch.zeros(len(d))
        corrected = BackwardCorrectedLoss()(chosen, zeros, eta=torch.ones(len(d)))
        assert torch.equal(corrected, BradleyTerryLoss()(chosen, zeros))

    @given(d=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8), eta=st.floats(0.0625, 1, width=32))
    def test_falls_with_the_difference(self, d, eta):
        chosen = torch.tensor(sorted(d), requires_grad=True)
        values = BackwardCorrectedLoss()(chosen, torch.zeros(len(d)), eta=torch.full((len(d),), eta))
        (gradient,) = torch.autograd.grad(values.sum(), chosen)
        assert values.isfinite().all() and gradient.isfinite().all()
        assert (gradient <= 0).all()

    def test_a_small_eta_is_an_error_not_clipped(self):
        eta = torch.tensor([0.5, 0.009, 0.0])
        with pytest.raises(ValueError, match=r"'eta'.* 2 values outside \[0.01, 1\]; first: row 1, value 0.009"):
            BackwardCorrectedLoss()(torch.zeros(3), torch.zeros(3), eta=eta)
        # the floor is a choice
        assert BackwardCorrectedLoss(min_eta=0.005)(torch.zeros(1), torch.zeros(1), eta=eta[1:2]).isfinite().all()

    def test_the_floor_itself_is_accepted_in_every_precision(self):
        for dtype in (torch.float32, torch.float64):
            eta = torch.tensor([2 * 0.505 - 1], dtype=torch.float64)
            assert BackwardCorrectedLoss()(torch.zeros(1, dtype=dtype), torch.zeros(1), eta=eta).isfinite().all()

    @pytest.mark.parametrize("min_eta", [0.0, -0.1, 1.5])
    def test_a_coin_flip_can_not_be_corrected(self, min_eta):
        with pytest.raises(ValueError, match=r"`min_eta` must be in \(0, 1\]"):
            BackwardCorrectedLoss(min_eta)

    def test_the_floor_of_one_loss_is_not_that_of_another(self):
        assert BackwardCorrectedLoss(0.5).columns == {"eta": (0.5, 1.0)}
        assert BackwardCorrectedLoss().columns == {"eta": (0.01, 1.0)}
