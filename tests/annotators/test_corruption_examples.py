"""The examples in the docstrings of label corruption print what they say."""

import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext import annotators


FUNCTIONS = (
    "assign_annotators",
    "corrupt_labels",
    "corrupt_preferences",
    "corrupt_preferences_legacy",
    "effective_attenuation",
    "label_levels",
    "select_pairs",
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_example(name):
    assert failed_examples(getattr(annotators, name)) == 0
