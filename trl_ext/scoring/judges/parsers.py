"""Which parser reads a judge's answers: the strict one, or RewardBench's."""

from collections.abc import Callable, Sequence

from .legacy_parsing import MODIFIERS, legacy_parse_rating, legacy_parse_verdict, legacy_parse_verdict_four_way
from .parsing import Reject, parse_rating, parse_verdict
from .template import JudgeTemplate


STRICT, LEGACY = "strict", "legacy"


def verdict_parser(name: str, tie: str | None) -> Callable[[str, Sequence[str]], str]:
    """
    Function from an answer and the labels to one of them, or to `tie`.

    Raises:
        `ValueError`: There is no such parser.
    """
    if name == STRICT:
        return lambda text, labels: parse_verdict(text, labels, tie)
    if tie is not None:
        raise ValueError(f"parser {name!r} knows no ties, but the template has them ({tie})")
    kind, _, modifier = name.partition(":")
    if kind != LEGACY or (modifier and modifier not in MODIFIERS):
        raise ValueError(
            f"parser must be 'strict', 'legacy' or 'legacy:<family>' with one of {', '.join(MODIFIERS)}, got {name!r}"
        )

    def read(text: str, labels: Sequence[str]) -> str:
        if len(labels) == 2:
            verdict = legacy_parse_verdict(text, modifier or None)
        else:
            verdict = legacy_parse_verdict_four_way(text)
        if verdict not in tuple(labels):
            raise Reject("legacy_error", "RewardBench reads no verdict in it")
        return verdict

    return read


def rating_parser(name: str, template: JudgeTemplate, decimals: bool) -> Callable[[str], float]:
    """
    Function from an answer to a rating.

    Raises:
        `ValueError`: There is no such parser, or it is for another scale.
    """
    if name == STRICT:
        return lambda text: parse_rating(text, template.lowest, template.highest, decimals=decimals)
    if name != LEGACY:
        raise ValueError(f"parser must be 'strict' or 'legacy', got {name!r}")
    if (template.lowest, template.highest) != (1, 10):
        raise ValueError(
            f"parser 'legacy' reads ratings from 1 to 10, but the template has {template.lowest} to {template.highest}"
        )

    def read(text: str) -> float:
        rating = legacy_parse_rating(text)
        if rating < 0:
            raise Reject("legacy_error", "RewardBench reads no rating in it")
        return float(rating)

    return read
