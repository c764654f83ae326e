"""The examples in the docstrings and the guide of the ratings print what they say."""

import doctest
from pathlib import Path

import pytest

from trl_ext import arena
from trl_ext.arena.ratings.model_names import known_aliases


GUIDE = Path(__file__).resolve().parents[2] / "docs" / "ratings.md"
EXAMPLES = {
    name: getattr(arena, name).__doc__
    for name in (
        "RatingTable",
        "charm_ratings",
        "check_battles",
        "fit_ratings",
        "read_leaderboard",
        "simulate_battles",
    )
} | {"write_ratings": arena.write_ratings.__doc__, "known_aliases": known_aliases.__doc__}


@pytest.mark.parametrize("name", [*EXAMPLES, "guide"])
def test_examples(name):
    text = GUIDE.read_text(encoding="utf-8") if name == "guide" else EXAMPLES[name]
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
