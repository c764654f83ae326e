"""tasks/train.py gives the model probabilities: on which pairs, what is refused before training, what an old run leaves."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from tasks.held_out import find_held_out
from tasks.train import ex
from tasks.train_config import ConfigError
from tasks.train_data import TrainingData
from tests.processes import ROOT, environment
from tests.servers.hub import LoopbackHub
from tests.tiny import tiny_checkpoint
from trl_ext.scoring import CalibratedScorer, read_calibration


WORDS = ["good", "bad", "Paris", "answer", "question", "France", "is", "the"]


def rows(questions: int, name: str, seed: int = 0, **columns) -> list[dict]:
    """Three pairs a question; the response that says "Paris" more often is preferred, with mistakes."""
    generator = np.random.default_rng(seed)
    found = []
    for i in range(3 * questions):
        counts = generator.permutation([1, 4])
        texts = [
            " ".join([*generator.choice(WORDS, 3), *["Paris"] * int(n)]) + f" {i}{k}" for k, n in enumerate(counts)
        ]
        better = int(np.argmax(counts))
        chosen = better if generator.random() < 0.8 else 1 - better
        found.append(
            {
                **{"id": f"{name}-{i}", "prompt": f"{name} {i // 3}: which? ", "chosen": texts[chosen]},
                **{"rejected": texts[1 - chosen], "correct_chosen": chosen == better, **columns},
            }
        )
    return found


def write(path: Path, content: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return str(path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=512)


@pytest.fixture(autouse=True)
def in_a_scratch_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(tiny: str, folder: Path, **updates):
    observers, ex.observers = ex.observers, []
    config = {
        **{"model_name": tiny, "use_peft": False, "rapl_col_id": None, "rapl_method": "none", "learning_rate": 3e-3},
        **{"eval_before_training": False, "output_dir": str(folder / "out"), "cpu_threads": 1},
        "trainer": {"max_steps": 15, "disable_tqdm": True},
    }
    try:
        ex.run(config_updates=config | updates)
    finally:
        ex.observers = observers
    content = folder / "out" / "calibration" / "calibration.json"
    results = json.loads((folder / "out" / "results.json").read_text())
    return results, json.loads(content.read_text()) if content.is_file() else None


@pytest.fixture
def files(tmp_path):
    paths = {"train_data_path": write(tmp_path / "train.jsonl", rows(60, "train", 1))}
    return paths | {"eval_data_path": write(tmp_path / "eval.jsonl", rows(30, "eval", 2, orc=0.7))}


def test_every_held_out_pair_once_whatever_the_objects_are(tiny, files, tmp_path):
    # the column is renamed in copies of one set of pairs: two objects
    results, content = run(tiny, tmp_path, oracle_col_name="orc", **files)
    assert content["fitted_on"]["pairs"] == content["measured_on"]["pairs"] == 90
    assert content["measured_on"]["questions"] == 30 and content["measured_on"]["questions_of_the_fit"] == 0
    assert [part["measured_pairs"] for part in content["cross_fit"]["parts"]] == [18] * 5
    assert content["measured_on"]["pairs_of_trained_questions"] == 0 and content["truth"] is not None
    assert results["round_trip"] is not None and results["preference_calibration"] == content["ece_change"]
    stored = read_calibration(tmp_path / "out")
    assert stored.preference.temperature == content["parameters"]["temperature"]["value"]
    scorer = CalibratedScorer.from_pretrained(str(tmp_path / "out"), progress=False)
    assert 0 < scorer.preference_probability(["What? "], ["Paris"], ["bad"])[0] < 1

    # another model in the same folder
    results, content = run(tiny, tmp_path, calibrate=None, **files)
    assert content is None and results["preference_calibration"] is None
    left = {path.stem for path in (tmp_path / "out" / "calibration").iterdir()}
    assert left == {"training"}  # of this run
    assert "Not calibrated" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ValueError, match="has no calibration"):
        read_calibration(tmp_path / "out")


@pytest.mark.slow
def test_pairs_that_trained_are_left_out(tiny, files, tmp_path, capsys):
    results, content = run(tiny, tmp_path, **files | {"eval_data_path": files["train_data_path"]})
    assert content is None and "(180 more trained the model)" in results["preference_calibration"]
    assert "The model has no probabilities" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"calibrate": "isotonic", "eval_dataset_size": 40}, "'isotonic' needs at least 63 pairs .* have 40"),
        ({"calibrate": "lapse", "eval_data_path": None, "eval_strategy": "no"}, "pairs have 0. Give more pairs"),
        ({"correctness_label_col_name": "id"}, "column 'id', row 0: the truth must be true or false"),
    ],
)
def test_mistakes_are_found_before_the_training(tiny, files, tmp_path, updates, message):
    with pytest.raises(ConfigError, match=message):
        run(tiny, tmp_path, **files | updates)
    assert not (tmp_path / "out").exists()


class TestHeldOut:
    def test_by_text(self):
        train, others = rows(4, "train"), rows(4, "eval")
        swapped = train[0] | {"chosen": train[0]["rejected"], "rejected": train[0]["chosen"]}
        evaluation = Dataset.from_list([*others, swapped])
        data = TrainingData("x", Dataset.from_list(train), evaluation, evaluation.select(range(5, 13)))
        found = find_held_out(data)
        assert found.test.tolist() == list(range(7)) and found.evaluation.tolist() == list(range(5))
        assert len(found) == 12 and found.trained == 1 and found.trained_questions == 0

    def test_other_pairs_of_trained_questions_are_counted(self):
        train, others = rows(4, "same", 1), rows(5, "same", 2)
        data = TrainingData("x", Dataset.from_list(train), Dataset.from_list(others))
        assert find_held_out(data).trained_questions == 12


PULL = """
import sys
from trl_ext.scoring import CalibratedScorer

scorer = CalibratedScorer.from_pretrained(sys.argv[1], progress=False)
print(scorer.calibration.preference.temperature, scorer.preference_probability(["What? "], ["Paris"], ["bad"])[0])
"""


@pytest.mark.slow
def test_calibrated_verified_and_pushed_in_one_command(tiny, files, tmp_path):
    with LoopbackHub() as hub:
        env = environment(**hub.environment(tmp_path / "cache"))
        command = [
            *(sys.executable, ROOT / "tasks" / "train.py", "with", f"model_name={tiny}", "use_peft=False"),
            *("rapl_col_id=None", "rapl_method=none", "learning_rate=0.003", "trainer.max_steps=15", "cpu_threads=1"),
            *(f"{key}={path}" for key, path in files.items()),
            *("output_dir=out", "push_to_hub=True", "hub_model_id=a-judge", "hub_private=True"),
        ]
        options = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True, "timeout": 600}
        result = subprocess.run(command, **options)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
        results = json.loads((tmp_path / "out" / "results.json").read_text())
        content = json.loads((tmp_path / "out" / "calibration" / "calibration.json").read_text())
        assert results["round_trip"]["max_difference"] < 1e-4
        pulled = subprocess.run([sys.executable, "-c", PULL, results["hub"]["repo_id"]], **options)
        assert pulled.returncode == 0, pulled.stderr[-3000:]
        temperature, probability = map(float, pulled.stdout.split())
        assert temperature == content["parameters"]["temperature"]["value"] and 0 < probability < 1
