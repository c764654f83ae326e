"""The layout of packed rows: every distinct prefix once, every query with exactly its own keys."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.shared_prefix import build_plan, common_prefix_length, pack_rows, unpack_sequences


# Two tokens only: long common prefixes, duplicates and sequences that continue one another are frequent
sequences = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=40), min_size=1, max_size=8)


def distinct_prefixes(rows) -> int:
    return len({tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)})


class TestCommonPrefixLength:
    @given(st.lists(st.integers(0, 1), max_size=200), st.lists(st.integers(0, 1), max_size=200))
    def test_is_the_first_difference(self, first, second):
        expected = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
        expected = min(len(first), len(second)) if expected is None else expected
        assert common_prefix_length(first, second) == expected

    @pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 100, 1000])
    def test_long_prefixes(self, length):
        assert common_prefix_length([7] * length + [1] * 50, [7] * length + [2] * 500) == length


class TestBuildPlan:
    def test_by_hand(self):
        # [5 6 7] is common; the second response is laid behind the first and continues at position 3
        plan = build_plan([[5, 6, 7, 1], [5, 6, 7, 2, 3]], min_shared_tokens=1)
        assert plan.input_ids.tolist() == [[5, 6, 7, 1, 2, 3]]
        assert plan.position_ids.tolist() == [[0, 1, 2, 3, 3, 4]]
        assert plan.last_index.tolist() == [3, 5]
        assert plan.layout.atoms == (3, 1, 2)
        assert [(s.length, s.prefix, s.atoms) for s in plan.layout.segments] == [(4, 0, (0, 1)), (2, 3, (0, 2))]
        assert (plan.layout.num_tokens, sum(plan.layout.sequence_lengths)) == (6, 9)

    @given(sequences)
    def test_every_distinct_prefix_is_computed_once(self, rows):
        plan = build_plan(rows, min_shared_tokens=1)
        assert plan.layout.num_tokens == plan.input_ids.shape[1] == distinct_prefixes(rows)
        assert plan.layout.sequence_lengths == tuple(map(len, rows))

    @given(sequences, st.integers(1, 12), st.booleans())
    def test_sequences_can_be_read_back(self, rows, min_shared_tokens, share):
        plan = build_plan(rows, min_shared_tokens=min_shared_tokens, share=share)
        assert unpack_sequences(plan.input_ids, plan.layout, plan.last_index) == rows

    @given(sequences, st.integers(1, 12))
    def test_every_segment_sees_its_sequence_and_nothing_else(self, rows, min_shared_tokens):
        plan = build_plan(rows, min_shared_tokens=min_shared_tokens)
        tokens = plan.input_ids[0].split(list(plan.layout.atoms))
        positions = plan.position_ids[0].split(list(plan.layout.atoms))
        seen = set()
        for segment in plan.layout.segments:
            keys = torch.cat([tokens[atom] for atom in segment.atoms]).tolist()
            at = torch.cat([positions[atom] for atom in segment.atoms]).tolist()
            assert at == list(range(segment.prefix + segment.length))
            seen.add(tuple(keys))
        assert {tuple(row) for row in rows} <= seen

    @given(sequences)
    def test_a_permutation_permutes_the_last_indices(self, rows):
        plan, reverse = build_plan(rows), build_plan(rows[::-1])
        assert plan.input_ids.tolist() == reverse.input_ids.tolist()
        assert plan.last_index.tolist() == reverse.last_index.tolist()[::-1]

    def test_short_prefixes_are_not_worth_it(self):
        rows = [[1] * 7 + [2], [1] * 7 + [3]]
        assert build_plan(rows).layout.num_tokens == 16
        assert build_plan(rows, min_shared_tokens=7).layout.num_tokens == 9

    def test_without_sharing_the_order_is_kept(self):
        plan = build_plan([[3, 4], [1, 2], [3, 4]], share=False)
        assert plan.input_ids.tolist() == [[3, 4, 1, 2, 3, 4]]
        assert plan.last_index.tolist() == [1, 3, 5]

    @given(st.lists(st.integers(0, 1), min_size=1, max_size=20), sequences)
    def test_a_cached_prefix_is_not_computed_again(self, prefix, tails):
        rows = [prefix + tail for tail in tails]
        plan = build_plan(rows, cached_prefix=prefix, min_shared_tokens=1)
        assert plan.layout.num_tokens == plan.input_ids.shape[1] == distinct_prefixes(tails)
        assert sum(plan.layout.atoms) == len(prefix) + plan.layout.num_tokens
        assert plan.position_ids.min() == len(prefix)
        for segment in plan.layout.segments:
            assert segment.prefix >= len(prefix)
            assert sum(plan.layout.atoms[atom] for atom in segment.atoms) == segment.prefix + segment.length

    @pytest.mark.parametrize(
        "rows, cached, message",
        [
            ([], (), "no sequences"),
            ([[1], []], (), "sequence 1 is empty"),
            ([[1, 2, 3], [1, 3]], (1, 2), "sequence 1 does not continue"),
            ([[1, 2]], (1, 2), "sequence 0 does not continue"),
        ],
    )
    def test_refuses(self, rows, cached, message):
        with pytest.raises(ValueError, match=message):
            build_plan(rows, cached_prefix=cached)

    def test_cached_rows_cannot_be_read_back(self):
        plan = build_plan([[1, 2, 3]], cached_prefix=[1])
        with pytest.raises(ValueError, match="cached"):
            unpack_sequences(plan.input_ids, plan.layout, plan.last_index)


class TestPackRows:
    @given(sequences, st.integers(1, 100))
    def test_every_sequence_once_and_within_the_budget(self, rows, max_tokens):
        packed = list(pack_rows(rows, max_tokens))
        assert sorted(index for row in packed for index in row) == list(range(len(rows)))
        for row in packed:
            tokens = build_plan([rows[index] for index in row]).layout.num_tokens
            assert tokens <= max_tokens or len(row) == 1

    def test_equal_prompts_come_together(self):
        rows = [[1] * 20 + [i] for i in range(2, 6)] + [[0] * 20]
        rows = [rows[0], rows[4], rows[1], rows[2], rows[3]]
        assert list(pack_rows(rows, 24)) == [[1], [0, 2, 3, 4]]

    def test_refuses_an_empty_budget(self):
        with pytest.raises(ValueError, match="at least 1"):
            list(pack_rows([[1]], 0))
