"""Direct preference optimisation on labels that are believed as far as their annotator is reliable."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from datasets import Dataset, IterableDataset
from torch import Tensor, nn
from trl import DPOConfig, DPOTrainer

from ..data.loading import rename_columns
from ..reliability import WeightStatistics
from .collator import CollatorWithColumns
from .last_step import EndsAtLastStep
from .reliability_columns import FLIPPED, ReliabilityColumns, believed_order, reliability_loss
from .reliability_dpo_config import ReliabilityDPOConfig


logger = logging.getLogger(__name__)


class ReliabilityDPOTrainer(EndsAtLastStep, DPOTrainer):
    r"""
    [`~trl.DPOTrainer`] whose pairs are believed as far as their annotator is reliable.

    **An extension**: the RAPL papers and their code weight reward models; their DPO script has no weights. Here the same
    losses are applied to the logit of DPO,
    \( d = \beta_{DPO}\,[\log\frac{\pi(y_c)}{\pi_{ref}(y_c)} - \log\frac{\pi(y_r)}{\pi_{ref}(y_r)}] \), the difference of
    the implicit rewards: \( -\log\sigma(\beta d) \) for `rapl_method="beta"`, \( -\log[p\,\sigma(d) + (1-p)/2] \) for
    `"p"`. A constant beta only changes \( \beta_{DPO} \), so prefer `normalize_beta=True`. `"smoothing"` with a constant
    is cDPO and `"backward"` with a constant is robust DPO (rDPO).

    Everything else is TRL's: models, references, metrics (which are about the labels as given), and the reduction: the
    mean over the pairs of a batch, each loss times `weight` where there is such a column. Evaluation sets without
    `reliability` are evaluated with the loss of DPO.

    How it hooks in: TRL computes log-probabilities, loss and metrics in one method. That method runs as it is, with
    forward hooks that note the log-probabilities of policy and reference; the loss is then computed from these, so
    nothing is computed twice and no code of TRL is copied.

    References:
        - Direct Preference Optimization: Your Language Model is Secretly a Reward Model, equation 7:
          https://arxiv.org/abs/2305.18290
        - Reliability-Aware Preference Learning for LLM Reward Models, equations 5 and 6:
          https://openreview.net/forum?id=xRDYDI6Rc9

    Args:
        model (`str` or [`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            As in [`~trl.DPOTrainer`].
        args ([`ReliabilityDPOConfig`] or [`~trl.DPOConfig`], *optional*):
            Configuration.
        train_dataset ([`~datasets.Dataset`]):
            `prompt` (optional), `chosen`, `rejected`, `reliability`. Not a stream.
        eval_dataset ([`~datasets.Dataset`] or `Mapping[str, Dataset]`, *optional*):
            The same; `reliability` is optional.
        **kwargs:
            As in [`~trl.DPOTrainer`].

    Attributes:
        weight_statistics ([`~trl_ext.reliability.WeightStatistics`]):
            How much the training pairs count.

    Raises:
        ValueError: If data or arguments are not usable; before the model is loaded.
        TypeError: If a dataset is a stream.

    Example:
        ```python
        >>> from trl_ext.trainer import ReliabilityDPOConfig, ReliabilityDPOTrainer

        >>> trainer = ReliabilityDPOTrainer(
        ...     model="Qwen/Qwen3-0.6B",
        ...     args=ReliabilityDPOConfig("my-policy", rapl_method="p"),
        ...     train_dataset=dataset,  # prompt, chosen, rejected, reliability
        ... )
        >>> trainer.train()
        ```
    """

    _tag_names = ["trl", "dpo", "trl-ext"]

    def __init__(
        self, model, ref_model=None, args: DPOConfig | None = None, train_dataset=None, eval_dataset=None, **kwargs
    ):
        if args is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            args = ReliabilityDPOConfig(f"{name.rstrip('/').split('/')[-1]}-DPO")
        args = ReliabilityDPOConfig.from_dpo_config(args)
        if train_dataset is None:
            raise ValueError("`train_dataset` is required")
        self.loss = reliability_loss(args)
        self._reliability_columns = ReliabilityColumns()
        # before TRL's constructor loads a model
        train_dataset = self._prepare_columns(train_dataset, args, "train")
        if isinstance(eval_dataset, Mapping):
            eval_dataset = {key: self._prepare_columns(rows, args, key) for key, rows in eval_dataset.items()}
        elif eval_dataset is not None:
            eval_dataset = self._prepare_columns(eval_dataset, args, "eval")
        super().__init__(model, ref_model, args=args, train_dataset=train_dataset, eval_dataset=eval_dataset, **kwargs)
        self.data_collator = CollatorWithColumns(self.data_collator, self._loss_columns)
        self.weight_statistics: WeightStatistics = self._reliability_columns.statistics(self.train_dataset, args)
        if self.is_world_process_zero():
            logger.info("weights of the training pairs: %s", self.weight_statistics.to_dict())

    # ---- Data ----

    @property
    def _loss_columns(self) -> tuple[str, ...]:
        flipped = (FLIPPED,) if self.args.on_below_half == "flip" else ()
        return (*self.loss.columns, "weight", *flipped)

    def _prepare_columns(self, dataset, args: ReliabilityDPOConfig, dataset_name: str) -> Dataset:
        if isinstance(dataset, IterableDataset):
            raise TypeError("reliability is validated and converted over the whole dataset: it cannot be streamed")
        if not isinstance(dataset, Dataset):
            raise TypeError(f"`{dataset_name}` must be a `Dataset`, got `{type(dataset).__name__}`")
        columns = args.columns or {}
        if dataset_name != "train":  # an evaluation set may lack columns that only training needs
            columns = {ours: theirs for ours, theirs in columns.items() if theirs in dataset.column_names}
        dataset = rename_columns(dataset, columns, name=dataset_name)
        return self._reliability_columns.prepare(dataset, args, dataset_name)

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
        """As in [`~trl.DPOTrainer`], also on a dataset whose reliability is not converted yet."""
        if isinstance(eval_dataset, Mapping):
            eval_dataset = {key: self._prepare_columns(rows, self.args, key) for key, rows in eval_dataset.items()}
        elif eval_dataset is not None and not isinstance(eval_dataset, str):
            eval_dataset = self._prepare_columns(eval_dataset, self.args, "eval")
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def _set_signature_columns_if_needed(self):
        is_new = self._signature_columns is None
        super()._set_signature_columns_if_needed()
        if is_new:
            self._signature_columns = [*self._signature_columns, *self._loss_columns]

    def compute_ref_log_probs(self, model, inputs):
        return super().compute_ref_log_probs(model, self._without_columns(inputs))

    def _without_columns(self, inputs: dict) -> dict:
        return {name: values for name, values in inputs.items() if name not in self._loss_columns}

    def predict_pairs(self, dataset: Dataset) -> Dataset:
        r"""
        Give every pair of a dataset its implicit rewards, \( \beta_{DPO}\log\frac{\pi(y)}{\pi_{ref}(y)} \).

        Args:
            dataset ([`~datasets.Dataset`]):
                Preference data.

        Returns:
            [`~datasets.Dataset`]: The rows that were scored, with every column that is not token ids, plus
            `reward_chosen` and `reward_rejected`.
        """
        dataset = self._prepare_columns(dataset, self.args, "test")
        dataset = self._prepare_dataset(dataset, self.processing_class, self.args, "test")
        if self.precompute_ref_logps:
            dataset = self._precompute_ref_logps(dataset, "test", self.args.per_device_eval_batch_size)
        was_training = self.model.training
        self.model.eval()
        rewards = []
        for batch in self.get_eval_dataloader(dataset):
            inputs = self._without_columns(self._prepare_inputs(batch))
            with torch.no_grad(), self.compute_loss_context_manager():
                chosen, rejected, _, _ = self._implicit_rewards(self.model, inputs)
            rewards.append(self.accelerator.gather_for_metrics(torch.stack([chosen, rejected], dim=1)).cpu())
        self.model.train(was_training)
        self._metrics["eval"].clear()  # of these pairs, not of an evaluation
        rewards = torch.cat(rewards).float().numpy()
        table = dataset.remove_columns([name for name in dataset.column_names if name.endswith("_ids")])
        return table.add_column("reward_chosen", rewards[:, 0]).add_column("reward_rejected", rewards[:, 1])

    # ---- Loss ----

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        columns = {name: inputs[name] for name in self._loss_columns if name in inputs}
        inputs = self._without_columns(inputs)
        if not set(self.loss.columns) <= columns.keys():
            # an evaluation set: a training set without the column was refused before
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

        rewards_chosen, rewards_rejected, policy, stock = self._implicit_rewards(model, inputs, return_outputs)
        loss = self._weighted_loss(rewards_chosen, rewards_rejected, columns)
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * policy.aux_loss
        return (loss, stock[1]) if return_outputs else loss

    def _implicit_rewards(self, model: nn.Module, inputs: dict, return_outputs: bool = False) -> tuple:
        """Implicit rewards `(B,)` of chosen and rejected, the output of the policy, and what TRL's `compute_loss` returns."""
        reference = self.model if self.ref_model is None else self.ref_model
        with _noted_outputs(model) as of_policy, _noted_outputs(reference) as of_reference:
            stock = super().compute_loss(model, inputs, return_outputs)
        length = inputs["completion_mask"].shape[1] - 1  # prompt-learning adapters prepend tokens
        chosen, rejected = of_policy[0].log_probs[:, -length:].sum(dim=1).chunk(2)
        if self.precompute_ref_logps:
            ref_chosen, ref_rejected = inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]
        else:
            # the last one: where policy and reference share a module, or the policy is wrapped, it has run before
            ref_chosen, ref_rejected = of_reference[-1].log_probs[:, -length:].sum(dim=1).chunk(2)
        return self.beta * (chosen - ref_chosen), self.beta * (rejected - ref_rejected), of_policy[0], stock

    def _weighted_loss(self, rewards_chosen: Tensor, rewards_rejected: Tensor, columns: dict[str, Tensor]) -> Tensor:
        """Mean over the pairs of a batch of the weighted losses of their implicit rewards `(B,)`."""
        columns = dict(columns)
        weight, flipped = columns.pop("weight", None), columns.pop(FLIPPED, None)
        losses = self.loss(*believed_order(rewards_chosen, rewards_rejected, flipped), **columns)
        return (losses if weight is None else weight * losses).mean()


@contextmanager
def _noted_outputs(module: nn.Module) -> Iterator[list]:
    """The outputs with log-probabilities that a module returns meanwhile, in their order."""
    outputs: list = []

    def note(_module, _args, output):
        if getattr(output, "log_probs", None) is not None:
            outputs.append(output)

    handle = module.register_forward_hook(note)
    try:
        yield outputs
    finally:
        handle.remove()
