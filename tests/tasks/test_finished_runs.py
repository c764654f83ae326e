import json

import pytest
from datasets import Dataset

from tasks.finished_runs import is_finished
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
