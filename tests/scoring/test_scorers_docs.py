"""The Python examples of docs/scorers.md run as they stand, one after the other."""

import re
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_examples_run(capsys):
    text = Path(__file__).resolve().parents[2].joinpath("docs", "scorers.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)
    output = capsys.readouterr().out
    assert output.startswith("True\n1.0\n") and output.endswith("(2,)\n")
    assert names["table"]["accuracy"].between(0, 1).all() and len(names["table"]) == 12
