"""The benchmarks of training and scoring run, agree with what they compare to, and write their figures."""

import json

import pytest
import torch
from transformers import LlamaConfig

from benchmarks import common, score, train_step


RATIOS = ("ratio_cpu", "ratio_wall", "token_ratio", "fraction_of_peak")


@pytest.fixture(autouse=True)
def small_model(monkeypatch):
    """A model for which a step takes no time; the settings of torch are left as they were."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    monkeypatch.setitem(common.MODELS, "4m", (LlamaConfig, {**sizes, "vocab_size": common.MIN_VOCABULARY}))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def check(result, file):
    assert json.loads(file.read_text()) == result
    for key in RATIOS:
        assert list(result[key]) == list(common.VARIANTS)
    for key in ("ratio_cpu", "ratio_wall", "token_ratio"):
        assert result[key]["padded"] == 1
    assert result["max_relative_difference"] <= 1e-5
    tokens = result["tokens"]
    assert tokens["shared"] < tokens["packed"] < tokens["sorted"] <= tokens["padded"]


@pytest.mark.parametrize("lengths", ["lie", "multiturn"])
def test_training_step(tmp_path, capsys, lengths):
    file = tmp_path / "figures.json"
    arguments = ["--lengths", lengths, "--pairs", "16", "--batch-size", "4", "--repetitions", "1", "--json", str(file)]
    check(train_step.main(arguments), file)
    assert "shared" in capsys.readouterr().out


def test_training_step_with_checkpointing_and_bfloat16(tmp_path):
    file = tmp_path / "figures.json"
    result = train_step.main(
        ["--pairs", "8", "--batch-size", "4", "--repetitions", "1", "--gradient-checkpointing", "--dtype", "bfloat16"]
        + ["--json", str(file)]
    )
    assert result["max_relative_difference"] <= common.TOLERANCES["bfloat16"]


def test_pairs_must_fill_the_batches():
    with pytest.raises(ValueError, match="9 pairs can't be divided into batches of 4"):
        train_step.main(["--pairs", "9", "--batch-size", "4"])


@pytest.mark.slow
def test_memory_of_a_training_step():
    result = train_step.main(["--lengths", "true", "--pairs", "16", "--repetitions", "1", "--memory"])
    assert list(result["memory_ratio"]) == list(common.VARIANTS)


@pytest.mark.parametrize("responses", [2, 3])
def test_scoring(tmp_path, responses):
    file = tmp_path / "figures.json"
    arguments = ["--prompts", "10", "--batch-size", "4", "--repetitions", "1", "--max-tokens", "2000"]
    check(score.main([*arguments, "--responses", str(responses), "--json", str(file)]), file)


def test_scoring_of_texts(tmp_path, monkeypatch):
    for name in ("chat", "code", "safety-refuse", "safety-response"):
        rows = [
            {
                "prompt": f"{name} question {index}, which is asked at length?",
                "chosen": [f"Yes{' indeed' * words}." for words in (index, 2 * index, 9 * index)],
                "rejected": [f"No{' never' * words}." for words in (index + 1, 3 * index, 5 * index)],
            }
            for index in range(3)
        ]
        (tmp_path / f"{name}_filtered.json").write_text(json.dumps(rows))
    file = tmp_path / "figures.json"
    arguments = ["--prompts", "4", "--batch-size", "4", "--repetitions", "1", "--json", str(file)]
    monkeypatch.setitem(common.MODELS["4m"][1], "vocab_size", 49152)  # that of the bundled tokenizer
    check(score.main([*arguments, "--rm-bench", str(tmp_path)]), file)


class TestLoop:
    def test_two_responses_are_scored_in_batches_of_their_own(self):
        # Three groups; sequences 0, 2, 4 are chosen, 1, 3, 5 rejected
        assert score.loop_batches(groups=3, responses=2, batch_size=2) == [[0, 2], [1, 3], [4], [5]]

    def test_more_responses_are_unrolled(self):
        assert score.loop_batches(groups=2, responses=3, batch_size=4) == [[0, 1, 2, 3], [4, 5]]

    def test_rows_without_sharing_keep_the_order(self):
        assert list(score.rows_in_order([[1] * 3, [1] * 2, [1] * 4, [1] * 9], max_tokens=6)) == [[0, 1], [2], [3]]
