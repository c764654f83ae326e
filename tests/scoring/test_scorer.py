"""RewardScorer gives the rewards that one gets one by one, whatever is batched or shared."""

import logging

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForSequenceClassification,
    FNetConfig,
    LlamaConfig,
    Phi3Config,
    XLNetConfig,
    set_seed,
)

from tests.scoring.helpers import assert_same, one_by_one, reward_model, rewards_of_ids, rewards_of_pairs
from tests.tiny import chat_pairs, pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer


PROMPTS = ["Question: what is the answer? ", "The capital of France, is it ", "Question: what is the answer to this? "]
RESPONSES = [["Paris.", "It is a good question.", "No."], ["Paris."], ["Paris.", "Paris, I think."]]

_SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny_reward_model(tokenizer).eval()


@pytest.fixture(scope="module")
def scorer(model, tokenizer):
    return RewardScorer(model, tokenizer, progress=False)


class TestRewards:
    @pytest.mark.parametrize("shared_prefix", [True, False])
    @pytest.mark.parametrize("max_tokens", [1, 40, 4096])
    def test_are_those_of_one_by_one_scoring(self, tokenizer, shared_prefix, max_tokens):
        model = tiny_reward_model(tokenizer).eval()
        expected = one_by_one(model, tokenizer, PROMPTS, RESPONSES)
        scorer = RewardScorer(
            model, tokenizer, shared_prefix=shared_prefix, max_tokens_per_batch=max_tokens, progress=False
        )
        assert_same(scorer.score(PROMPTS, RESPONSES), expected)
        assert scorer.shared_prefix_report.enabled == shared_prefix

    @given(
        st.lists(
            st.tuples(st.text("abc ", min_size=1), st.lists(st.text("abc ", min_size=1), max_size=4)), max_size=6
        ),
        st.integers(1, 100),
    )
    @settings(max_examples=30)
    def test_do_not_depend_on_order_or_budget(self, scorer, tokenizer, groups, max_tokens):
        prompts = ["p" + prompt for prompt, _ in groups]
        responses = [["r" + answer for answer in answers] for _, answers in groups]
        scorer.max_tokens_per_batch = 4096
        expected = scorer.score(prompts, responses)
        scorer.max_tokens_per_batch = max_tokens
        backwards = scorer.score(prompts[::-1], [answers[::-1] for answers in responses[::-1]])
        scorer.max_tokens_per_batch = 4096
        assert_same([rewards[::-1] for rewards in backwards[::-1]], expected)

    def test_of_ragged_and_empty_lists_keep_their_shape(self, scorer):
        rewards = scorer.score(["a", "b", "c"], [[], ["x", "y"], []])
        assert [r.shape for r in rewards] == [(0,), (2,), (0,)]
        assert scorer.score([], []) == []

    def test_of_equal_responses_are_equal_and_computed_once(self, scorer):
        rewards = scorer.score(PROMPTS[:1] * 3, [["Paris.", "Lyon.", "Paris."], ["Paris."], ["Lyon."]])
        assert rewards[0][0] == rewards[0][2] == rewards[1][0]
        assert rewards[0][1] == rewards[2][0]
        alone = scorer.timing.computed_tokens
        scorer.score(PROMPTS[:1], [["Paris.", "Lyon."]])
        assert scorer.timing.computed_tokens == alone

    def test_do_not_depend_on_the_number_of_windows_and_workers(self, scorer, tokenizer, model):
        prompts = [f"Question {i % 700}: what is the answer? " for i in range(2100)]
        responses = [[f"It is {i % 13}."] for i in range(2100)]
        in_background = scorer.score(prompts, responses)
        in_process = RewardScorer(model, tokenizer, num_workers=0, progress=False).score(prompts, responses)
        assert all(np.array_equal(a, b) for a, b in zip(in_background, in_process, strict=True))
        few = [0, 5, 2099]
        assert_same(
            [in_background[i] for i in few],
            one_by_one(model, tokenizer, [prompts[i] for i in few], [responses[i] for i in few]),
        )

    def test_leave_the_mode_of_the_model(self, tokenizer):
        model = tiny_reward_model(tokenizer, attention_dropout=0.5).train()
        first, second = (RewardScorer(model, tokenizer, progress=False).score(["a"], [["b"]]) for _ in range(2))
        assert model.training and first[0] == second[0]

    def test_prefixes_are_shared_between_prompts(self, scorer):
        prompts = ["You are a good assistant. " * 10 + end for end in ("One?", "Two?")]
        scorer.score(prompts, [["Yes."], ["Yes."]])
        assert scorer.timing.computed_tokens < 0.6 * scorer.timing.sequence_tokens

    def test_non_finite_rewards_are_refused(self, tokenizer):
        model = tiny_reward_model(tokenizer)
        model.score.weight.data.fill_(float("inf"))
        with pytest.raises(ValueError, match="not a finite number"):
            RewardScorer(model, tokenizer, shared_prefix=False, progress=False).score(["a"], [["b"]])


class TestEncoding:
    @pytest.mark.parametrize("make", [pairs, chat_pairs])
    def test_is_that_of_training(self, scorer, model, tokenizer, make):
        dataset = make(5)
        expected = rewards_of_pairs(model, tokenizer, dataset)
        rewards = scorer.score(list(dataset["prompt"]), [[row["chosen"], row["rejected"]] for row in dataset])
        assert_same(rewards, expected)

    def test_of_text_that_answers_messages_is_that_of_an_assistant(self, scorer):
        prompt = [{"role": "user", "content": "What is it?"}]
        as_text, as_messages = scorer.score(
            [prompt, prompt], [["Paris."], [[{"role": "assistant", "content": "Paris."}]]]
        )
        assert as_text == as_messages

    def test_does_not_repeat_the_end_of_sequence(self, scorer):
        first, second = scorer.score(["a", "a"], [["b"], ["b<|im_end|>"]])
        assert first == second

    def test_rows_use_their_template_arguments(self, scorer, model, tokenizer):
        template = "{{ style }}{% for m in messages %}{{ m['content'] }}{% endfor %}<|im_end|>"
        dataset = chat_pairs(3).add_column(
            "chat_template_kwargs", [{"chat_template": template, "style": style} for style in ("x", "y", "z")]
        )
        rewards = np.array(scorer.score_dataset(dataset)["reward"], dtype=np.float32).reshape(-1, 2)
        assert_same(rewards, rewards_of_pairs(model, tokenizer, dataset))

    def test_truncation_is_that_of_training(self, model, tokenizer):
        dataset = pairs(6)
        expected = rewards_of_pairs(model, tokenizer, dataset, max_length=32, max_length_policy="truncate_prompt_left")
        scorer = RewardScorer(
            model, tokenizer, max_length=32, max_length_policy="truncate_prompt_left", progress=False
        )
        rewards = scorer.score(dataset["prompt"], [[row["chosen"], row["rejected"]] for row in dataset])
        assert_same(rewards, expected)
        assert scorer.timing.truncated > 0

    def test_truncation_keeps_a_single_response_whole(self, model, tokenizer, caplog):
        answer = tokenizer("Indeed, Paris.<|im_end|>")["input_ids"]
        prompt = tokenizer("xyz" * 9)["input_ids"]
        scorer = RewardScorer(
            model, tokenizer, max_length=len(answer) + 3, max_length_policy="truncate_prompt_left", progress=False
        )
        with caplog.at_level(logging.WARNING):
            rewards = scorer.score(["xyz" * 9], [["Indeed, Paris."]])
        assert_same(rewards, [rewards_of_ids(model, [prompt[-3:] + answer])])
        assert scorer.timing.truncated == 1
        assert sum("truncated" in message for message in caplog.messages) == 1
        with pytest.raises(ValueError, match="prompt 0, response 0: .* without the prompt"):
            scorer.score(["x"], [["Indeed, Paris." * 2]])

    def test_truncation_does_not_cut_into_a_shared_opening(self, model, tokenizer):
        opening = "Indeed, it is a good question. "
        answers = [opening + "Paris.", opening + "No."]
        longest = max(len(tokenizer(answer + "<|im_end|>")["input_ids"]) for answer in answers)
        arguments = {"max_length_policy": "truncate_prompt_left", "progress": False}
        RewardScorer(model, tokenizer, max_length=longest + 1, **arguments).score(["xyz" * 9], [answers])
        scorer = RewardScorer(model, tokenizer, max_length=longest - 2, **arguments)
        with pytest.raises(ValueError, match="without the prompt"):
            scorer.score(["xyz" * 9], [answers])


class TestErrors:
    @pytest.mark.parametrize(
        ("prompts", "responses", "error", "match"),
        [
            (["a"], [], ValueError, "each of the 1 prompts, but it has 0"),
            ("a", [["b"]], TypeError, "`prompts` must be a list"),
            (["a", "b"], [["x"], ["y", " "]], ValueError, "prompt 1, response 1 is empty"),
            (["a", ""], [["x"], ["y"]], ValueError, "prompt 1: the prompt is empty"),
            (["a", "b"], [["x"], "y"], TypeError, "prompt 1: the responses must be a list"),
            (["a"], [[3]], TypeError, "prompt 0, response 0 must be a str or a list of messages, got int"),
            (["a"], [[[{"role": "assistant", "content": "b"}]]], TypeError, "prompt 0, response 0: .* the prompt is text"),
            ([[{"role": "me", "content": "b"}]], [["x"]], ValueError, "prompt 0.*role"),
        ],
    )  # fmt: skip
    def test_name_prompt_and_response(self, scorer, prompts, responses, error, match):
        with pytest.raises(error, match=match):
            scorer.score(prompts, responses)

    def test_over_length_is_found_before_a_model_is_loaded(self, tmp_path, monkeypatch):
        scorer = RewardScorer(tiny_checkpoint(tmp_path), max_length=5, progress=False)
        monkeypatch.setattr(scorer, "_load_model", lambda: pytest.fail("the model was loaded"))
        with pytest.raises(ValueError, match="prompt 1, response 0: .* tokens, more than max_length=5"):
            scorer.score(["a", "b"], [["c"], ["a long answer " * 9]])

    def test_models_with_several_labels_are_refused(self, tokenizer, tmp_path):
        model = tiny_reward_model(tokenizer, num_labels=2)
        with pytest.raises(ValueError, match="num_labels=2"):
            RewardScorer(model, tokenizer)
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="num_labels=2"):
            RewardScorer(str(tmp_path))

    def test_arguments_are_checked(self, model, tokenizer):
        with pytest.raises(ValueError, match="max_length_policy"):
            RewardScorer(model, tokenizer, max_length_policy="drop")
        with pytest.raises(ValueError, match="`dtype` applies to a model by name"):
            RewardScorer(model, tokenizer, dtype="bfloat16")
        with pytest.raises(ValueError, match="max_tokens_per_batch"):
            RewardScorer(model, tokenizer, max_tokens_per_batch=0)


class TestScoreDataset:
    def test_k_way_rows_make_a_long_table(self, scorer):
        dataset = Dataset.from_list(
            [
                {"question": "a", "responses": ["x", "y"], "ids": ["i", "j"], "sources": ["m", None], "prompt_id": 7},
                {"question": "b", "responses": ["z"], "ids": ["k"], "sources": ["n"], "prompt_id": 9},
            ]
        )
        table = scorer.score_dataset(dataset, columns={"prompt": "question"})
        assert table["prompt_id"][:] == [7, 7, 9]
        assert table["response_id"][:] == ["i", "j", "k"]
        assert table["source"][:] == ["m", None, "n"]
        rewards = scorer.score(["a", "b"], [["x", "y"], ["z"]])
        np.testing.assert_array_equal(np.float32(table["reward"]), np.concatenate(rewards))

    def test_some_rows_without_id_are_refused_before_anything_is_computed(self, scorer, monkeypatch):
        monkeypatch.setattr(scorer, "score_windows", lambda *_, **__: pytest.fail("something was computed"))
        dataset = Dataset.from_dict({"id": ["1", None], "prompt": ["a", "b"], "responses": [["x"], ["y"]]})
        with pytest.raises(ValueError, match="row 1 has no id"):
            scorer.score_dataset(dataset)

    def test_response_ids_of_some_rows_make_all_text(self, scorer):
        dataset = Dataset.from_dict({"prompt": ["a", "b"], "responses": [["x"], ["y", "z"]], "ids": [["i"], None]})
        assert scorer.score_dataset(dataset)["response_id"][:] == ["i", "0", "1"]

    def test_pairs_without_prompt(self, scorer, model, tokenizer):
        dataset = pairs(4).remove_columns(["prompt", "id"])
        table = scorer.score_dataset(dataset)
        assert table["prompt_id"][:4] == [0, 0, 1, 1]
        assert table["response_id"][:2] == ["chosen", "rejected"]
        expected = rewards_of_pairs(model, tokenizer, dataset)
        np.testing.assert_allclose(table["reward"], expected.ravel(), rtol=2e-6, atol=1e-6)

    @pytest.mark.parametrize(
        ("row", "match"),
        [
            ({"prompt": "a"}, "row 1.*column 'responses' is missing"),
            ({"prompt": "a", "responses": ["b"], "sources": []}, "row 1.*column 'sources'.*each of the 1"),
            ({"responses": ["b"]}, "row 1.*column 'prompt' is missing"),
            ({"rejected": "b"}, "row 1.*column 'chosen' is missing"),
            ({"prompt": "a", "responses": ["b", ""]}, "row 1, response 1 is empty"),
        ],
    )
    def test_errors_name_row_and_column(self, scorer, row, match):
        names = ("prompt", "responses", "sources", "chosen", "rejected")
        rows = [dict.fromkeys(names) | {"prompt": "a", "responses": ["b"]}, dict.fromkeys(names) | row]
        with pytest.raises(ValueError, match=match):
            scorer.score_dataset(Dataset.from_list(rows))


def test_the_bundled_model_is_scored(caplog):
    scorer = RewardScorer("bundled:smollm2-135m-instruct", progress=False)
    assert any("no trained reward head" in message for message in caplog.messages)
    prompt = [{"role": "user", "content": "What is the capital of France?"}]
    answers = ["Paris.", "The capital of France is Paris.", "Berlin."]
    rewards = scorer.score([prompt], [answers])[0]
    assert scorer.shared_prefix_report.enabled
    sequences = [
        scorer.processing_class.apply_chat_template(
            [*prompt, {"role": "assistant", "content": answer}], return_dict=True
        )["input_ids"]
        for answer in answers
    ]
    np.testing.assert_allclose(rewards, rewards_of_ids(scorer.model, sequences), rtol=1e-5, atol=1e-5)


def test_fallback_families_are_scored_and_say_why(tokenizer, caplog):
    for family in ("bert", "bloom"):
        model = reward_model(family, tokenizer)
        caplog.clear()
        scorer = RewardScorer(model, tokenizer, max_tokens_per_batch=100, progress=False)
        assert_same(scorer.score(PROMPTS, RESPONSES), one_by_one(model, tokenizer, PROMPTS, RESPONSES))
        assert not scorer.shared_prefix_report.enabled
        assert [m for m in caplog.messages if scorer.shared_prefix_report.reason in m]
        assert scorer.padding_problem is None


_ROPE = {"rope_theta": 1e4, "original_max_position_embeddings": 16}
INEXACT_WITH_PADDING = {
    "xlnet": lambda **kwargs: XLNetConfig(d_model=32, n_layer=2, n_head=4, d_inner=64, **kwargs),
    "fnet": lambda **kwargs: FNetConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, use_tpu_fourier_optimizations=False, **kwargs
    ),
    "dynamic": lambda **kwargs: LlamaConfig(
        **_SMALL,
        max_position_embeddings=16,
        rope_parameters={"rope_type": "dynamic", "factor": 4.0, **_ROPE},
        **kwargs,
    ),
    "longrope": lambda **kwargs: Phi3Config(
        **_SMALL,
        max_position_embeddings=512,
        original_max_position_embeddings=16,
        rope_parameters={"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [8.0] * 4, **_ROPE},
        **kwargs,
    ),
}


@pytest.mark.parametrize("kind", INEXACT_WITH_PADDING)
@pytest.mark.parametrize("shared_prefix", [True, False])
def test_models_that_padding_changes_compute_equal_lengths_together(tokenizer, caplog, kind, shared_prefix):
    def make():
        set_seed(0)
        config = INEXACT_WITH_PADDING[kind](
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            num_labels=1,
        )
        model = AutoModelForSequenceClassification.from_config(config).eval()
        with torch.no_grad():  # rewards of about one
            for parameter in model.parameters():
                parameter.mul_(2 if parameter.ndim > 1 else 1)
        return model

    # A model each: a dynamic rotary embedding keeps what it has seen
    expected = [
        np.concatenate([one_by_one(make(), tokenizer, [prompt], [[answer]])[0] for answer in answers])
        for prompt, answers in zip(PROMPTS, RESPONSES, strict=True)
    ]
    scorer = RewardScorer(make(), tokenizer, shared_prefix=shared_prefix, progress=False)
    scorer.score(PROMPTS[::-1], RESPONSES[::-1])
    np.testing.assert_allclose(
        np.concatenate(scorer.score(PROMPTS, RESPONSES)), np.concatenate(expected), rtol=1e-5, atol=1e-5
    )
    assert scorer.padding_problem is not None
    assert sum("not exact with padding" in message for message in caplog.messages) == 1
    assert scorer.timing.computed_tokens == scorer.timing.sequence_tokens


@pytest.mark.parametrize("pad_token", ["<|im_end|>", None])
def test_padding_does_not_hide_the_end_of_sequence(pad_token):
    tokenizer = tiny_tokenizer(pad_token=pad_token)
    model = tiny_reward_model(tokenizer).eval()
    model.config.pad_token_id = None
    expected = one_by_one(model, tokenizer, PROMPTS, RESPONSES)
    model.config.pad_token_id = tokenizer.pad_token_id
    scorer = RewardScorer(model, tokenizer, shared_prefix=False, progress=False)
    assert_same(scorer.score(PROMPTS, RESPONSES), expected)
    assert model.config.pad_token_id == tokenizer.pad_token_id
