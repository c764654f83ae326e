import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import BradleyTerryLoss, SoftLabelLoss


def value_and_gradient(d, label):
    chosen = torch.tensor([d], requires_grad=True)
    loss = SoftLabelLoss()(chosen, torch.tensor([0.0]), label=torch.tensor([label]))
    loss.sum().backward()
    return loss.item(), chosen.grad.item()


class TestSoftLabelLoss:
    def test_value_by_hand(self):
        # d = 2: -log sigma(2) = 0.126928, -log sigma(-2) = 2.126928; 0.75 * 0.126928 + 0.25 * 2.126928 = 0.626928
        loss = SoftLabelLoss()(torch.tensor([5.0, 3.0]), torch.tensor([3.0, 5.0]), label=torch.tensor([0.75, 0.25]))
        torch.testing.assert_close(loss, torch.tensor([0.626928, 0.626928]), atol=1e-6, rtol=0)

    def test_gradient_by_hand(self):
        # sigma(2) - 0.75 = 0.880797 - 0.75 = 0.130797: the model is surer than the label
        assert value_and_gradient(2.0, 0.75)[1] == pytest.approx(0.130797, abs=1e-6)

    def test_is_smallest_at_the_logit_of_the_label(self):
        # logit(0.75) = log 3 = 1.098612, where it is the entropy: -(0.75 log 0.75 + 0.25 log 0.25) = 0.562335
        value, gradient = value_and_gradient(1.0986123, 0.75)
        assert value == pytest.approx(0.562335, abs=1e-6)
        assert gradient == pytest.approx(0, abs=1e-7)

    def test_an_even_label_pulls_the_rewards_together(self):
        # sigma(1) - 0.5 = 0.231059
        assert value_and_gradient(1.0, 0.5)[1] == pytest.approx(0.231059, abs=1e-6)
        assert value_and_gradient(-1.0, 0.5)[1] == pytest.approx(-0.231059, abs=1e-6)

    def test_extremes_are_finite(self):
        # at d = 1e4 the loss is (1 - label) 1e4 with slope 1 - label; at -1e4 it is label 1e4 with slope -label
        for label in (0.0, 0.25, 1.0):
            assert value_and_gradient(1e4, label) == (1e4 * (1 - label), 1 - label)
            assert value_and_gradient(-1e4, label) == (1e4 * label, -label)

    def test_keeps_small_losses_of_a_reversed_label(self):
        # label 0, d = -20: -log sigma(20) = e^-20 = 2.0611536e-9; l(d) + d would be 0 in float32
        assert value_and_gradient(-20.0, 0.0)[0] == pytest.approx(2.0611536e-9, rel=1e-5)

    @given(d=st.floats(-1e4, 1e4, width=32), label=st.floats(0, 1, width=32))
    def test_reversing_the_label_exchanges_the_responses(self, d, label):
        chosen, zero, labels = torch.tensor([d]), torch.zeros(1), torch.tensor([label])
        labels = 1 - (1 - labels)  # a label whose reverse is a float32
        torch.testing.assert_close(
            SoftLabelLoss()(chosen, zero, label=labels), SoftLabelLoss()(zero, chosen, label=1 - labels)
        )

    @given(d=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8))
    def test_a_sure_label_is_bradley_terry(self, d):
        chosen, zeros = torch.tensor(d), torch.zeros(len(d))
        assert torch.equal(SoftLabelLoss()(chosen, zeros, label=torch.ones(len(d))), BradleyTerryLoss()(chosen, zeros))

    @pytest.mark.parametrize("label", [-0.01, 1.5])
    def test_refuses_what_is_no_probability(self, label):
        with pytest.raises(ValueError, match=rf"'label'.*\[0, 1\].*row 0, value {label}"):
            SoftLabelLoss()(torch.zeros(1), torch.zeros(1), label=torch.tensor([label]))

    def test_a_temperature_divides_the_difference(self):
        # d = 2, T = 4: d / T = 0.5: -log sigma(0.5) = 0.474077, and 0.25 * 0.5 more; slope (sigma(0.5) - 0.75) / 4
        chosen = torch.tensor([2.0], requires_grad=True)
        loss = SoftLabelLoss(temperature=4.0)(chosen, torch.zeros(1), label=torch.tensor([0.75]))
        assert loss.item() == pytest.approx(0.599077, abs=1e-6)
        assert torch.autograd.grad(loss.sum(), chosen)[0].item() == pytest.approx(-0.031885, abs=1e-6)

    @given(d=st.floats(-20, 20, width=32), temperature=st.floats(0.5, 20))
    def test_labels_of_a_temperature_are_met_at_their_own_difference(self, d, temperature):
        chosen = torch.tensor([d], requires_grad=True)
        loss = SoftLabelLoss(temperature)(chosen, torch.zeros(1), label=torch.sigmoid(chosen.detach() / temperature))
        assert torch.autograd.grad(loss.sum(), chosen)[0].item() == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
    def test_refuses_temperatures_out_of_range(self, temperature):
        with pytest.raises(ValueError, match="`temperature` must be in"):
            SoftLabelLoss(temperature)
