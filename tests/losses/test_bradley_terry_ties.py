import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import BradleyTerryLoss, BradleyTerryTiesLoss


OUTCOMES = (0.0, 0.5, 1.0)


def losses(d, theta):
    """Loss of the three outcomes at one difference, in float64."""
    chosen = torch.full((3,), d, dtype=torch.float64)
    return BradleyTerryTiesLoss(theta)(chosen, torch.zeros(3, dtype=torch.float64), label=torch.tensor(OUTCOMES))


class TestBradleyTerryTiesLoss:
    def test_value_by_hand(self):
        # r = (log 2, 0), theta = 3: e^r = (2, 1)
        # win 2/(2+3) = 0.4, loss 1/(1+3*2) = 1/7, tie (9-1) * 2 / ((2+3)(3*2+1)) = 16/35; sum 14/35 + 5/35 + 16/35 = 1
        torch.testing.assert_close(
            losses(math.log(2), 3.0), -torch.log(torch.tensor([5 / 35, 16 / 35, 14 / 35], dtype=torch.float64))
        )

    def test_gradient_by_hand(self):
        # tie: -log s(d - c) - log s(-d - c) has the slope s(d + c) - s(c - d); d = log 2, c = log 3: 6/7 - 3/5 = 9/35
        chosen = torch.tensor([math.log(2)], requires_grad=True)
        BradleyTerryTiesLoss(3.0)(chosen, torch.zeros(1), label=torch.tensor([0.5])).sum().backward()
        assert chosen.grad.item() == pytest.approx(9 / 35, abs=1e-6)

    @given(d=st.floats(-30, 30), theta=st.floats(1.001, 1e6))
    def test_the_probabilities_of_the_outcomes_sum_to_one(self, d, theta):
        assert torch.exp(-losses(d, theta)).sum().item() == pytest.approx(1, abs=1e-9)

    @given(theta=st.floats(1.001, 1e6))
    def test_share_of_ties_at_equal_rewards(self, theta):
        assert math.exp(-losses(0.0, theta)[1]) == pytest.approx((theta - 1) / (theta + 1), rel=1e-6)

    @pytest.mark.parametrize("theta", [1.5, 2.0, 1e30])
    @pytest.mark.parametrize("d", [-1e4, 1e4])
    def test_extremes_have_the_slope_of_their_tails(self, d, theta):
        chosen = torch.full((3,), d, requires_grad=True)
        values = BradleyTerryTiesLoss(theta)(chosen, torch.zeros(3), label=torch.tensor(OUTCOMES))
        values.sum().backward()
        assert values.isfinite().all()
        assert chosen.grad.tolist() == ([1, 1, 0] if d > 0 else [0, -1, -1])

    @given(d=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8))
    def test_without_ties_it_is_bradley_terry(self, d):
        chosen, zeros = torch.tensor(d), torch.zeros(len(d))
        loss = BradleyTerryTiesLoss(1.0)
        assert torch.equal(loss(chosen, zeros, label=torch.ones(len(d))), BradleyTerryLoss()(chosen, zeros))
        assert torch.equal(loss(chosen, zeros, label=zeros), BradleyTerryLoss()(zeros, chosen))

    def test_refuses_probabilities(self):
        with pytest.raises(ValueError, match=r"'label' .* 1 values outside \{0, 0.5, 1\}; first: row 1, value 0.7"):
            BradleyTerryTiesLoss()(torch.zeros(2), torch.zeros(2), label=torch.tensor([1.0, 0.7]))

    def test_refuses_ties_where_there_are_none(self):
        with pytest.raises(ValueError, match=r"outside \{0, 1\}; first: row 0, value 0.5"):
            BradleyTerryTiesLoss(theta=1.0)(torch.zeros(1), torch.zeros(1), label=torch.tensor([0.5]))

    @pytest.mark.parametrize("theta", [0.99, -2.0, float("nan"), float("inf")])
    def test_refuses_a_theta_that_gives_no_probabilities(self, theta):
        with pytest.raises(ValueError, match=r"`theta` must be in \[1, inf\)"):
            BradleyTerryTiesLoss(theta)
