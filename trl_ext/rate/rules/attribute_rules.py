"""Rules by the names of attributes."""

import difflib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .base import ASYMMETRIC_SENTENCE, Rule, RuleRewriter
from .formatting import formatting_rule
from .length import length_rule
from .sentences import FILLERS
from .typos import typo_rule
from .vocabulary import Vocabulary
from .vowel_start import OPENERS, vowel_start_rule
from .word_swaps import ADDED, swap_rule


RULES: dict[str, Callable[..., Rule]] = {
    "length": length_rule,
    "sentiment": lambda: swap_rule("sentiment"),
    "helpfulness": lambda: swap_rule("politeness"),
    "complexity": lambda: swap_rule("complexity"),
    "vowel_start": vowel_start_rule,
    "formatting": formatting_rule,
    "typos": typo_rule,
    "confidence": lambda: swap_rule("confidence"),
}
_DEVIATIONS = ("repair_typos", "vocabulary", "asymmetry", "fail", "seed")


def rule_rewriter(attribute_name: str, **options: Any) -> RuleRewriter:
    """
    The rewriter by rules for an attribute that comes with the package.

    Args:
        attribute_name (`str`):
            `"length"`, `"sentiment"`, `"helpfulness"`, `"complexity"`, `"vowel_start"`, `"formatting"`, `"typos"` or
            `"confidence"`.
        **options:
            Those of [`RuleRewriter`]: `repair_typos`, `vocabulary`, `asymmetry`, `fail`, `seed`; `name` (`rule` by
            default); and those of the rule. Length has `threshold` and `measure` (`"characters"` or `"words"`), typos have
            `share` and `threshold`, and need `vocabulary`: a [`Vocabulary`], or the path of one that was saved.

    Returns:
        [`RuleRewriter`]: Its `function` is the [`Rule`], with `classify`.

    Raises:
        ValueError: There is no such attribute or option, or a value is not as it must be.

    Example:
        ```python
        >>> from trl_ext.rate import RewriteRequest, rule_rewriter
        >>> rewriter = rule_rewriter("sentiment")
        >>> request = RewriteRequest("a", "Write a review.", "A great film, and I loved the music.", False, 1)
        >>> rewriter.rewrite([request])[0].text
        'A terrible film, and I hated the music.'

        ```
    """
    if attribute_name not in RULES:
        close = difflib.get_close_matches(str(attribute_name), RULES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ". For others give a function to RuleRewriter."
        raise ValueError(f"there is no rule for attribute {attribute_name!r}, there are {', '.join(RULES)}{hint}")
    make = RULES[attribute_name]
    own = tuple(inspect.signature(make).parameters)
    allowed = dict.fromkeys([*own, *_DEVIATIONS, "name"])
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise ValueError(
            f"the rule for {attribute_name!r} has no option {unknown[0]!r}; there are {', '.join(allowed)}"
        )
    if isinstance(options.get("vocabulary"), str | Path):
        options["vocabulary"] = Vocabulary.read(options["vocabulary"])
    rule = make(**{name: value for name, value in options.items() if name in own})
    deviations = {name: value for name, value in options.items() if name in _DEVIATIONS}
    return RuleRewriter(
        options.get("name", "rule"), rule, {"attribute": attribute_name, **rule.settings}, **deviations
    )


def rule_texts() -> list[str]:
    """
    Everything that rules may write of their own, except words of lexicons: give them to [`Vocabulary.from_texts`] beside
    the texts, so that rewrites have no unknown words. The words of lexicons are `get_lexicon(name).entries()`.
    """
    added = [sentence for sides in ADDED.values() for side in sides for sentence in side if sentence]
    return [ASYMMETRIC_SENTENCE, *FILLERS, *(word for pair in OPENERS for word in pair), *added]
