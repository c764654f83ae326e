"""The demo shows what it is for: reliability-aware training finds the truth where standard training is misled."""

import pytest

from benchmarks.reliability_gain import compare, train


@pytest.mark.slow
def test_reliability_aware_training_beats_standard_training(tmp_path):
    tables = [train(method, seed=0, output_dir=tmp_path) for method in ("none", "beta")]
    figures = compare(tables, "none")
    assert figures["beta - none"]["ci_low"] > 0
    assert figures["beta"]["value"] > 0.7
