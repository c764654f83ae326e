"""The commitment loss is epsilon-RAPL continued to annotators worse than chance."""

import pytest
import torch

from trl_ext.losses import BradleyTerryLoss, CommitmentLoss, EpsilonRAPLLoss


CHOSEN, REJECTED = torch.tensor([2.0, -1.0, 0.3]), torch.tensor([0.0, 1.0, 0.0])


def test_value_by_hand():
    # d = 2: sigma(d) = 0.880797, sigma(-d) = 0.119203; eta = -0.6: q = 0.2
    # 0.2 * 0.880797 + 0.8 * 0.119203 = 0.271522; -log = 1.303713
    loss = CommitmentLoss()(torch.tensor([2.0]), torch.tensor([0.0]), eta=torch.tensor([-0.6]))
    torch.testing.assert_close(loss, torch.tensor([1.303713]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("eta", [0.0, 0.3, 0.95, 1.0])
def test_is_epsilon_rapl_for_honest_annotators(eta):
    eta = torch.full((3,), eta)
    torch.testing.assert_close(CommitmentLoss()(CHOSEN, REJECTED, eta=eta), EpsilonRAPLLoss()(CHOSEN, REJECTED, p=eta))


def test_a_complete_adversary_is_bradley_terry_with_swapped_responses():
    loss = CommitmentLoss()(CHOSEN, REJECTED, eta=-torch.ones(3))
    torch.testing.assert_close(loss, BradleyTerryLoss()(REJECTED, CHOSEN))


def test_offset_is_added_to_the_difference():
    eta, offset = torch.tensor([0.5, -0.5, 1.0]), torch.tensor([1.0, -2.0, 0.5])
    torch.testing.assert_close(
        CommitmentLoss()(CHOSEN, REJECTED, eta=eta, offset=offset),
        CommitmentLoss()(CHOSEN + offset, REJECTED, eta=eta),
    )


@pytest.mark.parametrize("eta", [-1.0, -0.5, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("difference", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_gradients_are_finite_everywhere(eta, difference):
    chosen = torch.tensor([difference], requires_grad=True)
    CommitmentLoss()(chosen, torch.zeros(1), eta=torch.tensor([eta])).sum().backward()
    assert torch.isfinite(chosen.grad).all()
