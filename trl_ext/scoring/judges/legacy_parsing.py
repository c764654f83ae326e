"""Answers read as RewardBench 0.1 reads them, to compare numbers with it; not to be recommended for anything else."""

import json
import re


_BETTER_ANSWER = "更好的回答"  # Con-J answers in Chinese
_DIGITS = {"1": "A", "2": "B", "１": "A", "２": "B"}
_LAST_RATING = re.compile(r"\b([1-9]|10)\b\s*$")

ERROR = "error"
MODIFIERS = ("prometheus", "Con-J", "offsetbias", "Atla", "RISE-Judge", "gemini")


def legacy_parse_verdict(text: str, modifier: str | None = None) -> str | None:
    """
    Verdict on a pair as RewardBench 1 reads it.

    Both letters in brackets count as A. Each family of judges has its own form and its own value for failure.

    Args:
        text (`str`):
            The answer.
        modifier (`str`, *optional*):
            Family of the judge: `prometheus` (`[RESULT] A`, last character), `Con-J` (JSON with 1 or 2), `offsetbias`
            (`Output (a)`), `Atla` (`**Result:** A`); `RISE-Judge` and `gemini` are read as all others (`[[A]]`).

    Returns:
        `str` or `None`: `"A"` or `"B"`; otherwise `"error"`, for Con-J `"None"`, for Atla `None`.

    References:
        - RewardBench (Lambert et al., 2024), evaluation of generative models.

    Example:
        ```python
        >>> from trl_ext.scoring.judges import legacy_parse_verdict
        >>> legacy_parse_verdict("both [[A]] and [[B]]"), legacy_parse_verdict("Output (b)", "offsetbias")
        ('A', 'B')
        ```
    """
    if modifier is not None and modifier not in MODIFIERS:
        raise ValueError(f"modifier must be None or one of {', '.join(MODIFIERS)}, got {modifier!r}")
    if modifier == "prometheus":
        return text[-1] if "[RESULT]" in text and text[-1] in "AB" else ERROR
    if modifier == "Con-J":
        return _con_j(text)
    if modifier == "offsetbias":
        return _first_contained(text, {"Output (a)": "A", "Output (b)": "B"})
    if modifier == "Atla":
        match = re.search(r"\*\*Result:\*\*\s*([AB])", text)
        return None if match is None else match[1]
    return _first_contained(text, {f"[[{letter}]]": letter for letter in "AB"})


def legacy_parse_verdict_four_way(text: str) -> str:
    """
    Verdict on four responses as RewardBench 2 reads it: the first of A, B, C, D that stands in brackets anywhere.

    Args:
        text (`str`): The answer.

    Returns:
        `str`: `"A"` to `"D"`, or `"error"`.

    Example:
        ```python
        >>> from trl_ext.scoring.judges import legacy_parse_verdict_four_way
        >>> legacy_parse_verdict_four_way("not [[D]] but [[C]]")
        'C'
        ```
    """
    return _first_contained(text, {f"[[{letter}]]": letter for letter in "ABCD"})


def legacy_parse_rating(text: str) -> int:
    """
    Rating as RewardBench reads it: the whole number from 1 to 10 that ends the answer.

    `7/10` gives 10, and `8.` or `**8**` give -1.

    Args:
        text (`str`): The answer.

    Returns:
        `int`: 1 to 10, or -1.

    Example:
        ```python
        >>> from trl_ext.scoring.judges import legacy_parse_rating
        >>> legacy_parse_rating("Rating: 7"), legacy_parse_rating("7/10"), legacy_parse_rating("8.")
        (7, 10, -1)
        ```
    """
    match = _LAST_RATING.search(text)
    return -1 if match is None else int(match[1])


def _first_contained(text: str, verdicts: dict[str, str]) -> str:
    return next((verdict for mark, verdict in verdicts.items() if mark in text), ERROR)


def _con_j(text: str) -> str:
    start, end = text.find("{"), text.rfind("}")
    try:
        content = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and _BETTER_ANSWER in content:
        return _DIGITS.get(str(content[_BETTER_ANSWER]), "None")
    match = re.search(rf"{_BETTER_ANSWER}.*?([12１２])", text)
    return "None" if match is None else _DIGITS[match[1]]
