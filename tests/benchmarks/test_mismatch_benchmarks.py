"""The benchmarks of mismatch degrees run on small sizes; the full size keeps its limits."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import mismatch_coverage, mismatch_speed


def test_speed_agrees_with_resampled_rows():
    options = Namespace(prompts=3000, models=3, draws=400, peer_prompts=3000, peer_draws=1000, seed=0)
    found = mismatch_speed.run(options)
    assert found["largest_difference"] <= mismatch_speed.TOLERANCE
    assert found["rows"] == 6 and found["ratio"] > 0


def test_coverage_has_a_row_per_setting(monkeypatch):
    monkeypatch.setattr(mismatch_coverage, "WIN_RATES", (0.0, 0.4))
    table = mismatch_coverage.run((50,), clustered=True, replications=3, seed=0)
    assert len(table) == 2 * 2 * 2 * 2 * 2
    assert table["coverage"].between(0, 1).all() and (table["width"] > 0).all()


@pytest.mark.slow
def test_a_million_prompts_and_twenty_models_in_a_minute_and_two_gigabytes():
    script = Path(mismatch_speed.__file__)
    done = subprocess.run([sys.executable, script, "--peer-draws", "100"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
