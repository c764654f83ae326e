"""The exact solver and the search on a grid, on one problem: speed, and which contract is better when it is used."""

from benchmarks.contracts import run


def test_exact_is_faster_and_at_least_as_good():
    row = run("linear", 0.98, 11, one_piece=False)
    assert row["ratio"] > 10
    assert row["checked_exact"] >= row["checked_grid"]
    assert abs(row["checked_exact"] - row["value_exact"]) < 1e-7
    # The agent does not do what the grid's contract asks for
    assert row["checked_grid"] < row["claimed_grid"] - 0.005
