"""Texts and their rewrites, row by row: what rewriters make, quality is judged of, and reward models score."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...atomic_files import write_text_atomically
from ...data.checks import shorten
from ...data.prompts import check_prompt
from ...json_lines import as_lines, read_lines
from ..rewriting.rewriter import Rewritten
from .steps import step_names


@dataclass(frozen=True)
class TextChains:
    """
    N chains of an original text and K rewrites of it, in turn into the opposite and back.

    The text of step k of row i has the attribute (if its rewriter did what it should) where `w[i]` is true and k is even,
    or false and k is odd. A failed rewrite is `None`, with a reason in `failures`, and so are all that follow it.

    Args:
        attribute (`str`): Name of the attribute.
        ids (`tuple[str, ...]`): Ids of the N rows, each once.
        prompts (`tuple[str | list[dict], ...]`): What the texts answer: a text, or messages that end with the user's.
        w (`np.ndarray` of shape `(N,)`): Whether the original has the attribute.
        texts (`tuple[tuple[str | None, ...], ...]`): N rows of K + 1 texts, the original first.
        failures (`tuple[tuple[str | None, ...], ...]`, *optional*): N rows of K reasons why a rewrite is missing.
        finish_reasons (`tuple[tuple[str | None, ...], ...]`, *optional*): N rows of K reasons why a model ended.
        clusters (`tuple[str, ...]`, *optional*): What rows belong together (the same prompt, the same source).
        metadata (`tuple[dict, ...]`, *optional*): More columns of every row, plain JSON types.

    Raises:
        ValueError: Numbers of rows or texts do not agree, an id occurs twice, or a text is empty. The row is named.
    """

    attribute: str
    ids: tuple[str, ...]
    prompts: tuple[Any, ...]
    w: np.ndarray
    texts: tuple[tuple[str | None, ...], ...]
    failures: tuple[tuple[str | None, ...], ...] = ()
    finish_reasons: tuple[tuple[str | None, ...], ...] = ()
    clusters: tuple[str, ...] | None = None
    metadata: tuple[dict[str, Any], ...] = field(default=())

    def __post_init__(self):
        n = len(self.ids)
        if n == 0:
            raise ValueError("there are no texts")
        steps = len(self.texts[0]) - 1 if self.texts else 0
        none = ((None,) * steps,) * n
        object.__setattr__(self, "w", np.asarray(self.w))
        for name, empty in (("failures", none), ("finish_reasons", none), ("metadata", ({},) * n)):
            if not getattr(self, name):
                object.__setattr__(self, name, empty)
        for name in ("ids", "prompts", "clusters"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("texts", "failures", "finish_reasons"):
            object.__setattr__(self, name, tuple(map(tuple, getattr(self, name))))
        lengths = {
            name: len(value)
            for name in ("prompts", "w", "texts", "failures", "finish_reasons", "clusters", "metadata")
            if (value := getattr(self, name)) is not None
        }
        wrong = {name: length for name, length in lengths.items() if length != n}
        if wrong:
            raise ValueError(f"there are {n} ids, but {wrong}: all must have one entry per row")
        if self.w.dtype != bool or self.w.ndim != 1:
            raise ValueError(f"w must be bool of shape (N,), got {self.w.dtype} of shape {self.w.shape}")
        seen: dict[str, int] = {}
        for row, name in enumerate(self.ids):
            if not isinstance(name, str) or not name:
                raise ValueError(f"row {row}: the id must be a text that is not empty, got {name!r}")
            if name in seen:
                raise ValueError(f"row {row}: id {name!r} is that of row {seen[name]} already")
            seen[name] = row
            self._check_row(row, steps)

    def _check_row(self, row: int, steps: int) -> None:
        where = f"row {row} (id {self.ids[row]!r})"
        check_prompt(self.prompts[row], f"{where}: the prompt")
        texts, failures = self.texts[row], self.failures[row]
        if len(texts) != steps + 1 or len(failures) != steps or len(self.finish_reasons[row]) != steps:
            raise ValueError(
                f"{where} has {len(texts)} texts, {len(failures)} failures and {len(self.finish_reasons[row])} finish "
                f"reasons; with the {steps} rewrites of row 0 there must be {steps + 1}, {steps} and {steps}"
            )
        for step, (name, text) in enumerate(zip(step_names(steps + 1), texts, strict=True)):
            if step and text is None:
                if failures[step - 1] is None:
                    raise ValueError(f"{where}: {name!r} is missing, and there is no reason for it in `failures`")
            elif not isinstance(text, str) or not text.strip():
                raise ValueError(f"{where}: {name!r} must be a text that is not empty, got {shorten(text)}")
            elif step and (texts[step - 1] is None or failures[step - 1] is not None):
                raise ValueError(f"{where}: {name!r} is there, although what it rewrites is missing, or it failed")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def steps(self) -> int:
        """Number of rewrites K of every row."""
        return len(self.texts[0]) - 1

    @property
    def complete(self) -> np.ndarray:
        """Rows with all their texts, shape `(N,)`."""
        return np.array([None not in row for row in self.texts])

    def targets(self, step: int) -> np.ndarray:
        """Value of the attribute that the texts of a step should have, shape `(N,)`; step 0 is the original."""
        return self.w ^ bool(step % 2)

    def of(self, step: int) -> tuple[str | None, ...]:
        """Texts of a step, 0 for the originals."""
        return tuple(row[step] for row in self.texts)

    def select(self, rows: ArrayLike) -> "TextChains":
        """Some of the rows: a mask `(N,)`, or row numbers in the wanted order."""
        picked = np.asarray(rows)
        picked = np.flatnonzero(picked) if picked.dtype == bool else picked.astype(np.int64)
        parts = {
            name: tuple(getattr(self, name)[row] for row in picked)
            for name in ("ids", "prompts", "texts", "failures", "finish_reasons", "clusters", "metadata")
            if getattr(self, name) is not None
        }
        return replace(self, w=self.w[picked], **parts)

    def cut(self, steps: int) -> "TextChains":
        """The same with the first `steps` rewrites only."""
        if not 0 <= steps <= self.steps:
            raise ValueError(f"there are {self.steps} rewrites, can't keep {steps}")
        return replace(
            self,
            texts=tuple(row[: steps + 1] for row in self.texts),
            failures=tuple(row[:steps] for row in self.failures),
            finish_reasons=tuple(row[:steps] for row in self.finish_reasons),
        )

    def extend(self, rewritten: Sequence[Rewritten | None]) -> "TextChains":
        """
        The same with one more rewrite.

        Args:
            rewritten (`Sequence[Rewritten | None]`):
                For each row its rewrite; `None` where there was nothing to rewrite.
        """
        step = self.steps + 1
        texts, failures, finish_reasons = [], [], []
        for row, result in enumerate(rewritten):
            if result is None:
                result = Rewritten(None, f"no_{step_names(step)[-1]}")
            texts.append((*self.texts[row], result.text))
            failures.append((*self.failures[row], result.failure))
            finish_reasons.append((*self.finish_reasons[row], result.finish_reason))
        return replace(self, texts=tuple(texts), failures=tuple(failures), finish_reasons=tuple(finish_reasons))

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the JSONL file, see [`TextChains.write`]."""
        names = step_names(self.steps + 1)
        rows = []
        for i, name in enumerate(self.ids):
            row = {"id": name, "prompt": self.prompts[i], "attribute": self.attribute, "w": bool(self.w[i])}
            if self.clusters is not None:
                row["cluster"] = self.clusters[i]
            row |= dict(zip(names, self.texts[i], strict=True))
            for column in ("failures", "finish_reasons"):
                if any(value is not None for value in getattr(self, column)[i]):
                    row[column] = dict(zip(names[1:], getattr(self, column)[i], strict=True))
            if self.metadata[i]:
                row["metadata"] = self.metadata[i]
            rows.append(row)
        return rows

    def write(self, path: str | Path) -> None:
        """Write a JSONL file: `id, prompt, attribute, w[, cluster], original, rewrite, ...[, failures, ...]`."""
        write_text_atomically(path, as_lines(self.rows()))

    @classmethod
    def read(cls, path: str | Path) -> "TextChains":
        """
        Read what [`TextChains.write`] wrote.

        Raises:
            ValueError: The file is missing or torn, or a row is not as it must be. File and line are named.
        """
        lines = read_lines(Path(path))
        first = lines[0][1]
        steps = next(step for step in range(len(first) + 1) if step_names(step + 1)[-1] not in first) - 1
        if steps < 0:
            raise ValueError(f"{path}, line {lines[0][0]}: column 'original' is missing")
        names = step_names(steps + 1)
        for number, row in lines:
            missing = [name for name in ("id", "prompt", "attribute", "w", *names) if name not in row]
            if missing:
                raise ValueError(f"{path}, line {number}: column {missing[0]!r} is missing")
            if not isinstance(row["w"], bool):
                raise ValueError(f"{path}, line {number}: column 'w' must be true or false, got {row['w']!r}")
            if row["attribute"] != first["attribute"]:
                raise ValueError(
                    f"{path}, line {number}: a file has one attribute, {first['attribute']!r}, got {row['attribute']!r}"
                )
            if ("cluster" in row) != ("cluster" in first):
                raise ValueError(f"{path}, line {number}: column 'cluster' must be in all lines or in none")
        rows = [row for _, row in lines]

        def reasons(column: str) -> tuple[tuple[str | None, ...], ...]:
            return tuple(tuple(row.get(column, {}).get(name) for name in names[1:]) for row in rows)

        try:
            return cls(
                first["attribute"],
                tuple(row["id"] for row in rows),
                tuple(row["prompt"] for row in rows),
                np.array([row["w"] for row in rows], dtype=bool),
                tuple(tuple(row[name] for name in names) for row in rows),
                reasons("failures"),
                reasons("finish_reasons"),
                tuple(row["cluster"] for row in rows) if "cluster" in first else None,
                tuple(row.get("metadata", {}) for row in rows),
            )
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
