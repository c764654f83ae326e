"""The example of docs/rule_rewriters.md and those in docstrings run and print what they say."""

import doctest
import re
from pathlib import Path

import pytest

from trl_ext.rate import (
    FaultyRewriter,
    LexicalReward,
    Lexicon,
    RuleRewriter,
    Vocabulary,
    add_typos,
    lexicon_hits,
    lexicon_score,
    rule_rewriter,
    synthetic_answers,
    synthetic_reviews,
    world_vocabulary,
)


DOCUMENTED = [
    FaultyRewriter,
    LexicalReward,
    Lexicon,
    RuleRewriter,
    Vocabulary,
    add_typos,
    lexicon_hits,
    lexicon_score,
    rule_rewriter,
    synthetic_answers,
    synthetic_reviews,
    world_vocabulary,
]


@pytest.mark.parametrize("documented", DOCUMENTED, ids=lambda documented: documented.__name__)
def test_docstring(documented):
    code = documented.__doc__.split("```python\n")[1].split("```")[0]
    test = doctest.DocTestParser().get_doctest(code, {}, documented.__name__, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_example_of_the_guide(capsys):
    text = Path(__file__).resolve().parents[2].joinpath("docs", "rule_rewriters.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code, {})
    perfect, faulty = capsys.readouterr().out.splitlines()
    assert perfect.startswith("1.0 {'naive_effect': '-1.09") and "'ATE_rewritten_rewrite': '+0.00 ± 0.000'" in perfect
    assert re.search(r"'ATE_rewritten_rewrite': '\+0\.09 ± 0\.00\d'", faulty)
