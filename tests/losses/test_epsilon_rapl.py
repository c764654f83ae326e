import math

import pytest
import torch

from trl_ext.losses import EpsilonRAPLLoss


def value_and_gradient(d, p):
    chosen = torch.tensor([d], requires_grad=True)
    loss = EpsilonRAPLLoss()(chosen, torch.tensor([0.0]), p=torch.tensor([p]))
    loss.sum().backward()
    return loss.item(), chosen.grad.item()


class TestEpsilonRAPLLoss:
    def test_value_by_hand(self):
        # d = 2: sigma(d) = 0.880797; p = 0.5: 0.5 * 0.880797 + 0.25 = 0.690399; -log = 0.370486
        # d = -2: sigma(d) = 0.119203; p = 0.5: 0.5 * 0.119203 + 0.25 = 0.309601; -log = 1.172470
        loss = EpsilonRAPLLoss()(torch.tensor([5.0, -1.0]), torch.tensor([3.0, 1.0]), p=torch.tensor([0.5, 0.5]))
        torch.testing.assert_close(loss, torch.tensor([0.370486, 1.172470]), atol=1e-6, rtol=0)

    def test_gradient_by_hand(self):
        # -p sigma (1 - sigma) / (p sigma + (1 - p) / 2) = -0.5 * 0.880797 * 0.119203 / 0.690399 = -0.076039
        assert value_and_gradient(2.0, 0.5)[1] == pytest.approx(-0.076039, abs=1e-6)

    def test_a_far_contradicted_pair_stops_pulling(self):
        # sigma -> 0: -log((1 - p) / 2) = -log(0.25) = 1.386294, slope 0. The form of the original code gives NaN here
        value, gradient = value_and_gradient(-1e4, 0.5)
        assert value == pytest.approx(1.386294, abs=1e-6)
        assert gradient == 0.0

    @pytest.mark.parametrize("d", [-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4])
    def test_a_pure_guess_carries_no_information(self, d):
        value, gradient = value_and_gradient(d, 0.0)
        assert value == pytest.approx(math.log(2), abs=1e-7)
        assert gradient == 0.0

    @pytest.mark.parametrize("d", [-1e4, -100.0])
    def test_a_fully_believed_contradicted_pair_costs_its_difference(self, d):
        # p = 1 is Bradley–Terry: log(1 + e^-d) = -d, slope -1
        assert value_and_gradient(d, 1.0) == (-d, -1.0)

    def test_the_annotator_model_gives_the_same_likelihood(self):
        # eta = 0.7, P(prefer chosen) = sigma(1) = 0.731059: 0.7 * 0.731059 + 0.15 = 0.661741; -log = 0.412881
        assert value_and_gradient(1.0, 0.7)[0] == pytest.approx(0.412881, abs=1e-6)

    @pytest.mark.parametrize("p", [-0.01, 1.2])
    def test_refuses_raw_scores(self, p):
        with pytest.raises(ValueError, match=rf"'p'.*\[0, 1\].*row 0, value {p}"):
            EpsilonRAPLLoss()(torch.zeros(1), torch.zeros(1), p=torch.tensor([p]))

    def test_gradient_with_respect_to_p_inside_the_interval(self):
        # -(sigma(2) - 1/2) / q = -0.380797 / 0.690399 = -0.551561, for those who learn p
        p = torch.tensor([0.5], requires_grad=True)
        EpsilonRAPLLoss()(torch.tensor([2.0]), torch.tensor([0.0]), p=p).sum().backward()
        assert p.grad.item() == pytest.approx(-0.551561, abs=1e-6)
