"""Runs the example in a docstring."""

import doctest
from collections.abc import Callable
from typing import Any


def failed_examples(function: Callable, names: dict[str, Any] | None = None) -> int:
    """Number of examples in the docstring of `function` that print something else; an error if there is none."""
    code = function.__doc__.split("```python\n")[1].split("```")[0]
    test = doctest.DocTestParser().get_doctest(
        code, {function.__name__: function} | (names or {}), function.__name__, None, None
    )
    if not test.examples:
        raise ValueError(f"the docstring of {function.__name__} has no example")
    return doctest.DocTestRunner().run(test).failed
