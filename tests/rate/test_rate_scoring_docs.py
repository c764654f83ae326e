"""The guide docs/rate_scoring.md: its example runs as it stands, and its keys are those of the script; docstrings too."""

import doctest
import re
from pathlib import Path

import pytest

from tasks.rate.score_rate_config import RATE_SCORE_KEYS
from trl_ext.rate import chat_prompts, sample_rows


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "rate_scoring.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = next(code for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "RateAuditCallback" in code)
    exec(code, {})
    steps = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.count(" ") == 3]
    assert steps == ["0", "4", "8"]
    assert len((tmp_path / "outputs" / "audit" / "effects.jsonl").read_text().splitlines()) == 3


def test_keys_are_those_of_the_script():
    table = TEXT.split("| key | what |")[1].split("Files, in")[0]
    named = {
        key for line in table.splitlines() for key in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")
    }
    assert len(named) > 10 and named <= set(RATE_SCORE_KEYS)


@pytest.mark.parametrize("documented", [chat_prompts, sample_rows], ids=lambda documented: documented.__name__)
def test_docstring(documented):
    code = documented.__doc__.split("```python\n")[1].split("```")[0]
    test = doctest.DocTestParser().get_doctest(code, {}, documented.__name__, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
