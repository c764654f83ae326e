"""Faults of a rewrite that show in its text: what a chat model says instead of the rewrite, or around it."""

import re


FAULTS = ("refusal", "preamble", "closing", "quoted", "truncated", "too_long", "too_short", "unchanged")

_SORRY = (
    r"(?:(?:i['’]?m|i am|we['’]re|we are) (?:(?:so|very|really|truly) )?(?:sorry|afraid)|sorry|(?:my )?apologies|"
    r"i apologi[sz]e|unfortunately)"
)
_UNABLE = (
    r"(?:i|we)(?: (?:can['’]?t|cannot|can not|won['’]?t|will not|must decline|have to decline|decline|refuse)|"
    r"(?: am| are|['’]m|['’]re) (?:not able|unable|not comfortable|not allowed|not permitted))"
)
_REWRITING = r"(?:re-?writ|rephras|adjust|modify|alter|edit|generat)(?:e|ing)?"
_DEED = (
    rf"(?:(?:to |with )?(?:{_REWRITING}\b|assist\b|comply\b|fulfil|help (?:you|with)\b|help(?=[.,!]|\s*$)|"
    r"(?:write|do|provide|create|produce|complete|support|continue|engage|participate)(?:ing)? (?:in |with )?"
    r"(?:this|that|such|so|your request|the request)\b(?! justice)|"
    r"(?:provide|offer|give|share|supply)(?:ing)? (?:\w+ ){0,2}?(?:support|guidance|information|instructions|assistance|"
    r"advice|help|details|content)\b))"
)
_MATTER = r"(?:that|this|such (?:a |an )?\w+|your request|the request|those|these)\b"
# An inability to do what was asked, perhaps after an apology or a remark on what one is, in the first sentence
_REFUSALS = (
    re.compile(rf"^\W*(?:{_SORRY}\b[^\n]{{0,60}}?)?\b{_UNABLE} (?:\w+ ){{0,2}}?{_DEED}", re.IGNORECASE),
    re.compile(rf"^[^\n.!?:\"“]{{0,80}}?\b{_UNABLE} (?:help|assist|engage)(?: you)? with {_MATTER}", re.IGNORECASE),
    re.compile(
        r"^[^\n.!?:\"“]{0,60}?(?:isn['’]t|is not|['’]s not) something (?:that )?(?:i|we) (?:can|could|am able to|will) "
        r"(?:help|assist|support|engage|provide|do|discuss|offer|respond|answer|address)\b",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^\W*as an? (?:ai|artificial intelligence|(?:large )?language model)\b[^\n]{{0,80}}?\b{_UNABLE}\b",
        re.IGNORECASE,
    ),
)
_CHANGED = (
    r"(?:rewritten|re-written|revised|reworded|rephrased|adjusted|modified|edited|updated|changed|altered|requested)"
)
_VERSION = rf"(?:{_CHANGED}|rewrite|re-write|version|result|text|review|response|answer|attempt|sentences?|paragraph)"
_AGREED = r"(?:sure|certainly|absolutely|of course|okay|ok|gladly|no problem)"
# A line of its own, or words up to a colon, that speak of the rewrite instead of being it
_PREAMBLES = (
    re.compile(
        rf"^\W*(?:{_AGREED}\b(?: thing)?[^\w\n]*)?"
        rf"(?:(?:here(?:['’]s| is| are)|below is|the following is)\b[^\n:]{{0,80}}?\b{_VERSION}"
        rf"|this is\b[^\n:]{{0,40}}?\b{_CHANGED})\b[^\n:]{{0,60}}?(?::|\.?[ \t]*\n)",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^\W*{_AGREED}\b[^\w\n]*(?:thing|here you go|i can do that|i['’](?:d|ll) be (?:happy|glad) to[^\n]{{0,40}}|"
        r"happy to help|let me (?:rewrite|adjust|help)[^\n]{0,40})?[!.,:]*[ \t]*\n",
        re.IGNORECASE,
    ),
    re.compile(rf"^[\W_]*(?:the )?{_CHANGED} {_VERSION}[*_ ]*:", re.IGNORECASE),
)
_CLOSING = re.compile(
    r"^\W*(?:(?:please )?let me know (?:if|whether|how)\b|(?:i )?hope (?:this|that|it)(?:['’]s| is| helps| meets| works)\b|"
    r"feel free to (?:ask|let me|reach)\b|is there anything else\b|would you like me to\b|"
    r"(?:(?:please )?note(?: that)?:? )?i(?:['’]ve| have)? (?:changed|adjusted|rewritten|rewrote|modified|kept|replaced|"
    r"made (?:\w+ )?(?:changes|adjustments|edits))\b)",
    re.IGNORECASE,
)
_QUOTES = (('"', '"'), ("“", "”"), ("«", "»"), ("„", "“"), ("'", "'"), ("‘", "’"), ("[", "]"), ("```", "```"))
_ENDS = re.compile(r"[.!?…:;)\]}\"'”’»*_`>|~]\s*$")


def is_refusal(text: str) -> bool:
    """Whether a text begins like a model's refusal: it is sorry and can't, or can't do what it was asked."""
    return any(pattern.search(text) for pattern in _REFUSALS)


def has_preamble(text: str) -> bool:
    """Whether a text begins by speaking of itself: `Sure! Here is the rewritten review:`."""
    return preamble_end(text) > 0


def preamble_end(text: str) -> int:
    """Where the text begins after what [`has_preamble`] finds; 0 if it finds nothing."""
    return max((match.end() for pattern in _PREAMBLES if (match := pattern.search(text))), default=0)


def has_closing(text: str) -> bool:
    """Whether the last line of several speaks to whoever asked: `Let me know if you want other changes.`"""
    lines = text.strip().split("\n")
    return len(lines) > 1 and _CLOSING.search(lines[-1]) is not None


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
        `list[str]`: Among `refusal`; `preamble` and `closing` (sentences of a model about its rewrite); `quoted` (the whole
        text in quotes, brackets or a fence); `truncated` (cut by its limit, or without an end where the source has one);
        `too_long`, `too_short`; `unchanged` (but for white space).

    Example:
        ```python
        >>> text_faults("Sure! Here is the revised review:\\nA bad film.", "A good film.")
        ['preamble', 'too_long']

        ```
    """
    checks = {
        "refusal": is_refusal(text) and not is_refusal(source),
        "preamble": has_preamble(text) and not has_preamble(source),
        "closing": has_closing(text) and not has_closing(source),
        "quoted": is_quoted(text) and not is_quoted(source),
        "truncated": finish_reason == "length" or (ends_midway(text) and not ends_midway(source)),
        "too_long": len(text) > max_length_ratio * len(source),
        "too_short": len(source) > max_length_ratio * len(text),
        "unchanged": text.split() == source.split(),
    }
    return [name for name in FAULTS if checks[name]]
