"""Synthetic film reviews with planted attributes."""

from collections.abc import Mapping

from ..chains.text_chains import TextChains
from .synthetic import synthetic_texts


_SHARES = {"vowel_start": 0.39, "sentiment": 0.5, "length": 0.5, "complexity": 0.5, "confidence": 0.5}


def synthetic_reviews(
    n: int,
    seed: int,
    *,
    attribute: str = "vowel_start",
    shares: Mapping[str, float] | None = None,
    length_sentiment: float = 0.0,
    typo_share: float | None = None,
    typos_in: str = "treated",
    rows_per_prompt: int = 1,
) -> TextChains:
    """
    Reviews of films that do not exist, from templates, as the original texts of a RATE experiment without data.

    They have 2 to 4 sentences, or at least 6 if they are long (more than 300 characters). Which attributes a text has is
    drawn before it is written, so that shares and correlations are known; [`rule_rewriter`] turns each, and recognises it.

    Args:
        n (`int`):
            Number of reviews.
        seed (`int`):
            Seed. Texts of a seed differ between levels of typos by the typos alone.
        attribute (`str`, *optional*, defaults to `"vowel_start"`):
            What `w` is: `"vowel_start"`, `"sentiment"`, `"length"`, `"complexity"`, `"confidence"`, `"helpfulness"`,
            `"formatting"` or `"typos"`. Texts have the last three only if it is one of them, or has a share.
        shares (`Mapping[str, float]`, *optional*):
            Shares of texts with an attribute; by default 0.39 with a vowel, and a half of the others.
        length_sentiment (`float`, *optional*, defaults to `0.0`):
            Correlation (phi) of being long and being positive, in [-1, 1]: of halves,
            P(long given positive) = 0.5 + 0.5 * correlation.
        typo_share (`float`, *optional*):
            Share of words that get a typo, see [`add_typos`]. By default 0; of attribute `"typos"` 0.2. The first word
            gets none, and neither do words that tell the attribute.
        typos_in (`str`, *optional*, defaults to `"treated"`):
            Which texts have them: `"treated"` (w = 1), `"untreated"` or `"all"`.
        rows_per_prompt (`int`, *optional*, defaults to `1`):
            Reviews of the same film; their prompt is the same, and so is their cluster.

    Returns:
        [`TextChains`]: N rows without rewrites. `metadata` has the attributes of each row.

    Raises:
        ValueError: A number is out of range, there is no such attribute, or shares do not allow the correlation.

    Example:
        ```python
        >>> from trl_ext.rate import synthetic_reviews
        >>> reviews = synthetic_reviews(1000, 0)
        >>> round(float(reviews.w.mean()), 2), reviews.steps
        (0.39, 0)

        ```
    """
    return synthetic_texts(
        "reviews",
        n,
        seed,
        attribute,
        _SHARES,
        shares,
        ("length", "sentiment"),
        length_sentiment,
        typo_share,
        typos_in,
        rows_per_prompt,
    )
