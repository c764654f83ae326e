"""The Python example of docs/scoring.md runs as it stands."""

import re
from pathlib import Path


def test_the_example_runs(capsys):
    text = Path(__file__).resolve().parents[2].joinpath("docs", "scoring.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.startswith("[(3,), (1,)] True\n")
