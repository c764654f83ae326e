"""Rewards of several models' responses to the same prompts, aligned by the prompts' ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from datasets import Dataset


@dataclass(frozen=True)
class ScoreTable:
    """
    One reward for every prompt and every model.

    Args:
        prompt_ids (`tuple[str, ...]`):
            Ids of the N prompts, each once.
        models (`tuple[str, ...]`):
            Names of the M models, two or more, each once.
        scores (`np.ndarray` of shape `(N, M)`):
            Rewards, float64 and finite: row by prompt, column by model.

    Raises:
        ValueError: Ids or names occur twice, shapes do not agree, there is one model only, or a reward is not finite.

    Example:
        ```python
        >>> from trl_ext.arena import ScoreTable
        >>> table = ScoreTable.from_columns({"a": [0.5, 1.0], "b": [0.25, 2.0]})
        >>> table.models, table.of("b")
        (('a', 'b'), array([0.25, 2.  ]))

        ```
    """

    prompt_ids: tuple[str, ...]
    models: tuple[str, ...]
    scores: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "prompt_ids", tuple(map(str, self.prompt_ids)))
        object.__setattr__(self, "models", tuple(self.models))
        scores = np.array(self.scores, dtype=np.float64)
        scores.flags.writeable = False
        object.__setattr__(self, "scores", scores)
        check_model_names(self.models)
        check_each_once(self.models, "model")
        check_each_once(self.prompt_ids, "prompt id")
        if len(self.models) < 2:
            raise ValueError(
                f"scores are of {len(self.models)} model ({', '.join(map(repr, self.models))}): two or more are compared"
            )
        if not self.prompt_ids:
            raise ValueError("there are no prompts")
        expected = (len(self.prompt_ids), len(self.models))
        if scores.shape != expected:
            raise ValueError(f"`scores` must have shape (prompts, models) = {expected}, got {scores.shape}")
        bad = np.argwhere(~np.isfinite(scores))
        if len(bad):
            row, column = bad[0]
            raise ValueError(
                f"{len(bad)} of {scores.size} scores are not finite; first: model {self.models[column]!r}, prompt "
                f"{self.prompt_ids[row]!r} (row {row}), value {scores[row, column]}. Score these responses again, or "
                "remove the prompts from all models."
            )

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Sequence[float]], prompt_ids: Sequence[str] | None = None
    ) -> "ScoreTable":
        """
        From one sequence of N rewards per model, in the same order of prompts.

        Args:
            columns (`Mapping[str, Sequence[float]]`): Rewards by model.
            prompt_ids (`Sequence[str]`, *optional*): Ids of the prompts. By default the numbers from 0.
        """
        if not columns:
            raise ValueError("there are no models")
        arrays = {model: np.asarray(values, dtype=np.float64) for model, values in columns.items()}
        lengths = {model: array.shape for model, array in arrays.items()}
        first = next(iter(lengths))
        for model, shape in lengths.items():
            if len(shape) != 1:
                raise ValueError(f"scores of model {model!r} must have shape (N,), got {shape}")
            if shape != lengths[first]:
                raise ValueError(
                    f"model {model!r} has {shape[0]} scores and model {first!r} has {lengths[first][0]}: all models "
                    "must answer the same prompts. Give prompt ids and use `from_long`, which tells those that are missing."
                )
        ids = range(lengths[first][0]) if prompt_ids is None else prompt_ids
        return cls(tuple(map(str, ids)), tuple(arrays), np.stack(list(arrays.values()), axis=1))

    @classmethod
    def from_long(cls, table: pd.DataFrame | Dataset) -> "ScoreTable":
        """
        From a long table, as [`~trl_ext.RewardScorer`] writes it: columns `prompt_id`, `source` (the model) and `reward`.

        Raises:
            ValueError: A column is missing, a model has a prompt twice, or lacks a prompt that another model has.
        """
        frame = table.to_pandas() if isinstance(table, Dataset) else pd.DataFrame(table)
        for column in ("prompt_id", "source", "reward"):
            if column not in frame.columns:
                raise ValueError(f"the table has no column {column!r}; its columns are {', '.join(frame.columns)}")
            missing = np.flatnonzero(frame[column].isna())
            if missing.size:
                raise ValueError(f"column {column!r} has {missing.size} missing values; first: row {missing[0]}")
        frame = frame.assign(prompt_id=frame["prompt_id"].astype(str), source=frame["source"].astype(str))
        twice = np.flatnonzero(frame.duplicated(["prompt_id", "source"]))
        if twice.size:
            row = frame.iloc[twice[0]]
            raise ValueError(
                f"{twice.size} scores are of a prompt that the model has already; first: row {twice[0]}, prompt "
                f"{row['prompt_id']!r}, model {row['source']!r}. A model may answer a prompt once."
            )
        prompts, models = frame["prompt_id"].unique(), frame["source"].unique()
        wide = frame.pivot(index="prompt_id", columns="source", values="reward").loc[prompts, models]
        lacking = np.argwhere(wide.isna().to_numpy())
        if len(lacking):
            row, column = lacking[0]
            raise ValueError(
                f"prompts and models don't match: {len(lacking)} scores are missing; first: model {models[column]!r} has "
                f"none for prompt {prompts[row]!r}. All models must answer the same prompts."
            )
        return cls(tuple(prompts), tuple(models), wide.to_numpy())

    def __len__(self) -> int:
        return len(self.prompt_ids)

    def index(self, model: str) -> int:
        """Number of a model; raises a `ValueError` that lists the models if there is none of this name."""
        if model not in self.models:
            raise ValueError(f"there are no scores of model {model!r}; there are {', '.join(map(repr, self.models))}")
        return self.models.index(model)

    def of(self, model: str) -> np.ndarray:
        """Rewards of a model `(N,)`."""
        return self.scores[:, self.index(model)]

    def select(self, models: Sequence[str] | None = None, prompt_ids: Sequence[str] | None = None) -> "ScoreTable":
        """The same for some models or prompts, in the given order."""
        names = self.models if models is None else tuple(models)
        columns = [self.index(model) for model in names]
        if prompt_ids is None:
            return ScoreTable(self.prompt_ids, names, self.scores[:, columns])
        rows = {prompt: row for row, prompt in enumerate(self.prompt_ids)}
        unknown = [prompt for prompt in prompt_ids if prompt not in rows]
        if unknown:
            raise ValueError(f"{len(unknown)} prompt ids have no scores; first: {unknown[0]!r}")
        picked = [rows[prompt] for prompt in prompt_ids]
        return ScoreTable(tuple(prompt_ids), names, self.scores[np.ix_(picked, columns)])

    def to_long(self) -> pd.DataFrame:
        """Columns `prompt_id`, `source` and `reward`, prompt by prompt."""
        n, m = self.scores.shape
        return pd.DataFrame(
            {
                "prompt_id": np.repeat(np.array(self.prompt_ids, dtype=object), m),
                "source": np.tile(np.array(self.models, dtype=object), n),
                "reward": self.scores.ravel(),
            }
        )


def check_model_names(models: Sequence[str]) -> None:
    """Raise a `TypeError` with the first name that is not a text."""
    for position, model in enumerate(models):
        if not isinstance(model, str):
            raise TypeError(
                f"names of models must be texts, got {model!r} ({type(model).__name__}) at position {position}"
            )


def check_each_once(names: Sequence[str], what: str) -> None:
    """Raise a `ValueError` with the first name that occurs twice."""
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    for position, name in enumerate(names):
        if name in seen:
            raise ValueError(f"{what} {name!r} occurs more than once; again at position {position}")
        seen.add(name)
