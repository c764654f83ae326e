"""The Python examples of docs/reward_calibration.md run as they stand, one after the other."""

import re
from pathlib import Path

import pytest


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "reward_calibration.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_examples_run(capsys):
    names = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(code, names)
    printed = capsys.readouterr().out
    assert "better: True" in printed and "(3, 3)" in printed and printed.rstrip().endswith("True")
