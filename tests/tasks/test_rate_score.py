"""tasks/rate/score.py: configurations, several models and data sets, quality, files of the original, a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tasks.config_keys import defaults
from tasks.rate.score import ex
from tasks.rate.score_rate_config import RATE_SCORE_KEYS, check_rate_score_config, resolve_rate_score
from tasks.train_config import ConfigError
from tests.processes import ROOT, environment, launch
from tests.rate.chains import word_chains
from tests.scoring.helpers import reward_model
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.rate import (
    LexicalReward,
    TextChains,
    chat_prompts,
    read_original_scored,
    read_reward_chains,
    score_chains,
    write_original_rewrites,
)


def config(**updates) -> dict:
    return defaults(RATE_SCORE_KEYS) | {"model": "org/rm"} | updates


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Two reward models and a classifier."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizer()
    for seed in (0, 1):
        tiny_reward_model(tokenizer, seed=seed).save_pretrained(folder / f"rm{seed}")
        tokenizer.save_pretrained(folder / f"rm{seed}")
    classifier = reward_model("bert", tokenizer)
    classifier.config.id2label = {0: "GOOD"}
    classifier.save_pretrained(folder / "classifier")
    tokenizer.save_pretrained(folder / "classifier")
    return {path.name: str(path) for path in folder.iterdir()}


@pytest.fixture
def output(tmp_path, monkeypatch) -> Path:
    """Two data sets, of 8 rows and of 6."""
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "outputs" / "rate"
    word_chains().write(output / "first" / "rewrites.jsonl")
    word_chains(6, steps=3).write(output / "second" / "rewrites.jsonl")
    return output


def score(**updates) -> dict[str, float]:
    return ex.run(config_updates={"progress": False, **updates}).result


class TestConfiguration:
    @pytest.mark.parametrize(
        ("updates", "message"),
        [
            ({"model": None}, "set `model`"),
            ({"models": ["a"]}, "set `model` or `models`, not both"),
            ({"model": None, "models": ["a", "a"]}, "a list of names, each once"),
            ({"model": None, "models": ["a", "b"], "score_name": "x"}, "is of one model's scores"),
            ({"name": "../x"}, "'name' must be a name for a folder"),
            ({"max_length": 0}, "'max_length' must be at least 1"),
            ({"limit": 3}, "'limit' must be at least 4"),
            ({"lexical_weights": {"wrods": 1.0}}, "has no feature 'wrods'"),
            ({"model": "lexical", "lexical_weights": {"words": 0.0}}, "all rewards would be the same"),
            ({"lexical_weights": {"words": "1"}}, "'lexical_weights.words' must be a number"),
            ({"model": "lexical", "label": "POSITIVE"}, "`label` is of a classifier"),
            ({"label": "POSITIVE", "prompt_format": "chat"}, "'prompt_format' has no effect with `label`"),
            ({"label": 1, "max_length_policy": "truncate_prompt_left"}, "a classifier reads no prompt"),
            ({"original_file": "x.json"}, "set `attribute`"),
            ({"attribute": "length"}, "`attribute` is of original_file"),
            ({"on_failure": "ignore"}, "must be one of error, drop"),
            ({"scorng": {}}, "unknown config key 'scorng'"),
            ({"scoring": {"model": "armorm"}}, "dataset_filename"),
        ],
    )
    def test_mistakes(self, updates, message):
        with pytest.raises(ConfigError, match=message):
            check_rate_score_config(config(**updates))

    def test_the_originals_keys(self):
        section = {"model": "distilbert_positive", "dataset_filename": "f.json", "dataset_name": "imdb_length"}
        given = defaults(RATE_SCORE_KEYS) | {"scoring": section, "smoke_test": True}
        check_rate_score_config(given)
        found = resolve_rate_score(given)
        assert found["label"] == "POSITIVE" and found["models"][0].endswith("sst-2-english") and found["limit"] == 10
        assert (found["original_file"], found["name"], found["attribute"]) == (
            str(Path("data", "rewrites", "f.json")),
            "imdb_length",
            "length",
        )


def test_several_models_of_all_data_sets(output, models, capsys):
    names = [models["rm0"], models["rm1"], "lexical"]
    means = score(models=names, prompt_format="chat")
    assert list(means) == [f"{data}/{rm}" for rm in ("rm0", "rm1", "lexical") for data in ("first", "second")]
    for data, chains in (("first", word_chains()), ("second", word_chains(6, steps=3))):
        for rm in ("rm0", "rm1"):
            found = read_reward_chains(output / data / "scores" / rm, chains)
            assert means[f"{data}/{rm}"] == found.original.mean()
            expected = RewardScorer(models[rm], shared_prefix=False, progress=False).score(
                list(chat_prompts(chains).prompts), [list(texts) for texts in chains.texts]
            )
            np.testing.assert_allclose(found.rewards, np.stack(expected), rtol=1e-5, atol=1e-5)
        lexical = LexicalReward({"words": 0.02, "sentiment": 1.0, "politeness": 0.5, "confidence": 0.5})
        texts = [text for row in chains.texts for text in row]
        found = read_reward_chains(output / data / "scores" / "lexical")
        np.testing.assert_allclose(found.rewards.ravel(), lexical.rewards(texts), rtol=1e-6)
    record = json.loads((output / "first" / "scores" / "rm0" / "chains.json").read_text())
    assert record["attribute"] == "indeed" and record["rows"] == 8 and record["quality"] is None
    assert "Mean rewards" in capsys.readouterr().out
    # What changed since is not taken for what was scored
    word_chains(9).write(output / "first" / "rewrites.jsonl")
    with pytest.raises(ConfigError, match="has rewards of other chains"):
        score(model="lexical", name="first")
    with pytest.raises(ValueError, match="8 of 8 rows that were scored have other texts now"):
        changed = [(f"{texts[0]} So.", *texts[1:]) for texts in word_chains().texts]
        chains = word_chains()
        chains = TextChains(chains.attribute, chains.ids, chains.prompts, chains.w, tuple(changed))
        read_reward_chains(output / "first" / "scores" / "rm0", chains)


def test_rows_that_pass_quality(output):
    quality = output / "first" / "quality.json"
    keep = [True] * 8
    keep[2] = keep[5] = False
    quality.write_text(json.dumps({"keep": keep, "exclusions": {"refusal": {"rows": 2, "all_rows": 2}}}))
    score(model="lexical", name="first")
    folder = output / "first" / "scores" / "lexical"
    assert read_reward_chains(folder).ids.tolist() == ["r0", "r1", "r3", "r4", "r6", "r7"]
    record = json.loads((folder / "chains.json").read_text())
    assert record["quality"] == {"rows": 8, "kept": 6, "exclusions": {"refusal": 2}}
    score(model="lexical", name="first", use_quality=False, score_name="all", limit=4)
    assert len(read_reward_chains(output / "first" / "scores" / "all")) == 4
    for content, message in (
        ('{"keep": [true], "exclusions": {}}', "each of the 8 rows"),
        ('{"exclusions": {}}', "must be an object with `keep`"),
        (json.dumps({"keep": [False] * 8, "exclusions": {"empty": 8}}), r"no row passes \({'empty': 8}\)"),
    ):
        quality.write_text(content)
        with pytest.raises(ConfigError, match=message):
            score(model="lexical", name="first")
    with pytest.raises(ConfigError, match="use_quality=True needs .*second"):
        score(model="lexical", name="second", use_quality=True)


def test_failed_rewrites_are_told_before_a_model_is_loaded(output, models):
    chains = word_chains()
    texts, failures = list(chains.texts), [(None, None)] * 8
    texts[3], failures[3] = (texts[3][0], None, None), ("timeout", "no_rewrite")
    TextChains("indeed", chains.ids, chains.prompts, chains.w, tuple(texts), tuple(failures)).write(
        output / "first" / "rewrites.jsonl"
    )
    with pytest.raises(ConfigError, match=r"1 of 8 rows have no 'rewritten_rewrite' \(timeout: 1\)"):
        score(model=models["rm0"])
    assert not (output / "first" / "scores").exists()
    score(model="lexical", name="first", on_failure="drop")
    record = json.loads((output / "first" / "scores" / "lexical" / "chains.json").read_text())
    assert record["left_out"] == {"timeout": 1} and record["rows"] == 7


def test_files_of_the_original(tmp_path, monkeypatch, models):
    monkeypatch.chdir(tmp_path)
    write_original_rewrites(word_chains(), tmp_path / "data" / "rewrites" / "words.json")
    score(label="GOOD", model=models["classifier"], original_file="data/rewrites/words.json", attribute="indeed")
    folder = tmp_path / "outputs" / "rate" / "words"
    (scored,) = (folder / "scored").iterdir()
    assert scored.name.startswith("words_classifier_good_logit_scored_2")
    chains, rewards = read_original_scored(scored, "indeed")
    assert chains.texts == word_chains().texts and list(rewards) == [f"{models['classifier']}_good_logit"]
    (kept,) = (folder / "scores").iterdir()
    np.testing.assert_array_equal(
        rewards[f"{models['classifier']}_good_logit"].rewards, read_reward_chains(kept).rewards
    )
    # An already scored file gets another model's rewards beside those that it has
    (tmp_path / "data" / "scored").mkdir()
    scored.rename(tmp_path / "data" / "scored" / "words.jsonl")
    score(scoring={"model": models["rm0"], "dataset_folder": "scored", "dataset_filename": "words.jsonl"}, attribute="indeed", limit=4)  # fmt: skip
    (scored,) = (folder / "scored").iterdir()
    again = read_original_scored(scored, "indeed")[1]
    assert set(again) == {models["rm0"], *rewards} and len(again[models["rm0"]]) == 4
    word_chains(9).write(folder / "rewrites.jsonl")
    with pytest.raises(ConfigError, match="has other texts than"):
        score(model="lexical", original_file="data/rewrites/words.json", attribute="indeed")


def test_what_is_not_there(output, tmp_path, models):
    for updates, message in (
        ({"name": "third", "model": "lexical"}, "there is no such file"),
        ({"output_dir": str(tmp_path / "nowhere"), "model": "lexical"}, "nor a folder with rewrites.jsonl"),
        ({"model": "./nowhere"}, "there is no such folder"),
        ({"models": [models["rm0"], f"{models['rm0']}/"]}, "would share a folder"),
        ({"model": models["classifier"], "label": "BAD"}, "has no class 'BAD'"),
    ):
        with pytest.raises(ConfigError, match=message):
            score(**updates)


@pytest.mark.slow
def test_killed_it_continues_and_two_processes_write_the_same(tmp_path, models):
    word_chains(1500).write(tmp_path / "rate" / "first" / "rewrites.jsonl")
    script = ROOT / "tasks" / "rate" / "score.py"
    updates = ["with", f"model={models['rm0']}", "output_dir=rate", "progress=False"]
    command = [sys.executable, str(script), *updates, "score_name=killed"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, start_new_session=True
    )
    rewards = tmp_path / "rate" / "first" / "scores" / "killed" / "rewards.jsonl"
    deadline = time.monotonic() + 120
    while not (rewards.exists() and rewards.stat().st_size > 1000) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)  # with what prepares rows in the background
    process.wait()
    assert 0 < rewards.read_bytes().count(b"\n") < 4500
    subprocess.run(command, cwd=tmp_path, env=environment(), check=True, capture_output=True, timeout=300)
    assert rewards.read_bytes().count(b"\n") == 4500
    launch("cpu_2proc.yaml", script, *updates, "score_name=two", cwd=tmp_path)
    assert rewards.read_bytes() == rewards.parents[1].joinpath("two", "rewards.jsonl").read_bytes()
    chains = TextChains.read(tmp_path / "rate" / "first" / "rewrites.jsonl")
    score_chains(RewardScorer(models["rm0"], progress=False), chains, tmp_path / "one")
    assert rewards.read_bytes() == (tmp_path / "one" / "rewards.jsonl").read_bytes()
