"""Names of the texts of a chain: an original, its rewrite, the rewrite of that, and so on."""

_FIRST = ("original", "rewrite", "rewritten_rewrite")


def step_names(texts: int) -> tuple[str, ...]:
    """
    Names of the first texts of a chain of rewrites.

    Args:
        texts (`int`): How many, the original included.

    Returns:
        `tuple[str, ...]`: `original`, `rewrite`, `rewritten_rewrite`, `rewrite_3`, `rewrite_4`, ...

    Example:
        ```python
        >>> from trl_ext.rate import step_names
        >>> step_names(4)
        ('original', 'rewrite', 'rewritten_rewrite', 'rewrite_3')

        ```
    """
    return (*_FIRST, *(f"rewrite_{step}" for step in range(3, texts)))[:texts]
