"""The example of docs/monitoring.md prints what it says, and its commands use keys that exist."""

import doctest
import re
from pathlib import Path

from tasks.annotators.monitor import _DEFAULTS


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "monitoring.md").read_text(encoding="utf-8")


def test_the_example_prints_what_it_says():
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    example = doctest.DocTestParser().get_doctest(code, {}, "monitoring.md", None, None)
    assert len(example.examples) > 5 and doctest.DocTestRunner().run(example).failed == 0


def test_the_commands_use_keys_that_exist():
    (commands,) = re.findall(r"```\n(python tasks.*?)```", TEXT, re.DOTALL)
    keys = set(re.findall(r" ([a-z0-9_]+)=", commands))
    assert {"labels_path", "eta1", "trusted"} <= keys <= set(_DEFAULTS)
