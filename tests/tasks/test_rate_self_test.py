"""tasks/rate/self_test.py: the verdict as exit status, what is written, and mistakes in the configuration."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.config_keys import defaults
from tasks.rate.self_test_config import NAMED_CONFIGS, SELF_TEST_KEYS, check_self_test_config
from tasks.train_config import ConfigError
from tests.servers.openai_compatible import CompletionServer
from trl_ext.rate import attribute_names, get_attribute, get_lexicon


SCRIPT = Path(__file__).parents[2] / "tasks" / "rate" / "self_test.py"


class Record:
    def __init__(self):
        self.info = {}


def run(tmp_path, **updates):
    from tasks.rate.self_test_run import run_self_test

    config = defaults(SELF_TEST_KEYS) | {"output_dir": str(tmp_path), "limit": 60, "progress": False} | updates
    check_self_test_config(config)
    return run_self_test(config, Record())


def test_rules_pass_and_all_figures_are_written(tmp_path, capsys):
    result = run(tmp_path)
    assert result["verdict"] == "PASS"
    written = json.loads((Path(result["folder"]) / "self_test.json").read_text())
    planted = {part["reward"]: part for part in written["recoveries"] if part["estimand"] == "ATE"}
    assert planted["attribute + off-target"]["planted"] == 1.0 and planted["off-target"]["planted"] == 0.0
    assert planted["off-target: unknown_share"]["naive"]["value"] > 1  # typos of positive reviews, misread
    assert written["quality"]["compliance"] and written["versions"]["trl_ext"] and written["originals"]["kept"] == 60
    assert "Self-test of rewriter rule for sentiment: PASS" in capsys.readouterr().out


DOCS = (Path(__file__).parents[2] / "docs" / "rewrite_quality.md").read_text()
RULES = re.findall(r"^\| `(\w+)` \| (PASS|DOUBTFUL|FAIL) \| ([+−][\d.]+) \| ([^|]+) \|", DOCS, re.MULTILINE)


def test_table_of_rules_has_all_attributes():
    assert {row[0] for row in RULES} == set(attribute_names())


@pytest.mark.parametrize(
    "row", [pytest.param(r, marks=[] if r[0] == "sentiment" else pytest.mark.slow) for r in RULES]
)
def test_table_of_rules_is_what_the_script_says(row, tmp_path):
    name, verdict, null, drift = (cell.replace("−", "-") for cell in row)
    result = run(tmp_path, attribute=name, limit=SELF_TEST_KEYS["limit"][0])
    written = json.loads((Path(result["folder"]) / "self_test.json").read_text())
    ates = {part["reward"]: part["estimate"] for part in written["recoveries"] if part["estimand"] == "ATE"}
    assert result["verdict"] == verdict and ates["attribute"]["value"] == pytest.approx(1, abs=1e-12)
    assert f"{ates['off-target']['value']:+.3f}" == null
    notes = " ".join(written["quality"]["notes"])
    found = re.findall(r"Off-target drift of (\w+):[^.]*?biases the ATE \(([-+][\d.]+) sd\)", notes)
    assert ", ".join(f"{feature} {size}" for feature, size in found) == drift.replace("none", "")
    if name == "sentiment":  # the sentence above the table
        mixed = ates["attribute + off-target"]
        assert f"RATE {mixed['value']:.3f} [{mixed['ci_low']:.3f}, {mixed['ci_high']:.3f}]" in DOCS


@pytest.mark.slow
def test_a_fault_fails_with_exit_status_4(tmp_path):
    command = [sys.executable, SCRIPT, "with", "faulty", "limit=60", f"output_dir={tmp_path}", "progress=False"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 4, done.stderr[-2000:]
    assert "FAIL" in done.stdout and "planted +0.000" in done.stdout


def test_a_model_behind_a_server_that_rewrites_well_passes(tmp_path):
    lexicon, mood = get_lexicon("sentiment"), get_attribute("sentiment")

    def answer(body):
        question = body["messages"][-1]["content"]
        for target in (True, False):
            head = mood.ask("\0", target)[0]["content"].split("\0")[0]
            if question.startswith(head):
                return lexicon.turn(question[len(head) :], target)
        raise AssertionError(question)

    with CompletionServer(answer) as server:
        result = run(
            tmp_path,
            rewriter="openai",
            model="honest",
            base_url=server.url,
            api_key_env="",
            typos=0.0,
            temperature=0.0,
        )
    assert result["verdict"] == "PASS" and result["folder"].endswith("synthetic_sentiment_openai")


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"marginn": 0.1}, "unknown config key 'marginn'. Did you mean 'margin'"),
        ({"margin": 1.0}, "'margin' must lie strictly between 0 and 1"),
        ({"level": 0.5}, "'level' must lie strictly between 0.5 and 1"),
        ({"effect": -1.0}, "'effect' must be at least"),
        ({"asymmetry": 2.0}, r"'asymmetry' must be in \[0, 1\]"),
        ({"rewriter": "local", "model": "m", "fail": 0.1}, "`fail` is a deviation of rules"),
        ({"rewriter": "local"}, "rewriter=local needs `model`"),
        ({"rewriter": "gpt"}, "'rewriter' must be one of rules"),
        ({"attribute": "mood"}, "mood"),
        ({"limit": 1}, "'limit' must be at least 2"),
        ({"name": "../up"}, "must be a name for a folder"),
        ({"openai_api_key": "sk"}, "credential"),
    ],
)
def test_mistakes_in_the_configuration(updates, message):
    with pytest.raises(ConfigError, match=message):
        check_self_test_config(defaults(SELF_TEST_KEYS) | updates)


def test_other_settings_do_not_mix_with_rewrites_that_are_there(tmp_path):
    run(tmp_path)
    with pytest.raises(ConfigError, match="was made with other settings"):
        run(tmp_path, asymmetry=0.5)
    assert run(tmp_path, asymmetry=1.0, overwrite=True)["verdict"] == "FAIL"


def test_named_configs_are_right():
    for updates in NAMED_CONFIGS.values():
        check_self_test_config(defaults(SELF_TEST_KEYS) | updates)
