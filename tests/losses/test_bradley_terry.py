import pytest
import torch

from trl_ext.losses import BradleyTerryLoss


class TestBradleyTerryLoss:
    def test_value_by_hand(self):
        # d = 2: sigma(2) = 1 / (1 + e^-2) = 1 / 1.135335 = 0.880797; -log = 0.126928
        # d = 0: sigma(0) = 1/2; -log = 0.693147
        # d = -1: sigma(-1) = 1 / (1 + e) = 0.268941; -log = 1.313262
        loss = BradleyTerryLoss()(torch.tensor([2.0, 1.5, -1.0]), torch.tensor([0.0, 1.5, 0.0]))
        torch.testing.assert_close(loss, torch.tensor([0.126928, 0.693147, 1.313262]), atol=1e-6, rtol=0)

    def test_margin_by_hand(self):
        # d - m = 2 - 1 = 1: sigma(1) = 0.731059; -log = 0.313262. A negative margin: 2 + 1 = 3: log(1 + e^-3) = 0.048587
        loss = BradleyTerryLoss()(torch.tensor([2.0, 2.0]), torch.tensor([0.0, 0.0]), margin=torch.tensor([1.0, -1.0]))
        torch.testing.assert_close(loss, torch.tensor([0.313262, 0.048587]), atol=1e-6, rtol=0)

    def test_gradient_by_hand(self):
        # d/dd -log sigma(d) = -(1 - sigma(d)) = -0.119203 at d = 2; the rejected reward gets the opposite
        chosen = torch.tensor([2.0], requires_grad=True)
        rejected = torch.tensor([0.0], requires_grad=True)
        BradleyTerryLoss()(chosen, rejected).sum().backward()
        assert chosen.grad.item() == pytest.approx(-0.119203, abs=1e-6)
        assert rejected.grad.item() == pytest.approx(0.119203, abs=1e-6)

    def test_a_far_contradicted_pair_costs_its_difference(self):
        # log(1 + e^x) = x for large x, with slope 1
        chosen = torch.tensor([-1e4], requires_grad=True)
        loss = BradleyTerryLoss()(chosen, torch.tensor([0.0]))
        loss.sum().backward()
        assert loss.item() == 1e4
        assert chosen.grad.item() == -1.0
