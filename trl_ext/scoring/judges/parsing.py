"""Strict reading of a judge's answer: a verdict or rating that can mean one thing only, or the reason why not."""

import json
import re
from collections.abc import Sequence


# Part of a judge's settings: to be raised whenever an answer is read in another way
PARSER_VERSION = 1

_REASONING = re.compile(r"\s*<(think|thinking|reasoning)>", re.IGNORECASE)
_BRACKETED = re.compile(r"\[\[([^\[\]]*)\]\]")
_QUOTES = "\"'`“”‘’„«»"
_DECORATION = " \t*_"

_NUMBER = r"[-−]?[0-9]{1,9}(?:[.,][0-9]{1,9})?"
_GAP = r"[\s*_\"'`:=]{0,20}"
_SCALE = re.compile(
    r"\b(?:on|using)?\s*(?:a|the)?\s*scale\s+(?:of|from)\s+[0-9]+\s*(?:to|-|–)\s*[0-9]+", re.IGNORECASE
)
# "rating: 7", "score is **7**", "rating of 5"; not "rating 7-8" (a range) and no part of a longer number
_LABELLED = re.compile(
    rf"\b(?:rating|score|grade)\b{_GAP}(?:(?:is|of|would be)\b)?{_GAP}(?P<number>{_NUMBER})(?![0-9])", re.IGNORECASE
)
_FRACTION = re.compile(
    rf"(?<![0-9.,/])(?P<number>{_NUMBER})[*_]*\s*(?:/|out\s+of)\s*[*_]*(?P<scale>[0-9]{{1,9}})(?![0-9/])",
    re.IGNORECASE,
)
_RANGE_END = re.compile(r"[0-9]\s*(?:-|–|—|\bto\b|\bor\b)\s*[0-9.,]+$", re.IGNORECASE)
_RANGE = re.compile(r"[0-9]\s*(?:-|–|—|\bto\b|\bor\b)\s*[0-9]", re.IGNORECASE)
_ONLY_NUMBER = re.compile(rf"[\s*_\"'`(]*(?P<number>{_NUMBER})[\s*_\"'`).!]*")


class Reject(ValueError):
    """
    An answer that can't be used.

    Args:
        kind (`str`): One word to count by.
        message (`str`): What is wrong, in words.
    """

    def __init__(self, kind: str, message: str):
        super().__init__(f"{kind}: {message}")
        self.kind = kind


def parse_verdict(text: str, labels: Sequence[str], tie: str | None = None) -> str:
    """
    The label that a judge names in double brackets.

    Every bracketed label in the answer has to be the same. Reasoning in front (`<think>...</think>`) does not count. A
    label in quotation marks or in a quoted line (`>`) is what somebody else said, unless it is all of the answer.

    Args:
        text (`str`):
            The answer.
        labels (`Sequence[str]`):
            What may be named, such as `"A"` and `"B"`; small letters will do.
        tie (`str`, *optional*):
            What a tie is called, if there may be one.

    Returns:
        `str`: One of `labels`, or `tie`.

    Raises:
        `Reject`: Of the kind `empty`, `unfinished_reasoning`, `no_verdict`, `malformed` (something else in brackets),
        `wrong_label`, `conflict` (several labels) or `quoted`.

    Example:
        ```python
        >>> from trl_ext.scoring.judges import parse_verdict
        >>> parse_verdict("A is vague, B answers the question: [[B]]", "AB")
        'B'
        >>> parse_verdict("[[A]] or [[B]], who knows", "AB")
        Traceback (most recent call last):
            ...
        trl_ext.scoring.judges.parsing.Reject: conflict: it names A and B
        ```
    """
    answer = _answer(text)
    found = [(match, match[1].strip(_DECORATION).upper()) for match in _BRACKETED.finditer(answer)]
    if not found:
        raise Reject("no_verdict", f"nothing stands in double brackets in {_shorten(answer)}")
    allowed = {label.upper(): label for label in (*labels, *(() if tie is None else (tie,)))}
    names = list(dict.fromkeys(name for _, name in found))
    for name in names:
        if name not in allowed:
            kind = "wrong_label" if re.fullmatch(r"[A-Z]|TIE", name) else "malformed"
            raise Reject(kind, f"[[{name}]] is none of {', '.join(allowed.values())}")
    if len(names) > 1:
        raise Reject("conflict", f"it names {' and '.join(names)}")
    if all(_is_quoted(answer, match) for match, _ in found):
        raise Reject("quoted", f"the verdict is a quotation in {_shorten(answer)}")
    return allowed[names[0]]


def parse_rating(text: str, lowest: int = 1, highest: int = 10, *, decimals: bool = False) -> float:
    """
    The rating in a judge's answer.

    Looked for in this order; what is found first decides, and it must be one number only: in double brackets (`[[7]]`);
    as `"rating"` or `"score"` of a JSON object that is all of the answer; named as a rating or score, or with its scale
    (`Rating: 7`, `7/10`, `5 out of 10`); alone in the last line (`8.`, `**8**`). Other numbers are no ratings.

    Args:
        text (`str`):
            The answer.
        lowest, highest (`int`, *optional*, defaults to `1` and `10`):
            Ends of the scale.
        decimals (`bool`, *optional*, defaults to `False`):
            Whether `7.5` is a rating. `8.0` always is 8.

    Returns:
        `float`: Rating in [lowest, highest].

    Raises:
        `Reject`: Of the kind `empty`, `unfinished_reasoning`, `no_rating`, `malformed` (something else in brackets),
        `conflict` (several numbers), `range` (7-8), `decimal`, `out_of_range` or `other_scale` (3/5).

    Example:
        ```python
        >>> from trl_ext.scoring.judges import parse_rating
        >>> [parse_rating(text) for text in ("Rating: **7**", "7/10", "I'd say 5 out of 10.", "Good.\\n\\n9")]
        [7.0, 7.0, 5.0, 9.0]
        ```
    """
    answer = _answer(text)
    numbers = _rating_numbers(answer, highest)
    values = sorted({float(number.replace(",", ".").replace("−", "-")) for number in numbers})
    if len(values) > 1:
        raise Reject("conflict", f"it names {' and '.join(f'{value:g}' for value in values)}")
    (value,) = values
    if not value.is_integer() and not decimals:
        raise Reject("decimal", f"{value:g} is no whole number")
    if not lowest <= value <= highest:
        raise Reject("out_of_range", f"{value:g} is not in [{lowest}, {highest}]")
    return value


def _rating_numbers(answer: str, highest: int) -> list[str]:
    bracketed = [content.strip(_DECORATION) for content in _BRACKETED.findall(answer)]
    if bracketed:
        return [_bracketed_number(content, highest) for content in bracketed]
    named = _json_rating(answer)
    if named is not None:
        return [named]
    plain = _SCALE.sub(" ", answer)
    fractions = list(_FRACTION.finditer(plain))
    labelled = list(_LABELLED.finditer(plain))
    for match in (*fractions, *labelled):
        if _RANGE.match(plain, match.end("number") - 1) or _RANGE_END.search(plain[: match.end("number")][-30:]):
            raise Reject("range", f"{_shorten(match[0])} is no single number")
    for match in fractions:
        _check_scale(match, highest)
    if fractions or labelled:
        return [match["number"] for match in (*fractions, *labelled)]
    last = plain.rstrip().splitlines()[-1]
    match = _ONLY_NUMBER.fullmatch(last)
    if match is None:
        raise Reject("no_rating", f"no number is named as the rating in {_shorten(answer)}")
    return [match["number"]]


def _bracketed_number(content: str, highest: int) -> str:
    match = _FRACTION.fullmatch(content)
    if match is not None:
        _check_scale(match, highest)
    elif (match := re.fullmatch(rf"(?:(?:rating|score)\s*[:=]?\s*)?(?P<number>{_NUMBER})", content, re.I)) is None:
        kind = "range" if _RANGE.search(content) else "malformed"
        raise Reject(kind, f"[[{content}]] is no single number")
    return match["number"]


def _check_scale(match: re.Match, highest: int) -> None:
    if int(match["scale"]) != highest:
        raise Reject("other_scale", f"{_shorten(match[0])} is not on a scale up to {highest}")


def _json_rating(answer: str) -> str | None:
    """`rating` or `score` of an answer that is a JSON object, perhaps in a code fence."""
    body = re.sub(r"^```(?:json)?\s*|\s*```$", "", answer.strip())
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    value = next((content[key] for key in ("rating", "score") if key in content), None)
    if isinstance(value, str):
        return value.strip() if re.fullmatch(_NUMBER, value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value) if abs(value) < 1e9 else str(int(1e9))  # out of any range


def _answer(text: str) -> str:
    """What follows the reasoning of models that show it."""
    opening = _REASONING.match(text)
    if opening is not None:
        _, closing, text = text.partition(f"</{opening[1]}>")
        if not closing:
            raise Reject("unfinished_reasoning", "the reasoning has no end, so no answer follows it")
    if not text.strip():
        raise Reject("empty", "there is no text")
    return text


def _is_quoted(text: str, match: re.Match) -> bool:
    line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
    if line.lstrip().startswith(">"):
        return True
    before, after = text[: match.start()], text[match.end() :]
    marks = before[-1:], after[:1]
    is_enclosed = all(mark and mark in _QUOTES for mark in marks)
    return is_enclosed and bool((before[:-1] + after[1:]).strip(_QUOTES + " \t\n.*_"))


def _shorten(text: str, width: int = 80) -> str:
    text = repr(text.strip())
    return text if len(text) <= width else f"{text[:width]}... ({len(text)} characters)"
