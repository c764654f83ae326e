"""The Python examples of docs/uncertainty.md run as they stand, one after the other."""

import re
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_examples_run(capsys, tmp_path, monkeypatch):
    text = Path(__file__).resolve().parents[2].joinpath("docs", "uncertainty.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)
    printed = capsys.readouterr().out
    for line in re.findall(r"# (\([\d, ()]*\))$", text, re.MULTILINE):
        assert line in printed
