"""The example and the tables of docs/rate_effects.md are right, and its commands and images exist."""

import re
from pathlib import Path

import pytest

from tasks.rate.synthetic_config import SYNTHETIC_KEYS
from trl_ext.rate import SCENARIOS


ROOT = Path(__file__).resolve().parents[2]
TEXT = ROOT.joinpath("docs", "rate_effects.md").read_text(encoding="utf-8")


def test_the_example_prints_what_follows_it(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    wanted = re.search(r"```\n\n((?:    .*\n)+)", TEXT)[1]
    assert capsys.readouterr().out == re.sub(r"^    ", "", wanted, flags=re.MULTILINE)


def test_the_table_of_scenarios():
    rows = re.findall(r"^\| (S\d) \| .* \| (.*) \| (.*) \| (.*) \| (.*) \|$", TEXT, re.MULTILINE)
    assert [name for name, *_ in rows] == list(SCENARIOS)
    for name, *cells in rows:
        expected = SCENARIOS[name].expectations()
        figures = [SCENARIOS[name].true_effects()["ATE"], *(
            expected[key] for key in ("naive_effect", "ATE_single_rewrite", "ATE_rewritten_rewrite")
        )]  # fmt: skip
        assert [float(cell.replace("−", "-")) for cell in cells] == pytest.approx(figures)


def test_commands_and_images_exist():
    for path in re.findall(r"python ((?:benchmarks|tasks)/\S+\.py)", TEXT):
        assert ROOT.joinpath(path).is_file()
    images = re.findall(r"\]\((images/\S+)\)", TEXT)
    assert images and all(ROOT.joinpath("docs", image).is_file() for image in images)
    for options in re.findall(r"synthetic\.py with (.*)", TEXT):
        assert set(re.findall(r"(\w+)=", options)) <= set(SYNTHETIC_KEYS)
