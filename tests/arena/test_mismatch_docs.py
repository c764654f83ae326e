"""The example of docs/mismatch.md runs as it stands, and its commands and images exist."""

import re
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[2]
TEXT = ROOT.joinpath("docs", "mismatch.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    printed = capsys.readouterr().out
    assert "over-valued: 'gemma-2-9b-it-SimPO'" in printed and "Spearman 0.64 [0.46, 0.79]" in printed
    assert {path.name for path in tmp_path.glob("outputs/*.png")} == {"mismatch.png", "reward_against_rating.png"}


def test_commands_and_images_exist():
    for path in [*re.findall(r"python (benchmarks/\w+\.py)", TEXT), *re.findall(r"\]\((images/\S+)\)", TEXT)]:
        assert ROOT.joinpath(path if path.startswith("benchmarks") else f"docs/{path}").is_file()
