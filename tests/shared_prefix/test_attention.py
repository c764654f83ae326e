"""Attention of packed rows against attention written out for every sequence on its own."""

import pytest
import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from trl_ext.shared_prefix import attention, build_plan
from trl_ext.shared_prefix.attention import SharedPrefixMask, shared_prefix_attention


ROWS = [[1] * 12 + [2, 3, 4], [1] * 12 + [5] * 9, [1] * 12 + [5] * 9, [6] * 5, [1] * 12 + [5] * 9 + [7], [8]]
HEADS, KEY_HEADS, DIM = 4, 2, 8
WINDOWS = (None, 1, 5, 12, 100)


def draw(plan, seed=0):
    """Queries, keys and values that depend on the token and its position alone, so that shared tokens agree."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(10, 40, HEADS + 2 * KEY_HEADS, DIM, generator=generator, dtype=torch.float64)
    packed = table[plan.input_ids[0], plan.position_ids[0]].transpose(0, 1)[None]
    parts = (HEADS, KEY_HEADS, KEY_HEADS)
    alone = [table[torch.tensor(row), torch.arange(len(row))].transpose(0, 1)[None].split(parts, 1) for row in ROWS]
    return [part.clone().requires_grad_() for part in packed.split(parts, 1)], alone


def reference(query, key, value, window, softcap=None, sinks=None):
    """The last query of one sequence, key by key."""
    length = query.shape[2]
    outputs = []
    for head in range(HEADS):
        keys = range(0 if window is None else max(0, length - window), length)
        kv = head * KEY_HEADS // HEADS
        scores = torch.stack([query[0, head, -1] @ key[0, kv, k] / DIM**0.5 for k in keys])
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        extra = torch.empty(0, dtype=scores.dtype) if sinks is None else sinks[head : head + 1].to(scores.dtype)
        weights = torch.softmax(torch.cat([scores, extra]), 0)[: len(scores)]
        outputs.append(sum(weight * value[0, kv, k] for weight, k in zip(weights, keys, strict=True)))
    return torch.stack(outputs)


@pytest.mark.parametrize("block_size", [1, 4, 7, 64])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("softcap, sinks", [(None, None), (2.0, None), (None, torch.tensor([0.5, -1.0, 2.0, 0.0]))])
def test_equals_attention_of_every_sequence(window, softcap, sinks, block_size, monkeypatch):
    monkeypatch.setattr(attention, "BLOCK_SIZE", block_size)
    plan = build_plan(ROWS)
    (query, key, value), alone = draw(plan)
    mask = SharedPrefixMask(plan.layout, window, query.device)
    output, weights = shared_prefix_attention(None, query, key, value, mask, softcap=softcap, s_aux=sinks)
    assert weights is None
    found = output[0, plan.last_index]
    expected = torch.stack([reference(*parts, window, softcap, sinks) for parts in alone])
    torch.testing.assert_close(found, expected, atol=1e-6 if softcap or sinks is not None else 1e-12, rtol=0)


def varlen_reference(query, key, value, cu_q, cu_k, max_q, max_k, scale=None, window_size=(-1, -1), enable_gqa=False):
    """What variable-length kernels promise: causality aligned to the last key of every run."""
    outputs = []
    for q, k, v in zip(
        query.tensor_split(cu_q[1:-1].tolist()),
        key.tensor_split(cu_k[1:-1].tolist()),
        value.tensor_split(cu_k[1:-1].tolist()),
        strict=True,
    ):
        assert len(q) <= max_q
        assert len(k) <= max_k
        offset = torch.arange(len(q))[:, None] + len(k) - len(q) - torch.arange(len(k))
        mask = (offset >= -window_size[1]) & ((window_size[0] < 0) | (offset <= window_size[0]))
        parts = (part.transpose(0, 1) for part in (q, k, v))
        outputs.append(
            F.scaled_dot_product_attention(*parts, attn_mask=mask, scale=scale, enable_gqa=enable_gqa).transpose(0, 1)
        )
    return torch.cat(outputs)


@pytest.mark.parametrize("window", WINDOWS)
def test_variable_length_kernels_get_the_right_geometry(window, monkeypatch):
    plan = build_plan(ROWS)
    mask = SharedPrefixMask(plan.layout, window, torch.device("cpu"))
    results = []
    for kernel in (None, lambda *args, **kwargs: attention._torch_varlen(varlen_reference, *args, **kwargs)):
        monkeypatch.setattr(attention, "_variable_length_kernel", lambda *args, kernel=kernel: kernel)
        parts, _ = draw(plan)
        output, _ = shared_prefix_attention(None, *parts, mask, scaling=0.3)
        output.square().sum().backward()
        results.append([output, *(part.grad for part in parts)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_no_gradient_between_branches():
    plan = build_plan(ROWS)
    (query, key, value), _ = draw(plan)
    mask = SharedPrefixMask(plan.layout, None, query.device)
    output, _ = shared_prefix_attention(None, query, key, value, mask)
    output[0, plan.last_index[0]].sum().backward()
    own = set(range(12)) | set(range(int(plan.last_index[0]) - 2, int(plan.last_index[0]) + 1))
    touched = set(value.grad.abs().sum((0, 1, 3)).nonzero().flatten().tolist())
    assert touched == own


def test_refuses_dropout_and_position_bias():
    plan = build_plan(ROWS)
    parts, _ = draw(plan)
    mask = SharedPrefixMask(plan.layout, None, torch.device("cpu"))
    with pytest.raises(ValueError, match="dropout"):
        shared_prefix_attention(None, *parts, mask, dropout=0.1)
    with pytest.raises(ValueError, match="position bias"):
        shared_prefix_attention(None, *parts, mask, position_bias=torch.zeros(1))


def test_is_registered_with_transformers():
    assert AttentionInterface()[attention.ATTENTION_NAME] is shared_prefix_attention


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("softcap, sinks", [(None, None), (2.0, None), (None, torch.tensor([0.5, -1.0, 2.0, 0.0]))])
@pytest.mark.parametrize(
    "kernel", [None, lambda *args, **kwargs: attention._torch_varlen(varlen_reference, *args, **kwargs)]
)
def test_the_last_layer_has_the_same_scored_rows(kernel, window, softcap, sinks, monkeypatch):
    if softcap is None and sinks is None:
        monkeypatch.setattr(attention, "_variable_length_kernel", lambda *args: kernel)
    plan = build_plan(ROWS)
    results = []
    for layer in (0, 1):
        parts, _ = draw(plan)
        module = torch.nn.Module()
        module.layer_idx = layer
        mask = SharedPrefixMask(plan.layout, window, torch.device("cpu"), num_layers=2)
        output, _ = shared_prefix_attention(module, *parts, mask, softcap=softcap, s_aux=sinks)
        scored = output[0, plan.last_index]
        scored.square().sum().backward()
        results.append([scored, *(part.grad for part in parts)])
    unscored = [row for row in range(output.shape[1]) if row not in plan.last_index.tolist()]
    assert not output[0, unscored].any()
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6 if softcap or sinks is not None else 1e-12, rtol=0)
