"""Configuration of [`CalibrationRewardTrainer`]."""

import math
from dataclasses import dataclass, field

from ..losses.reward_scale import ANCHOR_COEFFICIENT
from .reward_config import PairwiseRewardConfig


CALIBRATION_METHODS = ("hard", "soft", "matching", "source_offset")
WIN_RATE_DIVERGENCES = ("squared", "kl")
_READ_BY = {
    ("soft", "matching"): ("temperature",),
    ("matching",): (
        "anchor_coefficient", "win_rate_divergence", "win_rate_ema_decay", "use_rating_variance",
        "pairs_of_models_per_batch",
    ),
    ("source_offset",): ("source_offset_update_steps", "source_offset_prior_sd"),
}  # fmt: skip


@dataclass
class CalibrationRewardConfig(PairwiseRewardConfig):
    r"""
    Configuration class for the [`CalibrationRewardTrainer`].

    Has every field of [`PairwiseRewardConfig`], and these:

    Parameters:
        > Parameters that control the calibration

        calibration_method (`str`, *optional*, defaults to `"hard"`):
            `"hard"` (Bradley–Terry on pairs whose order an offset has corrected: CHARM), `"soft"` (cross-entropy with the
            probability `label` that follows from the offsets), `"matching"` (the mean of σ(r_a − r_b) over a batch of
            pairs of models a and b follows the win rate of a against b) or `"source_offset"` (human labels, with an
            offset for every source model that is learned beside the reward model and dropped afterwards).
        calibration_coefficient (`float`, *optional*, defaults to `1.0`):
            Weight of the calibration objective.
        human_coefficient (`float`, *optional*, defaults to `1.0`):
            Weight of the Bradley–Terry loss of the pairs of `human_dataset`. Each of both objectives is a mean over its
            own pairs, however many there are of the others.
        temperature (`float`, *optional*):
            Reward difference that counts as one logit, for `"soft"` and `"matching"`. By default, with `"matching"`, a
            quarter of the standard deviation of the reward differences before training, within the pairs of models; with
            `"soft"`, the column `label_temperature`, which says of every label what it was made with, and 1 without it.

        > Parameters that control `calibration_method="matching"`

        anchor_coefficient (`float`, *optional*, defaults to `0.02`):
            Weight, within the calibration objective, of the variance within each source model of reward minus frozen
            reward: the mean of a model's rewards may move, their order should not. It has no unit: the weight is the
            coefficient divided by the variance of the reward differences before training, within the pairs of models.
            With 0 and a `temperature` no frozen rewards are needed.
        win_rate_divergence (`str`, *optional*, defaults to `"squared"`):
            Distance of estimated and expected win rate: `"squared"`, without the bias that the noise of the estimate would
            add, or `"kl"`.
        win_rate_ema_decay (`float`, *optional*, defaults to `0.0`):
            Decay, per batch that holds a pair of models, of an average of its win rate, from which the distance is
            measured. It lets small batches do, as the estimate is then of many. 0 measures it from the batch alone.
        use_rating_variance (`bool`, *optional*, defaults to `False`):
            Take uncertain ratings less seriously. Needs `ratings` with intervals or a covariance.
        pairs_of_models_per_batch (`int`, *optional*, defaults to `1`):
            Pairs of models in one batch of all processes. Fewer make each estimate of a win rate more precise; more make
            one step speak for more of the models. Without `win_rate_ema_decay` each needs at least two rows of the batch.

        > Parameters that control `calibration_method="source_offset"`

        source_offset_update_steps (`int`, *optional*, defaults to `10`):
            Optimizer steps between updates of the offsets.
        source_offset_prior_sd (`float`, *optional*, defaults to `1.0`):
            Standard deviation of the offsets' normal prior, in units of reward.
    """

    calibration_method: str = field(
        default="hard",
        metadata={"help": f"How the reward model is calibrated: {', '.join(CALIBRATION_METHODS)}."},
    )
    calibration_coefficient: float = field(default=1.0, metadata={"help": "Weight of the calibration objective."})
    human_coefficient: float = field(
        default=1.0, metadata={"help": "Weight of the Bradley–Terry loss of the pairs of `human_dataset`."}
    )
    temperature: float | None = field(
        default=None,
        metadata={
            "help": "Reward difference that counts as one logit, for `soft` and `matching`. By default found from the data."
        },
    )
    anchor_coefficient: float = field(
        default=ANCHOR_COEFFICIENT,
        metadata={
            "help": "Weight of the variance of reward minus frozen reward within each model, relative to the variance of "
            "frozen reward differences, for `matching`."
        },
    )
    win_rate_divergence: str = field(
        default="squared",
        metadata={"help": "Distance of estimated and expected win rate, for `matching`: `squared` or `kl`."},
    )
    win_rate_ema_decay: float = field(
        default=0.0,
        metadata={"help": "Decay of the moving average of win rates, for `matching`. 0 uses the batch alone."},
    )
    use_rating_variance: bool = field(
        default=False, metadata={"help": "Take uncertain ratings less seriously, for `matching`."}
    )
    pairs_of_models_per_batch: int = field(
        default=1, metadata={"help": "Pairs of models in one batch of all processes, for `matching`."}
    )
    source_offset_update_steps: int = field(
        default=10, metadata={"help": "Optimizer steps between updates of the offsets, for `source_offset`."}
    )
    source_offset_prior_sd: float = field(
        default=1.0, metadata={"help": "Standard deviation of the offsets' prior, for `source_offset`."}
    )

    def __post_init__(self):
        super().__post_init__()
        if self.reward_head != "scalar":
            raise ValueError(
                f"reward_head={self.reward_head!r} is not for a calibration to win rates, which moves one reward: train such "
                "a model with PairwiseRewardTrainer or one of the trainers for noisy labels"
            )
        if self.calibration_method not in CALIBRATION_METHODS:
            raise ValueError(
                f"`calibration_method` must be one of {', '.join(CALIBRATION_METHODS)}, got {self.calibration_method!r}"
            )
        if self.win_rate_divergence not in WIN_RATE_DIVERGENCES:
            raise ValueError(
                f"`win_rate_divergence` must be one of {', '.join(WIN_RATE_DIVERGENCES)}, got {self.win_rate_divergence!r}"
            )
        for name in ("temperature", "source_offset_prior_sd", "calibration_coefficient"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` must be positive and finite, got {getattr(self, name)}")
        for name in ("human_coefficient", "anchor_coefficient"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` must be finite and at least 0, got {getattr(self, name)}")
        if not 0 <= self.win_rate_ema_decay < 1:
            raise ValueError(f"`win_rate_ema_decay` must be in [0, 1), got {self.win_rate_ema_decay}")
        for name in ("pairs_of_models_per_batch", "source_offset_update_steps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be an integer of at least 1, got {value!r}")
        self._check_effects()
        if self.calibration_method == "matching":
            self._check_batches("calibration_method='matching' composes batches of few pairs of models")
            if self.dataloader_drop_last:
                raise ValueError(
                    "`dataloader_drop_last` would always drop the same pairs of models: leave it off with "
                    "calibration_method='matching'. Rows that fill up the last batch weigh nothing."
                )

    def _check_effects(self) -> None:
        """Raise if a parameter was set that the method does not read."""
        for methods, names in _READ_BY.items():
            if self.calibration_method in methods:
                continue
            for name in names:
                if getattr(self, name) != self.__dataclass_fields__[name].default:
                    raise ValueError(
                        f"`{name}` has no effect with calibration_method={self.calibration_method!r}: it is for "
                        f"{' and '.join(map(repr, methods))}"
                    )

    def _check_batches(self, reason: str) -> None:
        """Raise if another setting wants to choose which pairs share a batch."""
        for name, default in (("max_tokens_per_batch", None), ("train_sampling_strategy", "random")):
            if getattr(self, name) != default:
                raise ValueError(
                    f"`{name}`={getattr(self, name)!r} chooses the batches, but {reason}: leave it at {default!r}"
                )
