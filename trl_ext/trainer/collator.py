"""Collators that carry the columns of a pairwise loss next to the token sequences, padded or packed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.reward_trainer import DataCollatorForPreference

from ..shared_prefix import build_plan


@dataclass
class PreferenceColumnsCollator(DataCollatorForPreference):
    """
    TRL's preference collator plus per-pair columns (`margin`, `weight`, `beta`, `p`, …) as float tensors of shape `(B,)`.

    Args:
        pad_token_id (`int`):
            Token id used for padding.
        columns (`tuple[str, ...]`):
            Columns to carry. A column that no example of a batch has is left out.

    Example:
        ```python
        >>> collator = PreferenceColumnsCollator(pad_token_id=0, columns=("beta",))
        >>> collator([{"chosen_ids": [1, 2], "rejected_ids": [3], "beta": 0.5}])["beta"]
        tensor([0.5000])
        ```
    """

    columns: tuple[str, ...] = ()

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        return super().torch_call(examples) | _columns(examples, self.columns)


@dataclass
class SharedPrefixCollator:
    """
    Collator that packs the pairs of a batch into one row, every common prefix once, with their columns.

    Args:
        columns (`tuple[str, ...]`):
            Columns to carry. A column that no example of a batch has is left out.
        share (`bool`, *optional*, defaults to `True`):
            `False` packs without sharing prefixes: nothing is padded, but every prompt is computed twice.

    Example:
        ```python
        >>> collator = SharedPrefixCollator(columns=("beta",))
        >>> batch = collator([{"chosen_ids": [1, 2], "rejected_ids": [3], "beta": 0.5}])
        >>> batch["input_ids"], batch["last_index"], batch["beta"]
        (tensor([[1, 2, 3]]), tensor([1, 2]), tensor([0.5000]))
        ```
    """

    columns: tuple[str, ...] = ()
    share: bool = True

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        sequences = [example["chosen_ids"] for example in examples] + [example["rejected_ids"] for example in examples]
        return build_plan(sequences, share=self.share).model_inputs() | _columns(examples, self.columns)


@dataclass
class CollatorWithColumns:
    """
    Any collator, plus the columns of a pairwise loss.

    Args:
        collator (`Callable`):
            Collator that makes the inputs of the model from a list of examples.
        columns (`tuple[str, ...]`):
            Columns to carry. A column that no example of a batch has is left out.
    """

    collator: Callable[[list[dict[str, Any]]], dict[str, Any]]
    columns: tuple[str, ...] = ()

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        return self.collator(examples) | _columns(examples, self.columns)


def _columns(examples: list[dict[str, Any]], columns: tuple[str, ...]) -> dict[str, torch.Tensor]:
    return {
        column: torch.tensor([example[column] for example in examples], dtype=torch.float32)
        for column in columns
        if column in examples[0]
    }
