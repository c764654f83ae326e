"""tasks/rate/run_all.py from texts to figures, and killed in the middle of stages: the same command goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.config_keys import defaults
from tasks.rate.run_all import ex
from tasks.rate.run_all_config import RUN_ALL_KEYS, Plan
from tasks.train_config import ConfigError
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext.rate import TextChains


ROOT = Path(__file__).resolve().parents[2]
RULES = "demo_length_rules"


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "rm"
    tokenizer = tiny_tokenizer()
    tiny_reward_model(tokenizer, max_position_embeddings=512).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def run(output, reward_model, **updates):
    keys = {"reward_models": [reward_model], "rewriters": ["rules"], "limit": 12, "output_dir": str(output)}
    return ex.run(config_updates=keys | updates, options={"--loglevel": "ERROR"}).result


@pytest.fixture(scope="module")
def output(reward_model, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "rate"
    run(output, reward_model)
    return output


def words(text):
    return len(text.split())


def test_the_effect_of_a_known_reward_is_found_and_others_compared_with_it(output):
    chains = TextChains.read(output / RULES / "rewrites.jsonl")
    assert len(chains) == 12 and chains.w.sum() == 6 and chains.complete.all()
    effects = pd.read_csv(output / "effects/effects.csv")
    rate = effects[(effects["estimator"] == "rate") & (effects["estimand"] == "ATE")].set_index("reward_model")
    assert sorted(rate.index) == sorted(["lexical", "rm"]) and (rate["n"] == 12).all()
    # the lexical reward pays .02 for each word, and rules for length change nothing else it pays for
    added = [words(second) - words(first) for _, first, second in chains.texts]
    assert rate.loc["lexical", "value"] == pytest.approx(0.02 * np.mean(np.where(chains.w, added, np.negative(added))))
    contrasts = pd.read_csv(output / "effects/contrasts.csv")
    assert set(contrasts["reward_model"]) == {"lexical"} and set(contrasts["baseline"]) == {"rm"}
    assert (output / "figures/effects.png").stat().st_size > 5000


def test_a_finished_run_does_nothing_again(output, reward_model):
    folder = output / RULES
    files = [folder / "rewrites.jsonl", *folder.glob("scores/*/rewards.jsonl")]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    seconds = run(output, reward_model, stop_after="score")
    assert list(seconds) == ["reward_models", "rewrite", "score"] and len(before) == 3
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"rewriters": ["rule"]}, "'rewriters' must name some of rules, local, server, openai, batch, got 'rule'"),
        ({"rewriters": []}, "'rewriters' must be a list"),
        ({"rewriters": ["rules", "rules"]}, "each once"),
        ({"reward_models": ["a", "a"]}, "'reward_models' must be a list of names, each once"),
        ({"reward_models": [], "lexical_reward": False}, "there is no reward model"),
        ({"baseline": "nobody"}, "'baseline' must be one of"),
        ({"attribute": "colour"}, "colour"),
        ({"limit": 1}, "'limit' must be at least 2"),
        ({"create": {"model": "m"}}, "'create.model' follows from the other keys"),
        ({"score": {"modle": "m"}}, "unknown config key 'modle'"),
        ({"effects": {"level": 2}}, "'level' must lie strictly between 0 and 1"),
        ({"reward_models": None, "train": {"rapl_method": "beta"}}, "'train.rapl_method' follows from the other keys"),
        ({"stop_after": "reports"}, "'stop_after' must be one of"),
    ],
)
def test_mistakes_are_found_before_the_first_stage(updates, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        run(tmp_path / "rate", "a", **updates)
    assert not (tmp_path / "rate").exists()


def test_keys_of_one_rewriter_are_not_given_to_another(tmp_path):
    config = defaults(RUN_ALL_KEYS) | {
        "rewriters": ["rules", "local"],
        "create": {"temperature": 0.1, "concurrency": 2},
    }
    plan = Plan(config)
    rules, local = plan.creation("rules"), plan.creation("local")
    assert (rules["temperature"], local["temperature"]) == (0.7, 0.1)
    assert rules["concurrency"] == local["concurrency"] == 2  # of none of them: it is refused


def test_reward_models_of_one_name_are_refused(reward_model, tmp_path):
    folders = [tmp_path / name / "rm" for name in ("1", "2")]
    for folder in folders:
        shutil.copytree(reward_model, folder)
    with pytest.raises(ConfigError, match="would have one name"):
        run(tmp_path / "rate", None, reward_models=list(map(str, folders)))


def start(cwd, *arguments):
    cwd.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, ROOT / "tasks/rate/run_all.py", "with", *arguments],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(cwd, *arguments):
    process = start(cwd, *arguments)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said[-3000:]


def kill_when(reached, cwd, *arguments):
    process = start(cwd, *arguments)
    until = time.monotonic() + 600
    while process.poll() is None and not reached() and time.monotonic() < until:
        time.sleep(0.02)
    assert process.poll() is None, process.stdout.read()[-3000:]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(reward_model, tmp_path):
    """With the bundled model as rewriter, in this process and behind a server."""
    arguments = (f"reward_models={reward_model}", "rewriters=local,server", "limit=6", "create.max_tokens=24")
    arguments += ("score.use_quality=False", "effects.texts=False")  # so short, rewrites are cut
    whole, killed = tmp_path / "whole/outputs/rate", tmp_path / "killed/outputs/rate"
    finish(tmp_path / "whole", *arguments)
    for reached in (
        lambda: any(path.stat().st_size for path in killed.glob("demo_length_local/answers.jsonl")),
        lambda: any(path.stat().st_size for path in killed.glob("demo_length_server/answers.jsonl")),
        lambda: any(killed.glob("demo_length_local/scores/*/input.jsonl")),
        lambda: any(killed.glob("effects/*.csv")),
    ):
        kill_when(reached, tmp_path / "killed", *arguments)
    finish(tmp_path / "killed", *arguments)
    for folder in ("demo_length_local", "demo_length_server"):
        files = sorted(whole.glob(f"{folder}/rewrites.jsonl")) + sorted(whole.glob(f"{folder}/scores/*/rewards.jsonl"))
        assert len(files) == 3
        for path in files:
            assert (killed / path.relative_to(whole)).read_bytes() == path.read_bytes(), path
    results = [json.loads((folder / "effects/effects.json").read_text()) for folder in (whole, killed)]
    assert results[0]["effects"] == results[1]["effects"] and results[0]["contrasts"]
