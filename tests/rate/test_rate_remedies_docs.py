"""The examples of docs/rate_remedies.md run as they stand and print what they say."""

import doctest
from pathlib import Path


DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "rate_remedies.md"


def test_the_examples_print_what_they_say():
    result = doctest.testfile(str(DOCUMENT), module_relative=False)
    assert result.attempted > 15 and result.failed == 0
