"""The benchmarks of RATE run on small sizes; the full size keeps its limits."""

import argparse

import pytest

from benchmarks import rate_coverage, rate_speed


SMALL = {"rows": 2000, "bootstrap_rows": 200, "draws": 400, "peer_rows": 400, "peer_draws": 30, "seed": 0}


def test_speed_agrees_with_its_peers():
    found = rate_speed.run(argparse.Namespace(**SMALL))
    assert found["rows"] == 2000 and found["ratio"] > 0 and found["bootstrap_ratio"] > 0
    assert "2,000 rows" in rate_speed.report(found)


def test_speed_notices_other_figures(monkeypatch):
    monkeypatch.setattr(rate_speed, "estimate_effects", lambda table: rate_speed_with_paired_errors(table))
    with pytest.raises(AssertionError, match="naive_effect"):
        rate_speed.run(argparse.Namespace(**SMALL))


def rate_speed_with_paired_errors(table):
    from trl_ext.rate import estimate_effects

    return estimate_effects(table, se="paired")


def test_coverage(capsys):
    found = rate_coverage.run(argparse.Namespace(replications=5, rows=60, seed=0))
    assert set(found["scenarios"]) == {*rate_coverage.SCENARIOS, "clustered"}
    assert found["scenarios"]["clustered"]["rows"] == 240 and "coverage_paired" in found["scenarios"]["clustered"]
    assert "S1: 60 rows, largest distance" in capsys.readouterr().out


@pytest.mark.slow
def test_limits():
    options = SMALL | {"rows": 1_000_000, "bootstrap_rows": 25_000, "draws": 2000, "peer_rows": 10_000}
    found = rate_speed.run(argparse.Namespace(**options))
    assert found["seconds"] < rate_speed.LIMIT_SECONDS
    assert found["bootstrap_seconds"] < rate_speed.LIMIT_BOOTSTRAP_SECONDS
    # What the table takes is not counted: the process of the tests has more in memory
    assert found["peak_bytes"] - found["peak_bytes_of_data"] < rate_speed.LIMIT_BYTES
