"""The original's corruption, number for number, and what it does to labels."""

import json

import numpy as np
import pytest
from datasets import Dataset

from trl_ext.annotators import corrupt_labels, corrupt_preferences_legacy, effective_attenuation


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "annotator.json").read_text())


def test_golden_rows(golden):
    inputs, cases = (golden["downstream_corruption"][name] for name in ("input_rows", "cases"))
    assert len(cases) >= 3
    for case in cases:
        found = corrupt_preferences_legacy(Dataset.from_list(inputs), case["eta"], seed=case["seed"])
        expected = Dataset.from_list(case["rows"])
        assert set(found.column_names) == set(expected.column_names)
        for column in expected.column_names:
            np.testing.assert_allclose(found[column][:], expected[column][:], rtol=1e-9, atol=1e-12)


def test_golden_attenuation(golden):
    for case in golden["downstream_corruption_effective_attenuation"]:
        eta = case["eta_param"]
        assert effective_attenuation(eta, "legacy") == pytest.approx(case["orig_attenuation"], abs=1e-12)
        assert effective_attenuation(eta) == pytest.approx(case["intended_attenuation"], abs=1e-12)


@pytest.mark.parametrize("eta", [0.25, 0.5, 0.75, 0.9])
def test_attenuation_is_what_happens(eta):
    n, p = 20_000, 0.9
    scores = {"chosen_score": np.full(n, 1.0), "rejected_score": np.zeros(n), "preference_score": np.full(n, p)}
    legacy = np.array(corrupt_preferences_legacy(Dataset.from_dict(scores), eta, seed=1)["preference_score"][:])
    model = corrupt_labels(np.full(n, p), eta, seed=1)
    for labels, mode in ((legacy, "legacy"), (model, "model")):
        found, expected = labels.mean() - 0.5, effective_attenuation(eta, mode) * (p - 0.5)
        assert abs(found - expected) < 4 * labels.std() / np.sqrt(n)


def test_other_columns_stay():
    rows = Dataset.from_dict(
        {"chosen": ["a"], "rejected": ["b"], "chosen_score": [1.0], "rejected_score": [0.0], "preference_score": [0.7]}
    )
    found = corrupt_preferences_legacy(rows, 1.0)
    assert (found["chosen"][0], found["rejected"][0], found["label"][0]) == ("a", "b", 1)


def test_refuses_what_it_cannot_corrupt():
    rows = {"chosen_score": [1.0], "rejected_score": [0.0], "preference_score": [0.7]}
    with pytest.raises(ValueError, match=r"no columns \['preference_score'\]"):
        corrupt_preferences_legacy(Dataset.from_dict(rows).remove_columns("preference_score"), 0.5)
    with pytest.raises(ValueError, match=r"'preference_score' must lie in \[0, 1\].*row 0, value 1.7"):
        corrupt_preferences_legacy(Dataset.from_dict(rows | {"preference_score": [1.7]}), 0.5)
    with pytest.raises(ValueError, match="'chosen_score' must lie in .*row 0, value nan"):
        corrupt_preferences_legacy(Dataset.from_dict(rows | {"chosen_score": [float("nan")]}), 0.5)
    with pytest.raises(ValueError, match=r"eta must lie in \[0, 1\]"):
        corrupt_preferences_legacy(Dataset.from_dict(rows), 1.5)
    with pytest.raises(ValueError, match="mode must be 'model' or 'legacy'"):
        effective_attenuation(0.5, "paper")
