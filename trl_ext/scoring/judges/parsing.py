"""Strict reading of a judge's answer: a verdict or rating that can mean one thing only, or the reason why not."""

import json
import re
from collections.abc import Sequence
from typing import Any

from ...reasoning_tags import opens_reasoning, reasoning_end


# Part of a judge's settings: to be raised whenever an answer is read in another way
PARSER_VERSION = 3

_BRACKETED = re.compile(r"\[\[([^\[\]]*)\]\]")
_QUOTES = "\"'`“”‘’„«»"
_DECORATION = " \t*_"

_NUMBER = r"[-−]?[0-9]{1,9}(?:[.,][0-9]{1,9})?"
_GAP = r"[\s*_\"'`:=]{0,20}"
# "on a scale of 1 to 10", "(scale: 1-10)", "on a 1-10 scale", "on a 10-point scale"
_SPAN = r"[0-9]{1,9}\s{0,3}(?:to|through|and|-|–|—)\s{0,3}"
_SCALE = re.compile(
    r"(?:\(\s{0,3})?(?:\b(?:on|using)\s{1,3})?(?:\b(?:a|the)\s{1,3})?"
    rf"(?:\bscale\b(?:\s{{0,3}}(?:of|from|between|is|:|\()){{0,3}}\s{{0,3}}{_SPAN}(?P<after>[0-9]{{1,9}})(?![0-9])"
    rf"|(?<![\w.,])(?:{_SPAN})?(?P<before>[0-9]{{1,9}})(?:[\s-]{{0,3}}points?)?[\s-]{{1,3}}scale\b)(?:\s{{0,3}}\))?",
    re.IGNORECASE,
)
# "rating: 7", "score is **7**", "rating of 5"; not "rating 7-8" (a range) and no part of a longer number
_LABELLED = re.compile(
    rf"\b(?:rating|score|grade)\b{_GAP}(?:(?P<link>is|of|would be)\b)?{_GAP}(?P<number>{_NUMBER})(?![0-9])",
    re.IGNORECASE,
)
_FRACTION = re.compile(
    rf"(?<![\w.,/])(?P<number>{_NUMBER})[*_]*(?:\s*(?:stars?|points?))?\s*(?:/|out\s+of|\(\s*(?:out\s+)?of)\s*[*_]*"
    r"(?P<scale>[0-9]{1,9})(?![^\W_]|/|%|[.,][0-9])",
    re.IGNORECASE,
)
_TO = r"\s*(?:-+>|=>|→|-|–|—|~|&|…|\.{2,3}|\bto\b|\bor\b|\band\b)\s*"
_RANGE_END = re.compile(rf"[0-9]{_TO}[0-9.,]+$", re.IGNORECASE)
_RANGE = re.compile(rf"[0-9]{_TO}[0-9]", re.IGNORECASE)
# What makes another number, or none, of the digits before it: 1st, 7e5, 7%, 10.0.1, 10 000, 7-ish
_PERCENT = r"[ \t*_]*(?:%|per\s?cent\b)"
_TAIL = re.compile(rf"[^\W_]|{_PERCENT}|[.,][0-9]|[ \u00a0\u202f'’][0-9]|-[^\W\d_]", re.IGNORECASE)
_DIVIDED = re.compile(r"[*_]*\s*(?:/|out\s+of\b)", re.IGNORECASE)
_OF_SCALE = re.compile(r"[ \t*_]*(?:\(\s*)?(?:/|(?:out\s+)?of\b)[ \t*_]*(?P<scale>[0-9]{1,9})", re.IGNORECASE)
# A second number right behind the first: 7 (or 8), 7, 8, 7 or maybe 8, 7...8
_ALTERNATIVE = re.compile(
    rf"[ \t*_(~&,;…]*(?:\.{{2,}}[ \t]*)?(?:(?:and|or|maybe|perhaps|possibly|even)\b[ \t,*_]*)*(?P<other>{_NUMBER})",
    re.IGNORECASE,
)
_OR_ANOTHER = re.compile(
    rf"[ \t*_(,]*(?:or|~)[ \t*_]*(?:(?:maybe|perhaps|possibly|even)[ \t*_]*)?(?P<other>{_NUMBER})", re.IGNORECASE
)
_NEGATION = r"(?:\bnot|\bcannot|n['’]t|\bnever)\b"
# "not 7/10", "doesn't deserve a 10/10", but "not perfect, 7/10" and "not perfect but 7/10" say 7
_NEGATED = re.compile(
    rf"{_NEGATION}(?:[ \t]+(?!(?:but|so|yet|hence|thus)\b)[a-z]{{1,20}}){{0,3}}[ \t*_\"'`“]*$", re.IGNORECASE
)
_NEGATED_BRACKET = re.compile(
    rf"{_NEGATION}(?:[ \t]+(?:choose|pick|select|say|give|answer|be|a|an|the))?[ \t*_\"'`“:]*$", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")
_CLAUSE_END = re.compile(r"[.!?,;:](?=\s)|\n")
# "A score of 5 requires more" speaks of scores, "rating of 5 because" gives one
_SUBJECT = re.compile(r"\W*(?:(?:a|an|the|any)\s+)?", re.IGNORECASE)
_PREDICATE = re.compile(
    r"[ \t*_\"'`]+(?!(?:out|of|on|overall|because|since|as|for|due|given|stars?|points?|from|to|and|or|but)\b)[^\W\d_]",
    re.IGNORECASE,
)
_REQUIREMENT = re.compile(r"[ \t*_\"'`]+(?:requires?|needs?|would|means?|demands?|takes?)\b", re.IGNORECASE)
_THOUSANDS = re.compile(r"[-−]?[0-9]+,[0-9]{3}")
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

    Every bracketed label in the answer has to be the same. Reasoning in front (up to the last `</think>`) does not count. A
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
        `wrong_label`, `conflict` (several labels), `negated` (`not [[A]]`) or `quoted`.

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
    _check_brackets_stand(answer, [match for match, _ in found])
    if all(_is_quoted(answer, match) for match, _ in found):
        raise Reject("quoted", f"the verdict is a quotation in {_shorten(answer)}")
    return allowed[names[0]]


def parse_rating(text: str, lowest: int = 1, highest: int = 10, *, decimals: bool = False) -> float:
    """
    The rating in a judge's answer.

    It may stand in double brackets (`[[7]]`); as `"rating"` or `"score"` of a JSON object that is all of the answer; named
    as a rating or score, or with its scale (`Rating: 7`, `7/10`, `5 out of 10`); alone in the last line (`8.`, `**8**`).
    All numbers that stand in such places must be the same, but before double brackets others may. Other numbers are no
    ratings. Reasoning in front (up to the last `</think>`) does not count.

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
        `Reject`: Of the kind `empty`, `unfinished_reasoning`, `no_rating`, `malformed` (something else in brackets,
        or no number of one meaning: `10,000`, `7e5`, `7%`, `1st`), `conflict` (several numbers), `range` (`7-8`,
        `7 (or 8)`), `negated` (`not a score of 7`), `decimal`, `out_of_range` or `other_scale` (`3/5`, `4 on a scale of
        1 to 5`).

    Example:
        ```python
        >>> from trl_ext.scoring.judges import parse_rating
        >>> [parse_rating(text) for text in ("Rating: **7**", "7/10", "I'd say 5 out of 10.", "Good.\\n\\n9")]
        [7.0, 7.0, 5.0, 9.0]
        ```
    """
    answer = _answer(text)
    numbers = _rating_numbers(answer, highest)
    values = sorted({_value(number) for number in numbers})
    if len(values) > 1:
        raise Reject("conflict", f"it names {' and '.join(f'{value:g}' for value in values)}")
    (value,) = values
    if not value.is_integer() and not decimals:
        raise Reject("decimal", f"{value:g} is no whole number")
    if not lowest <= value <= highest:
        raise Reject("out_of_range", f"{value:g} is not in [{lowest}, {highest}]")
    return value


def _rating_numbers(answer: str, highest: int) -> list[str]:
    """All numbers that stand where a rating does."""
    bracketed = list(_BRACKETED.finditer(answer))
    if bracketed:
        numbers = [_bracketed_number(match[1].strip(_DECORATION), highest) for match in bracketed]
        _check_brackets_stand(answer, bracketed)
        for match in bracketed:
            _check_behind_bracket(answer[match.end() :], highest)
            _without_scales(answer[answer.rfind("\n", 0, match.start()) + 1 : match.start()], highest)
        corrections = _without_scales(answer[bracketed[-1].end() :], highest)  # what comes before led to the rating
        return [*numbers, *_labelled_numbers(corrections, highest), *_last_number(corrections)]
    named = _json_ratings(answer)
    if named:
        return named
    plain = _without_scales(answer, highest)
    fractions = list(_FRACTION.finditer(plain))
    for match in fractions:
        _check_number(plain, match)
        if _NEGATED.search(plain[max(match.start() - 100, 0) : match.start()]):
            raise Reject("negated", f"{_shorten(match[0])} is what it is not")
        other = _OR_ANOTHER.match(plain, match.end())
        if other and _value(other["other"]) != _value(match["number"]):
            raise Reject("range", f"{_shorten(match[0] + other[0])} is no single number")
    labelled = _labelled_numbers(plain, highest)
    for match in fractions:
        _check_scale(match, highest)
    numbers = [*(match["number"] for match in fractions), *labelled, *_last_number(plain)]
    if not numbers:
        raise Reject("no_rating", f"no number is named as the rating in {_shorten(answer)}")
    return numbers


def _labelled_numbers(plain: str, highest: int) -> list[str]:
    """Numbers that are named as a rating."""
    fractions = {match.start("number") for match in _FRACTION.finditer(plain)}
    labelled = list(_LABELLED.finditer(plain))
    for match in labelled:
        _check_number(plain, match)
        _check_is_stated(plain, match)
        end = match.end("number")
        if match.start("number") not in fractions and (scale := _OF_SCALE.match(plain, end)):
            _check_scale(scale, highest)
        if _TAIL.match(plain, end) or (match.start("number") not in fractions and _DIVIDED.match(plain, end)):
            raise Reject("malformed", f"{_shorten(plain[match.start() : end + 10])} is no number of one meaning")
        other = _ALTERNATIVE.match(plain, end)
        if other and _value(other["other"]) != _value(match["number"]):
            raise Reject("range", f"{_shorten(plain[match.start() : other.end()])} is no single number")
    return [match["number"] for match in labelled]


def _check_is_stated(plain: str, match: re.Match) -> None:
    """Neither "not a score of 7" nor "a score of 7 requires more"."""
    link = (match["link"] or "").lower()
    if not link:
        return
    start = max(match.start() - 1000, 0)
    ends = list((_SENTENCE_END if link == "of" else _CLAUSE_END).finditer(plain, start, match.start()))
    before = plain[ends[-1].end() if ends else start : match.start()]
    if re.search(_NEGATION, before, re.IGNORECASE):
        raise Reject("negated", f"{_shorten(before + match[0])} is what it is not")
    end = match.end()
    is_subject = _SUBJECT.fullmatch(before) and _PREDICATE.match(plain, end)
    if link == "of" and (is_subject or _REQUIREMENT.match(plain, end)):
        raise Reject("no_rating", f"{_shorten(plain[match.start() : end + 30])} only speaks of a rating")


def _check_behind_bracket(rest: str, highest: int) -> None:
    """`[[8]]/100` and `[[8]]%` are no 8."""
    if scale := _OF_SCALE.match(rest):
        _check_scale(scale, highest)
        rest = rest[scale.end() :]
        if re.match(r"[^\W_]|/|%|[.,][0-9]", rest):
            raise Reject("malformed", f"{_shorten(scale[0] + rest[:10])} behind the brackets is no scale")
    if re.match(_PERCENT, rest, re.IGNORECASE):
        raise Reject("malformed", "the number in brackets is a percentage")
    if re.match(rf"(?:{_TO}|[ \t]*\(\s*or\s+)[0-9]", rest.split("\n", 1)[0], re.IGNORECASE):
        raise Reject("range", f"{_shorten(rest[:30])} follows the number in brackets")


def _check_brackets_stand(answer: str, found: Sequence[re.Match]) -> None:
    for match in found:
        if _NEGATED_BRACKET.search(answer[max(match.start() - 60, 0) : match.start()]):
            raise Reject("negated", f"{_shorten(answer[max(match.start() - 20, 0) : match.end()])} is what it is not")


def _without_scales(text: str, highest: int) -> str:
    """The text without "on a scale of 1 to 10", whose ends are no ratings."""
    for match in _SCALE.finditer(text):
        if int(match["after"] or match["before"]) != highest:
            raise Reject("other_scale", f"{_shorten(match[0])} is not a scale up to {highest}")
    return _SCALE.sub(" ", text)


def _last_number(plain: str) -> list[str]:
    """The number that is all of the last line."""
    lines = plain.rstrip().splitlines()
    match = _ONLY_NUMBER.fullmatch(lines[-1]) if lines else None
    if match is None:
        return []
    _check_number(lines[-1], match)
    return [match["number"]]


def _bracketed_number(content: str, highest: int) -> str:
    match = _FRACTION.fullmatch(content)
    if match is not None:
        _check_scale(match, highest)
    elif (match := re.fullmatch(rf"(?:(?:rating|score)\s*[:=]?\s*)?(?P<number>{_NUMBER})", content, re.I)) is None:
        kind = "range" if _RANGE.search(content) else "malformed"
        raise Reject(kind, f"[[{content}]] is no single number")
    _check_number(content, match)
    return match["number"]


def _value(number: str) -> float:
    return float(number.replace(",", ".").replace("−", "-"))


def _check_number(text: str, match: re.Match) -> None:
    """Neither the end of a range nor thousands: 10,000 is not 10."""
    end = match.end("number")
    if _RANGE.match(text, end - 1) or _RANGE_END.search(text[max(end - 30, 0) : end]):
        raise Reject("range", f"{_shorten(match[0])} is no single number")
    if _THOUSANDS.fullmatch(match["number"]):
        raise Reject("malformed", f"{match['number']} may be thousands")


def _check_scale(match: re.Match, highest: int) -> None:
    if int(match["scale"]) != highest:
        raise Reject("other_scale", f"{_shorten(match[0])} is not on a scale up to {highest}")


def _json_ratings(answer: str) -> list[str]:
    """Every `rating` and `score` of an answer that is a JSON object, perhaps in a code fence."""
    body = re.sub(r"^```(?:json)?|```$", "", answer.strip()).strip()
    try:
        pairs = json.loads(body, object_pairs_hook=list)  # with the keys that are there twice
    except (ValueError, RecursionError):
        return []
    if not body.startswith("{"):
        return []
    numbers = [_json_number(value) for key, value in pairs if key in ("rating", "score")]
    return [] if None in numbers else numbers


def _json_number(value: Any) -> str | None:
    if isinstance(value, str):
        number = value.strip()
        return number if re.fullmatch(_NUMBER, number) and not _THOUSANDS.fullmatch(number) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value) if abs(value) < 1e9 else str(int(1e9))  # out of any range


def _answer(text: str) -> str:
    """What follows the reasoning of models that show it. Its opening tag may be in the prompt, and so not in the text."""
    answer = text[reasoning_end(text) :]
    if opens_reasoning(answer):
        raise Reject("unfinished_reasoning", "the reasoning has no end, so no answer follows it")
    if not answer.strip():
        raise Reject("empty", "there is no text")
    return answer


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
