import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import HingeLoss


def value_and_gradient(d, label, margin=1.0):
    chosen = torch.tensor([d], requires_grad=True)
    loss = HingeLoss(margin)(chosen, torch.tensor([0.0]), label=torch.tensor([label]))
    loss.sum().backward()
    return loss.item(), chosen.grad.item()


class TestHingeLoss:
    def test_value_by_hand(self):
        # margin 2, d = 0.4: 0.75 * (1 - 0.4) + 0.25 * (1 + 0.4) = 0.8; d = 3: 0.25 * (1 + 3) = 1
        assert value_and_gradient(0.4, 0.75, margin=2.0)[0] == pytest.approx(0.8, abs=1e-6)
        assert value_and_gradient(3.0, 0.75, margin=2.0)[0] == pytest.approx(1.0, abs=1e-6)

    def test_a_sure_label_is_satisfied_by_half_the_margin(self):
        assert value_and_gradient(0.4, 1.0) == (pytest.approx(0.1), -1)
        assert value_and_gradient(0.6, 1.0) == (0, 0)
        assert value_and_gradient(-0.6, 0.0) == (0, 0)

    @given(label=st.floats(0, 1, width=32), margin=st.floats(0.125, 64))
    def test_is_linear_between_the_hinges(self, label, margin):
        # slope of label (m/2 - d) + (1 - label) (m/2 + d) is 1 - 2 label
        assert value_and_gradient(0.4 * margin, label, margin)[1] == pytest.approx(1 - 2 * label, abs=1e-6)
        assert value_and_gradient(-0.4 * margin, label, margin)[1] == pytest.approx(1 - 2 * label, abs=1e-6)

    @given(label=st.floats(0, 1, width=32), d=st.floats(-10, 10, width=32))
    def test_is_smallest_at_half_the_margin_on_the_more_probable_side(self, label, d):
        smallest = value_and_gradient(0.5 if label >= 0.5 else -0.5, label)[0]
        assert value_and_gradient(d, label)[0] >= smallest - 1e-6

    def test_extremes_are_finite(self):
        assert value_and_gradient(1e4, 0.25) == (0.75 * 10000.5, 0.75)
        assert value_and_gradient(-1e4, 0.25) == (0.25 * 10000.5, -0.25)

    @pytest.mark.parametrize("margin", [0.0, -1.0, float("nan"), float("inf")])
    def test_refuses_no_margin(self, margin):
        with pytest.raises(ValueError, match=r"`margin` must be positive"):
            HingeLoss(margin)

    def test_the_config_rebuilds_it(self):
        assert HingeLoss(**HingeLoss(0.3).get_config_dict()).margin == 0.3
