"""Reading the scores out of an answer: tolerant of what is around the JSON object, strict with what is in it."""

import json
from dataclasses import dataclass
from typing import Any

from .rubric import CRITERIA, HIGHEST, LOWEST


@dataclass(frozen=True)
class CriterionScore:
    """
    One criterion of one pair.

    Args:
        score (`int`): 1 (easy for an annotator) to 5 (hard).
        reasoning (`str`, *optional*): Why.
    """

    score: int
    reasoning: str = ""


def parse_scores(text: str) -> dict[str, CriterionScore]:
    """
    Reads an answer to [`rubric_messages`].

    Looks for the JSON object that names criteria, whatever stands around it (code fences, a preamble, a chain of
    thought), itself or in a field of an outer one; if there are several, the last one with all criteria counts. A criterion is `{"score": 3, "reasoning": ...}` or just the number.
    Every criterion has to be there with a whole number from 1 to 5: nothing is guessed, rounded or filled in.

    Args:
        text (`str`): The answer.

    Returns:
        `dict[str, CriterionScore]`: All seven, in the order of `CRITERIA`.

    Raises:
        `ValueError`: There is no such object, a criterion is missing, or a score is not allowed. The message names it.

    Example:
        ```python
        >>> from trl_ext.reliability.llm_arms import CRITERIA, parse_scores
        >>> answer = "Here you are: {" + ", ".join(f'"{name}": 2' for name in CRITERIA) + "} Regards"
        >>> parse_scores(answer)["overall_difficulty"]
        CriterionScore(score=2, reasoning='')
        ```
    """
    nested = (each for found in _json_objects(text) for each in (found, *found.values()))
    candidates = [each for each in nested if isinstance(each, dict) and each.keys() & CRITERIA.keys()]
    if not candidates:
        raise ValueError(f"no JSON object with the criteria in the answer {_shorten(text)}")
    complete = [each for each in candidates if CRITERIA.keys() <= each.keys()]
    return check_scores((complete or candidates)[-1])


def check_scores(record: dict[str, Any]) -> dict[str, CriterionScore]:
    """
    Checks the scores of one pair, as parsed JSON.

    Args:
        record (`dict`): Criterion -> number, or -> `{"score": number, "reasoning": text}`.

    Returns:
        `dict[str, CriterionScore]`: All seven, in the order of `CRITERIA`.

    Raises:
        `ValueError`: As [`parse_scores`].
    """
    if not isinstance(record, dict):
        raise ValueError(f"expected an object with the criteria, got {_shorten(record)}")
    missing = [name for name in CRITERIA if name not in record]
    if missing:
        raise ValueError(f"the criteria {', '.join(missing)} are missing")
    return {name: _check_criterion(name, record[name]) for name in CRITERIA}


def _check_criterion(name: str, value: Any) -> CriterionScore:
    reasoning = ""
    if isinstance(value, dict):
        if "score" not in value:
            raise ValueError(f"criterion {name} has no score, only {', '.join(map(repr, value)) or 'nothing'}")
        reasoning, value = value.get("reasoning", ""), value["score"]
    if isinstance(value, str):
        value = int(value) if value.strip() in map(str, range(LOWEST, HIGHEST + 1)) else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not LOWEST <= value <= HIGHEST:
        raise ValueError(
            f"criterion {name} must have a whole number from {LOWEST} to {HIGHEST} as score, got {_shorten(value)}"
        )
    return CriterionScore(value, reasoning if isinstance(reasoning, str) else json.dumps(reasoning))


def _json_objects(text: str) -> list[dict[str, Any]]:
    """Every outermost JSON object in a text."""
    decoder = json.JSONDecoder()
    found, position = [], text.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            found.append(value)
        position = text.find("{", end)
    return found


def _shorten(value: Any, width: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= width else f"{text[:width]}... ({len(text)} characters)"
