import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import BradleyTerryLoss, BradleyTerryTiesLoss, OrdinalLoss


THREE, FIVE = (0.0, 0.5, 1.0), (0.0, 0.2, 0.5, 0.8, 1.0)
thresholds_of_five = st.tuples(st.floats(0.01, 5), st.floats(0.01, 5)).map(lambda gaps: (gaps[0], sum(gaps)))


def losses(d, loss, levels):
    """Loss of all levels at one difference, in float64."""
    chosen = torch.full((len(levels),), d, dtype=torch.float64)
    return loss(chosen, torch.zeros_like(chosen), label=torch.tensor(levels, dtype=torch.float64))


class TestOrdinalLoss:
    def test_value_by_hand(self):
        # d = 0, thresholds -2, -0.5, 0.5, 2: s(-2) = 0.119203, s(-0.5) = 0.377541
        # levels: 0.119203, 0.377541 - 0.119203 = 0.258338, 0.622459 - 0.377541 = 0.244919, and the same backwards
        expected = torch.tensor([0.119203, 0.258338, 0.244919, 0.258338, 0.119203], dtype=torch.float64)
        found = losses(0.0, OrdinalLoss(FIVE, (0.5, 2.0)), FIVE)
        torch.testing.assert_close(torch.exp(-found), expected, atol=1e-6, rtol=0)

    def test_default_thresholds_by_hand(self):
        # logit of (0.5 + 1) / 2 = 0.75: log 3; logits of (0.5 + 0.8) / 2 = 0.65 and (0.8 + 1) / 2 = 0.9
        assert OrdinalLoss().thresholds == pytest.approx([math.log(3)])
        assert OrdinalLoss(FIVE).thresholds == pytest.approx([math.log(0.65 / 0.35), math.log(9)])
        assert OrdinalLoss((0.0, 1.0)).thresholds == ()

    @given(d=st.floats(-30, 30), thresholds=thresholds_of_five)
    def test_the_probabilities_of_the_levels_sum_to_one(self, d, thresholds):
        assert torch.exp(-losses(d, OrdinalLoss(FIVE, thresholds), FIVE)).sum().item() == pytest.approx(1, abs=1e-9)
        assert torch.exp(-losses(d, OrdinalLoss(THREE, thresholds[:1]), THREE)).sum().item() == pytest.approx(
            1, abs=1e-9
        )

    @given(d=st.floats(-8, 8), thresholds=thresholds_of_five)
    def test_cumulative_probabilities_are_proportional_odds(self, d, thresholds):
        at_most = torch.exp(-losses(d, OrdinalLoss(FIVE, thresholds), FIVE)).cumsum(0)[:-1]
        cuts = torch.tensor([-thresholds[1], -thresholds[0], *thresholds], dtype=torch.float64)
        torch.testing.assert_close(at_most, torch.sigmoid(cuts - d))

    @given(d=st.floats(-50, 50), theta=st.floats(1.01, 1e4))
    def test_three_levels_are_bradley_terry_with_ties(self, d, theta):
        torch.testing.assert_close(
            losses(d, OrdinalLoss(thresholds=[math.log(theta)]), THREE),
            losses(d, BradleyTerryTiesLoss(theta), THREE),
            rtol=1e-9,
            atol=1e-9,
        )

    @given(d=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8))
    def test_two_levels_are_bradley_terry(self, d):
        chosen, zeros = torch.tensor(d), torch.zeros(len(d))
        loss = OrdinalLoss((0.0, 1.0))
        torch.testing.assert_close(loss(chosen, zeros, label=torch.ones(len(d))), BradleyTerryLoss()(chosen, zeros))
        torch.testing.assert_close(loss(chosen, zeros, label=zeros), BradleyTerryLoss()(zeros, chosen))

    def test_a_level_in_the_middle_pulls_into_its_interval(self):
        chosen = torch.tensor([0.0, 1.0, 1.25, 3.0], requires_grad=True)
        loss = OrdinalLoss(FIVE, (0.5, 2.0))(chosen, torch.zeros(4), label=torch.full((4,), 0.8))
        loss.sum().backward()
        slopes = chosen.grad.tolist()
        # the slope at the middle of the interval, 1.25, is 0
        assert slopes[0] < slopes[1] < 0 < slopes[3]
        assert slopes[2] == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize("levels", [THREE, FIVE])
    @pytest.mark.parametrize("d", [-1e4, 1e4])
    def test_extremes_have_the_slope_of_their_tails(self, d, levels):
        chosen = torch.full((len(levels),), d, requires_grad=True)
        values = OrdinalLoss(levels)(chosen, torch.zeros_like(chosen), label=torch.tensor(levels))
        values.sum().backward()
        assert values.isfinite().all()
        tail = [1.0] * (len(levels) - 1)
        assert chosen.grad.tolist() == ([*tail, 0.0] if d > 0 else [0.0, *(-slope for slope in tail)])

    def test_takes_labels_in_the_precision_of_bfloat16(self):
        labels = torch.tensor(FIVE)
        chosen, loss = torch.zeros(5), OrdinalLoss(FIVE)
        found = loss(chosen, chosen, label=labels.bfloat16())
        assert torch.equal(found, loss(chosen, chosen, label=labels))

    def test_refuses_a_label_between_the_levels(self):
        with pytest.raises(ValueError, match=r"outside \{0, 0.2, 0.5, 0.8, 1\}; first: row 1, value 0.6"):
            OrdinalLoss(FIVE)(torch.zeros(2), torch.zeros(2), label=torch.tensor([0.2, 0.6]))

    @pytest.mark.parametrize("levels", [(), (0.5,), (0.0, 0.4, 1.0), (0.0, 0.0, 1.0), (1.0, 0.5, 0.0), (-1.0, 2.0)])
    def test_refuses_levels_that_are_no_scale(self, levels):
        with pytest.raises(ValueError, match="`levels` must be at least two numbers in"):
            OrdinalLoss(levels)

    @pytest.mark.parametrize(
        "thresholds", [(), (0.5,), (2.0, 0.5), (0.0, 1.0), (0.5, math.inf), (0.5, math.nan), (-1, 1)]
    )
    def test_refuses_thresholds_that_divide_nothing(self, thresholds):
        with pytest.raises(ValueError, match="`thresholds` must be 2 positive, finite and ascending numbers"):
            OrdinalLoss(FIVE, thresholds)

    def test_the_config_rebuilds_it(self):
        loss = OrdinalLoss(FIVE, (0.5, 2.0))
        assert OrdinalLoss(**loss.get_config_dict()).get_config_dict() == loss.get_config_dict()
