"""tasks/charm/generate.py and score.py: configurations, the demo's prompts, files, a kill in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.charm.demo_prompts import load_demo_prompts
from tasks.charm.generate import ex as generate
from tasks.charm.generate_config import DEMO, GENERATE_KEYS, check_generate_config, resolve_aliases
from tasks.charm.generate_run import DEMO_POLICIES, generate_all, load_prompts
from tasks.charm.score import ex as score
from tasks.charm.score_config import SCORE_KEYS, check_score_config
from tasks.config_keys import defaults
from tasks.train_config import ConfigError
from tests.processes import environment
from tests.tiny import tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext.arena import PolicyModel, read_policies, read_responses, read_scores
from trl_ext.data import demo


ROOT = Path(__file__).resolve().parents[2]


def config(**updates) -> dict:
    return defaults(GENERATE_KEYS) | {"prompts": "p.jsonl", "model": "org/m"} | updates


class TestTheDemo:
    def test_no_prompt_is_a_test_question_and_splits_share_none(self):
        rows = load_demo_prompts()
        questions = {
            split: {r["messages"][0]["content"] for r in rows if r["split"] == split}
            for split in ("calibration", "heldout")
        }
        assert [len(found) for found in questions.values()] == [160, 80]
        assert not questions["calibration"] & questions["heldout"]
        test_prompts = set(demo.load_demo_preferences()["test"]["prompt"])
        assert not test_prompts & {row["prompt"] for row in rows}
        assert len({row["id"] for row in rows}) == len(rows)
        assert all(row["prompt"] == demo.demo_prompt(row["messages"][0]["content"]) for row in rows)

    def test_policies_are_five_models_of_which_one_costs_nothing(self):
        policies = {policy.name: policy for policy in read_policies(DEMO_POLICIES)}
        assert set(policies) == {"plain", "truncated", "terse", "verbose", "hot"}
        plain, truncated = policies["plain"].settings(), policies["truncated"].settings()
        assert {key for key in plain if plain[key] != truncated[key]} == {"name", "max_words"}


class TestConfigurations:
    @pytest.mark.parametrize(
        ("updates", "message"),
        [
            ({"prompts": None}, "set `prompts`"),
            ({"model": None}, "set either `policies`"),
            ({"policies": DEMO}, "set either `policies`"),
            ({"policies": DEMO, "model": None, "temperature": 1.0}, "`temperature` is of a single `model`"),
            ({"models": ["a"]}, "`models` picks some of `policies`"),
            ({"max_tokens": "9"}, "'max_tokens' must be int"),
            ({"max_new_tokens": "9"}, "'max_tokens' must be int"),
            ({"dataset_name": "x"}, "dataset_name is the original's name of prompts: give one"),
            ({"base_url": "http://localhost:8000/v1"}, "base_url needs backend=openai"),
            ({"backend": "openai", "base_url": "http://u:p@localhost/v1"}, "contains a user name"),
            ({"batch_size": 0}, "'batch_size' must be at least 1"),
            ({"temprature": 1}, "Did you mean 'temperature'"),
            ({"on_failure": "ignore"}, "must be one of error, drop"),
            ({"seed": -1}, "'seed' must be at least 0"),
        ],
    )
    def test_mistakes_in_generation(self, updates, message):
        with pytest.raises(ConfigError, match=message):
            check_generate_config(config(**updates))

    def test_several_processes_are_refused(self, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(ConfigError, match="not `accelerate launch`"):
            check_generate_config(config())

    def test_the_originals_names_of_options(self):
        given = defaults(GENERATE_KEYS) | {
            "dataset_name": "p.jsonl",
            "model_name": "m",
            "max_new_tokens": 9,
            "output_path": "o",
        }
        check_generate_config(given)
        found = resolve_aliases(given)
        assert [found[key] for key in ("prompts", "model", "max_tokens", "output_dir")] == ["p.jsonl", "m", 9, "o"]

    @pytest.mark.parametrize(
        ("updates", "message"),
        [
            ({"model": None}, "set `model`"),
            ({"models": ["a"]}, "two or more names"),
            ({"max_length": 0}, "'max_length' must be at least 1"),
            ({"prompt_format": "text"}, "must be one of chat"),
            ({"name": "../x"}, "'name' must be a name for a folder"),
        ],
    )
    def test_mistakes_in_scoring(self, updates, message):
        with pytest.raises(ConfigError, match=message):
            check_score_config(defaults(SCORE_KEYS) | {"model": "rm"} | updates)


class TestPrompts:
    def rows(self, tmp_path, text, name="p.jsonl", **updates):
        (tmp_path / name).write_text(text)
        return load_prompts(config(prompts=str(tmp_path / name), **updates))

    def test_ids_and_splits_are_made_where_there_are_none(self, tmp_path):
        text = "instruction\n" + "".join(f"What is {i}?\n" for i in range(200))
        rows = self.rows(tmp_path, text, "p.csv", prompt_column="instruction")
        assert [row["id"] for row in rows] == [str(i) for i in range(200)]
        heldout = {row["id"] for row in rows if row["split"] == "heldout"}
        assert 20 <= len(heldout) <= 60
        some = self.rows(tmp_path, text, "p.csv", prompt_column="instruction", max_prompts=50)
        assert len(some) == 50 and {row["id"] for row in some if row["split"] == "heldout"} <= heldout

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"id": 1, "text": "x"}', "has no column 'prompt'; its columns are id, text"),
            ('{"id": 1, "prompt": "x", "split": "test"}', "'split' must be one of calibration, heldout, got 'test'"),
            ('{"id": 1, "prompt": "x", "split": "heldout"}\n{"id": 2, "prompt": "y"}', "1 prompts have no 'split'"),
            ('{"id": 1, "prompt": ', "line 1 is not JSON"),
            ("", "the file is empty"),
        ],
    )
    def test_bad_files(self, tmp_path, text, message):
        with pytest.raises(ValueError, match=message):
            self.rows(tmp_path, text)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """A policy and a reward model."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizer()
    tiny_reward_model(tokenizer).save_pretrained(folder / "rm")
    tokenizer.save_pretrained(folder / "rm")
    return {"policy": tiny_checkpoint(folder / "policy"), "rm": str(folder / "rm")}


def write_job(folder: Path, model: str, count: int, max_tokens: int) -> dict:
    """Files of prompts and of two policies, and the configuration."""
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"id": f"q{i}", "prompt": f"Question {i}?"}) + "\n" for i in range(count)))
    policies = folder / "policies.json"
    policies.write_text(
        json.dumps(
            [
                {"name": name, "model": model, "temperature": t, "max_tokens": max_tokens}
                for name, t in (("org/cold", 0.5), ("org/hot", 1.5))
            ]
        )
    )
    return {"prompts": str(prompts), "policies": str(policies), "progress": False}


def test_from_prompts_to_scores(tmp_path, models, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    job = write_job(tmp_path, models["policy"], count=5, max_tokens=5)
    first = generate.run(config_updates=job | {"models": ["org/hot"]})
    assert first.result == {"org/hot": 5}
    assert generate.run(config_updates=job).result == {"org/cold": 5, "org/hot": 5}
    output = tmp_path / "outputs" / "charm"
    assert [path.name for path in sorted((output / "responses").glob("*.jsonl"))] == [
        "org__cold.jsonl",
        "org__hot.jsonl",
    ]
    with pytest.raises(ConfigError, match="has other prompts"):
        generate.run(config_updates=job | {"max_prompts": 2})
    updates = {"model": models["rm"], "name": "rm", "prompt_format": "chat", "progress": False}
    means = score.run(config_updates=updates).result
    table = read_scores(output / "scores" / "rm")
    assert table.models == ("org/cold", "org/hot") and len(table) == 5
    assert means == pytest.approx({model: table.of(model).mean() for model in table.models})
    row = json.loads((output / "scores" / "rm" / "input.jsonl").read_text().splitlines()[0])
    assert row["prompt"] == [{"role": "user", "content": "Question 0?"}]
    assert "mean reward" in capsys.readouterr().out


@pytest.mark.slow
def test_killed_in_the_middle_it_gives_the_same_files_and_asks_nothing_twice(tmp_path, models):
    job = write_job(tmp_path, models["policy"], count=60, max_tokens=48) | {"batch_size": 1}

    def command(output: str) -> list[str]:
        updates = [f"{key}={value}" for key, value in (job | {"output_dir": output}).items()]
        return [sys.executable, str(ROOT / "tasks/charm/generate.py"), "with", *updates]

    def stored(output: str) -> list[str]:
        files = sorted((tmp_path / output / "responses" / "answers").glob("*.jsonl"))
        return [line for path in files for line in path.read_text().split("\n")[:-1]]

    subprocess.run(command("whole"), cwd=tmp_path, env=environment(), check=True, capture_output=True, timeout=300)
    for goal in (20, 80):  # the first in one policy, the second in the other
        process = subprocess.Popen(
            command("killed"), cwd=tmp_path, env=environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while process.poll() is None and len(stored("killed")) < goal:
            time.sleep(0.005)
        assert process.poll() is None, "it ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with pytest.raises(ValueError, match="'org/hot' are not finished"):
        read_responses(tmp_path / "killed" / "responses")
    before = len(stored("killed"))
    subprocess.run(command("killed"), cwd=tmp_path, env=environment(), check=True, capture_output=True, timeout=300)
    for name in ("org__cold.jsonl", "org__hot.jsonl"):
        path = Path("responses") / name
        assert (tmp_path / "killed" / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()
    # Equal lines: none lost, none twice
    assert sorted(stored("killed")) == sorted(stored("whole"))
    record = json.loads((tmp_path / "killed" / "responses" / "org__hot.meta.json").read_text())
    assert record["this_run"]["asked"] == len(stored("whole")) - before
    assert not list((tmp_path / "killed").rglob(".*"))


def test_a_second_model_that_is_not_there_is_found_before_the_first_answers(models, tmp_path, monkeypatch):
    settings = defaults(GENERATE_KEYS)
    policies = [PolicyModel("here", models["policy"]), PolicyModel("away", str(tmp_path / "nowhere"))]
    monkeypatch.setattr("tasks.charm.generate_run.generate_responses", None)
    with pytest.raises((ValueError, OSError), match="nowhere"):
        generate_all([{"id": "1", "prompt": "Hi"}], policies, tmp_path, settings)
