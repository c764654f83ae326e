"""The examples of the guide and of the docstrings print what they say."""

import doctest
from pathlib import Path

import pytest

from tasks.rate.original_keys import apply_original_keys, original_arguments
from trl_ext import rate
from trl_ext.rate.attributes.classifier_settings import KINDS, classifier_problems
from trl_ext.rate.originals.source_layouts import LAYOUTS, parse_dialogue


GUIDE = Path(__file__).resolve().parents[2] / "docs" / "rate_attributes.md"
EXAMPLES = {
    name: getattr(rate, name).__doc__
    for name in (
        "attribute_names",
        "fit_attribute",
        "get_attribute",
        "load_originals",
        "make_classifier",
        "original_file_name",
        "read_attributes",
        "read_original_scored",
        "read_originals",
    )
} | {f.__name__: f.__doc__ for f in (apply_original_keys, classifier_problems, original_arguments, parse_dialogue)}


@pytest.mark.parametrize("name", [*EXAMPLES, "guide"])
def test_examples(name):
    text = GUIDE.read_text(encoding="utf-8") if name == "guide" else EXAMPLES[name]
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_guide_names_all_there_is():
    text = GUIDE.read_text(encoding="utf-8")
    names = [*rate.attribute_names(), *KINDS, *LAYOUTS, *(key for kind in KINDS.values() for key in kind)]
    assert [name for name in names if f"`{name}" not in text and name != "fitted"] == []
