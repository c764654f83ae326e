"""Configuration of [`PairwiseRewardTrainer`]."""

from dataclasses import dataclass, field, fields

from trl import RewardConfig

from ..data.tokenization import MAX_LENGTH_POLICIES
from .lr_schedules import LR_SCHEDULES


@dataclass
class PairwiseRewardConfig(RewardConfig):
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

        > Parameters that control the training

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
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"`ema_decay` must be in [0, 1), got {self.ema_decay}")
        if self.ema_decay > 0 and self.load_best_model_at_end:
            raise ValueError(
                "`ema_decay` keeps the average of all steps and `load_best_model_at_end` one step: choose one of them"
            )

    @classmethod
    def from_reward_config(cls, args: RewardConfig) -> "PairwiseRewardConfig":
        """Take over a [`~trl.RewardConfig`], so that a script written for `RewardTrainer` runs unchanged."""
        if isinstance(args, cls):
            return args
        return cls(**{f.name: getattr(args, f.name) for f in fields(args) if f.init})
