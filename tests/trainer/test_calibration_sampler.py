"""Batches of few pairs of models, with their human share, each row once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.trainer.calibration_sampler import HUMAN, ModelPairSampler


def batches(groups, batch_size, count=1, seed=0, epoch=0):
    sampler = ModelPairSampler(groups, batch_size, count, seed)
    sampler.set_epoch(epoch)
    order = list(sampler)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    human=st.integers(0, 60),
    batch_size=st.integers(1, 20),
    count=st.integers(1, 4),
    seed=st.integers(0, 3),
)
def test_every_row_comes_once_and_humans_in_proportion(sizes, human, batch_size, count, seed):
    groups = np.append(np.repeat(np.arange(len(sizes)), sizes), np.full(human, HUMAN))
    found = batches(groups, batch_size, count, seed)
    assert sorted(sum(found, [])) == list(range(len(groups)))
    assert [len(batch) for batch in found[:-1]] == [batch_size] * (len(found) - 1)
    for batch in found:
        share = len(batch) * human / len(groups)
        assert abs((groups[batch] == HUMAN).sum() - share) <= 1


def test_a_batch_is_of_one_pair_of_models_while_there_are_enough_rows():
    groups = np.repeat(np.arange(10), 100)
    counts = [len(set(groups[batch])) for batch in batches(groups, 16)]
    # 100 = 6 * 16 + 4: the remnants of 4 rows make batches of 4 pairs of models
    assert counts.count(1) == 60 and len(counts) == 63
    assert max(counts) == 4


@pytest.mark.parametrize("count", [2, 3])
def test_a_batch_has_equal_parts_of_as_many_pairs_of_models_as_asked_for(count):
    groups = np.repeat(np.arange(6), 1000)
    full = batches(groups, 30, count)[:50]
    parts = [np.unique(groups[batch], return_counts=True)[1].tolist() for batch in full]
    assert parts.count([30 // count] * count) >= 45


def test_the_order_follows_from_seed_and_epoch_alone():
    groups = np.repeat([0, 1, HUMAN], 20)
    sampler = ModelPairSampler(groups, 8, 1, seed=0)
    first, second = list(sampler), list(sampler)
    assert second == sum(batches(groups, 8, epoch=1), []) != first
    assert first == sum(batches(groups, 8), [])
    assert first != sum(batches(groups, 8, seed=1), [])


def test_a_batch_of_remnants_is_not_always_the_last():
    groups = np.repeat(np.arange(5), 23)
    mixed = [[len(set(groups[batch])) > 1 for batch in batches(groups, 16, epoch=epoch)] for epoch in range(10)]
    assert any(any(of_epoch[:-1]) for of_epoch in mixed)
