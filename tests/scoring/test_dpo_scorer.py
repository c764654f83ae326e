import json
import logging

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    T5Config,
    T5ForConditionalGeneration,
    set_seed,
)

from tests.evaluation.doc_examples import failed_examples
from tests.scoring.helpers import read_lines
from tests.tiny import chat_pairs, pairs, tiny_checkpoint, tiny_config, tiny_reward_model, tiny_tokenizer
from trl_ext.scoring import DPOImplicitRewardScorer, response_log_probabilities
from trl_ext.scoring.groups import groups_from_lists
from trl_ext.scoring.response_encoding import make_response_encoder
from trl_ext.scoring.token_log_probabilities import TokenQuery, token_log_probabilities


PROMPTS = ["Question: what is the answer?", "The capital of France, is it"]
RESPONSES = [[" Paris.", " It is a good question, and a long one."], [" Paris.", " Paris.", " a bad answer"]]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def language_model(tokenizer, seed=0, config=None, **kwargs):
    """A random model whose probabilities differ from token to token."""
    set_seed(seed)
    model = AutoModelForCausalLM.from_config(tiny_config(tokenizer, **kwargs) if config is None else config)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20)
    return model.eval()


@pytest.fixture(scope="module")
def models(tokenizer):
    return language_model(tokenizer, 0), language_model(tokenizer, 1)


@torch.inference_mode()
def log_probabilities(model, prompt_ids, response_ids) -> np.ndarray:
    """Of one response alone, from all logits."""
    for module in model.modules():  # as if it were the first that a model with dynamic positions ever computes
        for name in [name for name in vars(module) if name.endswith("max_seq_len_cached")]:
            setattr(module, name, 0)
    ids = torch.tensor([[*prompt_ids, *response_ids]])
    values = model(input_ids=ids).logits[0].double().log_softmax(-1)
    start = len(prompt_ids)
    return np.array([values[t - 1, ids[0, t]].item() for t in range(start, ids.shape[1])])


def text_ids(tokenizer, prompt, response):
    prompt_ids = tokenizer(prompt)["input_ids"]
    ids = tokenizer(prompt + response + tokenizer.eos_token)["input_ids"]
    assert ids[: len(prompt_ids)] == prompt_ids  # these texts do not merge
    return prompt_ids, ids[len(prompt_ids) :]


def expected(model, tokenizer, reduce) -> list[np.ndarray]:
    return [
        np.array([reduce(log_probabilities(model, *text_ids(tokenizer, prompt, answer))) for answer in answers])
        for prompt, answers in zip(PROMPTS, RESPONSES, strict=True)
    ]


def assert_close(actual, wanted, **tolerance):
    for ours, theirs in zip(actual, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, **({"rtol": 1e-5, "atol": 1e-5} | tolerance))


class TestResponseLogProbabilities:
    @pytest.mark.parametrize("reduction", ["sum", "avg", "norm"])
    def test_golden(self, shared_dir, reduction):
        golden = json.loads((shared_dir / "golden" / "rewardbench.json").read_text())["dpo_logps"]
        logits = torch.tensor(golden["logits"], dtype=torch.float64)
        values = response_log_probabilities(logits, torch.tensor(golden["labels"]), reduction)
        np.testing.assert_allclose(values.numpy(), golden[f"expected_{reduction}"], atol=1e-9, rtol=0)

    def test_example(self):
        assert failed_examples(response_log_probabilities) == 0

    def test_refuses_a_row_without_response(self):
        labels = torch.tensor([[-100, 1], [1, -100]])
        with pytest.raises(ValueError, match="row 1 has no response token"):
            response_log_probabilities(torch.zeros(2, 2, 3), labels)

    def test_refuses_other_shapes_and_reductions(self):
        with pytest.raises(ValueError, match=r"\(B, T, V\) and labels \(B, T\)"):
            response_log_probabilities(torch.zeros(2, 3, 4), torch.zeros(2, 4, dtype=torch.long))
        with pytest.raises(ValueError, match="one of sum, avg, norm, got 'mean'"):
            response_log_probabilities(torch.zeros(1, 2, 3), torch.zeros(1, 2, dtype=torch.long), "mean")


class TestGolden:
    def test_genuine_program_with_a_reference(self, shared_dir, tmp_path):
        folder = shared_dir / "golden" / "rewardbench_cli"
        scorer = DPOImplicitRewardScorer(
            str(folder / "dpo" / "tiny_policy"), str(folder / "dpo" / "tiny_ref"), progress=False
        )
        scorer.score_file(folder / "prefs.jsonl", tmp_path / "rewards.jsonl")
        rewards = np.array([row["reward"] for row in read_lines(tmp_path / "rewards.jsonl")]).reshape(-1, 2)
        genuine = read_lines(folder / "expected" / "dpo__tiny_policy_outputs.jsonl")
        wanted = np.array([(row["scores_chosen"], row["scores_rejected"]) for row in genuine])
        np.testing.assert_allclose(rewards, wanted, rtol=1e-4)


class TestRewards:
    def test_with_a_reference(self, models, tokenizer):
        policy, reference = models
        scorer = DPOImplicitRewardScorer(policy, reference, tokenizer, encoding="training", progress=False)
        ours, theirs = (expected(model, tokenizer, np.sum) for model in models)
        assert_close(scorer.score(PROMPTS, RESPONSES), [a - b for a, b in zip(ours, theirs, strict=True)])

    @pytest.mark.parametrize(
        ("kind", "reduce"), [("sum", np.sum), ("avg", np.mean), ("norm", lambda values: -np.sqrt((values**2).sum()))]
    )
    def test_without_a_reference(self, models, tokenizer, kind, reduce):
        scorer = DPOImplicitRewardScorer(
            models[0], processing_class=tokenizer, reference_free=kind, encoding="training", progress=False
        )
        assert_close(scorer.score(PROMPTS, RESPONSES), expected(models[0], tokenizer, reduce))

    def test_beta_multiplies(self, models, tokenizer):
        one, tenth = (
            DPOImplicitRewardScorer(*models, tokenizer, beta=beta, progress=False).score(PROMPTS, RESPONSES)
            for beta in (None, 0.1)
        )
        assert_close(tenth, [rewards * 0.1 for rewards in one])

    def test_batches_change_nothing(self, models, tokenizer):
        def score(budget, prompts=PROMPTS, responses=RESPONSES):
            return DPOImplicitRewardScorer(*models, tokenizer, max_tokens_per_batch=budget, progress=False).score(
                prompts, responses
            )

        whole = score(4096)
        for budget in (1, 50, 100):
            assert_close(score(budget), whole)
        turned = score(100, PROMPTS[::-1], [answers[::-1] for answers in RESPONSES[::-1]])
        for ours, theirs in zip(turned[::-1], score(100), strict=True):
            np.testing.assert_array_equal(ours[::-1], theirs)

    def test_equal_responses_are_computed_once(self, models, tokenizer):
        scorer = DPOImplicitRewardScorer(*models, tokenizer, progress=False)
        scorer.score(PROMPTS[:1], [["Paris."]])
        once = scorer.timing.computed_tokens
        rewards = scorer.score(PROMPTS[:1] * 2, [["Paris."] * 3] * 2)
        assert scorer.timing.computed_tokens == once
        assert scorer.timing.sequence_tokens == 3 * once  # 6 responses, where two models computed one
        assert len(set(np.concatenate(rewards).tolist())) == 1

    @pytest.mark.parametrize(
        "config",
        [
            # soft-capped logits, a sliding window, ALiBi, learned positions, positions that depend on the batch
            lambda sizes, vocabulary: Gemma2Config(
                **sizes, vocab_size=vocabulary, head_dim=8, sliding_window=8, final_logit_softcapping=5.0
            ),
            lambda sizes, vocabulary: MistralConfig(**sizes, vocab_size=vocabulary, sliding_window=8),
            lambda sizes, vocabulary: BloomConfig(vocab_size=vocabulary, hidden_size=32, n_layer=2, n_head=4),
            lambda sizes, vocabulary: GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=4),
            lambda sizes, vocabulary: LlamaConfig(
                **(sizes | {"max_position_embeddings": 16}),
                vocab_size=vocabulary,
                rope_parameters={"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0},
            ),
        ],
        ids=["gemma2", "mistral", "bloom", "gpt2", "dynamic-rope"],
    )
    def test_families(self, tokenizer, config):
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 512}
        model = language_model(tokenizer, config=config(sizes, len(tokenizer)))
        scorer = DPOImplicitRewardScorer(
            model, processing_class=tokenizer, reference_free="sum", encoding="training", progress=False
        )
        rewards = scorer.score(PROMPTS, RESPONSES)
        assert_close(rewards, expected(model, tokenizer, np.sum), rtol=2e-5)

    def test_bfloat16_is_near_and_the_logarithm_float32(self, tmp_path, tokenizer):
        path = tmp_path / "policy"
        language_model(tokenizer).save_pretrained(path)
        tokenizer.save_pretrained(path)
        exact, rough = (
            np.concatenate(
                DPOImplicitRewardScorer(str(path), reference_free="avg", dtype=dtype, progress=False).score(
                    PROMPTS, RESPONSES
                )
            )
            for dtype in (None, "bfloat16")
        )
        np.testing.assert_allclose(rough, exact, rtol=0.05)
        assert not np.array_equal(rough, torch.tensor(rough).bfloat16().float().numpy())


class TestEncoding:
    def encode(self, tokenizer, encoding, prompts, responses, max_length=2048, kept=128):
        encoder = make_response_encoder(encoding, tokenizer, None, False, max_length, kept)
        return encoder.encode(groups_from_lists(prompts, responses))

    def test_rewardbench_adds_bos_and_eos_to_those_of_the_template(self, tokenizer):
        ((prompt, response),), truncated = self.encode(tokenizer, "rewardbench", ["Hi"], [["Yes"]])
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        assert tokenizer.decode(prompt) == "<|im_start|><|im_start|>user\nHi<|im_end|>"
        assert tokenizer.decode(response) == "<|im_start|>assistant\nYes<|im_end|><|im_end|>"
        assert (prompt[:2], response[-2:], truncated) == ((bos, bos), (eos, eos), 0)

    def test_rewardbench_gives_the_response_a_merged_token(self, tokenizer):
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        prompt, answer = "the capital of Fran", "ce is Paris"
        assert len(tokenizer(prompt)["input_ids"]) > len(tokenizer("the capital of France")["input_ids"]) - 1
        ((prompt_ids, response_ids),), _ = self.encode(tokenizer, "rewardbench", [prompt], [[answer]])
        whole = tokenizer(prompt + answer)["input_ids"]
        start = len(tokenizer(prompt)["input_ids"]) - 1
        assert whole[: start + 1] != tokenizer(prompt)["input_ids"]
        assert prompt_ids == (tokenizer.bos_token_id, *whole[:start])
        assert response_ids == (*whole[start:], tokenizer.eos_token_id)

    def test_rewardbench_removes_the_prompt_wherever_it_stands(self, caplog):
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        with caplog.at_level(logging.WARNING):
            ((_, response),), _ = self.encode(tokenizer, "rewardbench", ["Why?"], [["Why? Because."]])
        assert tokenizer.decode(response) == " Because.<|im_end|>"
        assert "prompt 0, response 0 repeats the whole prompt" in caplog.text

    def test_rewardbench_renders_roles_in_turn_and_empty_answers(self, tokenizer):
        prompt = [{"role": role, "content": "a"} for role in ("user", "user", "assistant")]
        scorer = DPOImplicitRewardScorer(
            language_model(tokenizer), processing_class=tokenizer, reference_free="sum", progress=False
        )
        turned = [{"role": role, "content": "a"} for role in ("user", "assistant", "user")]
        np.testing.assert_array_equal(scorer.score([prompt], [["b", ""]]), scorer.score([turned], [["b", ""]]))

    # prompt 2 + 6 tokens, responses of different length: see the numbers in the test
    @pytest.mark.parametrize(
        ("max_length", "kept", "prompt_length", "response_lengths", "truncated"),
        [
            (40, 4, 30, (5, 10), 0),  # 30 + 10 fit
            (39, 4, 4, (5, 10), 2),  # the prompt keeps its last 4
            (12, 4, 4, (5, 8), 2),  # 4 + 10 don't fit: responses keep 12 - 4
        ],
    )
    def test_truncation_by_hand(self, max_length, kept, prompt_length, response_lengths, truncated):
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        prompt, responses = "0" * 29, ["1" * 4, "2" * 9]  # a token per digit; BOS and EOS are added
        encoded, count = self.encode(tokenizer, "rewardbench", [prompt], [responses], max_length, kept)
        assert [len(p) for p, _ in encoded] == [prompt_length] * 2
        assert tuple(len(r) for _, r in encoded) == response_lengths
        assert count == truncated
        whole, _ = self.encode(tokenizer, "rewardbench", [prompt], [responses], None)
        for (p, r), (whole_p, whole_r) in zip(encoded, whole, strict=True):
            assert p == whole_p[-prompt_length:] and r == whole_r[: len(r)]

    def test_truncated_responses_are_counted_and_said(self, models, tokenizer, caplog):
        scorer = DPOImplicitRewardScorer(*models, tokenizer, max_length=24, max_prompt_length=8, progress=False)
        with caplog.at_level(logging.WARNING):
            scorer.score(PROMPTS, RESPONSES)
        assert scorer.timing.truncated == 5
        assert "5 of 5 responses were truncated" in caplog.text

    @pytest.mark.parametrize("rows", [pairs(4), chat_pairs(4)], ids=["text", "messages"])
    def test_training_is_what_trl_trains_on(self, tmp_path, tokenizer, rows):
        from trl import DPOConfig, DPOTrainer

        arguments = DPOConfig(tmp_path / "run", report_to="none", use_cpu=True, max_length=None, disable_tqdm=True)
        trainer = DPOTrainer(tiny_checkpoint(tmp_path / "model", tokenizer), args=arguments, train_dataset=rows)
        groups = groups_from_lists(
            rows["prompt"][:], [list(pair) for pair in zip(rows["chosen"], rows["rejected"], strict=True)]
        )
        encoded, _ = make_response_encoder("training", tokenizer, None, False, None, 128).encode(groups)
        wanted = [
            (tuple(row["prompt_ids"]), tuple(row[column]))
            for row in trainer.train_dataset
            for column in ("chosen_ids", "rejected_ids")
        ]
        assert [tuple(response) for response in encoded] == wanted


class TestAdapters:
    @pytest.fixture(scope="class")
    def checkpoints(self, tmp_path_factory, tokenizer):
        folder = tmp_path_factory.mktemp("adapted")
        base = tiny_checkpoint(folder / "base", tokenizer)
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base),
            LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"]),
        )
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(len(name)))
        model.save_pretrained(folder / "adapter")
        return base, str(folder / "adapter"), model

    def test_the_policy_without_adapter_is_the_reference(self, checkpoints, tokenizer):
        base, adapter, model = checkpoints
        wanted = DPOImplicitRewardScorer(adapter, base, progress=False).score(PROMPTS, RESPONSES)
        assert np.abs(np.concatenate(wanted)).min() > 1e-4
        for scorer in (
            DPOImplicitRewardScorer(adapter, "base", progress=False),
            DPOImplicitRewardScorer(base, "base", adapter=adapter, progress=False),
            DPOImplicitRewardScorer(model, "base", tokenizer, progress=False),
        ):
            assert_close(scorer.score(PROMPTS, RESPONSES), wanted)

    def test_base_without_adapter(self, checkpoints, models, tokenizer):
        with pytest.raises(ValueError, match="without its adapter, but .* has none"):
            DPOImplicitRewardScorer(checkpoints[0], "base")
        with pytest.raises(ValueError, match="but the policy has none"):
            DPOImplicitRewardScorer(models[0], "base", tokenizer, progress=False).score(PROMPTS, RESPONSES)


class TestFiles:
    def test_settings_and_provenance_are_complete(self, models, tokenizer, tmp_path):
        scorer = DPOImplicitRewardScorer(*models, tokenizer, beta=0.5, progress=False)
        settings = json.loads(json.dumps(scorer.settings()))
        assert settings["policy"]["model_weights_sha256"] != settings["reference"]["model_weights_sha256"]
        assert (settings["beta"], settings["encoding"], settings["max_length"]) == (0.5, "rewardbench", 2048)
        assert set(json.loads(json.dumps(scorer.provenance()))) >= {"model", "reference", "device"}

    def test_a_file_is_not_continued_with_another_reference(self, models, tokenizer, tmp_path):
        rows = tmp_path / "rows.jsonl"
        rows.write_text(
            "".join(json.dumps({"prompt": p, "responses": r}) + "\n" for p, r in zip(PROMPTS, RESPONSES, strict=True))
        )
        policy, reference = models
        output = tmp_path / "rewards.jsonl"
        DPOImplicitRewardScorer(policy, reference, tokenizer, progress=False).score_file(rows, output)
        before = output.read_bytes()
        DPOImplicitRewardScorer(policy, reference, tokenizer, progress=False).score_file(rows, output)
        assert output.read_bytes() == before
        other = DPOImplicitRewardScorer(policy, language_model(tokenizer, 2), tokenizer, progress=False)
        with pytest.raises(ValueError, match="reference"):
            other.score_file(rows, output)

    def test_windows_change_nothing(self, models, tokenizer, tmp_path):
        rows = pairs(9)
        scorer = DPOImplicitRewardScorer(*models, tokenizer, progress=False)
        whole = scorer.score_dataset(rows)["reward"]
        rows.to_json(tmp_path / "rows.jsonl")
        scorer.score_file(tmp_path / "rows.jsonl", tmp_path / "rewards.jsonl", window_size=4)
        np.testing.assert_allclose(
            [row["reward"] for row in read_lines(tmp_path / "rewards.jsonl")], whole, rtol=1e-5, atol=1e-5
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "give a `reference` .* or `reference_free`, one of 'sum', 'avg', 'norm', got neither"),
            ({"reference": "other", "reference_free": "avg"}, "got both"),
            ({"reference_free": "mean"}, "one of 'sum', 'avg', 'norm', got 'mean'"),
            ({"reference_free": "sum", "beta": 0.0}, "`beta` must be None or a positive number"),
            ({"reference_free": "sum", "dtype": "bfloat16"}, "`dtype` applies to a model by name"),
            ({"reference_free": "sum", "encoding": "chat"}, "`encoding` must be one of training, rewardbench"),
            ({"reference_free": "sum", "max_length": 128}, "more than max_prompt_length=128, got 128"),
            ({"reference_free": "sum", "max_tokens_per_batch": 0}, "at least 1, got 0"),
        ],
    )
    def test_arguments(self, models, tokenizer, arguments, message):
        with pytest.raises(ValueError, match=message):
            DPOImplicitRewardScorer(models[0], processing_class=tokenizer, **arguments)

    def test_policy_and_reference_alike(self, models, tokenizer):
        with pytest.raises(ValueError, match="are the same model"):
            DPOImplicitRewardScorer("some/model", "some/model")
        with pytest.raises(ValueError, match="are the same model"):
            DPOImplicitRewardScorer(models[0], models[0], tokenizer)
        scorer = DPOImplicitRewardScorer(models[0], language_model(tokenizer, 0), tokenizer, progress=False)
        with pytest.raises(ValueError, match="have the same weights"):
            scorer.score(PROMPTS, RESPONSES)

    def test_models_that_give_no_probabilities(self, tokenizer, tmp_path):
        scorer = DPOImplicitRewardScorer(
            tiny_reward_model(tokenizer), processing_class=tokenizer, reference_free="sum", progress=False
        )
        with pytest.raises(ValueError, match="no language-model head.*RewardScorer"):
            scorer.score(PROMPTS, RESPONSES)
        tiny_reward_model(tokenizer).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        scorer = DPOImplicitRewardScorer(str(tmp_path), reference_free="sum", progress=False)
        with pytest.raises(ValueError, match="not a language model: 1 weights .* random: .*lm_head"):
            scorer.score(PROMPTS, RESPONSES)
        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": len(tokenizer)}
        t5 = T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0))
        scorer = DPOImplicitRewardScorer(t5, processing_class=tokenizer, reference_free="sum", progress=False)
        with pytest.raises(ValueError, match="encoder-decoder; a causal"):
            scorer.score(PROMPTS, RESPONSES)

    def test_a_tokenizer_of_another_model(self, tokenizer):
        model = language_model(tokenizer, vocab_size=20)
        scorer = DPOImplicitRewardScorer(model, processing_class=tokenizer, reference_free="sum", progress=False)
        with pytest.raises(ValueError, match="not in the model's vocabulary of 20"):
            scorer.score(PROMPTS, RESPONSES)

    @pytest.mark.parametrize("encoding", ["training", "rewardbench"])
    def test_rows_that_do_not_say_where_the_response_begins(self, models, tokenizer, encoding):
        scorer = DPOImplicitRewardScorer(*models, tokenizer, encoding=encoding, progress=False)
        with pytest.raises(ValueError, match="row 0.*no prompt"):
            scorer.score_dataset(Dataset.from_dict({"chosen": ["a b"], "rejected": ["a c"]}))
        lonely = [[{"role": "assistant", "content": text}] for text in "ab"]
        with pytest.raises(ValueError, match="one message alone"):
            scorer.score_dataset(Dataset.from_dict({"chosen": lonely[:1], "rejected": lonely[1:]}))

    def test_a_template_that_writes_the_prompt_in_two_ways(self, models):
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
        with pytest.raises(ValueError, match="the chat template writes the prompt in another way"):
            DPOImplicitRewardScorer(*models, tokenizer, progress=False).score(PROMPTS, RESPONSES)


def test_a_query_reads_several_tokens_at_one_position(models):
    policy, _ = models
    (both,), computed, _ = token_log_probabilities(policy, [TokenQuery([5, 6, 7], [2, 2], [8, 9])], 64)
    alone = [log_probabilities(policy, [5, 6, 7], [token])[0] for token in (8, 9)]
    np.testing.assert_allclose(both, alone, rtol=1e-5)
    assert computed == 3
