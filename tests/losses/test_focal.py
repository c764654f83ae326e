import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import BradleyTerryLoss, FocalLoss, SoftLabelLoss


def value_and_gradient(d, label, gamma=2.0):
    chosen = torch.tensor([d], requires_grad=True)
    loss = FocalLoss(gamma)(chosen, torch.tensor([0.0]), label=torch.tensor([label]))
    loss.sum().backward()
    return loss.item(), chosen.grad.item()


class TestFocalLoss:
    def test_value_by_hand(self):
        # d = 2: s = 0.880797, -log s = 0.126928, -log(1 - s) = 2.126928
        # (1 - s)^2 = 0.0142094, times 0.126928 = 0.00180357; s^2 = 0.775803, times 2.126928 = 1.650078
        assert value_and_gradient(2.0, 1.0)[0] == pytest.approx(0.00180357, abs=1e-7)
        assert value_and_gradient(2.0, 0.0)[0] == pytest.approx(1.650078, abs=1e-5)
        assert value_and_gradient(2.0, 0.75)[0] == pytest.approx(0.75 * 0.00180357 + 0.25 * 1.650078, abs=1e-5)

    def test_gradient_by_hand(self):
        # d/dd of -(1-s)^2 log s = (1-s)^2 [2 s log s - (1-s)]; at d = 0: 0.25 [log 0.5 - 0.5] = -0.298287
        assert value_and_gradient(0.0, 1.0)[1] == pytest.approx(-0.298287, abs=1e-6)

    @given(d=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8), label=st.floats(0, 1, width=32))
    def test_without_gamma_it_is_bradley_terry(self, d, label):
        chosen, zeros, labels = torch.tensor(d), torch.zeros(len(d)), torch.full((len(d),), label)
        loss = FocalLoss(0.0)
        torch.testing.assert_close(loss(chosen, zeros), BradleyTerryLoss()(chosen, zeros))
        torch.testing.assert_close(loss(chosen, zeros, label=labels), SoftLabelLoss()(chosen, zeros, label=labels))

    @given(d=st.floats(-50, 50, width=32), label=st.floats(0, 1, width=32), gamma=st.floats(0, 8))
    def test_never_exceeds_the_unweighted_loss(self, d, label, gamma):
        assert value_and_gradient(d, label, gamma)[0] <= value_and_gradient(d, label, 0.0)[0] * (1 + 1e-6)

    @pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
    def test_extremes_are_finite(self, gamma):
        assert value_and_gradient(1e4, 1.0, gamma) == (0, 0)
        assert value_and_gradient(-1e4, 1.0, gamma) == (1e4, -1)
        assert value_and_gradient(1e4, 0.25, gamma) == (7500, 0.75)

    def test_leaves_the_model_less_sure_than_a_soft_label(self):
        d = torch.linspace(-6, 6, 12001)
        values = FocalLoss()(d, torch.zeros_like(d), label=torch.full_like(d, 0.9))
        assert torch.sigmoid(d[values.argmin()]).item() == pytest.approx(0.694, abs=2e-3)

    @pytest.mark.parametrize("gamma", [-0.1, float("nan"), float("inf")])
    def test_refuses_a_negative_gamma(self, gamma):
        with pytest.raises(ValueError, match=r"`gamma` must be in \[0, inf\)"):
            FocalLoss(gamma)
