import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import BradleyTerryLoss, LabelSmoothingLoss, SoftLabelLoss


def value_and_gradient(d, epsilon):
    chosen = torch.tensor([d], requires_grad=True)
    loss = LabelSmoothingLoss(epsilon)(chosen, torch.tensor([0.0]))
    loss.sum().backward()
    return loss.item(), chosen.grad.item()


class TestLabelSmoothingLoss:
    def test_value_by_hand(self):
        # d = 2: 0.9 * 0.126928 + 0.1 * 2.126928 = 0.326928; d = -2: 0.9 * 2.126928 + 0.1 * 0.126928 = 1.926928
        assert value_and_gradient(2.0, 0.1)[0] == pytest.approx(0.326928, abs=1e-6)
        assert value_and_gradient(-2.0, 0.1)[0] == pytest.approx(1.926928, abs=1e-6)

    def test_gradient_by_hand(self):
        # -(1 - epsilon) sigma(-d) + epsilon sigma(d) = -0.9 * 0.119203 + 0.1 * 0.880797 = -0.019203
        assert value_and_gradient(2.0, 0.1)[1] == pytest.approx(-0.019203, abs=1e-6)

    def test_rewards_stop_growing_at_the_logit(self):
        # log(0.9 / 0.1) = 2.197225
        assert value_and_gradient(2.197225, 0.1)[1] == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize("epsilon", [0.0, 0.25])
    def test_extremes_are_finite(self, epsilon):
        assert value_and_gradient(1e4, epsilon) == (1e4 * epsilon, epsilon)
        assert value_and_gradient(-1e4, epsilon) == (1e4 * (1 - epsilon), epsilon - 1)

    @given(d=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8), epsilon=st.floats(0, 0.49))
    def test_is_a_constant_soft_label(self, d, epsilon):
        chosen, zeros = torch.tensor(d, dtype=torch.float64), torch.zeros(len(d), dtype=torch.float64)
        label = torch.full((len(d),), 1 - epsilon, dtype=torch.float64)
        torch.testing.assert_close(
            LabelSmoothingLoss(epsilon)(chosen, zeros), SoftLabelLoss()(chosen, zeros, label=label)
        )

    @given(d=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8))
    def test_without_smoothing_it_is_bradley_terry(self, d):
        chosen, zeros = torch.tensor(d), torch.zeros(len(d))
        assert torch.equal(LabelSmoothingLoss(0.0)(chosen, zeros), BradleyTerryLoss()(chosen, zeros))

    @pytest.mark.parametrize("epsilon", [-0.1, 0.5, 0.9, float("nan")])
    def test_refuses_labels_that_say_nothing(self, epsilon):
        with pytest.raises(ValueError, match=r"`epsilon` must be in \[0, 0.5\)"):
            LabelSmoothingLoss(epsilon)

    def test_the_config_rebuilds_it(self):
        assert LabelSmoothingLoss(**LabelSmoothingLoss(0.3).get_config_dict()).epsilon == 0.3
