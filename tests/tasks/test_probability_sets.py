import json

import numpy as np
import pytest
from datasets import Dataset

from tasks.annotators.probability_sets import SYNTHETIC_SCALES, load_probabilities


@pytest.mark.parametrize("name", SYNTHETIC_SCALES)
def test_synthetic_sets_are_those_of_the_reference(shared_dir, name):
    expected = json.loads((shared_dir / "golden" / "annotator.json").read_text())["datasets"][f"syn_{name}"]
    p = load_probabilities(name)
    np.testing.assert_allclose(p[:5], expected["first5"], rtol=1e-12)
    np.testing.assert_allclose(p[-5:], expected["last5"], rtol=1e-12)
    assert np.maximum(p, 1 - p).mean() == pytest.approx(expected["mean_folded"], rel=1e-12)


def test_prefers_calibrated_probabilities(tmp_path):
    rows = {"preference_score": [0.1, 0.2], "preference_probability": [0.3, 0.4]}
    Dataset.from_dict(rows).save_to_disk(tmp_path / "oracle")
    np.testing.assert_array_equal(load_probabilities(tmp_path / "oracle"), [0.3, 0.4])


@pytest.mark.parametrize(
    ("rows", "message"),
    [({"score": [1.0]}, "none of the columns"), ({"preference_score": [0.5, 1.5]}, "1 values outside.*row 1")],
)
def test_refuses_what_is_no_probability(tmp_path, rows, message):
    Dataset.from_dict(rows).save_to_disk(tmp_path / "oracle")
    with pytest.raises(ValueError, match=message):
        load_probabilities(tmp_path / "oracle")


def test_refuses_an_unknown_source():
    with pytest.raises(ValueError, match="neither a synthetic set"):
        load_probabilities("pkuu")


def damage(path, name, change):
    (file,) = path.glob(name)
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("*.arrow", lambda content: content[: len(content) // 2]),
        ("*.arrow", lambda content: content[:-16]),
        ("*.arrow", lambda content: b""),
        ("dataset_info.json", lambda content: content[:20]),
        ("dataset_info.json", lambda content: b"[]"),
        ("state.json", lambda content: b"{}"),
    ],
)
def test_damaged_pairs_are_named(tmp_path, name, change):
    path = tmp_path / "oracle" / "pairs"
    Dataset.from_dict({"preference_score": np.linspace(0, 1, 5000)}).save_to_disk(path)
    damage(path, name, change)
    with pytest.raises(ValueError, match=rf"'{path}' are damaged .*: run prepare_oracle_data.py again"):
        load_probabilities(path.parent)
