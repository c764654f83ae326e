"""Calibrated reward models: tasks/train.py with calibration_method, tasks/charm/train.py, and the plan of run_all.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.charm import train as charm_train
from tasks.charm.demo_ratings import TRUE_RATINGS, write_demo_ratings
from tasks.charm.run_all_config import RUN_ALL_KEYS, Plan
from tasks.charm.run_all_config import check_config as check_run_all
from tasks.charm.run_all_stages import run_stages
from tasks.charm.train_config import NAMED_CONFIGS, TRAIN_KEYS, check_config
from tasks.config_keys import defaults
from tasks.train import _DEFAULTS, ex
from tasks.train_config import ConfigError
from tasks.train_config import check_config as check_train
from tests.tiny import pairs, tiny_checkpoint
from trl_ext.arena import read_leaderboard


ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "per_device_train_batch_size": 6,
    "gradient_accumulation_steps": 1,
    "trainer": {"max_steps": 2, "disable_tqdm": True},
    "verify_round_trip": False,
    "cpu_threads": 1,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=512)


@pytest.fixture(autouse=True)
def in_a_scratch_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for experiment in (ex, charm_train.ex):
        monkeypatch.setattr(experiment, "observers", [])


def write_pairs(folder: str = "calibration") -> str:
    generator = np.random.default_rng(0)
    table = pairs(
        12,
        source_chosen=["terse"] * 12,
        source_rejected=["verbose"] * 12,
        target_win_rate=[0.6] * 12,
        score_chosen=generator.normal(size=12).tolist(),
        score_rejected=generator.normal(size=12).tolist(),
    )
    Path(folder).mkdir()
    table.to_json(f"{folder}/pairs.jsonl")
    return folder


def configure(**updates) -> dict:
    return defaults(TRAIN_KEYS) | {"pairs": "calibration", "model": "rm"} | updates


def test_matching_mixed_with_human_pairs_and_what_it_matched(tiny, capsys):
    pairs(12).to_csv("human.csv", index=False)
    updates = configure(
        pairs=write_pairs(), model=tiny, method="matching", human_data="human.csv", output_dir="out", train=SMALL
    )
    charm_train.ex.run(config_updates=updates)
    results = json.loads(Path("out/results.json").read_text())
    found = results["calibration"]
    assert found.pop("temperature") == pytest.approx(found["frozen_sd"] / 4)
    assert found.pop("anchor_weight") == pytest.approx(0.02 / found.pop("frozen_sd") ** 2)
    assert found == {
        "model_pairs": [
            {"model": "terse", "opponent": "verbose", "pairs": 12, "expected_win_rate": pytest.approx(0.6)}
        ],
        "human_pairs": 12,
        "source_offsets": None,
    }
    before = Path("out/model.safetensors").stat().st_mtime_ns
    charm_train.ex.run(config_updates=updates)
    assert "is finished" in capsys.readouterr().out
    assert Path("out/model.safetensors").stat().st_mtime_ns == before
    pairs(13).to_csv("human.csv", index=False)
    with pytest.raises(ConfigError, match="other data"):
        charm_train.ex.run(config_updates=updates)


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"human_data_path": "demo"}, "set calibration_method"),
        ({"calibration_method": "matching"}, "set train_data_path"),
        ({"calibration_method": "constant", "train_data_path": "pairs.jsonl"}, "must be one of hard, soft"),
        ({"calibration_method": "hard", "train_data_path": "p.jsonl", "noise_method": "none"}, "exclude each other"),
        ({"calibration_method": "hard", "train_data_path": "p.jsonl", "rapl_method": "p"}, "leave rapl_method out"),
    ],
)
def test_contradictions_in_tasks_train(updates, message):
    with pytest.raises(ConfigError, match=message):
        check_train(_DEFAULTS | {"eval_strategy": "no"} | updates, _DEFAULTS)


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"pairs": None}, "set pairs"),
        ({"model": None}, "set model"),
        ({"method": "constant"}, "must be one of hard"),
        ({"train": {"model_name": "x"}}, "set 'model', not 'train.model_name'"),
        (NAMED_CONFIGS["paper"] | {"method": "matching"}, "here 2 x 1 pairs.*accumulation_steps=32 does not"),
        ({"train": {"learning_rat": 1e-5}}, "Did you mean 'learning_rate'"),
    ],
)
def test_mistakes_in_the_configuration_of_a_training(updates, message):
    with pytest.raises(ConfigError, match=message):
        check_config(configure(**updates))


def test_the_recipe_of_the_paper_is_a_valid_configuration():
    paper = NAMED_CONFIGS["paper"]
    check_config(configure(**paper))
    train = paper["train"] | {"trainer": {"win_rate_ema_decay": 0.9}}
    check_config(configure(**paper | {"method": "matching", "train": train}))


def test_missing_pairs_are_told_before_a_model_is_looked_for():
    with pytest.raises(ConfigError, match="calibrate.py writes it"):
        charm_train.ex.run(config_updates=configure(pairs="nowhere"))


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"methods": ["hard", "hard"]}, "twice"),
        ({"methods": "hard,matchin"}, "got 'matchin'"),
        ({"policies": "policies.yaml"}, "need `ratings`"),
        ({"stop_after": "tran"}, "must be one of"),
        ({"train": {"seed": 1}}, "not 'train.seed'"),
        ({"calibrate": {"min_margin": -1.0}}, "min_margin"),
        ({"generate": {"temprature": 0.5}}, "temprature"),
        ({"calibrate": {"overvalued": "verbose"}}, "'calibrate.overvalued' follows"),
        ({"score": {"model": "other"}}, "'score.model' follows"),
        ({"overvalued": "verbose", "reference": "terse", "methods": "matching"}, "methods=hard"),
        ({"seed": -1}, "seed"),
    ],
)
def test_mistakes_in_any_stage_are_told_before_the_first(updates, message):
    with pytest.raises(ConfigError, match=message):
        check_run_all(defaults(RUN_ALL_KEYS) | updates)


def test_the_demo_is_planned_with_its_own_ratings():
    config = defaults(RUN_ALL_KEYS)
    check_run_all(config)
    plan = Plan(config)
    assert plan.calibration("matching")["ratings"] == str(Path("outputs/charm/ratings.csv"))
    assert plan.training("soft")["pairs"] == str(Path("outputs/charm/calibration/before/soft"))
    evaluation = plan.evaluation("soft")
    assert evaluation["after"] == str(Path("outputs/charm/models/soft"))
    assert evaluation["calibrated"] == str(Path("outputs/charm/calibration/before/soft/report.json"))


def test_models_are_evaluated_with_the_settings_of_the_scores():
    config = defaults(RUN_ALL_KEYS) | {
        "reward_model": "rm", "human_pairs": "pairs.jsonl",
        "score": {"prompt_format": "chat", "torch_dtype": "bfloat16", "max_length": 512},
    }  # fmt: skip
    check_run_all(config)
    evaluation = Plan(config).evaluation("hard")
    assert [evaluation[key] for key in config["score"]] == ["chat", "bfloat16", 512]


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"human_data": "nowhere.jsonl"}, "human_data='nowhere.jsonl': there is no such file"),
        ({"ratings": "nowhere.csv"}, "nowhere.csv"),
        ({"overvalued": "long"}, "is not a policy; there are plain, truncated"),
    ],
)
def test_missing_inputs_of_late_stages_are_told_at_once(updates, message):
    with pytest.raises(ConfigError, match=message):
        run_stages(defaults(RUN_ALL_KEYS) | updates)


def test_ratings_that_lack_a_policy_are_told_at_once():
    Path("ratings.csv").write_text("model,rating\nplain,1000\nterse,1100\n")
    with pytest.raises(ConfigError, match="no rating of model 'truncated'"):
        run_stages(defaults(RUN_ALL_KEYS) | {"ratings": "ratings.csv"})


def test_the_demo_ratings_are_near_the_truth_of_the_battles(tmp_path):
    write_demo_ratings(tmp_path)
    ratings = read_leaderboard(tmp_path / "ratings.csv")
    models = list(TRUE_RATINGS)
    difference = ratings.of(models) - ratings.of(models).mean()
    truth = np.array(list(TRUE_RATINGS.values())) - np.mean(list(TRUE_RATINGS.values()))
    assert (np.abs(difference - truth) < 4 * ratings.standard_errors(models)).all()
    assert len(pd.read_json(tmp_path / "battles.jsonl", lines=True)) == 4000


def test_a_script_beside_evaluate_py_still_finds_the_package_evaluate():
    code = "import runpy; runpy.run_path('tasks/charm/evaluate.py'); import evaluate; evaluate.Metric"
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, 'tasks/charm'); {code}"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
