"""Rewards of texts and of their rewrites, row by row: what all estimators take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .steps import step_names


@dataclass(frozen=True)
class RewardChains:
    """
    Rewards of N originals and of their K rewrites.

    Args:
        w (`np.ndarray` of shape `(N,)`, bool):
            Whether the original has the attribute.
        rewards (`np.ndarray` of shape `(N, K + 1)`, float64):
            Rewards of original, rewrite, rewritten rewrite and so on, in reward units. Finite.
        clusters (`np.ndarray` of shape `(N,)`, *optional*):
            Label of what rows belong together (the same prompt, the same source).
        ids (`np.ndarray` of shape `(N,)`, *optional*):
            Ids of the rows, each once: needed to compare reward models.

    Raises:
        ValueError: Shapes do not agree, `w` is neither 0 nor 1, or a reward is not finite. The first such row is named.
    """

    w: np.ndarray
    rewards: np.ndarray
    clusters: np.ndarray | None = None
    ids: np.ndarray | None = None

    def __post_init__(self):
        # Copies: what a caller later writes into its arrays must not change results
        object.__setattr__(self, "w", _as_treatment(self.w).copy())
        if np.iscomplexobj(self.rewards):
            raise ValueError("rewards must be real numbers, got complex ones")
        rewards = np.array(self.rewards, dtype=np.float64)
        object.__setattr__(self, "rewards", rewards)
        n = len(self.w)
        if rewards.ndim != 2 or len(rewards) != n or rewards.shape[1] < 1:
            raise ValueError(f"rewards must have shape (N, K + 1) with N = {n} rows of w, got {rewards.shape}")
        if n == 0:
            raise ValueError("there are no rows")
        bad = np.argwhere(~np.isfinite(rewards))
        if len(bad):
            row, step = bad[0]
            raise ValueError(
                f"column {step_names(rewards.shape[1])[step]!r} has rewards that are not finite ({len(bad)} in all "
                f"columns); first: row {row}{self._name(row)}, value {rewards[row, step]}. Leave such rows out, and count "
                "them."
            )
        for name in ("clusters", "ids"):
            labels = getattr(self, name)
            if labels is None:
                continue
            labels = np.array(labels, dtype=object) if isinstance(labels, list | tuple) else np.array(labels)
            object.__setattr__(self, name, labels)
            if labels.shape != (n,):
                raise ValueError(f"{name} must have one label per row, shape ({n},), got {labels.shape}")
            missing = np.flatnonzero(pd.isna(labels))
            if missing.size:
                raise ValueError(f"{name} has {missing.size} missing labels; first: row {missing[0]}")
        if self.ids is not None:
            repeated = np.flatnonzero(pd.Series(self.ids).duplicated())
            if repeated.size:
                raise ValueError(f"id {self.ids[repeated[0]]!r} occurs more than once; second time: row {repeated[0]}")

    def _name(self, row: int) -> str:
        return "" if self.ids is None else f" (id {np.asarray(self.ids, dtype=object)[row]!r})"

    def __len__(self) -> int:
        return len(self.w)

    @property
    def steps(self) -> int:
        """Number of rewrites K."""
        return self.rewards.shape[1] - 1

    @property
    def original(self) -> np.ndarray:
        """Rewards of the originals, shape `(N,)`."""
        return self.rewards[:, 0]

    @property
    def rewrite(self) -> np.ndarray:
        """Rewards of the rewrites, shape `(N,)`."""
        return self.of(1)

    @property
    def rewritten_rewrite(self) -> np.ndarray:
        """Rewards of the rewritten rewrites, shape `(N,)`."""
        return self.of(2)

    def of(self, step: int) -> np.ndarray:
        """Rewards of a step, 0 for the originals, shape `(N,)`."""
        if not 0 <= step <= self.steps:
            raise ValueError(f"there are {self.steps} rewrites of every text; no rewards of rewrite {step}")
        return self.rewards[:, step]

    @property
    def sign(self) -> np.ndarray:
        """+1 where the original has the attribute, else −1, shape `(N,)`."""
        return np.where(self.w, 1.0, -1.0)

    def select(self, rows: ArrayLike) -> "RewardChains":
        """Some of the rows: a mask `(N,)` or row numbers."""
        rows = np.asarray(rows)
        return replace(
            self,
            w=self.w[rows],
            rewards=self.rewards[rows],
            clusters=None if self.clusters is None else self.clusters[rows],
            ids=None if self.ids is None else self.ids[rows],
        )

    @classmethod
    def of_table(cls, table: Any) -> "RewardChains":
        """
        Rewards of a table with a row for each original.

        Args:
            table ([`RewardChains`], `pandas.DataFrame`, `Mapping`, or [`~datasets.Dataset`]):
                Columns `w` (0 or 1), `original` and, as far as they are needed, `rewrite`, `rewritten_rewrite`,
                `rewrite_3` and so on; perhaps `cluster` and `id`. Other columns are ignored.

        Raises:
            ValueError: A column is missing, or a value is not as it must be. Column and row are named.

        Example:
            ```python
            >>> from trl_ext.rate import RewardChains
            >>> chains = RewardChains.of_table({"w": [1, 0], "original": [2.0, 1.0], "rewrite": [1.5, 1.0]})
            >>> len(chains), chains.steps, chains.rewrite
            (2, 1, array([1.5, 1. ]))

            ```
        """
        if isinstance(table, RewardChains):
            return table
        columns = _columns(table)
        names = [name for name in step_names(len(columns) + 1) if name in columns]
        for name in ("w", "original"):
            if name not in columns:
                raise ValueError(f"the table has no column {name!r}; it has {', '.join(map(repr, columns))}")
        if tuple(names) != step_names(len(names)):
            missing = next(name for name in step_names(len(names)) if name not in names)
            raise ValueError(f"the table has no column {missing!r}, but {names[-1]!r}")
        parts = [_as_numbers(columns[name], name) for name in names]
        if np.ndim(columns["w"]) == 0:
            raise ValueError(f"column 'w' must have shape (N,), got the single value {columns['w']!r}")
        lengths = {name: len(part) for name, part in zip(names, parts, strict=True)} | {"w": len(columns["w"])}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"all columns must have a value per row, got {lengths}")
        return cls(
            columns["w"],
            np.stack(parts, axis=1),
            _labels(columns.get("cluster")),
            _labels(columns.get("id")),
        )

    def table(self) -> pd.DataFrame:
        """A row for each original, with the columns of [`RewardChains.of_table`]."""
        columns: dict[str, Any] = {} if self.ids is None else {"id": self.ids}
        columns["w"] = self.w.astype(np.int64)
        columns |= dict(zip(step_names(self.steps + 1), self.rewards.T, strict=True))
        if self.clusters is not None:
            columns["cluster"] = self.clusters
        return pd.DataFrame(columns)


def _columns(table: Any) -> Mapping[str, Any]:
    if isinstance(table, Mapping):
        return table
    if isinstance(table, pd.DataFrame):
        return {str(name): table[name].to_numpy() for name in table.columns}
    if hasattr(table, "column_names") and hasattr(table, "with_format"):  # a Dataset, without its import
        plain = table.with_format(None)
        return {name: plain[name][:] for name in plain.column_names}
    raise TypeError(f"a table must be a DataFrame, a mapping of columns, or a Dataset; got {type(table).__name__}")


def _as_treatment(w: ArrayLike, name: str = "w") -> np.ndarray:
    values = np.array(w, dtype=object) if isinstance(w, list | tuple) else np.asarray(w)
    if values.ndim != 1:
        raise ValueError(f"column {name!r} must have shape (N,), got {values.shape}")
    if values.dtype == bool:
        return values
    if values.dtype == object:
        allowed = np.array(
            [isinstance(v, bool | int | float | np.generic) and v in (0, 1) for v in values], dtype=bool
        )
    else:
        allowed = np.isin(values, (0, 1))
    bad = np.flatnonzero(~allowed)
    if bad.size:
        raise ValueError(
            f"column {name!r} must be 1 (the original has the attribute) or 0; {bad.size} values are not, first: row "
            f"{bad[0]}, value {values[bad[0]]!r}"
        )
    return values.astype(bool)


def _as_numbers(values: ArrayLike | Sequence[Any], name: str) -> np.ndarray:
    if np.iscomplexobj(values):
        raise ValueError(
            f"column {name!r} must be real numbers, got complex ones; first: row 0, {np.ravel(values)[0]}"
        )
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        bad = next((i, v) for i, v in enumerate(values) if isinstance(v, str | bytes | complex) or not np.isscalar(v))
        raise ValueError(f"column {name!r} must be numbers; first other: row {bad[0]}, value {bad[1]!r}") from None
    if numbers.ndim != 1:
        raise ValueError(f"column {name!r} must have shape (N,), got {numbers.shape}")
    return numbers


def _labels(values: Any) -> np.ndarray | None:
    if values is None:
        return None
    return np.array(values, dtype=object) if isinstance(values, list | tuple) else np.asarray(values)
