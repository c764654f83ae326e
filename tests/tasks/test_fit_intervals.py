"""tasks/fit_intervals.py: a saved model gets preference sets and intervals, measured on other questions."""

import json

import numpy as np
import pytest

from tasks.config_keys import defaults
from tasks.fit_intervals import KEYS, check
from tasks.fit_intervals_run import run
from tasks.train_config import ConfigError
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.scoring import read_uncertainty


class Recorder:
    def __init__(self):
        self.info = {}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An ensemble, and pairs of which the first is better by the mean reward of its heads and some noise."""
    folder, tokenizer = tmp_path_factory.mktemp("world"), tiny_tokenizer()
    model = tiny_reward_model(tokenizer, num_labels=3)
    model.config.reward_head = {"kind": "ensemble", "num_heads": 3}
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    generator = np.random.default_rng(0)
    words = ["good", "bad", "Paris", "answer", "question", "France", "is", "the"]
    prompts = [f"Question {i // 2}: what is it? " for i in range(160)]
    sides = [[" ".join(generator.choice(words, 5)) + f" {k}{i}." for i in range(160)] for k in range(2)]
    d, _ = RewardScorer(str(folder / "model"), progress=False).pair_differences(prompts, *sides)
    target = d + generator.normal(size=160) * d.std() / 2
    rows = [
        {"prompt": prompt, "chosen": a, "rejected": b, "label": float(t > 0), "gap": t}
        for prompt, a, b, t in zip(prompts, *sides, target, strict=True)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def configured(world, **updates):
    config = defaults(KEYS) | {"model": str(world / "model"), "data": str(world / "pairs.jsonl")} | updates
    check(config)
    return config


def test_what_is_stored_is_applied(world, tmp_path, capsys):
    found = run(configured(world, target_col_name="gap", alpha=0.2, output_dir=str(tmp_path)), Recorder())
    printed = capsys.readouterr().out
    assert "at most 0.2 of all pairs" in printed and "at least 0.8" in printed
    written = json.loads((tmp_path / "uncertainty.json").read_text())
    assert written["pairs"] == {"fit": 80, "measured": 80} and written["intervals"]["counts"] == {"": 40}
    assert written["intervals"]["cluster_rule"] == "one_per_cluster" and written["provenance"]["data_sha256"]
    # 80 pairs of 40 questions: four standard errors of their share, and of the 40 that calibrated
    assert 0.8 - 4 * 0.08 < found["covered"] <= 1 and found["wrong_of_all"] < 0.2 + 4 * 0.08
    stored = read_uncertainty(world / "model")
    assert stored.intervals.normalized and stored.fitted_on == "80 pairs of pairs.jsonl"
    scorer = RewardScorer(str(world / "model"), progress=False)
    pair = scorer.compare_pairs(["Question: what is it? "], ["good Paris."], ["the bad question is France."])
    assert pair.low[0] < pair.high[0] and pair.decision[0] in (-1, 0, 1)
    # again, with what is stored in the way
    run(configured(world, alpha=0.3, use_sd=False, output_dir=str(tmp_path)), Recorder())
    assert read_uncertainty(world / "model").intervals is None


@pytest.mark.parametrize(
    ("updates", "match"),
    [
        ({"model": None}, "set model="),
        ({"alpha": 1.0}, "'alpha' must be above 0"),
        ({"target_col_name": "rating"}, "no column 'rating'"),
        ({"alpha": 0.01}, "it needs at least 99"),
        ({"model": "owner/model"}, "no folder that intervals could be stored in"),
    ],
)
def test_mistakes(world, tmp_path, updates, match):
    with pytest.raises(ConfigError, match=match):
        run(configured(world, output_dir=str(tmp_path), **updates), Recorder())


def test_soft_labels_are_refused(world, tmp_path):
    (tmp_path / "soft.jsonl").write_text(
        '{"prompt": "What? ", "chosen": "a", "rejected": "b", "label": 0.7}\n' * 2, encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="neither 0 nor 1; first: row 0, value 0.7"):
        run(configured(world, data=str(tmp_path / "soft.jsonl")), Recorder())
