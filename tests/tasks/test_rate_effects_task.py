"""tasks/rate/effects.py and plot.py on a folder of scored rewrites: files, figures, the original's layout, mistakes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.config_keys import defaults
from tasks.rate import effects, plot
from tasks.rate.effects_config import EFFECTS_KEYS, check_effects_config
from tasks.rate.plot_config import PLOT_KEYS, check_plot_config
from tasks.train_config import ConfigError
from trl_ext.rate import (
    LexicalReward,
    RewardChains,
    TextChains,
    estimate_effects,
    read_original_effects,
    score_chains,
    sweep_effects,
    write_original_scored,
)


MODELS = {"plain": {"words": 0.1}, "wordy": {"words": 0.5}}


def text_chains(n=24):
    rng = np.random.default_rng(0)
    rows, w = [], np.arange(n) % 2 == 0
    for has in w:
        words = [f"word{k}" for k in range(int(rng.integers(5, 9)))]
        short, long = " ".join(words) + ".", " ".join(words * 2) + "."
        rows.append((long, short, long + " Yes.") if has else (short, long, short + " No."))
    failures = [(None, None)] * n
    rows[3], failures[3] = (rows[3][0], None, None), ("refusal", "no_rewrite")
    prompts = tuple("Why" + "?" * int(k) for k in rng.integers(1, 9, n))
    return TextChains("length", tuple(f"t{i}" for i in range(n)), prompts, w, tuple(rows), tuple(failures))


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Rewrites of one data set, scored by two reward models."""
    root = tmp_path_factory.mktemp("rate")
    folder = root / "reviews_length"
    chains = text_chains()
    chains.write(folder / "rewrites.jsonl")
    record = {"treated": "longer", "untreated": "shorter", "classifier": None}
    (folder / "originals.meta.json").write_text(json.dumps(record))
    for name, weights in MODELS.items():
        score_chains(LexicalReward(weights), chains, folder / "scores" / name, on_failure="drop")
    return root


def run(script, keys, check, tmp_path, monkeypatch, **config):
    monkeypatch.chdir(tmp_path)  # Sacred's records
    check({**defaults(keys), **config})
    return script.ex.run(config_updates=config).result


@pytest.fixture(scope="module")
def finished(output, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("work")
        config = {"output_dir": str(output), "bootstrap": 200, "baseline": "plain", "reference": True}
        found = run(effects, EFFECTS_KEYS, check_effects_config, folder, patch, **config)
        (output / "demo").mkdir()
        levels = {float(at): simulated(at) for at in range(3)}
        sweep = {
            "axis": "level",
            "truth": 0.0,
            "reward_models": {"reward": sweep_effects(levels, normalised=False).to_dict()},
        }
        (output / "demo" / "synthetic.json").write_text(
            json.dumps({"experiments": {"typos": sweep}, "normalised": False})
        )
        audit = {
            "step": 5,
            "name": "length",
            "normalised": {"ATE_rewritten_rewrite": {"value": 0.1, "ci_low": 0, "ci_high": 1}},
        }
        (output / "demo" / "audit.jsonl").write_text(json.dumps(audit) + "\n")
        audits = [str(output / "demo" / "audit.jsonl")]
        drawn = run(plot, PLOT_KEYS, check_plot_config, folder, patch, output_dir=str(output), audits=audits)
    return found, drawn


def simulated(level):
    rng = np.random.default_rng(level)
    w = rng.random(60) < 0.5
    return RewardChains(
        w, rng.normal(size=(60, 1)) + level * np.stack([w, w, w], axis=1) + 0.1 * rng.normal(size=(60, 3))
    )


def test_effects_are_those_of_the_rewards(output, finished):
    found, _ = finished
    assert set(found) == {"reviews/length/plain", "reviews/length/wordy"}
    content = json.loads((output / "effects" / "effects.json").read_text())
    rows = {(row["reward_model"], row["estimator"], row["estimand"]): row for row in content["effects"]}
    rate = rows["wordy", "rate", "ATE"]
    assert rate["n"] == 23 and rate["normalised"] == found["reviews/length/wordy"]
    assert rate["value"] > 2 > rows["plain", "rate", "ATE"]["value"]  # half a point for each of 5 to 8 words
    assert content["excluded"] == {"reviews/length": {"refusal": 1}}
    assert content["contrasts"][0]["baseline"] == "plain" and content["contrasts"][0]["reward_model"] == "wordy"
    assert "for longer texts" in content["sentences"][0]
    provenance = content["provenance"]
    assert set(provenance["rewards_sha256"]) == {"reviews_length/plain", "reviews_length/wordy"}
    assert provenance["rewrites"]["reviews/length"]["verdict"] in ("good", "doubtful", "bad")
    assert len(pd.read_csv(output / "effects" / "effects.csv")) == len(content["effects"])


def test_rows_that_were_not_scored_are_no_faults(output, tmp_path, monkeypatch):
    texts = text_chains()
    folder = tmp_path / "out" / "reviews_length"
    texts.write(folder / "rewrites.jsonl")
    faulty = replace(texts, texts=tuple((a, "I'm sorry, but I can't help with that request.", c) if c and i < 8 else (a, b, c)
                                        for i, (a, b, c) in enumerate(texts.texts)))  # fmt: skip
    faulty.write(folder / "rewrites.jsonl")
    scored = faulty.select(list(range(4, 20)))
    score_chains(LexicalReward({"words": 0.1}), scored, folder / "scores" / "rm")
    own = {"output_dir": "out", "bootstrap": 0}
    run(effects, EFFECTS_KEYS, check_effects_config, tmp_path, monkeypatch, **own)
    content = json.loads(Path("out/effects/effects.json").read_text())
    # of rows 0 to 7, 4 were scored and one has no rewrite
    assert content["excluded"] == {"reviews/length": {"refusal": 5, "not_scored": 7}}
    assert {row["n"] for row in content["effects"] if row["estimand"] == "ATE"} == {12}
    # texts that were changed after they were scored are no texts of these rewards
    changed = replace(faulty, texts=tuple((*row[:-1], row[-1] and row[-1] + " More.") for row in faulty.texts))
    changed.write(folder / "rewrites.jsonl")
    for texts in (True, False):
        with pytest.raises(ConfigError, match="16 of 16 rows that were scored have other texts now"):
            run(effects, EFFECTS_KEYS, check_effects_config, tmp_path, monkeypatch, **own, texts=texts)
    drawn = run(plot, PLOT_KEYS, check_plot_config, tmp_path, monkeypatch, output_dir="out")
    assert "have other texts now" in drawn["scores_reviews_length.png"]


def test_wrong_files_of_figures(tmp_path, monkeypatch):
    def draw(**config):
        return run(plot, PLOT_KEYS, check_plot_config, tmp_path, monkeypatch, output_dir=str(tmp_path), **config)

    (tmp_path / "effects").mkdir()
    (tmp_path / "effects" / "effects.json").write_text(json.dumps({"effects": [], "contrasts": []}))
    with pytest.raises(ConfigError, match="has no effects"):
        draw()
    (tmp_path / "effects" / "effects.json").unlink()
    kept = tmp_path / "figures" / "effects.png"
    kept.parent.mkdir()
    kept.touch()
    audit = tmp_path / "audit.jsonl"
    estimate = {"value": 0.1, "ci_low": 0.0, "ci_high": 1.0}
    for content, message in (
        ({"step": "x", "name": "length", "normalised": {"ATE_rewritten_rewrite": estimate}}, "audit.jsonl, line 1"),
        ({"step": 1}, "audit.jsonl, line 1"),
        (None, "is empty"),
    ):
        audit.write_text("" if content is None else json.dumps(content) + "\n")
        with pytest.raises(ConfigError, match=message):
            draw(audits=[str(audit)])
    assert kept.is_file()  # what was there is removed when there is something else to draw
    # an interval beside its value is found out when it is drawn
    audit.write_text(json.dumps({"step": 1, "name": "length", "normalised": {"ATE_rewritten_rewrite": {
        "value": 5.0, "ci_low": 0.0, "ci_high": 1.0}}}) + "\n")  # fmt: skip
    with pytest.raises(ConfigError, match="audit.png, which was asked for, was not drawn"):
        draw(audits=[str(audit)])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "quality.json").write_text("{}")
    with pytest.raises(ConfigError, match="quality.json is not of the quality"):
        draw()


def test_original_effects_file(output, finished):
    path = next((output / "effects" / "original").glob("reviews_length_wordy_*.json"))
    values, config = read_original_effects(path)
    assert config == {"dataset_name": "reviews", "concept": "length", "score": "wordy"}
    assert values["Y1_count"] == 12 and values["Y0_count"] == 11


def test_all_figures_are_drawn(output, finished):
    _, drawn = finished
    names = {"effects", "rewrite_bias", "naive_vs_rate", "power", "contrasts", "scores_reviews_length", "audit"}
    assert drawn["sweep_typos.png"] == "sweep_typos.png"
    for name in (*names, "sweep_typos"):
        assert drawn[f"{name}.png"] == f"{name}.png"
        assert {path.suffix for path in (output / "figures").glob(f"{name}.*")} == {".png", ".csv"}
    assert {"examples_reviews_length.md", "examples_reviews_length.html"} <= set(drawn)
    table = pd.read_csv(output / "figures" / "effects.csv")
    content = json.loads((output / "effects" / "effects.json").read_text())
    rate = [row["normalised"] for row in content["effects"] if (row["estimator"], row["estimand"]) == ("rate", "ATE")]
    np.testing.assert_allclose(table.loc[table["estimator"] == "rate", "value"], rate)


def test_a_scored_file_of_the_original(tmp_path, monkeypatch):
    chains = text_chains()
    chains = chains.select(chains.complete)
    own = RewardChains(chains.w, np.random.default_rng(0).normal(size=(23, 3)), ids=chains.ids)
    path = tmp_path / "data" / "scored" / "scored.jsonl"
    write_original_scored(chains, {"org/rm": own, "other": own}, path)
    section = {"dataset_filename": "scored.jsonl", "dataset_name": "eli5_length", "concept": "length",
               "score": "armorm", "reward_key": "org/rm"}  # fmt: skip
    found = run(
        *(effects, EFFECTS_KEYS, check_effects_config, tmp_path, monkeypatch),
        **{"effects": section, "output_dir": "out", "bootstrap": 0, "texts": False, "reference": True},
    )
    assert set(found) == {"eli5_length/length/armorm"}
    (written,) = Path("out/effects/original").iterdir()
    values, config = read_original_effects(written)
    assert config == section
    expected = estimate_effects(own, se="reference")["ATE_rewritten_rewrite"]
    assert (values["ATE_rewritten_rewrite"], values["ATE_rewritten_rewrite_stderr"]) == (expected.value, expected.se)


BAD = {
    "unknown key": ({"levels": 0.9}, "Did you mean 'level'"),
    "level": ({"level": 95}, "'level' must lie strictly"),
    "bootstrap": ({"bootstrap": 10}, "'bootstrap' must be at least 80"),
    "estimands": ({"estimands": "ATE,LATE"}, "some of ATE, ATT, ATU, got 'LATE'"),
    "twice": ({"models": ["a", "a"]}, "a name twice"),
    "steps": ({"step_keys": ["original"]}, "must have 3 names"),
    "no attribute": ({"original_file": "x.jsonl"}, "set `attribute`"),
    "no file": ({"reward_key": "rm"}, "'reward_key' is of original_file"),
    "both": ({"original_file": "x.jsonl", "attribute": "length", "models": ["a"]}, "'models' is of output_dir"),
    "reference": ({"se": "reference", "level": 0.9}, "intervals of level 0.95"),
    "folder": ({"names": ["../x"]}, "must be a name for a folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_in_the_configuration(name):
    config, message = BAD[name]
    with pytest.raises(ConfigError, match=message):
        check_effects_config({**defaults(EFFECTS_KEYS), **config})


def test_what_is_not_there(output, finished, tmp_path, monkeypatch):
    own = {"output_dir": str(output), "bootstrap": 0}
    for config, message in (
        ({"models": ["gpt"]}, "no rewards of gpt"),
        ({"names": ["imdb"]}, "data sets with scores in .*: reviews_length"),
        ({"baseline": "gpt"}, "no reward model 'gpt'"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(effects, EFFECTS_KEYS, check_effects_config, tmp_path, monkeypatch, **own, **config)
    for config, message in (
        ({"output_dir": str(tmp_path)}, "nothing to draw"),
        ({"output_dir": str(output), "audits": "x.jsonl"}, "x.jsonl: there is no such file"),
        ({"output_dir": str(output), "names": ["x"]}, "no such folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(plot, PLOT_KEYS, check_plot_config, tmp_path, monkeypatch, **config)
    with pytest.raises(ConfigError, match="'examples' must be at least 0"):
        check_plot_config({**defaults(PLOT_KEYS), "examples": -1})
