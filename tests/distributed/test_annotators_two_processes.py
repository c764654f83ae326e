"""Two processes learn of the annotators what one does, and agree to the bit."""

import json

import numpy as np
import pytest

from tests.processes import ROOT, launch


pytestmark = pytest.mark.slow

SCRIPT = ROOT / "tests" / "distributed" / "learn_annotators.py"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    outputs = [tmp_path_factory.mktemp(name) / "found.json" for name in ("one", "two")]
    for config, output in zip(("cpu.yaml", "cpu_2proc.yaml"), outputs, strict=True):
        launch(config, SCRIPT, output)
    return [json.loads(output.read_text()) for output in outputs]


def test_the_processes_agree_to_the_bit(runs):
    first, second = runs[1]["everywhere"]
    assert first == second
    assert np.isfinite(first[1]).all()


def test_two_processes_find_what_one_finds(runs):
    (one,), (two, _) = (found["everywhere"] for found in runs)
    np.testing.assert_allclose(two[0], one[0], atol=1e-4)
    np.testing.assert_allclose(two[1], one[1], atol=1e-3)
    np.testing.assert_allclose(runs[1]["logs"], runs[0]["logs"], atol=1e-4)
    np.testing.assert_allclose(runs[1]["loss"], runs[0]["loss"], atol=1e-4)
    assert all(found["table"] for found in runs)
