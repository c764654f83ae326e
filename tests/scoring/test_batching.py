"""Batches hold every sequence once, within the budget; long prefixes are computed once for several rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scoring.helpers import assert_same, one_by_one, reward_model, rewards_of_ids
from tests.tiny import tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.scoring.batching import packed_batches, padded_batches
from trl_ext.scoring.inference import compute_rewards
from trl_ext.shared_prefix import enable_shared_prefix


# No token is the pad token (2): a model would not take it for the end of a sequence
TAILS = st.lists(st.lists(st.integers(3, 5), min_size=1, max_size=12).map(tuple), unique=True, max_size=20)


def with_long_prefixes(tails: list[tuple[int, ...]]) -> list[list[int]]:
    """The tails alone, after a long prefix, and after one that continues it."""
    prefix = list(range(10, 40))
    sequences = [[*start, *tail] for start in ([], prefix, prefix + prefix) for tail in tails]
    return sequences + ([prefix] if tails else [])


@given(TAILS, st.integers(1, 60))
def test_packed_batches_hold_every_sequence_once_within_the_budget(tails, max_tokens):
    sequences = with_long_prefixes(tails)
    batches = list(packed_batches(sequences, max_tokens))
    assert sorted(index for batch in batches for index in batch.indices) == list(range(len(sequences)))
    for batch in batches:
        assert batch.num_tokens <= max_tokens or len(batch.indices) <= 1
        assert batch.plan.layout.sequence_lengths[: len(batch.indices)] == tuple(
            len(sequences[index]) for index in batch.indices
        )


@given(TAILS, st.integers(1, 60), st.integers(2, 6))
def test_padded_batches_hold_every_sequence_once_and_never_end_with_padding(tails, max_tokens, pad_token_id):
    sequences = with_long_prefixes(tails)
    batches = list(padded_batches(sequences, max_tokens, pad_token_id))
    assert sorted(index for batch in batches for index in batch.indices) == list(range(len(sequences)))
    for batch in batches:
        assert batch.num_tokens <= max_tokens or len(batch.indices) == 1
        for index, ids, mask in zip(batch.indices, batch.input_ids, batch.attention_mask, strict=True):
            assert ids[mask.bool()].tolist() == sequences[index]
            assert sequences[index][-1] != batch.pad_token_id
            assert (ids[~mask.bool()] == batch.pad_token_id).all()


@pytest.fixture(scope="module", params=["llama", "mistral", "gemma2"])
def model(request):
    # In float64, where rounding hides nothing
    return reward_model(request.param, tiny_tokenizer()).double()


@given(TAILS, st.sampled_from([10, 20, 40, 60, 100]))
@settings(max_examples=25)
def test_cached_prefixes_give_the_rewards_of_one_by_one(model, tails, max_tokens):
    sequences = with_long_prefixes(tails)
    expected = rewards_of_ids(model, sequences)
    assert enable_shared_prefix(model, check=False).enabled
    rewards, _ = compute_rewards(model, packed_batches(sequences, max_tokens), len(sequences))
    np.testing.assert_allclose(rewards, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_a_long_prompt_is_computed_once_although_its_responses_fill_rows(family):
    tokenizer = tiny_tokenizer()
    model = reward_model(family, tokenizer)
    prompts = ["the capital of France is " * 8, "a good and a bad answer "]
    responses = [[f"Paris, {i} and {i}." for i in range(40)], ["No.", "Yes."]]
    expected = one_by_one(model, tokenizer, prompts, responses)
    scorer = RewardScorer(model, tokenizer, max_tokens_per_batch=100, progress=False)
    assert_same(scorer.score(prompts, responses), expected)
    tails = sum(len(tokenizer(answer)["input_ids"]) + 1 for answers in responses for answer in answers)
    prompt_tokens = sum(len(tokenizer(prompt)["input_ids"]) for prompt in prompts)
    assert scorer.timing.computed_tokens <= prompt_tokens + tails


def test_short_prefixes_are_not_cached():
    sequences = [[1] * 9 + [i] for i in range(2, 60)]
    assert all(batch.indices and not batch.plan.layout.cached for batch in packed_batches(sequences, 40))
