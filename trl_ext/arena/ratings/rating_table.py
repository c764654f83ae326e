"""Ratings of models with their uncertainty, and the names under which a model is known."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..score_table import check_each_once, check_model_names
from .win_probability import elo_win_probability, win_probability_matrix


RATING_COLUMNS = (
    *("model", "rating", "rating_low", "rating_high", "votes"),
    *("category", "style_control", "snapshot", "source"),
)
_CLOSE_NAMES = 5  # that a message about an unknown name lists
_ROUNDING = (
    1e-8  # of the largest variance, by which a fitted covariance may miss symmetry and a smallest eigenvalue of 0
)


@dataclass(frozen=True)
class RatingTable:
    """
    Ratings of M models, in Elo points. Only differences between them mean anything.

    Args:
        table (`pandas.DataFrame`):
            A row per model with at least `model` and `rating`. Others of `RATING_COLUMNS` are added as missing:
            `rating_low` and `rating_high` (confidence interval), `votes`, `category`, `style_control`, `snapshot` (date as
            YYYY-MM-DD), `source`.
        covariance (`np.ndarray` of shape `(M, M)`, *optional*):
            Covariance of the ratings, in squared Elo points, where they were fitted to battles. Leaderboards publish
            intervals only; ratings are then taken as independent.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level of the intervals.
        aliases (`Mapping[str, str]`, *optional*):
            Other names of the models, to the names in the table.
        method (`str`, *optional*, defaults to `"published"`):
            How ratings and intervals were obtained.

    Raises:
        ValueError: A column is missing, a model occurs twice, a rating or an end of an interval is not finite, or the
            covariance is none.

    Example:
        ```python
        >>> from trl_ext.arena import RatingTable
        >>> ratings = RatingTable.from_ratings({"strong": 1200.0, "weak": 1100.0})
        >>> round(ratings.win_probability("strong", "weak"), 2)
        0.64

        ```
    """

    table: pd.DataFrame
    covariance: np.ndarray | None = None
    level: float = 0.95
    aliases: Mapping[str, str] = field(default_factory=dict)
    method: str = "published"

    def __post_init__(self):
        for column in ("model", "rating"):
            if column not in self.table.columns:
                raise ValueError(
                    f"ratings have no column {column!r}; their columns are {', '.join(self.table.columns)}"
                )
        table = self.table.reset_index(drop=True).reindex(
            columns=[*RATING_COLUMNS, *(c for c in self.table.columns if c not in RATING_COLUMNS)]
        )
        for column in ("rating", "rating_low", "rating_high"):
            table[column] = table[column].astype(np.float64)
        object.__setattr__(self, "table", table)
        if not len(table):
            raise ValueError("there are no ratings")
        check_model_names(list(table["model"]))
        check_each_once(list(table["model"]), "model")
        if isinstance(self.level, bool) or not isinstance(self.level, int | float) or not 0 < self.level < 1:
            raise ValueError(f"`level` must lie strictly between 0 and 1, got {self.level!r}")
        bad = np.flatnonzero(~np.isfinite(table["rating"]))
        if bad.size:
            raise ValueError(
                f"{bad.size} ratings are not finite; first: model {table['model'][bad[0]]!r}, value {table['rating'][bad[0]]}"
            )
        for column in ("rating_low", "rating_high"):
            endless = np.flatnonzero(np.isinf(table[column]))
            if endless.size:
                raise ValueError(
                    f"{endless.size} values of {column} are infinite; first: model {table['model'][endless[0]]!r}. Give a "
                    "finite end, or leave both ends out if the interval is not known"
                )
        outside = np.flatnonzero(
            (table["rating_low"] > table["rating"] + 1e-9) | (table["rating_high"] < table["rating"] - 1e-9)
        )
        if outside.size:
            row = table.iloc[outside[0]]
            raise ValueError(
                f"{outside.size} ratings lie outside their intervals; first: model {row['model']!r}, {row['rating']} not in "
                f"[{row['rating_low']}, {row['rating_high']}]"
            )
        if self.covariance is not None:
            _check_covariance(np.asarray(self.covariance), list(table["model"]))
        unknown = [alias for alias, model in self.aliases.items() if model not in set(table["model"])]
        if unknown:
            raise ValueError(f"alias {unknown[0]!r} stands for {self.aliases[unknown[0]]!r}, which has no rating")

    @classmethod
    def from_ratings(cls, ratings: Mapping[str, float], **columns: Any) -> "RatingTable":
        """From ratings by model; `columns` are further columns with one value for all, e.g. `snapshot="2024-12-31"`."""
        table = pd.DataFrame({"model": list(ratings), "rating": list(ratings.values())})
        return cls(table.assign(**columns))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.table["model"])

    def resolve(self, name: str) -> str:
        """
        The name in the table of a model known under `name`: itself, an alias, or the one that differs in case only.

        Raises:
            ValueError: There is none, or several differ in case only; the message lists similar names.
        """
        models = self.models
        if name in models:
            return name
        if name in self.aliases:
            return self.aliases[name]
        same = [model for model in models if model.lower() == name.lower()]
        same += [model for alias, model in self.aliases.items() if alias.lower() == name.lower() and model not in same]
        if len(same) == 1:
            return same[0]
        close = same or difflib.get_close_matches(name, models, n=_CLOSE_NAMES, cutoff=0.4)
        hint = f"Similar: {', '.join(map(repr, close))}." if close else f"There are {len(models)} models."
        raise ValueError(f"there is no rating of model {name!r}. {hint} Give an alias, or a rating of it.")

    def index(self, models: Sequence[str]) -> np.ndarray:
        """Rows of models `(K,)`, of any of their names."""
        rows = {model: row for row, model in enumerate(self.models)}
        return np.array([rows[self.resolve(model)] for model in models], dtype=np.int64)

    def of(self, models: Sequence[str]) -> np.ndarray:
        """Ratings `(K,)` of models by any of their names."""
        return self.table["rating"].to_numpy()[self.index(models)]

    def standard_errors(self, models: Sequence[str]) -> np.ndarray:
        """
        Standard errors `(K,)` in Elo points: of the covariance, else half the width of the interval over the quantile of
        the normal distribution; `nan` where there is neither.
        """
        rows = self.index(models)
        if self.covariance is not None:
            return np.sqrt(np.diag(self.covariance)[rows])
        width = (self.table["rating_high"] - self.table["rating_low"]).to_numpy()[rows]
        return width / (2 * stats.norm.ppf((1 + self.level) / 2))

    def covariance_of(self, models: Sequence[str]) -> np.ndarray:
        """
        Covariance `(K, K)` of the ratings of some models: as fitted, else diagonal from the intervals, with 0 for ratings
        without one.
        """
        if self.covariance is not None:
            rows = self.index(models)
            return np.asarray(self.covariance)[np.ix_(rows, rows)]
        return np.diag(np.nan_to_num(self.standard_errors(models), nan=0.0) ** 2)

    def draws(self, models: Sequence[str], n: int, generator: np.random.Generator) -> np.ndarray:
        """Normal draws `(n, K)` of the ratings of some models, with [`covariance_of`]."""
        return generator.multivariate_normal(self.of(models), self.covariance_of(models), size=n, method="eigh")

    def win_probability(self, model: str, opponent: str) -> float:
        """Expected score of a model against another, a tie counting half."""
        first, second = self.of([model, opponent])
        return float(elo_win_probability(first, second))

    def win_probabilities(self, models: Sequence[str]) -> np.ndarray:
        """Expected score of every model against every other `(K, K)`; the diagonal is 1/2."""
        return win_probability_matrix(self.of(models))

    def select(self, models: Sequence[str]) -> "RatingTable":
        """Ratings of some models by any of their names, which become the names in the table."""
        rows = self.index(models)
        covariance = None if self.covariance is None else np.asarray(self.covariance)[np.ix_(rows, rows)]
        table = self.table.iloc[rows].assign(model=list(models))
        return RatingTable(table, covariance, self.level, {}, self.method)


def _check_covariance(covariance: np.ndarray, models: Sequence[str]) -> None:
    """Raise a `ValueError` unless it is finite, symmetric and positive semi-definite."""
    if covariance.shape != (len(models), len(models)):
        raise ValueError(f"`covariance` must have shape (M, M) = {(len(models), len(models))}, got {covariance.shape}")
    bad = np.argwhere(~np.isfinite(covariance))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"`covariance` has {len(bad)} values that are not finite; first: models {models[row]!r} and {models[column]!r}, "
            f"value {covariance[row, column]}"
        )
    variances = np.diag(covariance)
    if (variances < 0).any():
        first = int(np.flatnonzero(variances < 0)[0])
        raise ValueError(f"the variance of model {models[first]!r} in `covariance` is {variances[first]}: below 0")
    tolerance = _ROUNDING * float(np.abs(covariance).max())
    skew = np.argwhere(np.abs(covariance - covariance.T) > tolerance)
    if len(skew):
        row, column = skew[0]
        raise ValueError(
            f"`covariance` is not symmetric: models {models[row]!r} and {models[column]!r} have "
            f"{covariance[row, column]} and {covariance[column, row]}"
        )
    smallest = float(np.linalg.eigvalsh(covariance)[0])
    if smallest < -tolerance * len(models):
        raise ValueError(
            f"`covariance` is not positive semi-definite: its smallest eigenvalue is {smallest:.3g}, so that some difference "
            "of ratings would have a negative variance"
        )
