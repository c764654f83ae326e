"""Configuration of [`NoiseAwareRewardTrainer`]."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ..losses import (
    BackwardCorrectedLoss,
    BradleyTerryLoss,
    BradleyTerryTiesLoss,
    FocalLoss,
    ForwardCorrectedLoss,
    HingeLoss,
    LabelSmoothingLoss,
    OrdinalLoss,
    PairwiseLoss,
    SoftLabelLoss,
    SymmetricLoss,
)
from .reward_config import PairwiseRewardConfig


NOISE_METHODS = (
    "forward", "backward", "soft_label", "label_smoothing", "hinge", "ties", "ordinal", "focal", "symmetric", "none",
)  # fmt: skip
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
            `label`), `"label_smoothing"`, `"hinge"`, `"ties"` (Bradley–Terry with labels of 0, ½ and 1), `"ordinal"`
            (labels on a scale), `"focal"`, `"symmetric"`, or `"none"` (Bradley–Terry, which believes every label).
        eta (`float`, *optional*):
            Commitment in [0, 1] of every training pair, instead of the column `eta`.
        min_eta (`float`, *optional*, defaults to `0.01`):
            Smallest η above 0 that `noise_method="backward"` accepts; a training pair below it is an error. Pairs at
            exactly 0 get weight 0.
        smoothing_epsilon (`float`, *optional*, defaults to `0.1`):
            Probability in [0, 0.5) that a label is wrong, for `noise_method="label_smoothing"`.
        hinge_margin (`float`, *optional*, defaults to `1.0`):
            Width of the gap between the hinges, in units of the reward, for `noise_method="hinge"`.
        tie_theta (`float`, *optional*, defaults to `2.0`):
            How readily annotators call a tie, at least 1, for `noise_method="ties"`.
        ordinal_levels (`list[float]`, *optional*, defaults to `[0.0, 0.5, 1.0]`):
            Labels that occur, for `noise_method="ordinal"`.
        focal_gamma (`float`, *optional*, defaults to `2.0`):
            Exponent of the weight of a pair, for `noise_method="focal"`.
        symmetric_alpha (`float`, *optional*, defaults to `0.1`):
            Weight of the cross-entropy, for `noise_method="symmetric"`.
        symmetric_beta (`float`, *optional*, defaults to `1.0`):
            Weight of the reverse cross-entropy.
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

    hinge_margin: float = field(
        default=1.0,
        metadata={"help": "Width of the gap between the hinges, for `noise_method='hinge'`."},
    )
    tie_theta: float = field(
        default=2.0,
        metadata={"help": "How readily annotators call a tie, at least 1, for `noise_method='ties'`."},
    )
    ordinal_levels: list[float] = field(
        default_factory=lambda: [0.0, 0.5, 1.0],
        metadata={"help": "Labels that occur, for `noise_method='ordinal'`."},
    )
    focal_gamma: float = field(
        default=2.0,
        metadata={"help": "Exponent of the weight of a pair, for `noise_method='focal'`."},
    )
    symmetric_alpha: float = field(
        default=0.1,
        metadata={"help": "Weight of the cross-entropy, for `noise_method='symmetric'`."},
    )
    symmetric_beta: float = field(
        default=1.0,
        metadata={"help": "Weight of the reverse cross-entropy, for `noise_method='symmetric'`."},
    )

    def __post_init__(self):
        super().__post_init__()
        if self.noise_method not in NOISE_METHODS:
            raise ValueError(f"`noise_method` must be one of {', '.join(NOISE_METHODS)}, got {self.noise_method!r}")
        if self.eta is not None:
            if isinstance(self.eta, bool) or not isinstance(self.eta, int | float):
                raise TypeError(f"`eta` must be a number, got {self.eta!r}")
            if not self.uses_eta:
                raise ValueError(
                    f"`eta` has no effect with noise_method={self.noise_method!r}: it is for {' and '.join(ETA_METHODS)}"
                )
            if not 0 < self.eta <= 1:
                raise ValueError(f"`eta` must be in (0, 1], got {self.eta}. With 0 there is nothing to learn from.")
        try:
            self.noise_loss()
        except (TypeError, ValueError) as error:
            raise type(error)(f"noise_method={self.noise_method!r} can't use its parameters: {error}") from error

    @property
    def uses_eta(self) -> bool:
        """Whether the loss needs the commitment of the annotators."""
        return self.noise_method in ETA_METHODS

    def noise_loss(self) -> PairwiseLoss:
        """The loss that follows from `noise_method` and its parameters."""
        losses: dict[str, Callable[[], PairwiseLoss]] = {
            "forward": ForwardCorrectedLoss,
            "backward": lambda: BackwardCorrectedLoss(min_eta=self.min_eta),
            "soft_label": SoftLabelLoss,
            "label_smoothing": lambda: LabelSmoothingLoss(epsilon=self.smoothing_epsilon),
            "hinge": lambda: HingeLoss(margin=self.hinge_margin),
            "ties": lambda: BradleyTerryTiesLoss(theta=self.tie_theta),
            "ordinal": lambda: OrdinalLoss(levels=self.ordinal_levels),
            "focal": lambda: FocalLoss(gamma=self.focal_gamma),
            "symmetric": lambda: SymmetricLoss(alpha=self.symmetric_alpha, beta=self.symmetric_beta),
            "none": BradleyTerryLoss,
        }
        return losses[self.noise_method]()
