"""The examples in the docstrings of the annotator model, its bounds and the monitoring print what they say."""

import inspect

import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext import annotators


MODULES = (
    "bounds",
    "comparison",
    "estimation",
    "intervals",
    "item_estimation",
    "model",
    "moments",
    "monitoring",
    "monitoring_test",
    "mutual_information",
    "planning",
)
FUNCTIONS = [
    function
    for function in map(vars(annotators).get, annotators.__all__)
    if inspect.isfunction(function) and function.__module__.rpartition(".")[2] in MODULES
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_example(function):
    assert failed_examples(function) == 0
