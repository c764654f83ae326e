"""Who labelled each pair and which pairs belong together, checked before anything is computed; their texts."""

import json
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ..data.checks import missing_column
from ..data.preference import validate_preferences
from ..reliability.commitment import annotator_codes
from ..trainer.cross_fitting import row_groups


@dataclass(frozen=True)
class PairRows:
    """
    What [`find_mislabels`] needs to know of the rows beside their features.

    Args:
        codes (`np.ndarray` of shape `(N,)`): Number of the annotator, in the order of first appearance.
        names (`list`): Ids of the annotators; `["all"]` without annotators.
        has_annotators (`bool`): Whether there is a column of them.
        groups (`np.ndarray` of shape `(N,)`): Number of what belongs together in a fold.
    """

    codes: np.ndarray
    names: list
    has_annotators: bool
    groups: np.ndarray

    @property
    def ids(self) -> list:
        """Id of the annotator of each pair."""
        return [self.names[code] for code in self.codes]


def pair_rows(dataset: Dataset, annotator_column: str = "annotator_id", group_column: str | None = None) -> PairRows:
    """
    Check the rows and number their annotators and groups.

    Args:
        dataset ([`~datasets.Dataset`]): Preference rows.
        annotator_column (`str`, *optional*, defaults to `"annotator_id"`): May be absent under its default name.
        group_column (`str`, *optional*): By default the prompt.

    Returns:
        [`PairRows`]

    Raises:
        `ValueError`: A bad row or id, a missing column, or one group only; the message names column and row.
        `TypeError`: Ids that are not all strings or all integers.
    """
    validate_preferences(dataset)
    columns = dataset.column_names
    has_annotators = annotator_column in columns
    if not has_annotators and annotator_column != "annotator_id":  # asked for by name
        raise ValueError(missing_column("train dataset", annotator_column, columns))
    if group_column is not None and group_column not in columns:
        raise ValueError(missing_column("train dataset", group_column, columns))
    ids = dataset[annotator_column] if has_annotators else ["all"] * len(dataset)
    codes, names = annotator_codes(ids, name=f"column '{annotator_column}'")
    groups = row_groups(dataset, group_column)
    if groups.max() == 0:
        what = "prompt" if group_column is None else f"value in '{group_column}'"
        raise ValueError(f"all rows have one {what}: there are no others to learn from. Name a column in group_column")
    return PairRows(codes, names, has_annotators, groups)


def pair_texts(dataset: Dataset) -> dict[str, list[str]]:
    """Prompt and responses of each pair for a person to read; conversations as JSON."""
    names = [name for name in ("prompt", "chosen", "rejected") if name in dataset.column_names]
    return {name: [_text(value) for value in dataset[name]] for name in names}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
