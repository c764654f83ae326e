"""Faults of a rewrite that show in its text: what a chat model says instead of the rewrite, or around it."""

import re

from ...reasoning_tags import opens_reasoning, reasoning_end
from .refusals import is_refusal


FAULTS = ("reasoning", "refusal", "preamble", "closing", "quoted", "truncated", "too_long", "too_short", "unchanged")

_CHANGED = (
    r"(?:rewritten|re-written|revised|reworded|rephrased|adjusted|modified|edited|updated|changed|altered|requested)"
)
_VERSION = rf"(?:{_CHANGED}|rewrite|re-write|version|result|text|review|response|answer|attempt|sentences?|paragraph)"
_AGREED = r"(?:sure|certainly|absolutely|of course|okay|ok|gladly|no problem|got it|understood|as (?:you )?requested)"
# What follows that, or stands alone: "I can help with that!"
_WILLING = (
    r"(?:(?:i can|i['’](?:d|ll)|i would|i will) (?:(?:certainly|gladly|be (?:happy|glad) to) )?"
    r"(?:do|help|assist|rewrite|rephrase|adjust|revise)\b|(?:i['’]m |i am )?(?:happy|glad) to (?:help|assist|do)\b|"
    r"let me (?:rewrite|rephrase|adjust|revise|help|try)\b)"
)
_DIRECTION = (
    r"(?:(?:more|less|slightly|very|highly) [\w-]+|positive|negative|neutral|longer|shorter|simpler|friendlier|formal|"
    r"informal|helpful|unhelpful|polite|impolite|complex|confident|hesitant|original)"
)
# "Rewritten:", but not "Edited:" or "Updated:", with which people add to their reviews
_BARE = r"(?:rewritten|re-written|rewrite|re-write|revised|reworded|rephrased|paraphrased)"
# The end of a heading: a colon, or nothing else on its line but signs of Markdown
_HEADED = r"(?: ?\([^\n()]{0,60}\))?[*_ ]*(?::[*_]*|[#*_ ]*\n)"
# A line of its own, or words up to a colon, that speak of the rewrite instead of being it
_PREAMBLES = (
    re.compile(
        rf"^\W*(?:{_AGREED}\b(?: thing)?[^\w\n]*)?(?:{_WILLING}[^\n.!:]{{0,60}}[.!:]\W*)?"
        rf"(?:(?:here(?:['’]s| is| are)|below is|the following is)\b[^\n:]{{0,80}}?\b{_VERSION}"
        rf"|this is\b[^\n:]{{0,40}}?\b{_CHANGED}"
        rf"|i(?:['’]ve| have)? (?:rewritten|rewrote|rephrased|reworded|revised|adjusted) (?:the|your|this) {_VERSION}"
        rf"|the {_CHANGED} {_VERSION} (?:is|reads|follows)"
        rf")\b[^\n:]{{0,60}}?(?::[*_]*|\.?[ \t]*\n)",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^\W*(?:{_AGREED}\b(?: thing)?[^\w\n]*)?(?:here you go|{_WILLING}[^\n.!:]{{0,60}})[!.,:]*[ \t]*\n",
        re.IGNORECASE,
    ),
    re.compile(rf"^\W*{_AGREED}\b(?: thing)?[!.,:]*[ \t]*\n", re.IGNORECASE),
    re.compile(
        rf"^[\W_]*(?:the )?(?:{_CHANGED} {_VERSION}|{_DIRECTION} {_VERSION}|{_BARE}){_HEADED}",
        re.IGNORECASE,
    ),
)
_CLOSING = re.compile(
    r"^\W*(?:(?:please )?let me know (?:if|whether|how)\b|(?:i )?hope (?:this|that|it)(?:['’]s| is| helps| meets| works)\b|"
    r"feel free to (?:ask|let me|reach)\b|is there anything else\b|would you like me to\b|"
    r"(?:(?:please )?note(?: that)?:? )?i(?:['’]ve| have)? (?:changed|adjusted|rewritten|rewrote|modified|kept|replaced|"
    r"made (?:\w+ )?(?:changes|adjustments|edits))\b)",
    re.IGNORECASE,
)
# "(Note: I changed the tone.)", at the end of the text itself
_NOTE = re.compile(
    r"[(\[*_]{1,3} ?(?:please )?note\b[^()\[\]\n]{0,60}?\b(?:i(?:['’]ve| have)? (?:have |only )?(?:changed|adjusted|"
    rf"rewritten|rewrote|modified|kept|replaced|made|removed|added)|(?:this|the) (?:{_CHANGED}|rewrite|version)|(?:was|were) "
    r"(?:changed|adjusted|rewritten|modified|kept|replaced))\b[^()\[\]\n]{0,300}[)\]*_.]*\s*$",
    re.IGNORECASE,
)
_CHANGES = re.compile(
    r"^\W*(?:(?:key |main |list of |summary of |explanation of )(?:the )?changes(?: i)?(?: made)?|changes(?: i)? made)"
    r"[*_ ]*:?[*_ ]*$",
    re.IGNORECASE,
)
_QUOTES = (('"', '"'), ("“", "”"), ("«", "»"), ("„", "“"), ("'", "'"), ("‘", "’"), ("[", "]"), ("```", "```"))
_ENDS = re.compile(r"[.!?…:;)\]}\"'”’»*_`>|~]\s*$")


def has_reasoning(text: str) -> bool:
    """Whether a text has tags of a model's reasoning, `<think>` or `</think>`."""
    return reasoning_end(text) > 0 or opens_reasoning(text)


def has_preamble(text: str) -> bool:
    """Whether a text begins by speaking of itself: `Sure! Here is the rewritten review:`."""
    return preamble_end(text) > 0


def preamble_end(text: str) -> int:
    """Where the text begins after what [`has_preamble`] finds; 0 if it finds nothing."""
    return max((match.end() for pattern in _PREAMBLES if (match := pattern.search(text))), default=0)


def has_closing(text: str) -> bool:
    """
    Whether the last line of several speaks to whoever asked ("Let me know if you want other changes."), one of them is the
    heading of a list of changes, or the text ends with a note on what was changed.
    """
    lines = text.strip().split("\n")
    return (
        (len(lines) > 1 and _CLOSING.search(lines[-1]) is not None)
        or any(_CHANGES.search(line) for line in lines[1:])
        or _NOTE.search(text) is not None
    )


def is_quoted(text: str) -> bool:
    """Whether quotes, brackets or a fence enclose the whole text."""
    text = text.strip()
    for left, right in _QUOTES:
        inner = text[len(left) : -len(right)]
        if len(text) > len(left + right) and text.startswith(left) and text.endswith(right):
            # apostrophes inside words are no quotes
            return re.search(rf"(?<!\w){re.escape(left)}|{re.escape(right)}(?!\w)", inner) is None
    return False


def ends_midway(text: str) -> bool:
    """Whether a text ends without a mark that may end one, such as a full stop."""
    return _ENDS.search(text) is None and text.strip()[-1].isalnum()


def text_faults(
    text: str, source: str, *, finish_reason: str | None = None, max_length_ratio: float = 3.0
) -> list[str]:
    """
    Faults of a rewrite that show in its text. What the source has as well is none: an answer that refuses may be
    rewritten to one that refuses.

    Args:
        text (`str`): The rewrite.
        source (`str`): What was rewritten.
        finish_reason (`str`, *optional*): Why the model ended; `"length"`: it was cut.
        max_length_ratio (`float`, *optional*, defaults to `3.0`): Times as many characters as the source that are too many,
            and the other way round.

    Returns:
        `list[str]`: Among `reasoning` (tags such as `<think>`; the next three are looked for behind them); `refusal`;
        `preamble` and `closing` (words of a model about its rewrite); `quoted` (the whole text in quotes, brackets or a
        fence); `truncated` (cut by its limit, or without an end where the source has one); `too_long`, `too_short`;
        `unchanged` (but for white space).

    Example:
        ```python
        >>> text_faults("Sure! Here is the revised review:\\nA bad film.", "A good film.")
        ['preamble', 'too_long']

        ```
    """
    answer = text[reasoning_end(text) :].lstrip()
    checks = {
        "reasoning": has_reasoning(text) and not has_reasoning(source),
        "refusal": is_refusal(answer) and not is_refusal(source),
        "preamble": has_preamble(answer) and not has_preamble(source),
        "closing": has_closing(answer) and not has_closing(source),
        "quoted": is_quoted(text) and not is_quoted(source),
        "truncated": finish_reason == "length" or (ends_midway(text) and not ends_midway(source)),
        "too_long": len(text) > max_length_ratio * len(source),
        "too_short": len(source) > max_length_ratio * len(text),
        "unchanged": text.split() == source.split(),
    }
    return [name for name in FAULTS if checks[name]]
