"""Battles between models whose ratings are known."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from .battles import STYLE_FEATURES
from .rating_table import RatingTable
from .win_probability import ELO_SCALE


_LENGTH_SPREAD = 0.5  # standard deviation of the logarithm of the number of tokens


def simulate_battles(
    ratings: RatingTable | Mapping[str, float],
    n: int,
    *,
    tie_rate: float = 0.0,
    style: Mapping[str, Sequence[float]] | None = None,
    style_effects: Mapping[str, float] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    r"""
    Battles between pairs drawn at random, decided as the ratings say.

    With \( P = \sigma(\ln 10\,(R_a - R_b)/400 + \sum_k \beta_k f_k) \), a battle is a tie with probability
    \( 4\,t\,P(1-P) \), where t is `tie_rate`, and model a wins with P less half of that. This is a vote in which, with
    probability 2t, two judges decide independently and a tie is their disagreement, and one judge decides otherwise. The
    expected score is P whatever t is, so that Bradley–Terry with ties as half wins estimates the very ratings. In Davidson's
    model of ties, for comparison, the expected score of unequal models moves towards 1/2 as ties become more frequent.

    Args:
        ratings ([`RatingTable`] or `Mapping[str, float]`):
            True ratings of two or more models, in Elo points.
        n (`int`):
            Number of battles.
        tie_rate (`float`, *optional*, defaults to `0.0`):
            Share of ties between models of equal strength, from 0 to 0.5; between others there are fewer.
        style (`Mapping[str, Sequence[float]]`, *optional*):
            Mean number of tokens, headers, list items and bold passages in an answer, by model. Tokens are log-normal, the
            others Poisson.
        style_effects (`Mapping[str, float]`, *optional*):
            What people pay for style: β by name of the feature, in log-odds per unit of f = (a − b)/(a + b + 1), which lies
            between −1 and 1.
        seed (`int`, *optional*, defaults to `0`):
            Seed.

    Returns:
        `pandas.DataFrame`: Columns `model_a`, `model_b` and `winner`, and with `style` a column per feature and side, such
        as `tokens_a`.

    Raises:
        ValueError: There are fewer than two models, a model has no style, or an argument is out of range.

    Example:
        ```python
        >>> from trl_ext.arena import fit_ratings, simulate_battles
        >>> battles = simulate_battles({"strong": 1100, "weak": 1000}, 20_000, tie_rate=0.3)
        >>> fitted = fit_ratings(battles, anchor=("weak", 1000))
        >>> low, high = fitted.table.set_index("model").loc["strong", ["rating_low", "rating_high"]]
        >>> bool(low < 1100 < high)
        True

        ```
    """
    if not isinstance(ratings, RatingTable):
        ratings = RatingTable.from_ratings({model: float(rating) for model, rating in ratings.items()})
    models = ratings.models
    if len(models) < 2:
        raise ValueError(f"a battle needs two models, got ratings of {len(models)}")
    if isinstance(n, bool) or n != int(n) or n < 1:
        raise ValueError(f"n must be a whole number of 1 or more, got {n}")
    if not 0 <= tie_rate <= 0.5:
        raise ValueError(f"tie_rate must lie between 0 and 0.5, got {tie_rate}")
    effects = _effects(style, style_effects)
    generator = np.random.default_rng(seed)
    first = generator.integers(len(models), size=int(n))
    second = (first + generator.integers(1, len(models), size=int(n))) % len(models)
    values = ratings.table["rating"].to_numpy()
    logits = (values[first] - values[second]) * (math.log(10) / ELO_SCALE)
    counts = {}
    if style is not None:
        means = _means(style, models)
        sides = [_draw_style(means[rows], generator) for rows in (first, second)]
        logits = logits + ((sides[0] - sides[1]) / (sides[0] + sides[1] + 1)) @ effects
        for number, feature in enumerate(STYLE_FEATURES):
            counts |= {f"{feature}_{side}": sides[row][:, number] for row, side in enumerate("ab")}
    expected = expit(logits)
    tie = 4 * tie_rate * expected * (1 - expected)
    draw = generator.random(int(n))
    winner = np.where(draw < expected - tie / 2, "model_a", np.where(draw < expected + tie / 2, "tie", "model_b"))
    names = np.array(models, dtype=object)
    return pd.DataFrame({"model_a": names[first], "model_b": names[second], "winner": winner.astype(object), **counts})


def _effects(style: Mapping[str, Sequence[float]] | None, style_effects: Mapping[str, float] | None) -> np.ndarray:
    effects = dict(style_effects or {})
    unknown = [name for name in effects if name not in STYLE_FEATURES]
    if unknown:
        raise ValueError(f"there is no style feature {unknown[0]!r}; there are {', '.join(map(repr, STYLE_FEATURES))}")
    if effects and style is None:
        raise ValueError("style_effects need `style`, the mean counts of the models")
    values = np.array([effects.get(name, 0.0) for name in STYLE_FEATURES], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"style_effects must be finite, got {effects}")
    return values


def _means(style: Mapping[str, Sequence[float]], models: Sequence[str]) -> np.ndarray:
    for model in models:
        if model not in style:
            raise ValueError(f"model {model!r} has no style")
        means = np.asarray(style[model], dtype=np.float64)
        if means.shape != (len(STYLE_FEATURES),) or not (np.isfinite(means) & (means >= 0)).all():
            raise ValueError(
                f"the style of model {model!r} must be {len(STYLE_FEATURES)} mean counts of 0 or more "
                f"({', '.join(STYLE_FEATURES)}), got {style[model]!r}"
            )
    return np.array([style[model] for model in models], dtype=np.float64)


def _draw_style(means: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Counts `(n, 4)` with the given means."""
    counts = generator.poisson(means).astype(np.float64)
    factors = np.exp(_LENGTH_SPREAD * generator.standard_normal(len(means)) - _LENGTH_SPREAD**2 / 2)
    counts[:, 0] = np.round(means[:, 0] * factors)
    return counts
