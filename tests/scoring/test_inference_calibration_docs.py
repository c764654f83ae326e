"""The Python examples of docs/inference_calibration.md run as they stand, one after the other, and its table is the benchmark's."""

import re
from pathlib import Path

import pytest

from benchmarks.length_calibration import BIASES, WORLDS, compare


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "inference_calibration.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_examples_run(capsys):
    names = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(code, names)
    lines = [line for line in capsys.readouterr().out.splitlines() if re.fullmatch(r"True( 80)?|\(2,\)", line)]
    assert lines == ["True 80", "(2,)", "True"]


@pytest.mark.slow
def test_the_table_is_that_of_the_benchmark():
    rows = [line.split(" | ") for line in TEXT.splitlines() if re.search(r"\| (none|moderate|strong) \|", line)]
    assert len(rows) == len(WORLDS) * len(BIASES)
    expected = [compare(2000, bias, world, seed=0) for world in WORLDS.values() for bias in BIASES.values()]
    for cells, (accuracy, gain) in zip(rows, expected, strict=True):
        numbers = [float(n.replace("−", "-")) for n in re.findall(r"[−+]?\.?\d[\d.]*", " ".join(cells[-4:]))]
        found = [accuracy["raw"].value]
        for method in ("all rewards", "within prompts"):
            found += [gain[method].value, gain[method].ci_low, gain[method].ci_high]
        assert numbers == pytest.approx([*found, gain["oracle"].value], abs=6e-4)
