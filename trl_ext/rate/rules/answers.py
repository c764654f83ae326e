"""Synthetic answers to questions with planted attributes."""

from collections.abc import Mapping

from ..chains.text_chains import TextChains
from .synthetic import synthetic_texts


_SHARES = {"helpfulness": 0.5, "complexity": 0.5, "confidence": 0.5, "length": 0.5, "vowel_start": 0.39}


def synthetic_answers(
    n: int,
    seed: int,
    *,
    attribute: str = "helpfulness",
    shares: Mapping[str, float] | None = None,
    helpfulness_complexity: float = 0.0,
    typo_share: float | None = None,
    typos_in: str = "treated",
    rows_per_prompt: int = 4,
) -> TextChains:
    """
    Answers to questions about everyday work, from templates: several per question, polite and helpful or curt, in plain or
    in demanding words. The rest is as in [`synthetic_reviews`].

    Args:
        n (`int`):
            Number of answers.
        seed (`int`):
            Seed.
        attribute (`str`, *optional*, defaults to `"helpfulness"`):
            What `w` is: `"helpfulness"`, `"complexity"`, `"confidence"`, `"length"`, `"vowel_start"`, `"formatting"` or
            `"typos"`. Texts have the last two only if it is one of them, or has a share.
        shares (`Mapping[str, float]`, *optional*):
            Shares of texts with an attribute; by default 0.39 with a vowel, and a half of the others.
        helpfulness_complexity (`float`, *optional*, defaults to `0.0`):
            Correlation (phi) of being helpful and being complex, in [-1, 1].
        typo_share (`float`, *optional*):
            Share of words that get a typo.
        typos_in (`str`, *optional*, defaults to `"treated"`):
            Which texts have them: `"treated"`, `"untreated"` or `"all"`.
        rows_per_prompt (`int`, *optional*, defaults to `4`):
            Answers to the same question; their cluster is the same.

    Returns:
        [`TextChains`]: N rows without rewrites. `metadata` has the attributes of each row.

    Raises:
        ValueError: A number is out of range, there is no such attribute, or shares do not allow the correlation.

    Example:
        ```python
        >>> from trl_ext.rate import synthetic_answers
        >>> answers = synthetic_answers(8, 0, helpfulness_complexity=1.0)
        >>> all(row["helpfulness"] == row["complexity"] for row in answers.metadata), len(set(answers.clusters))
        (True, 2)

        ```
    """
    return synthetic_texts(
        "answers",
        n,
        seed,
        attribute,
        _SHARES,
        shares,
        ("helpfulness", "complexity"),
        helpfulness_complexity,
        typo_share,
        typos_in,
        rows_per_prompt,
    )
