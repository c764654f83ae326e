"""What a chat model says when it does not rewrite: that it can't or won't, or that there is no text."""

import re


# Of a whole answer that only says what it won't do: its words may be vaguer
_SHORT = 200

_SORRY = (
    r"(?:(?:i['’]?m|i am|we['’]re|we are) (?:(?:so|very|really|truly) )?(?:sorry|afraid)|sorry|(?:my )?apologies|"
    r"i apologi[sz]e|unfortunately)"
)
_UNABLE = (
    r"(?:i|we)(?: (?:can['’]?t|cannot|can not|won['’]?t|will not|do not feel comfortable|don['’]t feel comfortable|"
    r"(?:must |have to |would |will |need to )?(?:respectfully |politely )?(?:decline|refuse)|['’]?d rather not|"
    r"would (?:rather|prefer) not)|['’]d (?:rather|prefer) not(?: to)?|(?: am| are|['’]m|['’]re) (?:not able|unable|"
    r"not comfortable|not allowed|not permitted|not willing|not going))(?: (?:to|with|in))?(?: be able to)?"
    r"(?: (?:\w+ly|just|also|even|in good conscience))?"
)
_ASKED = r"(?:this|that|these|those|the|your|such(?: an?)?|an?|any|what you)"
_TEXT = r"(?:text|passage|paragraph|sentence|statement|response|message|review)"
_WORDS = r"(?:\w+ ){0,2}?"
_SPOKEN = r"(?=[.,;:!)]|\s*$)"
_GUIDANCE = (
    r"(?:support|guidance|information|info|instructions?|assistance|advice|recommendations?|suggestions?|tips|"
    r"answers?)\b"
)
# Deeds that are those of a model that was asked for something, whatever follows
_DEEDS = "|".join(
    (
        rf"(?:re-?writ|rephras|reword|paraphras)(?:e|ing) (?:{_ASKED}|it|anything|something|reviews|texts)\b",
        rf"(?:re-?writ|rephras|reword|paraphras)(?:e|ing){_SPOKEN}",
        rf"assist(?:ing)?(?: you)?(?: (?:with|in)\b|{_SPOKEN})",
        r"help(?:ing)?(?: you)? (?:with|to|in) (?:(?:this|that|these|those|your|such|any)\b|\w+ing\b|re-?write\b)",
        rf"help(?:ing)?(?: you)?(?: with (?:this|that|it))?{_SPOKEN}",
        rf"(?:comply|complying)(?: with (?:this|that|your|the|such)(?: \w+)? (?:request|instruction|demand)s?\b|"
        rf"{_SPOKEN})",
        r"(?:fulfil|fulfill|fulfilling|honou?r|accommodate|process|execut(?:e|ing)|complet(?:e|ing)|do(?:ing)?|"
        r"answer(?:ing)?|support(?:ing)?|continu(?:e|ing)|discuss(?:ing)?|engag(?:e|ing)|participat(?:e|ing)|"
        r"respond(?:ing)?) (?:in |with |to )?(?:this|that|your|such(?: an?)?|these) (?:\w+ ){0,2}?"
        r"(?:requests?|tasks?|instructions?|prompts?|conversations?|discussions?)\b",
        r"(?:process|fulfil|fulfill) requests\b",
        rf"(?:fulfil|fulfill|honou?r|accommodate|process) the {_WORDS}(?:request|instruction)s?\b",
        rf"(?:adjust|modify|alter|edit|chang|convert|transform|mak|turn)(?:e|ing)? (?:this|that|the|your) {_WORDS}"
        rf"{_TEXT}\b(?! size| colou?r| font| messages?)",
        rf"(?:generat|creat|produc|writ|provid|mak|giv|offer|discuss)(?:e|ing)? (?:{_ASKED} )?(?:\w+[ -]){{0,3}}?"
        r"(?:(?:content|material|language|stereotypes|reviews?|texts?) (?:that|which|promoting|containing|involving|with "
        r"(?:slurs|hate))\b|rewrite\b|rewriting\b|version (?:of (?:this|that|the|your)|that)\b)",
        rf"(?:generat|creat|produc|writ|provid|mak|giv|offer|discuss)(?:e|ing)? (?:this|that|such(?: an?)?|these) {_WORDS}"
        r"(?:content|material|text|language|stereotypes|information|requests?|responses?|version)\b",
        rf"(?:provid|offer)(?:e|ing)? (?:you )?(?:with )?(?:(?!without\b)\w+ ){{0,2}}?{_GUIDANCE}"
        r"(?! without)",
    )
)
_VAGUE = (
    r"(?:do|fulfil|fulfill|write|rewrite|provide|create|produce|complete|support|continue|engage in|engage with|"
    r"participate in|make|say|discuss|change|answer|help with|writing|doing|providing|creating|changing|"
    r"saying|discussing|answering)"
    rf" (?:this|that|it|so|these|such things){_SPOKEN}"
)
_REFUSALS = (
    # "I'm sorry, but I can't rewrite this", "I appreciate your trust, but I am unable to help with that"
    re.compile(rf"^\W*(?:{_SORRY}\b[^\n:\"“]{{0,80}}?)?\b{_UNABLE} (?:{_DEEDS})", re.IGNORECASE),
    re.compile(rf"^[^\n.!?:\"“]{{0,120}}?\b{_UNABLE} (?:{_DEEDS})", re.IGNORECASE),
    re.compile(rf"^\W*{_SORRY}\b[^\n:\"“]{{0,20}}?\bi (?:must|have to|need to) (?:decline|refuse)\b", re.IGNORECASE),
    # "That isn't something I can help with"
    re.compile(
        r"^[^\n.!?:\"“]{0,60}?(?:isn['’]t|is not|['’]s not) something (?:that )?(?:i|we) (?:can|could|am able to|will|am "
        r"willing to) (?:help|assist|support(?= or)|engage|provide|do(?=[.,!])|discuss|offer|respond|answer|address|rewrite)\b",
        re.IGNORECASE,
    ),
    # "As an AI language model, I do not have opinions and cannot rewrite"
    re.compile(
        rf"^\W*(?:{_SORRY}\W*(?:but )?)?(?:as an? (?:ai|artificial intelligence|(?:large )?language model)"
        r"(?: (?:\w+ ){0,2}?(?:model|assistant))?,? (?=i\b)|"
        r"i['’]?(?: a)?m (?:just |only )?an? (?:ai|(?:large )?language model)\b)[^\n]{0,120}?"
        r"\b(?:can['’]?t|cannot|can not|won['’]?t|will not|unable|not able|do not|don['’]t|decline)\b",
        re.IGNORECASE,
    ),
    # "This request goes against my guidelines"
    re.compile(
        r"^[^\n:\"“]{0,60}?\b(?:this|that|the|your) (?:\w+ )?(?:request|text|content|prompt|review) (?:\w+ ){0,3}?"
        r"(?:violates?|against|conflicts? with) (?:\w+ ){0,3}?(?:guidelines|polic(?:y|ies)|programming|terms)\b",
        re.IGNORECASE,
    ),
    # "Please provide the text you'd like me to rewrite"
    re.compile(
        r"^[^\n:\"“]{0,120}?\b(?:please|could you|can you) (?:please )?(?:provide|share|paste|send|give)(?: me)?(?: with)? "
        r"(?:the|your|a) (?:\w+ )?(?:text|review|passage|paragraph|response|content)\b",
        re.IGNORECASE,
    ),
)
_SHORT_REFUSALS = (
    re.compile(rf"^\W*(?:(?:{_SORRY}|no)\b[^\n:\"“]{{0,60}}?)?\b{_UNABLE} {_VAGUE}", re.IGNORECASE),
    re.compile(
        r"^\W*(?:i|we) (?:must |have to |need to |respectfully |politely )*(?:decline|refuse)(?: (?:this|that|your|the) "
        r"(?:request|task|instruction))?[.!]",
        re.IGNORECASE,
    ),
)


def is_refusal(text: str) -> bool:
    """
    Whether a text begins, or a short one is, as a model declines: what it can't or won't do is what it was asked for.

    What people can't or won't do in a review ("I can't support this film", "I won't do this again") is none.

    Example:
        ```python
        >>> is_refusal("I'm sorry, but I can't rewrite this text."), is_refusal("I can't write this off as bad luck.")
        (True, False)

        ```
    """
    text = text.strip()
    return any(pattern.search(text) for pattern in _REFUSALS) or (
        len(text) <= _SHORT and any(pattern.search(text) for pattern in _SHORT_REFUSALS)
    )
