"""Attributes by their names: those that come with the package, and those of a file."""

import difflib
import importlib.resources
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .attribute import TARGET, TEXT, Attribute
from .classifier_settings import classifier_problems
from .classifiers import make_classifier


KEYS = {
    "treated": "a text",
    "untreated": "a text",
    "instruction": f"a text with {TEXT} and {TARGET}",
    "classifier": "a mapping with `kind`",
    "description": "a text",
}
_NEEDED = ("treated", "untreated", "instruction")


def attribute_names() -> tuple[str, ...]:
    """
    Names of the attributes that come with the package.

    Example:
        ```python
        >>> from trl_ext.rate import attribute_names
        >>> attribute_names()[:4]
        ('length', 'sentiment', 'helpfulness', 'complexity')

        ```
    """
    return tuple(_packaged())


def get_attribute(name: str, **overrides: Any) -> Attribute:
    """
    An attribute that comes with the package, perhaps with some of its parts replaced.

    Args:
        name (`str`):
            One of [`attribute_names`].
        **overrides:
            `treated`, `untreated`, `instruction`, `description`, or `classifier`: `None`, a function, or settings. Those
            with a `kind` replace the classifier, those without change some of its settings.

    Returns:
        [`Attribute`]

    Raises:
        ValueError: There is no such attribute or part, or a part is not as it must be.

    Example:
        ```python
        >>> from trl_ext.rate import get_attribute
        >>> length = get_attribute("length", classifier={"threshold": 970})
        >>> length.settings
        {'kind': 'rule', 'measure': 'characters', 'threshold': 970}
        >>> length.classify("Short.")
        False

        ```
    """
    entries = _packaged()
    if name not in entries:
        close = difflib.get_close_matches(str(name), entries, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else " Others are read with read_attributes(path)."
        raise ValueError(f"there is no attribute {name!r}; there are {', '.join(entries)}.{hint}")
    entry = entries[name] | overrides
    given = overrides.get("classifier")
    function = given if callable(given) else None
    if function is not None or ("classifier" in overrides and given is None):
        del entry["classifier"]
    elif isinstance(given, Mapping) and "kind" not in given:
        entry["classifier"] = entries[name]["classifier"] | dict(given)
    problems = _problems(entry)
    if problems:
        raise ValueError(f"attribute {name!r}: {'; '.join(problems)}")
    return _make(name, entry, function)


def read_attributes(path: str | Path) -> dict[str, Attribute]:
    """
    Read attributes from a YAML file: a mapping from names to mappings with `treated`, `untreated`, `instruction` and
    perhaps `classifier` and `description`.

    Args:
        path (`str` or `Path`): The file.

    Returns:
        `dict[str, Attribute]`: By name.

    Raises:
        ValueError: The file can't be read, or entries are not as they must be: every mistake is listed, with the names of
            attribute and key and what is allowed.

    Example:
        ```python
        >>> import tempfile
        >>> from pathlib import Path
        >>> from trl_ext.rate import read_attributes
        >>> path = Path(tempfile.mkdtemp(), "attributes.yaml")
        >>> written = path.write_text('''
        ... rhyme:
        ...   treated: in verse
        ...   untreated: in prose
        ...   instruction: "Say this {target}, and reply with that alone: {text}"
        ...   classifier: {kind: metadata, column: form, treated: [poem], untreated: [essay]}
        ... ''')
        >>> read_attributes(path)["rhyme"].classify("Roses are red", {"form": "poem"})
        True

        ```
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"can't read the attributes of {path}: {error}") from error
    return {name: _make(name, entry) for name, entry in _entries(text, str(path)).items()}


@cache
def _packaged() -> dict[str, dict[str, Any]]:
    file = importlib.resources.files(__package__).joinpath("data", "attributes.yaml")
    return _entries(file.read_text(encoding="utf-8"), "attributes.yaml")


def _entries(text: str, source: str) -> dict[str, dict[str, Any]]:
    import yaml

    try:
        entries = yaml.load(text, Loader=_unique_keys_loader())
    except yaml.YAMLError as error:
        raise ValueError(f"{source} is not YAML: {error}") from error
    if not isinstance(entries, dict) or not entries:
        raise ValueError(f"{source} must hold a mapping from names of attributes to {', '.join(KEYS)}")
    problems = []
    for name, entry in entries.items():
        if not isinstance(name, str) or not name.strip():
            problems.append(f"attribute {name!r}: its name must be a text")
        problems += [f"attribute {name!r}: {problem}" for problem in _problems(entry)]
    if problems:
        raise ValueError(f"{source}: " + "\n".join(problems))
    return entries


def _problems(entry: Any) -> list[str]:
    """What is wrong with the description of an attribute."""
    if not isinstance(entry, Mapping):
        return [f"it must be a mapping with {', '.join(KEYS)}, got {entry!r}"]
    problems = [f"there is no key {key!r}; there are {', '.join(KEYS)}" for key in entry if key not in KEYS] + [
        f"{key} is missing: {KEYS[key]}" for key in _NEEDED if key not in entry
    ]
    texts = {key: value for key, value in entry.items() if key in KEYS and key != "classifier"}
    for key, value in texts.items():
        if not isinstance(value, str) or not value.strip():
            problems.append(f"{key} must be {KEYS[key]}, got {value!r}")
        elif key == "instruction":
            problems += [f"{key} must contain {mark}, got {value!r}" for mark in (TEXT, TARGET) if mark not in value]
    if "treated" in entry and entry["treated"] == entry.get("untreated"):
        problems.append(f"treated and untreated must differ, both are {entry['treated']!r}")
    if "classifier" in entry:
        problems += [f"classifier: {problem}" for problem in classifier_problems(entry["classifier"])]
    return problems


def _make(name: str, entry: Mapping[str, Any], function: Callable | None = None) -> Attribute:
    parts = dict(entry)
    settings = parts.pop("classifier", None)
    if settings is None:
        return Attribute(name, **parts, classifier=function)
    try:
        classifier = make_classifier(settings)
    except ValueError as error:
        raise ValueError(f"attribute {name!r}: {error}") from error
    return Attribute(name, **parts, classifier=classifier, settings=classifier.settings())


@cache
def _unique_keys_loader() -> type:
    """YAML keeps the last of equal keys in silence; a second attribute of the same name must not vanish."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            seen = set()
            for key, _ in node.value:
                value = self.construct_object(key, deep=True)
                if not isinstance(value, Hashable):
                    raise yaml.constructor.ConstructorError(
                        None, None, f"a key must be a text, got {value!r}", key.start_mark
                    )
                if value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{value!r} occurs twice", key.start_mark)
                seen.add(value)
            return super().construct_mapping(node, deep)

    return Loader
