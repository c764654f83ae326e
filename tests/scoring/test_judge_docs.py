"""The example of docs/judges.md and those of the docstrings run as they stand."""

import re
from pathlib import Path

import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext.scoring import judges


DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "judges.md"
# The others need a model or a server
RUNNABLE = (
    judges.JudgeTemplate,
    judges.judge_statistics,
    judges.legacy_parse_rating,
    judges.legacy_parse_verdict,
    judges.legacy_parse_verdict_four_way,
    judges.parse_rating,
    judges.parse_verdict,
    judges.verdict_form,
)


@pytest.mark.parametrize("thing", RUNNABLE, ids=lambda thing: thing.__name__)
def test_docstring_examples_print_what_they_say(thing):
    assert failed_examples(thing) == 0


@pytest.mark.slow
def test_the_example_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("gguf", reason="the bundled model needs gguf")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.endswith("1.0 {'verdict': 2} ['A', 'B']\n")


def test_the_guide_names_every_template_and_public_class():
    text = DOCUMENT.read_text(encoding="utf-8")
    names = {path.stem for path in Path(judges.__file__).parent.joinpath("prompts").glob("*.yaml")}
    names |= {"PairwiseJudge", "FourWayJudge", "RatingsJudge", "JudgePanel", "RoutedJudge", "JudgeTemplate"}
    assert all(f"`{name}" in text for name in names)
