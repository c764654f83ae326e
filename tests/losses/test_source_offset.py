import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import MarginRAPLLoss, SoftLabelLoss, SourceOffsetLoss


class TestSourceOffsetLoss:
    def test_value_by_hand(self):
        # d + offset = 2 - 1 = 1: -log sigma(1) = 0.313262; label 0.25: 0.313262 + 0.75 * 1 = 1.063262
        chosen, rejected, offset = torch.tensor([2.0]), torch.tensor([0.0]), torch.tensor([-1.0])
        assert SourceOffsetLoss()(chosen, rejected, offset=offset).item() == pytest.approx(0.313262, abs=1e-6)
        found = SourceOffsetLoss()(chosen, rejected, offset=offset, label=torch.tensor([0.25])).item()
        assert found == pytest.approx(1.063262, abs=1e-6)

    @given(d=st.floats(-1e4, 1e4, width=32), label=st.floats(0, 1, width=32))
    def test_without_offset_it_is_the_soft_label(self, d, label):
        chosen, zero, labels = torch.tensor([d]), torch.zeros(1), torch.tensor([label])
        found = SourceOffsetLoss()(chosen, zero, offset=zero, label=labels)
        assert torch.equal(found, SoftLabelLoss()(chosen, zero, label=labels))

    @given(d=st.floats(-1e4, 1e4, width=32), offset=st.floats(-1e4, 1e4, width=32))
    def test_the_offset_is_a_margin_of_the_other_sign(self, d, offset):
        chosen, zero, offsets = torch.tensor([d]), torch.zeros(1), torch.tensor([offset])
        found = SourceOffsetLoss()(chosen, zero, offset=offsets)
        assert torch.equal(found, MarginRAPLLoss()(chosen, zero, margin=-offsets))

    @given(d=st.floats(-1e4, 1e4, width=32), label=st.floats(0, 1, width=32))
    def test_offsets_learn_as_the_rewards_do(self, d, label):
        chosen = torch.tensor([d], requires_grad=True)
        offset = torch.zeros(1, requires_grad=True)
        loss = SourceOffsetLoss()(chosen, torch.zeros(1), offset=offset, label=torch.tensor([label]))
        gradients = torch.autograd.grad(loss.sum(), (chosen, offset))
        assert torch.equal(*gradients) and gradients[0].isfinite().all()

    def test_finds_the_offset_of_a_source_that_annotators_favour(self):
        # source 1 has 1.5 added to its rewards in the annotators' eyes; the reward is w * quality
        generator = torch.Generator().manual_seed(0)
        quality = torch.randn(4000, 2, generator=generator)
        favour = torch.zeros(4000, 2)
        favour[:, 1] = 1.5
        felt = 2 * quality + favour
        first_wins = torch.rand(4000, generator=generator) < torch.sigmoid(felt[:, 0] - felt[:, 1])
        weight, offset = torch.zeros(1, requires_grad=True), torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, offset], max_iter=50)

        def step():
            optimizer.zero_grad()
            rewards, offsets = weight * quality, (offset[0] - offset[1]).expand(4000)
            loss = SourceOffsetLoss()(*rewards.unbind(1), offset=offsets, label=first_wins.float()).mean()
            loss.backward()
            return loss

        optimizer.step(step)
        assert weight.item() == pytest.approx(2, abs=0.2)  # four standard errors
        assert (offset[1] - offset[0]).item() == pytest.approx(1.5, abs=0.2)
