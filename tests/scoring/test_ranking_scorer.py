import json
import logging

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BertConfig, T5Config, set_seed
from transformers import T5ForConditionalGeneration as T5Model

from tests.evaluation.doc_examples import failed_examples
from tests.tiny import tiny_checkpoint, tiny_config, tiny_reward_model, tiny_tokenizer
from trl_ext.scoring import CrossEncoderComparer, LanguageModelComparer, PairwiseRankingScorer
from trl_ext.scoring.comparison_text import Comparison
from trl_ext.scoring.ranking import Comparer, ComparisonResults


TEMPLATE = "{prompt} A: {first} B: {second}"
PROMPTS = ["what is the answer to this question", "the capital of France"]
RESPONSES = [["Paris", "a good {second} answer"], ["is Paris", "is a bad and a long answer", "the", "is Paris"]]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def cross_encoder(tokenizer, labels=1, family="llama"):
    if family == "llama":
        model = tiny_reward_model(tokenizer, num_labels=labels)
    else:
        set_seed(0)
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        model = AutoModelForSequenceClassification.from_config(
            BertConfig(
                **sizes,
                initializer_range=0.5,
                vocab_size=len(tokenizer),
                pad_token_id=tokenizer.pad_token_id,
                num_labels=labels,
            )
        )
        with torch.no_grad():
            model.classifier.weight.mul_(0.5)
    return model.eval()


def language_model(tokenizer):
    set_seed(0)
    return AutoModelForCausalLM.from_config(tiny_config(tokenizer, initializer_range=0.2)).eval()


def encoder_decoder(tokenizer):
    set_seed(0)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 4, "vocab_size": len(tokenizer)}
    return T5Model(T5Config(**sizes, decoder_start_token_id=tokenizer.pad_token_id)).eval()


def score(comparer, prompts=PROMPTS, responses=RESPONSES):
    return PairwiseRankingScorer(comparer, progress=False).score(prompts, responses)


def wanted(probability) -> list[np.ndarray]:
    """Rewards from the definition, comparison by comparison."""
    rewards = []
    for prompt, responses in zip(PROMPTS, RESPONSES, strict=True):
        of_prompt = []
        for i, ours in enumerate(responses):
            chances = [
                0.5 if ours == other else (probability(prompt, ours, other) + 1 - probability(prompt, other, ours)) / 2
                for j, other in enumerate(responses)
                if j != i
            ]
            of_prompt.append(np.mean(chances))
        rewards.append(np.array(of_prompt))
    return rewards


def fill(prompt, first, second):
    return f"{prompt} A: {first} B: {second}"


class Table(Comparer):
    """Probabilities from a table."""

    def __init__(self, table):
        self.table = table
        self.seen = []

    def compare(self, comparisons):
        self.seen.extend(comparisons)
        values = np.array([self.table[c.first, c.second] for c in comparisons], dtype=float)
        return ComparisonResults(values, [False] * len(values), 0, 0)

    def settings(self):
        return {"comparer": "table"}


class TestRanking:
    def test_by_hand(self):
        # p_ab = (0.9 + 1 - 0.3) / 2 = 0.8; p_ac = (0.6 + 1 - 0.6) / 2 = 0.5; p_bc = (0.2 + 1 - 1.0) / 2 = 0.1
        table = {("a", "b"): 0.9, ("b", "a"): 0.3, ("a", "c"): 0.6, ("c", "a"): 0.6, ("b", "c"): 0.2, ("c", "b"): 1.0}
        (rewards,) = score(Table(table), ["q"], [["a", "b", "c"]])
        np.testing.assert_allclose(rewards, [(0.8 + 0.5) / 2, (0.2 + 0.1) / 2, (0.5 + 0.9) / 2], rtol=1e-6)

    @given(first=st.floats(0, 1), second=st.floats(0, 1))
    def test_two_responses_are_antisymmetric(self, first, second):
        table = Table({("a", "b"): first, ("b", "a"): second})
        ((a, b),) = score(table, ["q"], [["a", "b"]])
        ((b_turned, a_turned),) = score(table, ["q"], [["b", "a"]])
        assert (a, b) == (a_turned, b_turned)
        assert a + b == pytest.approx(1, abs=1e-7)
        if abs(first - second) > 1e-6:
            assert (a > b) == (first > second)

    @given(st.lists(st.floats(0, 1), min_size=12, max_size=12))
    def test_rewards_of_a_prompt_have_mean_one_half(self, values):
        names = "abcd"
        keys = [(i, j) for i in names for j in names if i != j]
        (rewards,) = score(Table(dict(zip(keys, values, strict=True))), ["q"], [list(names)])
        assert rewards.mean() == pytest.approx(0.5, abs=1e-6)
        assert ((rewards >= 0) & (rewards <= 1)).all()

    def test_equal_responses_are_not_compared(self):
        comparer = Table({("a", "b"): 0.9, ("b", "a"): 0.2})
        one, two = score(comparer, ["q", "q"], [["a", "a"], ["a", "b", "a"]])
        assert one.tolist() == [0.5, 0.5]
        assert two[0] == two[2]
        assert sorted(comparer.seen) == [Comparison("q", "a", "b"), Comparison("q", "b", "a")]

    def test_messages_and_whole_conversations(self):
        asked, answers = {"role": "user", "content": "q"}, [{"role": "assistant", "content": text} for text in "ab"]
        comparer = Table({("a", "b"): 1.0, ("b", "a"): 0.0})
        scorer = PairwiseRankingScorer(comparer, progress=False)
        assert scorer.score([[asked]], [["a", "b"]])[0].tolist() == [1, 0]
        pair = Dataset.from_dict({"chosen": [[asked, answers[0]]], "rejected": [[asked, answers[1]]]})
        assert scorer.score_dataset(pair)["reward"][:] == [1, 0]
        assert {c.prompt for c in comparer.seen} == {"q"}
        scorer.score([[asked, answers[1], asked]], [["a", "b"]])
        assert comparer.seen[-1].prompt == "User: q\n\nAssistant: b\n\nUser: q"

    def test_example(self):
        assert failed_examples(PairwiseRankingScorer) == 0

    def test_refusals(self):
        comparer = Table({("a", "b"): float("nan"), ("b", "a"): 0.5})
        with pytest.raises(ValueError, match="prompt 0 has one response"):
            score(comparer, ["q"], [["a"]])
        with pytest.raises(ValueError, match="must give probabilities, got nan"):
            score(comparer, ["q"], [["a", "b"]])
        scorer = PairwiseRankingScorer(comparer, progress=False)
        with pytest.raises(ValueError, match="there is no prompt"):
            scorer.score_dataset(Dataset.from_dict({"chosen": ["a"], "rejected": ["b"]}))
        conversations = [
            [{"role": "user", "content": text}, {"role": "assistant", "content": "a"}] for text in ("q", "another")
        ]
        with pytest.raises(ValueError, match="different prompts"):
            scorer.score_dataset(Dataset.from_dict({"chosen": conversations[:1], "rejected": conversations[1:]}))


class TestCrossEncoder:
    @pytest.mark.parametrize("family", ["llama", "bert"])
    @pytest.mark.parametrize(("labels", "first_label"), [(1, 0), (2, 0), (2, 1)])
    def test_rewards(self, tokenizer, family, labels, first_label):
        model = cross_encoder(tokenizer, labels, family)

        @torch.inference_mode()
        def probability(*comparison):
            ids = torch.tensor([tokenizer(fill(*comparison))["input_ids"]])
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].double()
            return (logits.sigmoid() if labels == 1 else logits.softmax(-1)[[first_label]]).item()

        comparer = CrossEncoderComparer(model, tokenizer, template=TEMPLATE, first_label=first_label)
        rewards = score(comparer)
        for ours, theirs in zip(rewards, wanted(probability), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)
        assert np.ptp(rewards[1]) > 0.05

    def test_order_and_batches(self, tokenizer):
        model = cross_encoder(tokenizer)
        whole = score(CrossEncoderComparer(model, tokenizer))
        turned = score(CrossEncoderComparer(model, tokenizer), PROMPTS, [answers[::-1] for answers in RESPONSES])
        for ours, theirs in zip(whole, turned, strict=True):
            np.testing.assert_allclose(ours, theirs[::-1], rtol=1e-7)
        np.testing.assert_array_equal(whole[0], turned[0][::-1])
        for ours, theirs in zip(
            whole, score(CrossEncoderComparer(model, tokenizer, max_tokens_per_batch=1)), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)

    def test_by_name(self, tokenizer, tmp_path):
        cross_encoder(tokenizer, 2).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        comparer = CrossEncoderComparer(str(tmp_path))
        for ours, theirs in zip(
            score(comparer), score(CrossEncoderComparer(cross_encoder(tokenizer, 2), tokenizer)), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
        settings = json.loads(json.dumps(PairwiseRankingScorer(comparer).settings()))
        assert {"model_weights_sha256", "template", "first_label", "max_length"} <= set(settings)
        assert PairwiseRankingScorer(comparer).provenance()["model"] == str(tmp_path)

    def test_only_equal_responses(self, tokenizer):
        for comparer in (
            CrossEncoderComparer(cross_encoder(tokenizer), tokenizer),
            LanguageModelComparer(language_model(tokenizer), tokenizer),
        ):
            assert score(comparer, ["q"], [["a", "a"]])[0].tolist() == [0.5, 0.5]

    def test_refuses_a_head_under_another_name(self, tokenizer, tmp_path):
        cross_encoder(tokenizer).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        weights["rank_head.weight"] = weights.pop("score.weight")
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match=r"1 weights .* would be random: .*score.weight"):
            score(CrossEncoderComparer(str(tmp_path)))

    def test_refusals(self, tokenizer, tmp_path):
        with pytest.raises(ValueError, match="one or two labels, but this model has 3"):
            score(CrossEncoderComparer(cross_encoder(tokenizer, 3), tokenizer))
        with pytest.raises(ValueError, match="no trained classification head"):
            CrossEncoderComparer(tiny_checkpoint(tmp_path, tokenizer))
        with pytest.raises(ValueError, match=r"it lacks \{second\}"):
            CrossEncoderComparer(cross_encoder(tokenizer), tokenizer, template="{prompt} {first}")
        with pytest.raises(ValueError, match="`first_label` must be 0 or 1"):
            CrossEncoderComparer(cross_encoder(tokenizer), tokenizer, first_label=2)


class TestLanguageModel:
    @pytest.mark.parametrize("answers", [("A", "B"), ("AA", "BB")])
    @pytest.mark.parametrize("make_model", [language_model, encoder_decoder])
    def test_rewards(self, tokenizer, answers, make_model):
        model = make_model(tokenizer)

        @torch.inference_mode()
        def log_probability(text, answer):
            ids, target = tokenizer(text)["input_ids"], tokenizer(answer)["input_ids"]
            if model.config.is_encoder_decoder:
                decoder = torch.tensor([[model.config.decoder_start_token_id, *target[:-1]]])
                logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=decoder).logits[0]
            else:
                logits = model(input_ids=torch.tensor([[*ids, *target[:-1]]])).logits[0, len(ids) - 1 :]
            return logits.double().log_softmax(-1)[range(len(target)), target].sum()

        def probability(*comparison):
            first, second = (log_probability(fill(*comparison), answer) for answer in answers)
            return (first - second).sigmoid().item()

        comparer = LanguageModelComparer(model, tokenizer, template=TEMPLATE, answers=answers, use_chat_template=False)
        rewards = score(comparer)
        for ours, theirs in zip(rewards, wanted(probability), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert np.ptp(rewards[1]) > 1e-4
        lone = LanguageModelComparer(
            model, tokenizer, template=TEMPLATE, answers=answers, use_chat_template=False, max_tokens_per_batch=1
        )
        for ours, theirs in zip(rewards, score(lone), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)

    def test_a_chat_template_makes_the_text_a_users_message(self, tokenizer):
        comparer = LanguageModelComparer(language_model(tokenizer), tokenizer, template=TEMPLATE)
        ((ids,), _) = comparer.encoder.encode([Comparison("q", "{prompt}", "b")])
        text = "<|im_start|>user\nq A: {prompt} B: b<|im_end|><|im_start|>assistant\n"
        assert tokenizer.decode(ids) == text

    def test_refusals(self, tokenizer):
        model = language_model(tokenizer)
        for answers in (("A", "A"), ("", "B"), ("A", "B", "C"), ("the", "the answer")):
            with pytest.raises(ValueError, match="`answers` must be two texts"):
                LanguageModelComparer(model, tokenizer, answers=answers)
        with pytest.raises(ValueError, match="no language-model head"):
            score(LanguageModelComparer(tiny_reward_model(tokenizer), tokenizer))
        plain = tiny_tokenizer()
        plain.chat_template = None
        with pytest.raises(ValueError, match="use_chat_template=False"):
            LanguageModelComparer(model, plain, use_chat_template=True)


class TestLongComparisons:
    def test_error_names_length_and_prompt(self, tokenizer):
        comparer = CrossEncoderComparer(cross_encoder(tokenizer), tokenizer, template=TEMPLATE, max_length=20)
        with pytest.raises(ValueError, match="more than max_length=20; its prompt begins 'the capital of France'"):
            score(comparer)

    @pytest.mark.parametrize("chat", [False, True])
    def test_truncated_prompts_are_counted_and_said(self, tokenizer, caplog, chat):
        long = "a good answer to " * 20 + "this question"
        limit = 60
        comparer = LanguageModelComparer(
            language_model(tokenizer),
            tokenizer,
            template=TEMPLATE,
            use_chat_template=chat,
            max_length=limit,
            max_length_policy="truncate_prompt_left",
        )
        scorer = PairwiseRankingScorer(comparer, progress=False)
        with caplog.at_level(logging.WARNING):
            rewards = scorer.score([long, "short"], [["Paris", "a bad answer"]] * 2)
        assert scorer.timing.truncated == 2
        assert "2 of 4 responses were compared with a truncated prompt" in caplog.text
        (ids,), truncated = comparer.encoder.encode([Comparison(long, "Paris", "a bad answer")])
        assert truncated == [True] and limit - 3 <= len(ids) <= limit
        assert "this question A: Paris B: a bad answer" in tokenizer.decode(ids)
        assert rewards[0].sum() == pytest.approx(1)

    def test_responses_alone_too_long(self, tokenizer):
        comparer = CrossEncoderComparer(
            cross_encoder(tokenizer), tokenizer, max_length=10, max_length_policy="truncate_prompt_left"
        )
        with pytest.raises(ValueError, match="without the prompt, more than max_length=10"):
            score(comparer)
        with pytest.raises(ValueError, match="`max_length_policy` must be one of error, truncate_prompt_left"):
            CrossEncoderComparer(cross_encoder(tokenizer), tokenizer, max_length_policy="cut")
