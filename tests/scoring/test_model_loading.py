"""Models by name: checkpoints, adapters, precision."""

import shutil

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from tests.scoring.helpers import assert_same, one_by_one
from tests.tiny import tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.scoring.loading import align_tensors, config_fingerprint, weights_fingerprint


PROMPTS = ["Question: what is the answer? ", "The capital of France, is it "]
RESPONSES = [["Paris.", "It is a good question."], ["Paris."]]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tokenizer):
    path = tmp_path_factory.mktemp("reward")
    tiny_reward_model(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def adapted(model, task_type="SEQ_CLS"):
    """A LoRA adapter with a trained head: nothing of it is zero."""
    model = get_peft_model(model, LoraConfig(task_type=task_type, r=4, target_modules=["q_proj", "v_proj"]))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return model.eval()


def test_a_checkpoint_gives_the_rewards_of_the_model(checkpoint, tokenizer):
    expected = one_by_one(tiny_reward_model(tokenizer).eval(), tokenizer, PROMPTS, RESPONSES)
    scorer = RewardScorer(checkpoint, progress=False)
    assert_same(scorer.score(PROMPTS, RESPONSES), expected)
    assert scorer.model.dtype == torch.float32


@pytest.mark.parametrize("shared_prefix", [True, False])
def test_adapters_are_scored_in_memory_by_path_and_by_argument(tmp_path, tokenizer, shared_prefix):
    base = tiny_checkpoint(tmp_path / "base", tokenizer)
    from transformers import AutoModelForSequenceClassification

    model = adapted(AutoModelForSequenceClassification.from_pretrained(base, num_labels=1))
    expected = one_by_one(model, tokenizer, PROMPTS, RESPONSES)
    model.save_pretrained(tmp_path / "adapter")
    path = str(tmp_path / "adapter")
    arguments = {"shared_prefix": shared_prefix, "progress": False}
    for scorer in (
        RewardScorer(path, **arguments),
        RewardScorer(base, adapter=path, **arguments),
        RewardScorer(model, tokenizer, **arguments),
    ):
        assert_same(scorer.score(PROMPTS, RESPONSES), expected)
        assert scorer.shared_prefix_report.enabled == shared_prefix


def test_tensors_begin_where_they_do_in_every_process(checkpoint):
    """Mapped from a file they begin anywhere, and kernels of the CPU round by that."""
    model = RewardScorer(checkpoint, progress=False).model
    assert [name for name, tensor in model.named_parameters() if tensor.data_ptr() % 64] == []
    weight = next(model.parameters())
    expected, storage = weight.clone(), torch.empty(weight.numel() + 2)
    storage[2:] = weight.detach().flatten()
    weight.data = storage[2:].view(weight.shape)
    assert weight.data_ptr() % 64 and align_tensors(model) is model
    assert weight.data_ptr() % 64 == 0 and torch.equal(weight, expected)


def test_in_bfloat16_the_head_is_float32(checkpoint):
    scorer = RewardScorer(checkpoint, dtype="bfloat16", progress=False)
    rewards = np.concatenate(scorer.score(PROMPTS, RESPONSES))
    assert scorer.model.dtype == torch.bfloat16
    assert not np.array_equal(rewards, torch.tensor(rewards).bfloat16().float().numpy())
    in_float32 = np.concatenate(RewardScorer(checkpoint, progress=False).score(PROMPTS, RESPONSES))
    np.testing.assert_allclose(rewards, in_float32, rtol=0.1, atol=0.1)


def test_a_model_without_name_needs_a_tokenizer(tokenizer):
    with pytest.raises(ValueError, match="give `processing_class`"):
        RewardScorer(tiny_reward_model(tokenizer))


def test_any_change_of_the_configuration_changes_its_fingerprint(tmp_path, checkpoint, tokenizer):
    in_memory = tiny_reward_model(tokenizer)
    before = config_fingerprint(in_memory)
    scorer = RewardScorer(checkpoint, dtype="bfloat16", progress=False)
    scorer.score(PROMPTS, RESPONSES)
    assert config_fingerprint(scorer.model) == before
    in_memory.config.rope_parameters["rope_theta"] = 10.0
    changed = config_fingerprint(in_memory)
    in_memory.config.rms_norm_eps = 1.0
    assert len({before, changed, config_fingerprint(in_memory)}) == 3


def test_any_change_of_an_adapter_changes_the_fingerprint(tokenizer):
    model = adapted(tiny_reward_model(tokenizer))
    before = config_fingerprint(model)
    assert before == config_fingerprint(adapted(tiny_reward_model(tokenizer)))
    assert before != config_fingerprint(tiny_reward_model(tokenizer))
    model.add_adapter("other", LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["q_proj"]))
    model.set_adapter("default")
    two = config_fingerprint(model)
    model.set_adapter("other")
    other = config_fingerprint(model)
    model.peft_config["other"].lora_alpha = 80
    assert len({before, two, other, config_fingerprint(model)}) == 4


def test_any_training_changes_the_fingerprint(tokenizer):
    model = tiny_reward_model(tokenizer)
    before = weights_fingerprint(model)
    assert weights_fingerprint(tiny_reward_model(tokenizer)) == before
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight.mul_(1.001)
    scaled = weights_fingerprint(model)
    assert scaled != before
    with torch.no_grad():
        model.model.embed_tokens.weight[7, 3] += 1e-3
    assert weights_fingerprint(model) != scaled


class TestRequireTrainedHead:
    def test_accepts_a_checkpoint_with_a_head(self, checkpoint, tokenizer):
        expected = one_by_one(tiny_reward_model(tokenizer).eval(), tokenizer, PROMPTS, RESPONSES)
        scorer = RewardScorer(checkpoint, require_trained_head=True, progress=False)
        assert_same(scorer.score(PROMPTS, RESPONSES), expected)

    def test_refuses_a_language_model_at_once(self, tmp_path, tokenizer):
        base = tiny_checkpoint(tmp_path / "base", tokenizer)
        with pytest.raises(ValueError, match=r"no trained reward head \(LlamaForCausalLM\)"):
            RewardScorer(base, require_trained_head=True)

    def test_refuses_a_head_under_another_name(self, tmp_path, checkpoint):
        """As of classes that call it `score_head`: the head is then made anew, at random."""
        path = shutil.copytree(checkpoint, tmp_path / "other")
        weights = load_file(path / "model.safetensors")
        weights["score_head.weight"] = weights.pop("score.weight")
        save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
        scorer = RewardScorer(str(path), require_trained_head=True, progress=False)
        with pytest.raises(ValueError, match=r"1 weights .* would be random: .*score.weight"):
            scorer.score(PROMPTS, RESPONSES)

    @pytest.mark.parametrize("task_type", ["SEQ_CLS", None])
    def test_an_adapter_may_bring_the_head(self, tmp_path, tokenizer, task_type):
        from transformers import AutoModelForSequenceClassification

        base = tiny_checkpoint(tmp_path / "base", tokenizer)
        model = adapted(AutoModelForSequenceClassification.from_pretrained(base, num_labels=1), task_type)
        model.save_pretrained(tmp_path / "adapter")
        scorer = RewardScorer(str(tmp_path / "adapter"), require_trained_head=True, progress=False)
        if task_type == "SEQ_CLS":  # whose head is saved with the adapter
            assert_same(scorer.score(PROMPTS, RESPONSES), one_by_one(model, tokenizer, PROMPTS, RESPONSES))
        else:
            with pytest.raises(ValueError, match="would be random: .*score.weight"):
                scorer.score(PROMPTS, RESPONSES)
