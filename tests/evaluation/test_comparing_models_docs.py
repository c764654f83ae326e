"""The Python examples of docs/comparing_models.md run as they stand."""

import re
from pathlib import Path

import pytest


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "comparing_models.md").read_text(encoding="utf-8")
FIRST_LINES = ["large 0.", "{'pairwise_accuracy': 0.66"]


@pytest.mark.parametrize(
    ("code", "first"), zip(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL), FIRST_LINES, strict=True)
)
def test_the_examples_run(code, first, capsys):
    exec(code, {})
    assert capsys.readouterr().out.startswith(first)


def test_the_commands_exist():
    for script in re.findall(r"python (benchmarks/\w+\.py)", TEXT):
        assert Path(__file__).resolve().parents[2].joinpath(script).is_file()
