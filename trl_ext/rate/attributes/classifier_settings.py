"""Which settings classifiers have, and what is wrong with given ones."""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


REQUIRED = object()
MEDIAN = "median"
DATA = "data"  # vocabulary of the texts themselves
COUNTED = ("characters", "words")
MEASURES = (*COUNTED, "starts_with_vowel", "markdown", "unknown_words")
LEXICONS = ("sentiment", "politeness", "confidence", "complexity")


@dataclass(frozen=True)
class Setting:
    """A setting of a classifier: what is allowed, in words and as a test, and what it is by default."""

    allowed: str
    accepts: Callable[[Any], bool]
    default: Any = REQUIRED


def _is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_values(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str | int | float | bool) for item in value)


def _one_of(values: tuple[str, ...], default: Any = REQUIRED) -> Setting:
    return Setting(f"one of {', '.join(values)}", lambda value: value in values, default)


def _optional(setting: Setting) -> Setting:
    return Setting(setting.allowed, lambda value: value is None or setting.accepts(value), None)


_TEXT = Setting("a text", _is_text)
_THRESHOLD = Setting("a number, or median", lambda value: value == MEDIAN or _is_number(value))
# Beside a threshold or vocabulary that was taken from data: from how many texts
_FITTED = _optional(Setting("what fit_attribute recorded", lambda value: isinstance(value, Mapping)))
_HALF_WIDTH = Setting("a number of at least 0", lambda value: _is_number(value, 0.0))

KINDS: dict[str, dict[str, Setting]] = {
    "rule": {
        "measure": _one_of(MEASURES),
        "threshold": _optional(_THRESHOLD),
        "vocabulary": _optional(Setting("data, or the path of a text file", _is_text)),
        "fitted": _FITTED,
    },
    "lexicon": {
        "lexicon": _one_of(LEXICONS),
        "threshold": Setting(_THRESHOLD.allowed, _THRESHOLD.accepts, 0.0),
        "neutral": Setting(_HALF_WIDTH.allowed, _HALF_WIDTH.accepts, 0.0),
        "fitted": _FITTED,
    },
    "metadata": {
        "column": _TEXT,
        "treated": Setting("a list of values", lambda value: _is_values(value) and len(value) > 0),
        "untreated": Setting("a list of values, perhaps empty", _is_values),
    },
    "model": {
        "model": _TEXT,
        "label": _optional(Setting("the name or number of a label", lambda value: _is_text(value) or value == 0 or _is_count(value))),
        "threshold": Setting("a number", _is_number, 0.5),
        "neutral": Setting(_HALF_WIDTH.allowed, _HALF_WIDTH.accepts, 0.0),
        "max_length": _optional(Setting("a number of tokens", _is_count)),
        "batch_size": Setting("a whole number of at least 1", _is_count, 32),
        "revision": _optional(_TEXT),
        "device": _optional(_TEXT),
        "trust_remote_code": Setting("true or false", lambda value: isinstance(value, bool), False),
    },
    "python": {
        "function": Setting("a text of the form module:function", lambda v: _is_text(v) and v.count(":") == 1 and all(v.split(":"))),
    },
}  # fmt: skip


def classifier_problems(settings: Any) -> list[str]:
    """
    What is wrong with the settings of a classifier.

    Args:
        settings (`Mapping`): `kind` and the settings of that kind.

    Returns:
        `list[str]`: A sentence for each mistake, with key, value and what is allowed.

    Example:
        ```python
        >>> from trl_ext.rate.attributes.classifier_settings import classifier_problems
        >>> classifier_problems({"kind": "rule", "measure": "letters"})
        ["measure must be one of characters, words, starts_with_vowel, markdown, unknown_words, got 'letters'"]

        ```
    """
    if not isinstance(settings, Mapping):
        return [f"it must be a mapping with `kind`, one of {', '.join(KINDS)}, got {settings!r}"]
    kind = settings.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        return [f"kind must be one of {', '.join(KINDS)}, got {kind!r}"]
    problems = []
    for key, value in settings.items():
        if key == "kind":
            continue
        if key not in KINDS[kind]:
            close = difflib.get_close_matches(str(key), KINDS[kind], n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            problems.append(
                f"there is no setting {key!r} of kind {kind}{hint}; there are kind, {', '.join(KINDS[kind])}"
            )
        elif not KINDS[kind][key].accepts(value):
            problems.append(f"{key} must be {KINDS[kind][key].allowed}, got {value!r}")
    problems += [
        f"{key} is missing: {setting.allowed}"
        for key, setting in KINDS[kind].items()
        if setting.default is REQUIRED and key not in settings
    ]
    return problems or _contradictions(kind, with_defaults(settings))


def with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those that were not given."""
    return {"kind": settings["kind"]} | {
        key: settings.get(key, setting.default) for key, setting in KINDS[settings["kind"]].items()
    }


def _contradictions(kind: str, settings: Mapping[str, Any]) -> list[str]:
    problems = []
    if kind == "rule":
        measure, threshold = settings["measure"], settings["threshold"]
        if measure in COUNTED and threshold is None:
            problems.append(f"threshold is missing: a number of {measure}, or median")
        if measure == "unknown_words" and not _is_number(threshold, 0.0, 1.0):
            problems.append(f"threshold must be a share in [0, 1] with measure unknown_words, got {threshold!r}")
        if measure in ("starts_with_vowel", "markdown") and threshold is not None:
            problems.append(f"threshold has no meaning with measure {measure}: leave it out")
        if measure != "unknown_words" and settings["vocabulary"] is not None:
            problems.append(f"vocabulary has no meaning with measure {measure}: leave it out")
        if measure == "unknown_words" and settings["vocabulary"] is None:
            problems.append("vocabulary is missing: data, or the path of a text file")
    if kind == "metadata":
        both = [value for value in settings["treated"] if value in settings["untreated"]]
        if both:
            problems.append(f"{both[0]!r} is in treated and in untreated")
    return problems
