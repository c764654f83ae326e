"""The MLP of the last layer computes the rows that are read, and leaves everything else as it is."""

import pytest
import torch

from tests.architectures import CONFIGS, random_model
from trl_ext.shared_prefix import build_plan, enable_shared_prefix
from trl_ext.shared_prefix.last_layer import (
    announce_scored_rows,
    compute_all_rows,
    rows_left_over,
    skips_unscored_rows,
)


ROWS = [[5] * 12 + [6, 7], [5] * 12 + [8], [9, 10, 11]]


def rows_of_last_mlp(model) -> list[int]:
    """Lengths of the inputs of the last MLP's own forward method, as it is called."""
    seen = []
    mlp = (getattr(model.base_model, "layers", None) or model.base_model.h)[-1].mlp
    inner = mlp._forward_of_all_rows
    mlp._forward_of_all_rows = lambda hidden, *args, **kwargs: seen.append(hidden.shape[1]) or inner(hidden)
    return seen


@pytest.mark.parametrize("name", CONFIGS)
def test_only_scored_rows_are_computed(name):
    model = random_model(name).eval()
    enable_shared_prefix(model)
    plan = build_plan(ROWS)
    seen = rows_of_last_mlp(model)
    found = model(**plan.model_inputs()).logits
    model(input_ids=torch.tensor([[5, 6, 7, 8]]))
    assert seen == [3, 4]
    compute_all_rows(model)
    torch.testing.assert_close(model(**plan.model_inputs()).logits, found, rtol=1e-5, atol=1e-6)
    assert not rows_left_over()


def test_a_layer_in_another_order_computes_all_rows(monkeypatch):
    model = random_model("llama").eval()
    layer = model.model.layers[-1]

    def mlp_first(hidden_states, **kwargs):
        after_mlp = layer.mlp(layer.post_attention_layernorm(hidden_states))
        after_attention, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **kwargs)
        return hidden_states + after_mlp + after_attention

    monkeypatch.setattr(layer, "forward", mlp_first)
    alone = torch.cat([model(input_ids=torch.tensor([row])).logits for row in ROWS])
    assert enable_shared_prefix(model).enabled
    assert not skips_unscored_rows(model)
    torch.testing.assert_close(model(**build_plan(ROWS).model_inputs()).logits, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_forward_does_not_reach_the_next(interruption, monkeypatch):
    model = random_model("llama").eval()
    enable_shared_prefix(model)
    ids = torch.tensor([[5, 6, 7, 8]])
    expected = model.model(input_ids=ids).last_hidden_state
    norm = model.model.layers[-1].post_attention_layernorm

    def interrupted(hidden):
        raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(norm, "forward", interrupted)
        with pytest.raises(interruption):
            model(**build_plan(ROWS).model_inputs())
    torch.testing.assert_close(model.model(input_ids=ids).last_hidden_state, expected)


def test_announced_rows_do_not_reach_ordinary_inputs():
    model = random_model("llama").eval()
    enable_shared_prefix(model)
    ids = torch.tensor([[5, 6, 7, 8]])
    expected = model.model(input_ids=ids).last_hidden_state
    announce_scored_rows(torch.tensor([0]))
    torch.testing.assert_close(model.model(input_ids=ids).last_hidden_state, expected)
