"""The Python example of docs/rewriters.md runs as it stands."""

import re
from pathlib import Path


def test_the_example_runs(capsys, tmp_path, monkeypatch):
    text = Path(__file__).resolve().parents[2].joinpath("docs", "rewriters.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out == "('Hello', 'HELLO', 'hello', 'HELLO')\n"
    assert (tmp_path / "rewrites.meta.json").is_file()
