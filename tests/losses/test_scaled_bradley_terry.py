import pytest
import torch

from trl_ext.losses import ScaledBradleyTerryLoss


class TestScaledBradleyTerryLoss:
    def test_value_by_hand(self):
        # d = 2: -log sigma(2) = 0.126928; m = 3: 0.380784. d = -1: 1.313262; m = 0.5: 0.656631. m = 0: nothing
        loss = ScaledBradleyTerryLoss()(
            torch.tensor([5.0, 2.0, 5.0]), torch.tensor([3.0, 3.0, 0.0]), margin=torch.tensor([3.0, 0.5, 0.0])
        )
        torch.testing.assert_close(loss, torch.tensor([0.380784, 0.656631, 0.0]), atol=1e-6, rtol=0)

    def test_gradient_by_hand(self):
        # -m (1 - sigma(d)) = -3 * 0.119203 = -0.357609
        chosen = torch.tensor([2.0], requires_grad=True)
        ScaledBradleyTerryLoss()(chosen, torch.tensor([0.0]), margin=torch.tensor([3.0])).sum().backward()
        assert chosen.grad.item() == pytest.approx(-0.357609, abs=1e-6)

    def test_refuses_a_negative_margin(self):
        with pytest.raises(ValueError, match=r"'margin'.*\[0, inf\).*row 0, value -1"):
            ScaledBradleyTerryLoss()(torch.zeros(1), torch.zeros(1), margin=torch.tensor([-1.0]))
