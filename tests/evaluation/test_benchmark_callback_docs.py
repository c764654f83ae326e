"""The example of docs/benchmark_callback.md runs as it stands."""

import re
from pathlib import Path


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "benchmark_callback.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    steps = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.count(" ") == 3]
    assert steps == ["3", "6"]
