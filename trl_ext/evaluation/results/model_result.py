"""What is known of a model on a benchmark, wherever it was evaluated."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..statistics import Estimate


@dataclass(frozen=True)
class ModelResult:
    """
    Figures of a model on a benchmark, read from files.

    Args:
        model (`str`):
            Its name.
        benchmark (`str`):
            Name of the benchmark.
        overall ([`Estimate`] or `None`):
            The benchmark's single figure; `None` if it has none, or parts that it needs are missing.
        sections (`dict[str, Estimate]`):
            Groups of subsets.
        subsets (`dict[str, Estimate]`):
            Subsets. Without row counts their intervals are `nan`.
        rows (`pandas.DataFrame` or `None`):
            A row per prompt, where they are known: `id`, `subset`, `score`; perhaps `section`, `cluster`, `margin`,
            `num_correct`, `rewards` and `lengths` (lists, right responses first), `texts_hash` (of prompt and responses),
            `read_hash` (of the texts that the model read).
        source (`str`):
            File of the figures.
        data_hash (`str`, *optional*):
            SHA-256 of the benchmark's rows, where it was recorded.
        details (`dict[str, Any]`):
            What else belongs to the figures.
        record (`dict[str, Any]`):
            How they were made: settings, versions, data.
        numbered (`bool`, *optional*, defaults to `False`):
            The file had no ids that tell its rows apart: those of `rows` are their numbers.
    """

    model: str
    benchmark: str
    overall: Estimate | None
    sections: dict[str, Estimate]
    subsets: dict[str, Estimate]
    rows: pd.DataFrame | None
    source: str
    data_hash: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    numbered: bool = False
