"""K linear heads on one backbone, each trained on a bootstrap sample of the pairs."""

from typing import Any, ClassVar

import torch
from datasets import Dataset, List, Value
from torch import Tensor

from ...data.checks import missing_column
from ...data.preference import is_tokenized
from .base import PairwiseLossFunction, RewardHead
from .bootstrap import poisson_weights


HEAD_WEIGHTS = "head_weights"


class EnsembleHead(RewardHead):
    r"""
    K rewards for each response. The loss is the mean over heads of the weighted mean of pairs, of an accumulation window of
    all processes: \( \frac{1}{K}\sum_k \sum_i w_i b_{ik} \ell_{ik} / \sum_i w_i b_{ik} \), with the pair's weight w and its
    bootstrap count b. A head is trained exactly as it would be alone with weights \(w_i b_{ik}\), but for what it shares with the others.

    The reward is the mean over heads, its uncertainty the standard deviation over heads of the reward *difference*, in
    which a head's constant cancels.

    References:
        - Osband et al., Deep Exploration via Bootstrapped DQN, 2016, section 4: bootstrapped heads on one network.
        - Oza and Russell, Online Bagging and Boosting, 2001.

    Args:
        num_heads (`int`): K, at least 2.
        bootstrap (`str`): `"poisson"` or `"none"`, with which heads differ by their initial values alone.
        key_column (`str`, *optional*): Column by which pairs are drawn. By default `id`, else the row's number.
        seed (`int`): Seed of the counts.
    """

    has_spread: ClassVar[bool] = True
    columns = (HEAD_WEIGHTS,)

    def __init__(self, num_heads: int, bootstrap: str, key_column: str | None, seed: int):
        self.num_outputs = num_heads
        self.bootstrap, self.key_column, self.seed = bootstrap, key_column, seed
        self._factors: Tensor | None = None

    def prepare(self, dataset: Dataset, name: str) -> Dataset:
        if HEAD_WEIGHTS in dataset.column_names:
            if is_tokenized(dataset):  # of another training
                dataset = dataset.remove_columns(HEAD_WEIGHTS)
            else:
                raise ValueError(
                    f"{name} dataset: {HEAD_WEIGHTS!r} is the column of the bootstrap counts that reward_head='ensemble' "
                    "draws: rename yours, or call it 'weight' if it weights pairs"
                )
        if name != "train" or self.bootstrap == "none":
            return dataset
        column = self.key_column
        if column is None:
            keys = dataset["id"] if "id" in dataset.column_names else range(len(dataset))
        elif column in dataset.column_names:
            keys = dataset[column]
        else:
            raise ValueError(missing_column(f"{name} dataset", column, dataset.column_names))
        unnamed = [row for row, key in enumerate(keys) if key is None or key != key]
        if unnamed:
            raise ValueError(
                f"{name} dataset: column {column or 'id'!r}, by which the bootstrap draws pairs, has {len(unnamed)} rows without a "
                f"value; first: row {unnamed[0]}"
            )
        counts = poisson_weights(keys, self.num_outputs, self.seed)
        return dataset.add_column(HEAD_WEIGHTS, counts.tolist(), feature=List(Value("float32")))

    def rewards(self, outputs: Tensor) -> Tensor:
        return outputs.mean(1)

    def losses(
        self,
        pairwise_loss: PairwiseLossFunction,
        chosen: Tensor,
        rejected: Tensor,
        columns: dict[str, Tensor],
        head_columns: dict[str, Tensor],
        training: bool,
    ) -> Tensor:
        heads = self.num_outputs
        of_heads = {name: values.repeat_interleave(heads) for name, values in columns.items()}
        losses = pairwise_loss(chosen.reshape(-1), rejected.reshape(-1), of_heads)
        if losses.shape != (chosen.numel(),):
            raise ValueError(f"the loss returned shape {tuple(losses.shape)}, expected one value per pair")
        losses = losses.reshape(chosen.shape)
        if training and HEAD_WEIGHTS in head_columns:
            weights = head_columns[HEAD_WEIGHTS].to(losses.dtype)
            losses = losses * (weights if self._factors is None else weights * self._factors.to(losses))
        return losses.mean(1)

    def window_sums(self, batch: dict[str, Any], weight: Tensor) -> Tensor | None:
        if HEAD_WEIGHTS not in batch:
            return None
        return (weight[:, None].double() * batch[HEAD_WEIGHTS].cpu().double()).sum(0)

    def begin_window(self, total: Tensor, sums: Tensor) -> None:
        # The trainer divides by the total weight: each head's own takes its place. A head without a pair learns nothing.
        self._factors = torch.where(sums > 0, total / torch.where(sums > 0, sums, 1), 0)

    def difference_sd(self, chosen: Tensor, rejected: Tensor) -> Tensor:
        return (chosen - rejected).std(1)

    def entry(self) -> dict[str, Any]:
        return {
            "kind": "ensemble",
            "num_heads": self.num_outputs,
            "combination": "mean",
            "bootstrap": self.bootstrap,
            "bootstrap_seed": self.seed,
        }
