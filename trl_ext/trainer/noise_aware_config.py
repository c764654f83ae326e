"""Configuration of [`NoiseAwareRewardTrainer`]."""

import math
from dataclasses import dataclass, field

from .reward_config import PairwiseRewardConfig


NOISE_METHODS = ("forward", "backward", "soft_label", "label_smoothing", "none")
ETA_METHODS = ("forward", "backward")


@dataclass
class NoiseAwareRewardConfig(PairwiseRewardConfig):
    r"""
    Configuration class for the [`NoiseAwareRewardTrainer`].

    Has every field of [`PairwiseRewardConfig`], and these:

    Parameters:
        > Parameters that control how noisy labels are dealt with

        noise_method (`str`, *optional*, defaults to `"forward"`):
            The loss. With η, how far the annotator of a pair is committed: `"forward"` (the likelihood of a noisy label)
            or `"backward"` (the unbiased estimate of the clean loss). Without: `"soft_label"` (cross-entropy with
            `label`), `"label_smoothing"`, or `"none"` (Bradley–Terry, which believes every label).
        eta (`float`, *optional*):
            Commitment in [0, 1] of every training pair, instead of the column `eta`.
        min_eta (`float`, *optional*, defaults to `0.01`):
            Smallest η above 0 that `noise_method="backward"` accepts; a training pair below it is an error. Pairs at
            exactly 0 get weight 0.
        smoothing_epsilon (`float`, *optional*, defaults to `0.1`):
            Probability in [0, 0.5) that a label is wrong, for `noise_method="label_smoothing"`.
    """

    noise_method: str = field(
        default="forward",
        metadata={"help": f"How noisy labels are dealt with: {', '.join(NOISE_METHODS)}."},
    )
    eta: float | None = field(
        default=None,
        metadata={"help": "Commitment in [0, 1] of every training pair, instead of the column `eta`."},
    )
    min_eta: float = field(
        default=0.01,
        metadata={"help": "Smallest eta above 0 that `noise_method='backward'` accepts."},
    )
    smoothing_epsilon: float = field(
        default=0.1,
        metadata={"help": "Probability that a label is wrong, for `noise_method='label_smoothing'`."},
    )

    def __post_init__(self):
        super().__post_init__()
        if self.noise_method not in NOISE_METHODS:
            raise ValueError(f"`noise_method` must be one of {', '.join(NOISE_METHODS)}, got {self.noise_method!r}")
        for name in ("eta", "min_eta", "smoothing_epsilon"):
            value = getattr(self, name)
            if value is None and name == "eta":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise TypeError(f"`{name}` must be a finite number, got {value!r}")
        if self.eta is not None:
            if self.noise_method not in ETA_METHODS:
                raise ValueError(
                    f"`eta` has no effect with noise_method={self.noise_method!r}: it is for {' and '.join(ETA_METHODS)}"
                )
            if not 0 < self.eta <= 1:
                raise ValueError(f"`eta` must be in (0, 1], got {self.eta}. With 0 there is nothing to learn from.")
        if not 0 < self.min_eta <= 1:
            raise ValueError(f"`min_eta` must be in (0, 1], got {self.min_eta}")
        if not 0 <= self.smoothing_epsilon < 0.5:
            raise ValueError(f"`smoothing_epsilon` must be in [0, 0.5), got {self.smoothing_epsilon}")

    @property
    def uses_eta(self) -> bool:
        """Whether the loss needs the commitment of the annotators."""
        return self.noise_method in ETA_METHODS
