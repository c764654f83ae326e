"""The example of docs/reliability.md runs as it stands."""

import re
from pathlib import Path

from trl_ext.reliability.arms import get_arm
from trl_ext.reliability.calibrators import load_calibrator
from trl_ext.reliability.normalizers import load_normalizer


DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(compile(code, DOCUMENT.name, "exec"), names)
    assert "Brier 0." in capsys.readouterr().out
    assert load_calibrator("calibrator.json").fit_record.fitted_on == "cal"
    assert load_normalizer("normalizer.json") == names["normalizer"]
    assert ((names["p"] >= 0) & (names["p"] <= 1)).all()
    # fast annotators are right more often, and say so in the slope
    assert names["calibrator"].coef > 0


def test_every_metric_it_names_is_registered():
    for key in re.findall(r'"((?:LIE|TRUE|scale_\w+|LLM)/\w+)"', DOCUMENT.read_text(encoding="utf-8")):
        get_arm(key)
