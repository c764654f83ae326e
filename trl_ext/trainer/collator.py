"""Collator that carries the columns of a pairwise loss next to the padded token sequences."""

from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.reward_trainer import DataCollatorForPreference


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
        batch = super().torch_call(examples)
        for column in self.columns:
            if column in examples[0]:
                batch[column] = torch.tensor([example[column] for example in examples], dtype=torch.float32)
        return batch
