"""Paired comparisons of models on the rows that they share, and groups of models that are not told apart."""

import logging
from collections.abc import Sequence

import pandas as pd

from ..comparison.comparison import ModelComparisons, compare_many
from ..results.model_result import ModelResult
from .shared_rows import CommonRows, common_rows


logger = logging.getLogger(__name__)

TIE_RULE = (
    "from the top down, the best model that is in no group yet begins a group; those below it that are in none and whose "
    "paired difference from it is not significant after correction join it"
)
COLUMNS = (
    *("model_a", "model_b", "figure_a", "figure_b", "difference", "ci_low", "ci_high", "p_value", "adjusted_p_value"),
    *("significant", "n", "minimum_detectable_effect", "test", "correction", "method"),
)


def compare_models(
    results: Sequence[ModelResult],
    *,
    baseline: str | None = None,
    correction: str = "holm",
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """
    Compare models in pairs, on the rows that all of them have.

    Every row has the weight that it has in the benchmark's overall figure. Where that figure is no mean of rows (Ties of
    RewardBench 2), what is compared is said in a warning.

    Args:
        results (`Sequence[ModelResult]`):
            Results on one benchmark. Models without rows are not compared; a warning names them.
        baseline (`str`, *optional*):
            A model: the others are compared with it. By default all pairs.
        correction (`str`, *optional*, defaults to `"holm"`):
            Of the p-values, for the number of pairs: `"holm"` or `"fdr_bh"`.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level of the differences, each by itself.
        seed (`int`, *optional*, defaults to `0`):
            Of the bootstrap and the permutations.

    Returns:
        `pandas.DataFrame`: a row per pair: `model_a`, `model_b`, `figure_a`, `figure_b` (on the common rows), `difference`
        (a minus b), `ci_low`, `ci_high`, `p_value`, `adjusted_p_value`, `significant`, `n` (common rows),
        `minimum_detectable_effect`, `test`, `correction`, `method`. Empty if fewer than two models have rows.

    Raises:
        ValueError: results are of several benchmarks, the baseline is not there, or the models share no row.
    """
    if len({result.benchmark for result in results}) > 1:
        raise ValueError("results must be of one benchmark")
    bare = [result.model for result in results if result.rows is None]
    if bare:
        logger.warning("not compared, as they have no rows: %s", ", ".join(bare))
    names = [result.model for result in results if result.rows is not None]
    if baseline is not None and baseline not in names:
        raise ValueError(f"baseline {baseline!r} is not a model with rows; these are {', '.join(names) or 'none'}")
    rows = common_rows(results)
    if rows is None:
        return pd.DataFrame(columns=COLUMNS)
    compared = compare_many(
        rows.scores, baseline=baseline, correction=correction, strata=rows.strata, weights=rows.weights,
        clusters=rows.clusters, level=level, seed=seed,
    )  # fmt: skip
    return _table(compared, rows)


def tie_groups(models: Sequence[str], comparisons: pd.DataFrame, level: float = 0.95) -> dict[str, str]:
    """
    Letters of groups of models that are not told apart, by `TIE_RULE`.

    Args:
        models (`Sequence[str]`):
            The best first.
        comparisons (`pandas.DataFrame`):
            All pairs of [`compare_models`].
        level (`float`, *optional*, defaults to `0.95`):
            A difference is significant if its corrected p-value is at most 1 - level.

    Returns:
        `dict[str, str]`: `a`, `b`, … by model; models that were not compared are left out.

    Example:
        ```python
        >>> pairs = pd.DataFrame({"model_a": ["x", "x", "y"], "model_b": ["y", "z", "z"], "adjusted_p_value": [0.4, 0.01, 0.3]})
        >>> tie_groups(["x", "y", "z"], pairs)
        {'x': 'a', 'y': 'a', 'z': 'b'}
        ```
    """
    p_values: dict[frozenset[str], float] = {
        frozenset((row.model_a, row.model_b)): row.adjusted_p_value for row in comparisons.itertuples()
    }
    compared = {name for pair in p_values for name in pair}
    groups: dict[str, str] = {}
    order = [name for name in models if name in compared]
    count = 0
    for position, leader in enumerate(order):
        if leader in groups:
            continue
        letter, count = _letters(count), count + 1
        groups[leader] = letter
        for other in order[position + 1 :]:
            if other not in groups and p_values.get(frozenset((leader, other)), 0.0) > 1 - level:
                groups[other] = letter
    return groups


def _table(compared: ModelComparisons, rows: CommonRows) -> pd.DataFrame:
    table = compared.table()
    pairs = list(compared.comparisons.items())
    return table.assign(
        figure_a=[compared.scores[a].value for (a, _), _ in pairs],
        figure_b=[compared.scores[b].value for (_, b), _ in pairs],
        n=rows.n,
        correction=compared.correction,
        method=[comparison.difference.method for _, comparison in pairs],
    )[list(COLUMNS)]


def _letters(index: int) -> str:
    """a … z, aa, ab, …"""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(ord("a") + rest) + text
    return text
