import torch

from trl_ext.losses import MarginRAPLLoss


class TestMarginRAPLLoss:
    def test_value_by_hand(self):
        # d - m = 2 - 1 = 1: log(1 + e^-1) = 0.313262. d - m = 0 - 0.5: log(1 + e^0.5) = 0.974077
        loss = MarginRAPLLoss()(torch.tensor([5.0, 3.0]), torch.tensor([3.0, 3.0]), margin=torch.tensor([1.0, 0.5]))
        torch.testing.assert_close(loss, torch.tensor([0.313262, 0.974077]), atol=1e-6, rtol=0)

    def test_a_larger_margin_pulls_harder(self):
        # slope -(1 - sigma(d - m)): at d = 1, m = 0: -0.268941; m = 1: -0.5
        chosen = torch.tensor([1.0, 1.0], requires_grad=True)
        MarginRAPLLoss()(chosen, torch.zeros(2), margin=torch.tensor([0.0, 1.0])).sum().backward()
        torch.testing.assert_close(chosen.grad, torch.tensor([-0.268941, -0.5]), atol=1e-6, rtol=0)
