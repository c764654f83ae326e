import json

import numpy as np
import pytest
from datasets import Dataset
from safetensors.numpy import save_file

from tasks.atomic_files import remove_stale
from tasks.finished_runs import check_weights, is_finished
from tasks.provenance import hash_training_data
from tasks.train import ex
from tasks.train_config import ConfigError


DEFAULTS = dict(ex.configurations[0]())
PAIRS = {"prompt": ["q1", "q2"], "chosen": ["a", "b"], "rejected": ["c", "d"], "label": [1.0, 0.0]}


@pytest.fixture
def finished(tmp_path):
    from tasks.resume import fixed_part

    state = {
        "status": "complete",
        "config": fixed_part(DEFAULTS),
        "data_sha256": hash_training_data(Dataset.from_dict(PAIRS)),
    }
    (tmp_path / "training_run.json").write_text(json.dumps(state))
    (tmp_path / "results.json").write_text("{}")
    return tmp_path


def check(folder, config=DEFAULTS, **columns):
    return is_finished(folder, config, DEFAULTS, lambda: hash_training_data(Dataset.from_dict(PAIRS | columns)))


def test_the_same_configuration_and_data(finished):
    assert check(finished)


@pytest.mark.parametrize("columns", [{"label": [1.0, 1.0]}, {"chosen": ["a", "e"]}, {"eta": [0.5, 0.5]}])
def test_other_data_are_refused(finished, columns):
    with pytest.raises(ConfigError, match="other data"):
        check(finished, **columns)


def test_another_configuration_is_refused(finished):
    with pytest.raises(ConfigError, match="learning_rate"):
        check(finished, DEFAULTS | {"learning_rate": 0.5})


def test_a_run_without_results_is_not_finished(finished):
    (finished / "results.json").unlink()
    assert not check(finished)


@pytest.mark.parametrize("content", ["{}", "[]", '{"status": '])
def test_a_damaged_record_is_told(finished, content):
    (finished / "training_run.json").write_text(content)
    with pytest.raises(ConfigError, match=r"training_run.json is (damaged|not JSON)"):
        check(finished)


def test_weights_that_are_absent_or_torn(tmp_path):
    with pytest.raises(ConfigError, match="weights .* are not there"):
        check_weights(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({"w": np.zeros(64, dtype=np.float32)}, path)
    check_weights(tmp_path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ConfigError, match="model.safetensors is damaged"):
        check_weights(tmp_path)


def test_leftovers_of_a_kill_are_removed(tmp_path):
    for name in (".plot.png.6b752b75", "plot.png", ".other.png.kept", "notes.txt"):
        (tmp_path / name).touch()
    remove_stale(tmp_path, "*.png")
    assert {path.name for path in tmp_path.iterdir()} == {".other.png.kept", "notes.txt"}
