"""tasks/rate/synthetic.py: on synthetic texts, on files of scored rewrites, and with mistakes."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from tasks.config_keys import defaults
from tasks.rate.synthetic_config import SYNTHETIC_KEYS, check_synthetic_config
from tasks.rate.synthetic_data import second_attribute
from tasks.rate.synthetic_run import run_synthetic
from tasks.train_config import ConfigError
from trl_ext.rate import (
    LexicalReward,
    get_attribute,
    rewrite_chains,
    rule_rewriter,
    score_chains,
    simulate_rewards,
    synthetic_reviews,
)


def config(tmp_path, **changes):
    found = defaults(SYNTHETIC_KEYS) | {"output_dir": str(tmp_path / "out"), "progress": False} | changes
    check_synthetic_config(found)
    return found


def test_synthetic_texts(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    slopes = run_synthetic(config(tmp_path, experiments="typos", n=80, typo_levels=[0, 30]))
    assert (
        slopes["typos"]["reward"]["naive_effect"] < -0.01 and slopes["typos"]["reward"]["ATE_rewritten_rewrite"] == 0
    )
    folder = tmp_path / "out" / "synthetic"
    written = json.loads((folder / "synthetic.json").read_text())
    experiment = written["experiments"]["typos"]
    assert experiment["truth"] == 0 and "words with typos" in experiment["axis"]
    assert experiment["reward_models"]["reward"]["slopes"]["naive_effect"]["ci_high"] < 0
    assert written["provenance"]["config"]["n"] == 80
    table = pd.read_csv(folder / "typos.csv")
    assert {"level", "estimator", "value", "se", "ci_low", "ci_high", "n"} <= set(table) and len(table) == 6
    assert (folder / "figures" / "typos.png").stat().st_size > 10_000
    assert "typos: effects in reward" in capsys.readouterr().out


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Rewrites of a data set, scored by two rewards."""
    folder = tmp_path_factory.mktemp("run") / "reviews_length"
    originals = synthetic_reviews(200, 0, attribute="length")
    chains = rewrite_chains(
        originals, get_attribute("length"), rule_rewriter("length"), path=folder / "rewrites.jsonl", progress=False
    )
    for name, weights in (("kind", {"sentiment": 1.0}), ("long", {"words": 0.01})):
        scorer = LexicalReward(weights)
        scorer.progress = False
        score_chains(scorer, chains, folder / "scores" / name)
    return folder


def test_scored_rewrites_of_a_run(tmp_path, run_folder):
    settings = {"data": str(run_folder), "second": "sentiment", "levels": [0, 10], "skip_plots": True}
    slopes = run_synthetic(config(tmp_path, **settings))["correlated_sentiment"]
    assert set(slopes) == {"kind", "long"}
    assert slopes["kind"]["naive_effect"] > 1 and abs(slopes["kind"]["ATE_rewritten_rewrite"]) < 0.1
    mirrored = run_synthetic(config(tmp_path, reward_models=["kind"], negative=True, **settings))
    # against the correlation, which falls: the same rise with it
    assert (
        set(mirrored["correlated_sentiment"]) == {"kind"}
        and mirrored["correlated_sentiment"]["kind"]["naive_effect"] > 1
    )
    table = pd.read_csv(tmp_path / "out" / "synthetic" / "correlated_sentiment.csv")
    assert set(table["level"]) == {-1.0, 0.0} and set(table["reward_model"]) == {"kind"}
    assert not (tmp_path / "out" / "synthetic" / "figures").exists()


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_file_with_levels(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    parts = [simulate_rewards(100, 0, m1=at, beta0=0.0).table().assign(level=at) for at in (0.0, 0.5, 1.0)]
    path = tmp_path / f"rewards.{suffix}"
    table = pd.concat(parts)
    table.to_csv(path, index=False) if suffix == "csv" else table.to_json(path, orient="records", lines=True)
    slopes = run_synthetic(config(tmp_path, data=str(path)))["levels"]["reward"]
    assert slopes["naive_effect"] == pytest.approx(-0.5) and slopes["ATE_rewritten_rewrite"] == pytest.approx(0)
    assert (tmp_path / "out" / "synthetic" / "figures" / "levels.png").is_file()


def test_file_with_a_second_attribute(tmp_path):
    path = tmp_path / "rewards.csv"
    chains = simulate_rewards(400, 0)
    second = np.random.default_rng(1).integers(0, 2, 400)
    table = chains.table().assign(kind=second)
    for name in ("original", "rewrite", "rewritten_rewrite"):
        table[name] += 2 * second
    table.drop(columns="id").to_csv(path, index=False)
    settings = {"data": str(path), "second": "kind", "levels": [0, 5, 10], "skip_plots": True}
    slopes = run_synthetic(config(tmp_path, **settings))["correlated_kind"]["reward"]
    assert slopes["naive_effect"] > 1.5 and abs(slopes["ATE_rewritten_rewrite"]) < 0.3
    for changes, message in (
        ({"second": "mood"}, "no column 'mood'"),
        ({"second": None}, "no column 'level'"),
        ({"second": "original"}, "must be 0 or 1; 400 values are not, first: row 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_synthetic(config(tmp_path, **settings | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experiments": ["typo"]}, "may have typos, length_sentiment, helpfulness_complexity; got 'typo'"),
        ({"experiments": "typos,lengths"}, "got 'lengths'"),
        ({"experiments": []}, "is empty"),
        ({"levels": [0, 11]}, r"in \[0, 10\], got 11"),
        ({"levels": [3]}, "two levels or more"),
        ({"typo_levels": [5.0, 5.0]}, "two levels or more"),
        ({"n": 10}, "at least 40"),
        ({"repair_typos": 1.5}, r"in \[0, 1\], got 1.5"),
        ({"level": 95.0}, "strictly between 0 and 1"),
        ({"second": "sentiment"}, "set `data` too"),
        ({"negative": True}, "set `data` too"),
        ({"data": "/no/such/folder"}, "there is no"),
        ({"data": "."}, "set `second`"),
        ({"nn": 10}, "Did you mean 'n'"),
        ({"name": "../x"}, "name for a folder"),
    ],
)
def test_bad_configurations(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, **changes)


def test_second_attribute_is_recognised_where_metadata_lack_it():
    texts = synthetic_reviews(60, 0, attribute="length")
    known = second_attribute(texts, "vowel_start")
    assert known == second_attribute(dataclasses.replace(texts, metadata=()), "vowel_start")
    assert {True, False} == set(known)
    with pytest.raises(ValueError, match="metadata 'mood' must be true or false, got 'glad' in row 0"):
        second_attribute(dataclasses.replace(texts, metadata=({"mood": "glad"},) * 60), "mood")
    with pytest.raises(ValueError, match="no attribute 'mood'"):
        second_attribute(texts, "mood")
