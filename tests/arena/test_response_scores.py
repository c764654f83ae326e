"""Responses of all models are scored in one go: prompts computed once, resumable, complete."""

import json

import numpy as np
import pytest

from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.arena import ResponseTable, read_scores, score_responses


MODELS = ("a", "b", "c")


def table(count: int = 6, word: str = "Indeed") -> ResponseTable:
    return ResponseTable(
        tuple(f"q{i}" for i in range(count)),
        tuple(f"Question: what is {i} and {i}, and why is it so?\nAnswer: " for i in range(count)),
        MODELS,
        tuple(tuple(f"It is {i}." + f" {word}." * k for k in range(len(MODELS))) for i in range(count)),
    )


@pytest.fixture(scope="module")
def scorer() -> RewardScorer:
    tokenizer = tiny_tokenizer()
    return RewardScorer(tiny_reward_model(tokenizer), tokenizer, progress=False)


@pytest.fixture
def scored(scorer, tmp_path):
    return score_responses(scorer, table(), tmp_path)


def test_prompts_are_computed_once_for_all_models(scorer, tmp_path):
    responses = table()
    scores = score_responses(scorer, responses, tmp_path / "shared")
    shared = scorer.timing
    assert shared.computed_tokens < 0.75 * shared.sequence_tokens
    tokenizer = tiny_tokenizer()
    padded = RewardScorer(tiny_reward_model(tokenizer), tokenizer, shared_prefix=False, progress=False)
    alone = [
        [padded.score([prompt], [[text]])[0][0] for text in texts]
        for prompt, texts in zip(responses.prompts, responses.responses, strict=True)
    ]
    assert scores.models == MODELS and scores.prompt_ids == responses.prompt_ids
    np.testing.assert_allclose(scores.scores, alone, atol=1e-4)


def test_an_interrupted_file_is_continued_to_the_same(scorer, scored, tmp_path):
    rewards, record = tmp_path / "rewards.jsonl", tmp_path / "rewards.jsonl.meta.json"
    whole = rewards.read_text()
    rewards.write_text(whole[: len(whole) // 2])
    record.write_text(json.dumps(json.loads(record.read_text()) | {"finished": False}))
    with pytest.raises(ValueError, match="rewards.jsonl is not finished"):
        read_scores(tmp_path)
    again = score_responses(scorer, table(), tmp_path)
    assert rewards.read_text() == whole
    np.testing.assert_array_equal(again.scores, scored.scores)
    np.testing.assert_array_equal(read_scores(tmp_path).scores, scored.scores)


def test_rewards_of_other_responses_or_settings_are_not_taken(scorer, scored, tmp_path):
    other = table(word="Perhaps")
    with pytest.raises(ValueError, match="has rewards of other responses"):
        score_responses(scorer, other, tmp_path)
    np.testing.assert_array_equal(read_scores(tmp_path).scores, scored.scores)  # nothing was touched
    tokenizer = tiny_tokenizer()
    another = RewardScorer(tiny_reward_model(tokenizer, seed=1), tokenizer, progress=False)
    with pytest.raises(ValueError, match="begun with other settings: model_weights_sha256 was"):
        score_responses(another, table(), tmp_path)
    replaced = score_responses(scorer, other, tmp_path, overwrite=True)
    assert not np.array_equal(replaced.scores, scored.scores)


def test_what_is_wrong_with_scores_is_told(scorer, scored, tmp_path):
    rewards = tmp_path / "rewards.jsonl"
    lines = rewards.read_text().splitlines(keepends=True)

    def damaged(*changed: str) -> str:
        rewards.write_text("".join(changed))
        with pytest.raises(ValueError) as error:
            read_scores(tmp_path)
        return str(error.value)

    nan = json.dumps(json.loads(lines[1]) | {"reward": float("nan")}) + "\n"
    assert "line 2 (prompt 'q0', model 'b'): the reward is NaN" in damaged(lines[0], nan, *lines[2:])
    assert "lacks 1 of 18 rewards; first: model 'b', prompt 'q0'" in damaged(lines[0], *lines[2:])
    assert "line 18 is not JSON" in damaged(*lines[:-1], lines[-1][:20])
    assert "prompt 'q0', model 'a'. A model may answer a prompt once" in damaged(*lines, lines[0])
    assert "line 1 has no 'reward'" in damaged('{"prompt_id": "q0", "source": "a"}\n', *lines[1:])
    (tmp_path / "rewards.jsonl.meta.json").unlink()
    assert "has no record" in damaged(*lines)
    rewards.unlink()
    with pytest.raises(ValueError, match="score the responses first"):
        read_scores(tmp_path)


def test_one_model_is_not_enough(scorer, tmp_path):
    one = ResponseTable(("q",), ("Why?",), ("a",), (("So.",),))
    with pytest.raises(ValueError, match="responses of one model only, 'a'"):
        score_responses(scorer, one, tmp_path)
    assert not list(tmp_path.iterdir())
