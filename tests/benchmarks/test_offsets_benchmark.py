"""The comparison of offsets, and the guide that shows it."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.offsets import METHODS, as_markdown, correlated_scores, golden_cases, synthetic


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "offsets.md").read_text(encoding="utf-8")


def numbers(line):
    return [float(number.replace("−", "-")) for number in re.findall(r"[+−]?\d+\.\d+", line)]


def test_exact_offsets_leave_nothing_where_the_original_over_corrects():
    table = synthetic((0.02, 0.9), seeds=2, n=500, sd=8.0, shift=3.0, expected=0.4187)
    assert (table["exact"].abs() <= 1 / 500).all()
    assert (table.loc[table["correlation"] == 0.9, "original"] < -0.15).all()
    assert all(name in as_markdown(table, "correlation") for name in METHODS)


def test_scores_have_the_correlation():
    scores = correlated_scores(20_000, 0.6, 8.0, 3.0, np.random.default_rng(0))
    assert np.corrcoef(scores)[0, 1] == pytest.approx(0.6, abs=0.02)
    assert scores[0].mean() - scores[1].mean() == pytest.approx(3, abs=0.2) and scores[0].std() == pytest.approx(
        8, abs=0.2
    )


def test_golden_cases_of_the_guide(shared_dir):
    table = golden_cases(shared_dir / "golden" / "charm.json")
    # where many differences are tied, no offset may do
    assert ((table["exact"].abs() <= 1 / table["n"]) | ~table["attainable"]).all()
    table = table.set_index("case")
    for name in ("tiny_ties", "indep200", "small_scale200", "blocks1250"):
        (line,) = re.findall(rf"^\| {name} \| (.*) \|$", TEXT, re.MULTILINE)
        row = table.loc[name]
        assert row["attainable"]
        shown = [row["before"], row["original"], row["soft_paired"], row["exact"], 1 / row["n"]]
        assert numbers(line) == pytest.approx(shown, abs=6e-4)


def test_first_row_of_the_guide():
    (line,) = re.findall(r"^\| 0\.9 \| (.*) \|$", TEXT, re.MULTILINE)
    table = synthetic((0.9,), seeds=1, n=2000, sd=8.0, shift=3.0, expected=0.41869852163108506)
    *cells, flipped = line.split(" | ")
    assert cells and flipped.endswith("%")
    for cell, name in zip(cells, ("before", *METHODS), strict=True):
        _, largest = numbers(cell)
        assert abs(table[name][0]) <= largest + 6e-4


def test_example_of_the_guide(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    printed = re.findall(r"^    (\w.*: .*)$", TEXT.split("```")[2], re.MULTILINE)[:4]
    assert capsys.readouterr().out.splitlines() == printed
