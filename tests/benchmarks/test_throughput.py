"""Whole training steps are timed, and their figures written."""

import json

import pytest
from transformers import LlamaConfig

from benchmarks import common, throughput


@pytest.fixture(autouse=True)
def small_model(monkeypatch):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    monkeypatch.setitem(common.MODELS, "8m", (LlamaConfig, {**sizes, "vocab_size": common.MIN_VOCABULARY}))


def test_figures_of_two_steps(tmp_path, capsys):
    file = tmp_path / "figures.json"
    arguments = ["--model", "8m", "--steps", "2", "--warmup", "1", "--device", "cpu", "--pairs", "24"]
    result = throughput.main([*arguments, "--batch-size", "8", "--lengths", "true", "--json", str(file)])
    assert json.loads(file.read_text()) == result
    assert result["shared_prefix"]["enabled"]
    assert result["processes"] == 1 and result["distributed_type"] == "NO"
    # 16 of the 24 pairs are timed; their prompts, nine tenths of them, are computed once
    assert 0 < result["computed_tokens"] < 0.7 * result["tokens"]
    assert result["tokens_per_second"] == pytest.approx(result["tokens"] / result["seconds"])
    assert result["peak_memory_bytes"] > 2**20
    assert "tokens/s" in capsys.readouterr().out


def test_a_step_before_the_timed_ones_is_needed(capsys):
    with pytest.raises(SystemExit):
        throughput.main(["--model", "8m", "--warmup", "0", "--device", "cpu"])
    assert "at least 1" in capsys.readouterr().err
