"""Configuration of [`ReliabilityDPOTrainer`]."""

from dataclasses import dataclass, field, fields

from trl import DPOConfig

from .private_arguments import PrivateArguments
from .reliability_arguments import ReliabilityArguments


@dataclass
class ReliabilityDPOConfig(ReliabilityArguments, PrivateArguments, DPOConfig):
    r"""
    Configuration class for the [`ReliabilityDPOTrainer`].

    Has every field of [`~trl.DPOConfig`], of which those that replace the DPO logit or its loss must keep their defaults,
    and these:

    Parameters:
        > Parameters that control the data

        columns (`dict[str, str]`, *optional*):
            Names of columns in your dataset, keyed by the name used here, e.g. `{"reliability": "p_correct"}`.

        > Parameters that control the use of reliability

        rapl_method (`str`, *optional*, defaults to `"beta"`):
            `"beta"`, `"p"`, `"margin"`, `"smoothing"`, `"backward"` or `"none"`, as in [`ReliabilityRewardConfig`]. Not
            to be confused with `beta`, the strength of DPO's penalty.
        reliability_kind, on_below_half, constant_reliability, min_reliability, normalize_beta, min_eta:
            As in [`ReliabilityRewardConfig`].
    """

    _VALID_DICT_FIELDS = DPOConfig._VALID_DICT_FIELDS + ["columns"]

    columns: dict[str, str] | str | None = field(
        default=None,
        metadata={"help": "Names of columns in your dataset, keyed by the name used here."},
    )

    def __post_init__(self):
        super().__post_init__()
        for name, required in (
            ("loss_type", ["sigmoid"]),
            ("f_divergence_type", "reverse_kl"),
            ("ld_alpha", None),
            ("use_weighting", False),
            ("label_smoothing", 0.0),
        ):
            if getattr(self, name) != required:
                raise ValueError(
                    f"`{name}` must be {required!r}, got {getattr(self, name)!r}: reliability weights the logit of "
                    "standard DPO. For label smoothing set rapl_method='smoothing', for robust DPO 'backward'."
                )
        if self.loss_weights not in (None, [1.0]):
            raise ValueError(f"`loss_weights` must be None, got {self.loss_weights!r}: there is one loss")

    @classmethod
    def from_dpo_config(cls, args: DPOConfig) -> "ReliabilityDPOConfig":
        """Take over a [`~trl.DPOConfig`], so that a script written for `DPOTrainer` runs unchanged."""
        if isinstance(args, cls):
            return args
        return cls(**{f.name: getattr(args, f.name) for f in fields(args) if f.init})
