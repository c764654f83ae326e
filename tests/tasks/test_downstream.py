"""From contracts to reward models: scenarios, labels, trainings that are made once, and the table."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from tasks.annotators.downstream import check, ex
from tasks.annotators.downstream_data import load_splits, split_by_prompt, write_training_pairs
from tasks.annotators.downstream_scenarios import CORRUPTED, Cell, Scenario, solve_scenarios, training_cells
from tasks.annotators.downstream_table import Results, format_markdown, result_table
from tasks.finished_runs import is_finished
from tasks.resume import fixed_part
from tasks.train import ex as train_ex
from tasks.train_config import ConfigError
from tests.tiny import tiny_checkpoint


ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = dict(ex.configurations[0]())


@pytest.fixture(scope="module")
def demo():
    return load_splits("demo", DEFAULTS)


class TestScenarios:
    def test_efforts_are_those_of_the_exact_contracts(self, demo, shared_dir):
        cases = json.loads((shared_dir / "golden" / "annotator.json").read_text())["exact_contracts"]["cases"]
        case = next(c for c in cases if c["label"] == "self delta=0.02" and c["n"] == 11 and c["mu"] == "high")
        scenarios = solve_scenarios(DEFAULTS | {"n_monitor": 11, "monitors": ["self"]}, {"demo": demo.probabilities})
        solved = {s.contract: s for s in scenarios if s.monitor == "self"}
        for contract in ("linear", "binary"):
            assert solved[contract].effort == pytest.approx(case[contract]["effort"], abs=1e-4)
            assert solved[contract].value == pytest.approx(case[contract]["value"], rel=1e-7)

    def test_a_scenario_without_contract_says_why_and_is_not_trained(self):
        config = DEFAULTS | {"monitors": ["expert"], "regime": "restricted"}
        scenarios = solve_scenarios(
            config, {"guesses": np.full(100, 0.5)}
        )  # an expert who can only guess checks nothing
        missing = [s for s in scenarios if s.monitor == "expert"]
        assert missing and all(not s.is_feasible and s.reason for s in missing)
        assert {cell.eta for cell in training_cells(scenarios, DEFAULTS)} == {0.0, 1.0}

    def test_a_training_is_made_once_for_all_scenarios_that_share_it(self):
        efforts = (("clean", 1.0), ("a", 0.912), ("b", 0.913), ("c", 0.5), (CORRUPTED, 0.0))
        scenarios = [Scenario("demo", name, effort=effort) for name, effort in efforts]
        cells = training_cells(scenarios, DEFAULTS | {"seeds": [1, 2]})
        runs = {(cell.eta, cell.method) for cell in cells}
        # one method where labels are clean or tell nothing; 0.912 and 0.913 are one effort
        assert runs == {(1.0, "plain"), (0.0, "plain"), *((e, m) for e in (0.91, 0.5) for m in ("plain", "forward"))}
        assert len(cells) == 2 * len(runs) == len({cell.folder for cell in cells})


class TestData:
    def test_no_prompt_is_on_both_sides(self, demo):
        assert not set(demo.train["prompt_id"]) & set(demo.held_out["prompt_id"])
        assert len(demo.train) + len(demo.held_out) == 738

    def test_labels_follow_the_effort(self, demo, tmp_path):
        labels = {}
        for eta in (0.0, 0.5, 1.0):
            cell = Cell("demo", eta, "plain", 7, tmp_path)
            rows = pd.read_parquet(write_training_pairs(demo, cell, "hard", tmp_path))
            assert set(rows["label"]) <= {0.0, 1.0} and (rows["eta"] == eta).all()
            labels[eta] = rows["label"].to_numpy()
        p = demo.probabilities
        for eta, label in labels.items():
            expected = eta * p + (1 - eta) / 2
            se = np.sqrt(np.sum(expected * (1 - expected))) / len(p)
            assert abs(label.mean() - expected.mean()) < 4 * se

    def test_other_data_get_another_file(self, demo, tmp_path):
        cell = Cell("demo", 0.5, "plain", 7, tmp_path)
        first = write_training_pairs(demo, cell, "hard", tmp_path)
        assert write_training_pairs(demo, cell, "hard", tmp_path) == first
        assert write_training_pairs(demo, cell, "soft", tmp_path) != first

    def test_one_prompt_cannot_be_split(self):
        rows = Dataset.from_dict({"prompt": ["q"] * 3, "chosen": list("abc"), "rejected": list("def"), "p": [0.5] * 3})
        with pytest.raises(ValueError, match="one prompt"):
            split_by_prompt(rows, "p", DEFAULTS)


def write_rewards(cell: Cell, p, difference) -> Cell:
    cell.folder.mkdir(parents=True)
    rows = {"id": range(len(p)), "prompt_id": np.arange(len(p)) // 2, "oracle_probability": p}
    rows |= {"reward_chosen": difference, "reward_rejected": 0.0}
    pd.DataFrame(rows).to_csv(cell.folder / "test_rewards.csv", index=False)
    return cell


class TestTable:
    @pytest.fixture
    def results(self, tmp_path):
        p = np.array([0.9, 0.2, 0.5, 0.7])
        plain, forward = np.array([1.0, 1.0, 0.3, 0.0]), np.array([2.0, -1.0, 0.0, 1.0])
        cells = [
            write_rewards(Cell("demo", 0.6, method, seed, tmp_path / f"{method}{seed}"), p, values)
            for method, values in (("plain", plain), ("forward", forward))
            for seed in (1, 2)
        ]
        return Results(cells)

    def test_figures_by_hand(self, results):
        # -p ln s(d) - (1-p) ln s(-d), s(1) = .731059: .9 * .313262 + .1 * 1.313262 = .413262; with p = .2: 1.113262;
        # p = .5, d = .3: .704355; d = 0: .693147. Mean .731007
        figures = results.figures("demo", 0.6, "plain")
        assert figures["cross_entropy"].value == pytest.approx(0.731007, abs=1e-6)
        assert figures["accuracy"].value == pytest.approx(1 / 3)  # p = 1/2 has no right answer; a tie is none

    def test_one_seed_tells_nothing_of_others(self, tmp_path):
        cell = write_rewards(
            Cell("demo", 0.6, "plain", 1, tmp_path / "one"), np.array([0.9, 0.2, 0.5, 0.7]), np.ones(4)
        )
        figure = Results([cell]).figures("demo", 0.6, "plain")["cross_entropy"]
        assert "2 clusters" in figure.method

    def test_a_dataset_without_finished_trainings_is_in_the_table(self, results):
        scenarios = [
            Scenario("demo", "contract", "self", "linear", effort=0.6, wage=0.1),
            Scenario("other", "contract", "expert", "binary", reason="no bonus within the bounds"),
        ]
        markdown = format_markdown(result_table(scenarios, results, ["plain"]), {"demo": 0.5, "other": 0.6})
        assert "other: entropy" in markdown

    def test_the_gain_is_paired(self, results):
        figures = {method: results.figures("demo", 0.6, method)["cross_entropy"] for method in ("plain", "forward")}
        gain = results.gain("demo", 0.6, "forward")
        assert gain.value == pytest.approx(figures["forward"].value - figures["plain"].value)
        assert results.gain("demo", 0.6, "plain") is None

    def test_a_scenario_without_contract_is_in_the_table(self, results):
        scenarios = [
            Scenario("demo", "contract", "self", "linear", effort=0.6, wage=0.1),
            Scenario("demo", "contract", "expert", "binary", reason="no bonus within the bounds"),
        ]
        table = result_table(scenarios, results, ["plain", "forward"])
        assert table["reason"].tolist().count("no bonus within the bounds") == 1
        markdown = format_markdown(table, {"demo": 0.5})
        assert "none: no bonus within the bounds" in markdown
        assert markdown.count("| self, linear |") == 2


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=2048)


def command(tiny: str, *updates: str) -> list[str]:
    small = ('monitors=["self"]', 'contracts=["linear"]', "seeds=[1]", "train_dataset_size=24", "budgets=[0.05]")
    train = (f"train.model_name={tiny}", "train.frozen_cache_dir=states", "train.num_train_epochs=1")
    return [sys.executable, str(ROOT / "tasks/annotators/downstream.py"), "with", *small, *train, *updates]


def launch(folder: Path, arguments: list[str]) -> subprocess.Popen:
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        arguments, cwd=folder, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def test_results_may_be_moved(tmp_path):
    train = {key: f"{tmp_path}/data/{key}-1234.parquet" for key in ("train_data_path", "eval_data_path")}
    config = dict(train_ex.configurations[0]()) | train
    folder = tmp_path / "run"
    folder.mkdir()
    state = {"status": "complete", "config": fixed_part(config), "data_sha256": "0"}
    (folder / "training_run.json").write_text(json.dumps(state))
    (folder / "results.json").write_text("{}")
    moved = config | {key: value.replace(str(tmp_path), "elsewhere") for key, value in train.items()}
    assert is_finished(folder, moved, config, lambda: "0", hashed_files=set(train))
    with pytest.raises(ConfigError, match="train_data_path"):
        is_finished(
            folder, moved | {"train_data_path": "a/b-9999.parquet"}, config, lambda: "0", hashed_files=set(train)
        )


@pytest.mark.slow
def test_it_survives_a_kill_and_trains_nothing_twice(tiny, tmp_path):
    output = tmp_path / "outputs" / "annotators-downstream"
    process = launch(tmp_path, command(tiny))
    deadline = time.monotonic() + 300
    while len(list(output.glob("runs/*/results.json"))) < 2:  # the third is being trained, or is about to be
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1][-3000:]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {
        path: path.stat().st_mtime_ns
        for path in output.glob("runs/*/results.json")
        if json.loads((path.parent / "training_run.json").read_text())["status"] == "complete"
    }

    stdout, stderr = launch(tmp_path, command(tiny)).communicate(timeout=500)
    assert f"{len(before)} of them finished before" in stdout, stdout[-2000:] + stderr[-3000:]
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    results = json.loads((output / "results.json").read_text())
    assert results["trainings"]["finished"] == results["trainings"]["planned"] == len(list(output.glob("runs/*")))
    assert {"table.md", "table.csv", "contracts.csv", "scenarios.png", "budget.png"} <= {
        p.name for p in output.iterdir()
    }
    assert not list(output.rglob("*.safetensors"))
    contracts = pd.read_csv(output / "contracts.csv")
    assert {"name", "c", "effort", "wage", "reason"} <= set(contracts.columns)
    assert set(contracts["condition"]) == {"clean", "fully_corrupted", "contract", "budget"}
    conditions = {(row["condition"], row["method"]) for row in results["figures"]}
    assert {
        ("clean", "plain"),
        ("fully_corrupted", "plain"),
        ("contract", "forward"),
        ("budget", "forward"),
    } <= conditions


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"monitors": ["expert", "oracle"]}, "unknown value 'oracle'"),
        ({"contracts": "linear,linear"}, "contracts must have"),
        ({"seeds": []}, "seeds must have"),
        ({"methods": ["forward"]}, "methods must contain plain"),
        ({"train": {"seed": 3}}, "set by the experiment"),
        ({"train": {"learning_rat": 1}}, "learning_rat"),
        ({"profile": "papr"}, "profile must be one of"),
        ({"n_monitor": 0}, "n_monitor must be positive"),
        ({"budgets": [0.1, "a lot"]}, "budgets"),
        ({"budgets": "0.1,-1"}, "budgets must be positive"),
        ({"datasets": ["a/x", "b/x"]}, "different names"),
        ({"evaluation_share": 1.0}, "evaluation_share"),
        ({"train_dataset_size": -5}, "train_dataset_size"),
        ({"monitor": ["self"]}, "monitor"),
    ],
)
def test_mistakes_are_refused(updates, message):
    check(DEFAULTS, None, None)
    with pytest.raises(ConfigError, match=message):
        check(DEFAULTS | updates, None, None)
