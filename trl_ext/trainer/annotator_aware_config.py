"""Configuration of [`AnnotatorAwareRewardTrainer`]."""

from dataclasses import dataclass, field

from .reward_config import PairwiseRewardConfig


@dataclass
class AnnotatorAwareRewardConfig(PairwiseRewardConfig):
    r"""
    Configuration class for the [`AnnotatorAwareRewardTrainer`].

    Has every field of [`PairwiseRewardConfig`], and these:

    Parameters:
        > Parameters that control the annotators' commitment

        eta_init (`float`, *optional*, defaults to `0.6`):
            Commitment η that every annotator has until the first update, in (−1, 1].
        eta_update_steps (`int`, *optional*, defaults to `10`):
            Optimizer steps between updates of η. `0` never updates: every annotator keeps what they had at the start.
        eta_prior_a (`float`, *optional*, defaults to `2.0`):
            First parameter of the Beta prior on (1 + η)/2, at least 1: one more than the honest labels it is worth.
        eta_prior_b (`float`, *optional*, defaults to `1.25`):
            Second parameter, likewise for contrary labels. 1 and 1 turn the prior off; equal ones favour no side.
        length_bias_sd (`float`, *optional*):
            Estimate for every annotator how much more than the reward model they like length, with this prior standard
            deviation, in units of reward per standard deviation of the log ratio of lengths. Off if not given.
    """

    eta_init: float = field(default=0.6, metadata={"help": "Commitment of every annotator until the first update."})
    eta_update_steps: int = field(
        default=10, metadata={"help": "Optimizer steps between updates of the commitment. 0 never updates."}
    )
    eta_prior_a: float = field(
        default=2.0, metadata={"help": "First parameter of the Beta prior on (1 + eta)/2, at least 1."}
    )
    eta_prior_b: float = field(
        default=1.25, metadata={"help": "Second parameter of the Beta prior, at least 1. 1 and 1 turn it off."}
    )
    length_bias_sd: float | None = field(
        default=None,
        metadata={"help": "Prior standard deviation of the annotators' length biases. Not estimated if not given."},
    )

    def __post_init__(self):
        super().__post_init__()
        if not -1 < self.eta_init <= 1:
            raise ValueError(f"`eta_init` must be in (-1, 1], got {self.eta_init}")
        if self.eta_update_steps < 0:
            raise ValueError(f"`eta_update_steps` must be at least 0, got {self.eta_update_steps}")
        for name in ("eta_prior_a", "eta_prior_b"):
            if not 1 <= getattr(self, name) < float("inf"):
                raise ValueError(
                    f"`{name}` must be finite and at least 1, which is no prior; got {getattr(self, name)}"
                )
        if self.length_bias_sd is not None and not 0 < self.length_bias_sd < float("inf"):
            raise ValueError(f"`length_bias_sd` must be positive and finite, got {self.length_bias_sd}")

    @property
    def eta_prior(self) -> tuple[float, float]:
        """Both parameters of the prior."""
        return self.eta_prior_a, self.eta_prior_b
