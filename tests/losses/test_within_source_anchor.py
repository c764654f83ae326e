"""The within-source anchor against the formula of the pooled variance, on one process and on several."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from tests.losses.simulated_processes import on_processes
from trl_ext.losses import WithinSourceAnchorLoss


def random_rows(seed, rows=40, sources=3):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, sources, (rows,), generator=generator)
    codes[: 2 * sources] = torch.arange(sources).repeat(2)
    rewards, frozen = torch.randn(2, rows, generator=generator, dtype=torch.float64)
    weight = 0.1 + torch.rand(rows, generator=generator, dtype=torch.float64)
    return rewards.requires_grad_(), frozen, codes, weight


def gradient(objective, rewards):
    return torch.autograd.grad(objective.loss, rewards, retain_graph=True)[0]


class TestWithinSourceAnchorLoss:
    @pytest.mark.parametrize("seed", [0, 1])
    def test_value_and_gradient_are_those_of_the_formula(self, seed):
        rewards, frozen, codes, weight = random_rows(seed)
        squares, freedom = 0.0, 0.0
        for source in range(3):
            d, w = (rewards - frozen)[codes == source], weight[codes == source]
            squares = squares + (w * (d - (w * d).sum() / w.sum()) ** 2).sum()
            freedom = freedom + w.sum() - (w**2).sum() / w.sum()
        expected = squares / freedom
        objective = WithinSourceAnchorLoss()(rewards, frozen, codes, 3, weight=weight)
        torch.testing.assert_close(objective.value, expected.detach())
        assert objective.loss.item() == objective.value.item()
        torch.testing.assert_close(gradient(objective, rewards), torch.autograd.grad(expected, rewards)[0])

    def test_is_the_pooled_variance(self):
        rewards, frozen, codes, _ = random_rows(2)
        changes = (rewards - frozen).detach().numpy()
        parts = [changes[codes.numpy() == source] for source in range(3)]
        expected = sum(np.var(part, ddof=1) * (len(part) - 1) for part in parts) / sum(len(part) - 1 for part in parts)
        objective = WithinSourceAnchorLoss()(rewards, frozen, codes, 3)
        assert objective.value.item() == pytest.approx(expected)
        assert objective.statistics.tolist() == pytest.approx([part.mean() for part in parts])
        assert objective.counts.tolist() == [len(part) for part in parts]

    @given(
        shifts=st.lists(st.floats(-100, 100), min_size=3, max_size=3),
        frozen_shifts=st.lists(st.floats(-100, 100), min_size=3, max_size=3),
        seed=st.integers(0, 10**6),
    )
    def test_constants_of_the_sources_change_nothing(self, shifts, frozen_shifts, seed):
        rewards, frozen, codes, weight = random_rows(seed)
        objective = WithinSourceAnchorLoss()(rewards, frozen, codes, 3, weight=weight)
        moved, moved_frozen = (
            values + torch.tensor(shift, dtype=torch.float64)[codes]
            for values, shift in ((rewards, shifts), (frozen, frozen_shifts))
        )
        shifted = WithinSourceAnchorLoss()(moved, moved_frozen, codes, 3, weight=weight)
        torch.testing.assert_close(shifted.value, objective.value, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(gradient(shifted, rewards), gradient(objective, rewards), rtol=1e-9, atol=1e-12)
        pull = torch.zeros(3, dtype=torch.float64).index_add(0, codes, gradient(objective, rewards))
        torch.testing.assert_close(pull, torch.zeros_like(pull), rtol=0, atol=1e-14)  # no source moves as a whole

    @settings(max_examples=30)
    @given(data=st.data(), seed=st.integers(0, 10**6), processes=st.integers(2, 4))
    def test_processes_together_have_the_gradient_of_one_with_all_rows(self, data, seed, processes):
        rewards, frozen, codes, weight = random_rows(seed, rows=12)
        owner = torch.tensor(data.draw(st.lists(st.integers(0, processes - 1), min_size=12, max_size=12)))

        def share_of(rows, **options):
            return WithinSourceAnchorLoss()(
                rewards[rows], frozen[rows], codes[rows], 3, weight=weight[rows], **options
            )

        alone = share_of(torch.arange(12))
        shares = on_processes([(owner == process).nonzero()[:, 0] for process in range(processes)], share_of)
        torch.testing.assert_close(sum(gradient(share, rewards) for share in shares), gradient(alone, rewards))
        for share in shares:
            torch.testing.assert_close(share.value, alone.value)
            torch.testing.assert_close(share.statistics, alone.statistics)

    def test_an_unchanged_model_costs_nothing(self):
        rewards, _, codes, _ = random_rows(3)
        objective = WithinSourceAnchorLoss()(rewards, rewards.detach(), codes, 3)
        assert objective.value.item() == 0 and not gradient(objective, rewards).any()

    def test_no_gradient_goes_to_the_frozen_rewards(self):
        rewards, frozen, codes, _ = random_rows(4)
        frozen.requires_grad_()
        objective = WithinSourceAnchorLoss()(rewards, frozen, codes, 3)
        assert torch.autograd.grad(objective.loss, frozen, allow_unused=True) == (None,)

    def test_a_single_response_of_a_source_is_left_out(self):
        rewards = torch.tensor([5.0, 1.0, 3.0], requires_grad=True)
        objective = WithinSourceAnchorLoss()(rewards, torch.zeros(3), torch.tensor([0, 1, 1]), 3)
        assert objective.value.item() == 2  # the variance of 1 and 3
        assert objective.used.tolist() == [False, True, False] and objective.counts.tolist() == [1, 2, 0]
        assert gradient(objective, rewards).tolist() == [0, -2, 2]
        assert objective.statistics.tolist()[:2] == [5, 2] and objective.statistics[2].isnan()

    def test_nothing_to_compare_costs_nothing(self):
        for rows in (0, 1):
            rewards = torch.ones(rows, requires_grad=True)
            objective = WithinSourceAnchorLoss()(rewards, torch.zeros(rows), torch.zeros(rows, dtype=torch.int64), 2)
            assert objective.value.item() == 0 and not gradient(objective, rewards).any()

    @given(d=st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=6))
    def test_large_rewards_are_precise(self, d):
        # frozen rewards of 10,000: the variance of small changes must not drown in their size
        rewards = torch.tensor(d, requires_grad=True)
        objective = WithinSourceAnchorLoss()(rewards, rewards.detach() + 1, torch.zeros(len(d), dtype=torch.int64), 1)
        assert objective.value.item() <= 1e-5 and gradient(objective, rewards).isfinite().all()

    def test_half_precision_is_upcast(self):
        rewards = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
        objective = WithinSourceAnchorLoss()(rewards, torch.zeros(2, dtype=torch.bfloat16), torch.tensor([0, 0]), 1)
        assert objective.loss.dtype == torch.float32
        assert gradient(objective, rewards).dtype == torch.bfloat16

    @pytest.mark.parametrize("name", ["rewards", "frozen_rewards", "sources", "weight"])
    @pytest.mark.parametrize("shape", [(4, 1), ()])
    def test_refuses_shapes_that_would_broadcast(self, name, shape):
        arguments = {"rewards": torch.zeros(4), "frozen_rewards": torch.zeros(4), "sources": torch.zeros(4).long()}
        arguments |= {"num_sources": 1, name: torch.zeros(shape)}
        with pytest.raises(ValueError, match=rf"{name} must be a tensor of shape \(B,\)"):
            WithinSourceAnchorLoss()(**arguments)

    def test_refuses_unknown_sources_and_bad_weights(self):
        zeros = torch.zeros(2)
        with pytest.raises(ValueError, match=r"sources has 1 values outside \[0, 1\]; first: row 1, value 2"):
            WithinSourceAnchorLoss()(zeros, zeros, torch.tensor([0, 2]), 2)
        with pytest.raises(TypeError, match="sources must be int64"):
            WithinSourceAnchorLoss()(zeros, zeros, zeros, 2)
        with pytest.raises(ValueError, match="weight has .* row 1, value nan"):
            WithinSourceAnchorLoss()(zeros, zeros, torch.tensor([0, 1]), 2, weight=torch.tensor([1.0, math.nan]))

    def test_the_docstring_example_runs(self):
        assert not failed_examples(WithinSourceAnchorLoss)
        assert WithinSourceAnchorLoss(**WithinSourceAnchorLoss().get_config_dict()).citation.startswith("@")
