"""The example of docs/corruption.md runs as it stands, and the document names what exists."""

import re
from pathlib import Path

import pytest

from trl_ext import annotators, losses
from trl_ext.annotators import effective_attenuation
from trl_ext.annotators.corruption import LABEL_KINDS


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "corruption.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names = {}
    exec(compile(code, "corruption.md", "exec"), names)
    assert len(capsys.readouterr().out.splitlines()) == 4
    against = {row["annotator_id"]: row["against_oracle"] / row["decided"] for row in names["report"].annotators}
    assert against["careful"] < against["hasty"] < against["guessing"]


def test_what_it_names_exists():
    for name in set(re.findall(r"`([a-z]+_[a-z_]+)\(", TEXT)):
        assert name in annotators.__all__
    for name in set(re.findall(r"`(\w+Loss)`", TEXT)):
        assert name in losses.__all__
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == {"kind", *LABEL_KINDS}


def test_the_table_of_attenuations():
    rows = dict(re.findall(r"^\| (η|`effective_attenuation\(eta.*?\)`) \| (.*) \|$", TEXT, re.MULTILINE))
    etas, model, legacy = ([float(x.replace("−", "-")) for x in row.split(" | ")] for row in rows.values())
    assert effective_attenuation(etas).tolist() == pytest.approx(model)
    assert effective_attenuation(etas, "legacy").tolist() == pytest.approx(legacy, abs=1e-12)
