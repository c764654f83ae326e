"""Configuration of [`PairwiseRewardTrainer`]."""

import math
from dataclasses import dataclass, field, fields

from trl import RewardConfig

from ..data.tokenization import MAX_LENGTH_POLICIES
from .heads import REWARD_HEADS
from .heads.bootstrap import BOOTSTRAPS
from .lr_schedules import LR_SCHEDULES
from .private_arguments import PrivateArguments


@dataclass
class PairwiseRewardConfig(PrivateArguments, RewardConfig):
    r"""
    Configuration class for the [`PairwiseRewardTrainer`].

    Has every field of [`~trl.RewardConfig`] with the same defaults, and these:

    Parameters:
        > Parameters that control the data

        columns (`dict[str, str]`, *optional*):
            Names of columns in your dataset, keyed by the name used here, e.g. `{"reliability": "p_correct"}`.
        max_length_policy (`str`, *optional*, defaults to `"drop"`):
            What happens to pairs with a sequence longer than `max_length`: `"drop"` (as TRL does, but counted and
            logged), `"truncate_prompt_left"` (shorten the prompt, never the responses) or `"error"`.

        > Parameters that control the model

        weight_scale (`float`, *optional*, defaults to `1.0`):
            Factor on the initial weights of the reward head. Applied only to a fresh head, never to a trained one.

        reward_head (`str`, *optional*, defaults to `"scalar"`):
            What the model puts out for a response: `"scalar"`, one reward; `"ensemble"`, the rewards of `num_reward_heads`
            linear heads on one backbone, each trained on a bootstrap sample of the pairs; or `"gaussian"`, the mean and the
            log of the variance of its reward. The reward of the last two is their mean, and reward differences come with
            a standard deviation.
        num_reward_heads (`int`, *optional*, defaults to `8`):
            Heads of `reward_head="ensemble"`.
        head_bootstrap (`str`, *optional*, defaults to `"poisson"`):
            How the heads of an ensemble differ beside their initial values: `"poisson"` counts of every pair for every
            head, which follow from `seed` and the pair alone, or `"none"`.
        bootstrap_column (`str`, *optional*):
            Column by whose values pairs are drawn, e.g. that of the prompt, whose pairs then are in a sample together. By
            default the column `id`; without it, the row's number.
        gaussian_anchor_coefficient (`float`, *optional*, defaults to `1.0`):
            Weight of the absolute judgements of responses, columns `anchor_chosen` and `anchor_rejected` (0 bad, 1 fair, 2
            good, or missing), with `reward_head="gaussian"`. Without them the variance is not identified: 0 does without,
            with a warning. They are part of the loss of their pair: multiplied by its `weight`, and in the mean over all
            pairs, so that with judgements in 1 % of the pairs they count 1 %.
        anchor_learning_rate (`float`, *optional*, defaults to `0.01`):
            Step size of the two thresholds between these classes, which start at -1 and 1. 0 keeps them there, which
            fixes location and scale of the rewards.

        > Parameters that control the training

        shared_prefix (`bool`, *optional*, defaults to `True`):
            Whether to pack every batch into one row without padding, in which each common prefix is computed once. The
            result is that of padding. Where the model can't do it exactly, batches are padded and the reason is logged;
            the pairs are then grouped by length, if `train_sampling_strategy` was left at `"random"`. With `False`,
            batches are padded in random order, as TRL does.
        max_tokens_per_batch (`int`, *optional*):
            Size of a batch on each device in computed tokens, instead of `per_device_train_batch_size` pairs. The loss
            is normalised in the same way. Which pairs share a batch is drawn once, the order of batches for each epoch.
        lr_scheduler_type (`str`, *optional*, defaults to `"linear"`):
            Any schedule of transformers, or `"step_decay"` (1, 0.1, 0.01 by thirds) or `"cosine_w_floor"` (a half
            cosine from 1 to 0.1).
        ema_decay (`float`, *optional*, defaults to `0.0`):
            Decay of an exponential moving average of the weights. The average is what is evaluated and what the model
            holds after training. 0 turns it off.
    """

    _VALID_DICT_FIELDS = RewardConfig._VALID_DICT_FIELDS + ["columns"]

    columns: dict[str, str] | str | None = field(
        default=None,
        metadata={"help": "Names of columns in your dataset, keyed by the name used here."},
    )
    max_length_policy: str = field(
        default="drop",
        metadata={
            "help": "What happens to pairs longer than `max_length`: `drop` (counted and logged), "
            "`truncate_prompt_left` or `error`."
        },
    )
    weight_scale: float = field(
        default=1.0,
        metadata={"help": "Factor on the initial weights of a fresh reward head."},
    )
    reward_head: str = field(
        default="scalar",
        metadata={"help": f"What the model puts out for a response: {', '.join(REWARD_HEADS)}."},
    )
    num_reward_heads: int = field(default=8, metadata={"help": "Heads of `reward_head='ensemble'`."})
    head_bootstrap: str = field(
        default="poisson",
        metadata={"help": f"Bootstrap weights of the heads of an ensemble: {' or '.join(BOOTSTRAPS)}."},
    )
    bootstrap_column: str | None = field(
        default=None,
        metadata={"help": "Column by whose values pairs are drawn for an ensemble. Default: `id`, or the row."},
    )
    gaussian_anchor_coefficient: float = field(
        default=1.0, metadata={"help": "Weight of absolute judgements of responses, for `reward_head='gaussian'`."}
    )
    anchor_learning_rate: float = field(
        default=0.01, metadata={"help": "Step size of the thresholds between these judgements. 0 keeps them."}
    )
    shared_prefix: bool = field(
        default=True,
        metadata={"help": "Pack batches without padding and compute each common prefix once, where the model allows."},
    )
    max_tokens_per_batch: int | None = field(
        default=None,
        metadata={"help": "Computed tokens per batch and device, instead of `per_device_train_batch_size` pairs."},
    )
    lr_schedule: str | None = field(
        default=None,
        metadata={"help": "Set by `lr_scheduler_type` when that names a schedule that transformers does not have."},
    )
    ema_decay: float = field(
        default=0.0,
        metadata={"help": "Decay of the moving average of the weights that is evaluated and kept. 0 turns it off."},
    )

    def __post_init__(self):
        if self.lr_scheduler_type in LR_SCHEDULES:
            self.lr_schedule = str(self.lr_scheduler_type)
            self.lr_scheduler_type = "constant"
        super().__post_init__()
        if self.max_length_policy not in MAX_LENGTH_POLICIES:
            raise ValueError(
                f"`max_length_policy` must be one of {', '.join(MAX_LENGTH_POLICIES)}, got {self.max_length_policy!r}"
            )
        if self.weight_scale <= 0:
            raise ValueError(f"`weight_scale` must be positive, got {self.weight_scale}")
        self._check_reward_head()
        if self.max_tokens_per_batch is not None:
            if self.max_tokens_per_batch < 1:
                raise ValueError(f"`max_tokens_per_batch` must be at least 1, got {self.max_tokens_per_batch}")
            if self.train_sampling_strategy != "random":
                raise ValueError(
                    "`max_tokens_per_batch` chooses the batches itself: leave `train_sampling_strategy` at 'random'"
                )
            if self.auto_find_batch_size:
                raise ValueError(
                    "`auto_find_batch_size` changes a number of pairs: leave it off with `max_tokens_per_batch`"
                )
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"`ema_decay` must be in [0, 1), got {self.ema_decay}")
        if self.ema_decay > 0 and self.load_best_model_at_end:
            raise ValueError(
                "`ema_decay` keeps the average of all steps and `load_best_model_at_end` one step: choose one of them"
            )

    def _check_reward_head(self) -> None:
        if self.reward_head not in REWARD_HEADS:
            raise ValueError(f"`reward_head` must be one of {', '.join(REWARD_HEADS)}, got {self.reward_head!r}")
        if self.head_bootstrap not in BOOTSTRAPS:
            raise ValueError(f"`head_bootstrap` must be one of {', '.join(BOOTSTRAPS)}, got {self.head_bootstrap!r}")
        heads = self.num_reward_heads
        if isinstance(heads, bool) or not isinstance(heads, int) or heads < 2:
            raise ValueError(f"`num_reward_heads` must be an integer of at least 2, got {heads!r}")
        for name in ("gaussian_anchor_coefficient", "anchor_learning_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` must be finite and at least 0, got {getattr(self, name)}")
        if self.reward_head == "gaussian" and self.fp16:
            raise ValueError("reward_head='gaussian' is not for fp16, whose loss is scaled: use bf16 or float32")
        readers = {
            "ensemble": ("num_reward_heads", "head_bootstrap", "bootstrap_column"),
            "gaussian": ("gaussian_anchor_coefficient", "anchor_learning_rate"),
        }
        for kind, names in readers.items():
            for name in names if self.reward_head != kind else ():
                if getattr(self, name) != self.__dataclass_fields__[name].default:
                    raise ValueError(
                        f"`{name}` has no effect with reward_head={self.reward_head!r}: it is for {kind!r}"
                    )

    @classmethod
    def from_reward_config(cls, args: RewardConfig) -> "PairwiseRewardConfig":
        """Take over a [`~trl.RewardConfig`], so that a script written for `RewardTrainer` runs unchanged."""
        if isinstance(args, cls):
            return args
        return cls(**{f.name: getattr(args, f.name) for f in fields(args) if f.init})
