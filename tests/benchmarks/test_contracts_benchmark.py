"""The exact solver and the search on a grid, on one problem: which contract is better when it is used, and the report."""

import math

from benchmarks.contracts import run, summary


def test_exact_is_at_least_as_good():
    row = run("linear", 0.98, 11, one_piece=False)
    assert row["checked_exact"] >= row["checked_grid"]
    assert abs(row["checked_exact"] - row["value_exact"]) < 1e-7
    # The agent does not do what the grid's contract asks for
    assert row["checked_grid"] < row["claimed_grid"] - 0.005

    # No test of a ratio: it depends on what else the machine does
    numbers = {name: value for name, value in row.items() if name not in ("profile", "contract")}
    assert all(math.isfinite(value) for value in numbers.values())
    assert {"seconds_exact", "seconds_cold", "seconds_grid", "ratio", "ratio_cold"} <= set(numbers)
    assert row["ratio_cold"] == row["seconds_grid"] / row["seconds_cold"]
    lines = summary("paper_high, linear", [row], one_piece=False).splitlines()
    assert "at least as good in use in 1 of 1" in lines[0]
    assert [line.split(":")[0] for line in lines[1:]] == ["paper_high, linear, warm", "paper_high, linear, cold"]
