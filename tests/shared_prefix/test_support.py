"""Models that can't share prefixes are found out: by their structure, their masks, or their rewards."""

import copy
import json

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BloomConfig,
    FalconConfig,
    LlamaConfig,
    MptConfig,
    Qwen2Config,
    Qwen3NextConfig,
    set_seed,
)

from tests.architectures import COMMON, CONFIGS, random_model
from trl_ext.shared_prefix import (
    build_plan,
    disable_shared_prefix,
    enable_shared_prefix,
    self_check,
    support,
    unsupported_reason,
)
from trl_ext.shared_prefix.attention import observed_masks


SMALL = {"vocab_size": 97, "hidden_size": 32, "num_labels": 1, "pad_token_id": 0}
ROPE = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}


def model_of(config):
    set_seed(0)
    return AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("name", CONFIGS)
def test_supported(name):
    model = random_model(name)
    report = enable_shared_prefix(model)
    assert report.enabled, report.reason
    assert report.max_relative_difference < 1e-5
    assert report.dtype == "float32"


@pytest.mark.parametrize(
    "config, reason",
    [
        (
            BertConfig(vocab_size=97, hidden_size=32, intermediate_size=64, num_attention_heads=4),
            "not a `score` layer",
        ),
        (BloomConfig(**SMALL, n_layer=2, n_head=4), "AttentionInterface"),
        (MptConfig(vocab_size=97, d_model=32, n_layers=2, n_heads=4), "AttentionInterface"),
        (FalconConfig(**SMALL, num_hidden_layers=2, num_attention_heads=4), "AttentionInterface"),
        (LlamaConfig(**COMMON, rope_parameters=ROPE), "longest sequence of the batch"),
        (Qwen3NextConfig(**COMMON, head_dim=8, num_experts=4, moe_intermediate_size=16), "linear_attention"),
    ],
)
def test_unsupported_by_structure(config, reason):
    model = model_of(config)
    before = model.config._attn_implementation
    report = enable_shared_prefix(model)
    assert not report.enabled
    assert reason in report.reason
    assert model.config._attn_implementation == before
    assert "forward" not in vars(model)


def test_bidirectional_attention_is_refused():
    assert "bidirectional" in unsupported_reason(model_of(Qwen2Config(**COMMON, is_causal=False)))


class TestSelfCheck:
    def test_finds_positions_that_are_not_honoured(self, monkeypatch):
        model = random_model("llama")
        forward = model.model.forward
        monkeypatch.setattr(
            model.model, "forward", lambda *args, position_ids=None, **kwargs: forward(*args, **kwargs)
        )
        report = enable_shared_prefix(model)
        assert not report.enabled
        assert "one by one differ" in report.reason
        assert report.max_relative_difference > 1e-3

    def test_finds_layers_that_do_not_use_the_mask(self, monkeypatch):
        model = random_model("llama")
        layer = model.model.layers[1]
        forward = layer.forward

        def without_mask(*args, attention_mask=None, **kwargs):
            return forward(*args, attention_mask=None, **kwargs)

        monkeypatch.setattr(layer, "forward", without_mask)
        assert not enable_shared_prefix(model).enabled
        assert model.config._attn_implementation == "sdpa"

    def test_an_exception_is_a_reason(self, monkeypatch):
        model = random_model("llama")
        monkeypatch.setattr(model.score, "forward", lambda hidden: hidden.reshape(1, 7, 7, -1))
        report = enable_shared_prefix(model)
        assert not report.enabled
        assert "it failed on a packed row" in report.reason

    @pytest.mark.parametrize("name", ["llama", "gemma3"])
    def test_windows_are_read_from_the_masks(self, name):
        model = random_model(name)
        enable_shared_prefix(model)
        with observed_masks() as masks:
            model(input_ids=torch.tensor([[3, 4, 5]]))
        assert {window for _, window in masks} == ({None, 8} if name == "gemma3" else {None})

    @pytest.mark.parametrize(
        "mask_function, window, right",
        [
            (lambda b, h, q, k: k <= q, None, True),
            (lambda b, h, q, k: (k <= q) & (k > q - 8), 8, True),
            (lambda b, h, q, k: (k <= q) & (k > q - 8), 9, False),
            (lambda b, h, q, k: (k <= q) & (k // 32 == q // 32), 32, False),  # chunks
            (lambda b, h, q, k: (k <= q) | (k < 3), None, False),  # a prefix that is seen from both sides
        ],
    )
    def test_masks_that_no_layout_can_rebuild(self, mask_function, window, right):
        assert (support._mask_reason(mask_function, window) is None) == right

    def test_a_head_of_zeros_hides_nothing(self, monkeypatch):
        model = random_model("llama")
        with torch.no_grad():
            model.score.weight.zero_()
        assert enable_shared_prefix(model).enabled
        model = random_model("llama")
        with torch.no_grad():
            model.score.weight.zero_()
        mlp = model.model.layers[1].mlp
        forward = mlp.forward
        monkeypatch.setattr(mlp, "forward", lambda hidden: forward(hidden) + hidden.roll(1, dims=1))
        assert "one by one differ" in enable_shared_prefix(model).reason

    def test_an_assertion_in_the_model_is_a_reason(self, monkeypatch):
        model = random_model("llama")
        attention = model.model.layers[0].self_attn
        forward = attention.forward

        def particular(*args, attention_mask=None, **kwargs):
            assert attention_mask is None or torch.is_tensor(attention_mask)
            return forward(*args, attention_mask=attention_mask, **kwargs)

        monkeypatch.setattr(attention, "forward", particular)
        assert "AssertionError" in enable_shared_prefix(model).reason
        assert model.config._attn_implementation == "sdpa"
        assert "forward" not in vars(model)

    def test_leaves_no_trace_in_training_mode_and_random_state(self):
        model = random_model("llama").train()
        state = torch.get_rng_state()
        enable_shared_prefix(model)
        assert model.training
        assert torch.equal(torch.get_rng_state(), state)

    def test_bfloat16_has_its_own_tolerance(self):
        model = random_model("qwen3", dtype=torch.bfloat16)
        report = enable_shared_prefix(model)
        assert report.enabled
        assert report.dtype == "bfloat16"

    def test_autocast_is_noticed(self):
        model = random_model("qwen3")
        assert enable_shared_prefix(model, check=False).enabled
        assert self_check(model, lambda: torch.autocast("cpu", torch.bfloat16)).dtype == "bfloat16"


class TestEnabledModel:
    def test_ordinary_inputs_give_what_they_gave(self):
        ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12, 13, 14], [3, 4, 5, 6, 7, 2, 2, 2, 2, 2]])
        for name in CONFIGS:
            model = random_model(name).eval()
            mask = (ids != 2).long()
            expected = model(input_ids=ids, attention_mask=mask).logits
            enable_shared_prefix(model)
            torch.testing.assert_close(
                model(input_ids=ids, attention_mask=mask).logits, expected, rtol=1e-6, atol=1e-6
            )

    def test_saved_configuration_does_not_name_the_attention(self, tmp_path):
        model = random_model("llama")
        enable_shared_prefix(model)
        model.save_pretrained(tmp_path)
        assert "shared_prefix" not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
        ids = torch.tensor([[3, 4, 5]])
        torch.testing.assert_close(plain(input_ids=ids).logits, model.eval()(input_ids=ids).logits)

    def test_refuses_what_a_plan_does_not_give(self):
        model = random_model("llama")
        enable_shared_prefix(model)
        with pytest.raises(ValueError, match="output_hidden_states"):
            model(**build_plan([[3, 4, 5]]).model_inputs(), output_hidden_states=True)

    def test_disabling_twice_is_harmless(self):
        model = random_model("llama")
        enable_shared_prefix(model)
        disable_shared_prefix(model)
        disable_shared_prefix(model)
        assert model.config._attn_implementation == "sdpa"

    def test_a_copy_is_independent(self):
        model = random_model("llama").eval()
        enable_shared_prefix(model)
        clone = copy.deepcopy(model)
        with torch.no_grad():
            clone.score.weight.mul_(2)
        inputs = build_plan([[3, 4, 5], [6, 7]]).model_inputs()
        torch.testing.assert_close(clone(**inputs).logits, 2 * model(**inputs).logits)

    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    def test_eager_and_sdpa_models_give_the_same_rewards(self, implementation):
        model = random_model("qwen3", attn_implementation=implementation).eval()
        rows = [[5] * 9 + [6], [5] * 9 + [7, 8], [9, 10]]
        expected = torch.cat([model(input_ids=torch.tensor([row])).logits for row in rows])
        assert enable_shared_prefix(model).enabled
        torch.testing.assert_close(model(**build_plan(rows).model_inputs()).logits, expected, rtol=1e-5, atol=1e-6)
