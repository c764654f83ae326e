"""The scale of rewards before training: a pooled variance, and settings that leave the objective what it was."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from trl_ext.losses import RewardScale, WinRateMatchingLoss, WithinSourceAnchorLoss


GROUPS = np.arange(30) % 3


def differences(seed=0):
    return np.random.default_rng(seed).normal(size=30)


class TestVariance:
    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 100), factor=st.floats(1e-4, 1e4), shifts=st.tuples(*[st.floats(-5, 5)] * 3))
    def test_follows_the_unit_and_not_the_means(self, seed, factor, shifts):
        moved = factor * (differences(seed) + np.array(shifts)[GROUPS])
        expected = np.mean([differences(seed)[GROUPS == group].var(ddof=1) for group in range(3)])
        assert RewardScale.of(moved, GROUPS).variance == pytest.approx(factor**2 * expected, rel=1e-9)

    def test_a_group_that_is_turned_round_is_as_wide(self):
        turned = np.where(GROUPS == 1, -1, 1) * differences()
        assert RewardScale.of(turned, GROUPS).variance == pytest.approx(RewardScale.of(differences(), GROUPS).variance)

    def test_weights_are_those_of_the_anchor(self):
        weight = np.random.default_rng(1).random(30)
        weight[:3] = 0
        columns = (torch.tensor(differences()), torch.zeros(30), torch.tensor(GROUPS), 3)
        expected = WithinSourceAnchorLoss()(*columns, weight=torch.tensor(weight)).value.item()
        assert RewardScale.of(differences(), GROUPS, weight).variance == pytest.approx(expected)

    @pytest.mark.parametrize(
        "values, weight, message",
        [
            ([2.0, 2.0, 5.0, 5.0], None, "no scale.*4 pairs in 2 pairs of models.*variance 0.*anchor_coefficient=0"),
            ([2.0, 3.0, 5.0, 6.0], [1, 0, 1, 0], "no scale.*2 pairs in 2 pairs of models"),
            ([1e4, 1e4 + 1e-3, 0.0, 0.0], None, "no scale"),  # below what float32 rewards resolve
            ([2.0, np.nan, 5.0, 6.0], None, "not finite.*first: number 1, value nan"),
            ([[2.0], [3.0], [5.0], [6.0]], None, "differences must be of shape"),
        ],
    )
    def test_refuses_what_has_no_scale(self, values, weight, message):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            RewardScale.of(values, [0, 0, 1, 1], weight)

    def test_the_docstring_example_runs(self):
        assert not failed_examples(RewardScale)


@pytest.mark.parametrize("factor", [0.05, 8.0])
def test_the_objective_is_free_of_the_unit_and_its_gradient_divided_by_it(factor):
    frozen, change = differences(0), 0.3 * differences(1)
    groups, targets = torch.tensor(GROUPS), torch.tensor([0.3, 0.5, 0.8])

    def objective(unit):
        scale = RewardScale.of(unit * frozen, GROUPS)
        rewards = torch.tensor(unit * (frozen + change), requires_grad=True)
        matching = WinRateMatchingLoss(scale.temperature)(rewards, groups, targets)
        anchor = WithinSourceAnchorLoss()(rewards, torch.tensor(unit * frozen), groups, 3)
        value = matching.loss + scale.anchor_weight(0.02) * anchor.loss
        value.backward()
        return value.detach(), unit * rewards.grad, matching.statistics

    for scaled, plain in zip(objective(factor), objective(1.0), strict=True):
        torch.testing.assert_close(scaled, plain, rtol=1e-9, atol=1e-12)
