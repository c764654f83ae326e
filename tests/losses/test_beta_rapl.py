import pytest
import torch

from trl_ext.losses import BetaRAPLLoss


class TestBetaRAPLLoss:
    def test_value_by_hand(self):
        # d = 2, beta = 0.5: sigma(1) = 0.731059; -log = 0.313262. beta = 0: -log(1/2) = 0.693147
        # d = 2, beta = 3: sigma(6) = 1 / (1 + e^-6) = 0.997527; -log = 0.002476
        loss = BetaRAPLLoss()(
            torch.tensor([2.0, 5.0, 1.0]), torch.tensor([0.0, 3.0, -1.0]), beta=torch.tensor([0.5, 0.0, 3.0])
        )
        torch.testing.assert_close(loss, torch.tensor([0.313262, 0.693147, 0.002476]), atol=1e-6, rtol=0)

    def test_gradient_by_hand(self):
        # -beta (1 - sigma(beta d)) = -0.5 * (1 - 0.731059) = -0.134471
        chosen = torch.tensor([5.0], requires_grad=True)
        BetaRAPLLoss()(chosen, torch.tensor([3.0]), beta=torch.tensor([0.5])).sum().backward()
        assert chosen.grad.item() == pytest.approx(-0.134471, abs=1e-6)

    def test_a_far_contradicted_pair_pulls_with_beta(self):
        # log(1 + e^{-beta d}) = -beta d, slope -beta
        chosen = torch.tensor([-1e4], requires_grad=True)
        loss = BetaRAPLLoss()(chosen, torch.tensor([0.0]), beta=torch.tensor([0.5]))
        loss.sum().backward()
        assert loss.item() == 5e3
        assert chosen.grad.item() == -0.5

    def test_refuses_a_negative_beta(self):
        with pytest.raises(ValueError, match=r"'beta'.*\[0, inf\).*row 0, value -1"):
            BetaRAPLLoss()(torch.zeros(1), torch.zeros(1), beta=torch.tensor([-1.0]))
