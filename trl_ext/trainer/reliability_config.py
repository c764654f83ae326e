"""Configuration of [`ReliabilityRewardTrainer`]."""

from dataclasses import dataclass, field

from .reward_config import PairwiseRewardConfig


RAPL_METHODS = ("beta", "p", "margin", "none")
RELIABILITY_KINDS = ("probability", "raw")
ON_BELOW_HALF = ("zero", "flip", "error")


@dataclass
class ReliabilityRewardConfig(PairwiseRewardConfig):
    r"""
    Configuration class for the [`ReliabilityRewardTrainer`].

    Has every field of [`PairwiseRewardConfig`], and these:

    Parameters:
        > Parameters that control the use of reliability

        rapl_method (`str`, *optional*, defaults to `"beta"`):
            `"beta"` scales the reward difference, `"p"` mixes the likelihood with chance, `"margin"` subtracts a
            margin, `"none"` is plain Bradley–Terry (useful with `min_reliability`).
        reliability_kind (`str`, *optional*, defaults to `"probability"`):
            `"probability"`: the column holds P(annotator is correct) and is converted to beta, p or margin. `"raw"`:
            the column is used as beta, p or margin as it is.
        on_below_half (`str`, *optional*, defaults to `"zero"`):
            What happens to pairs with P(correct) below one half: `"zero"` takes nothing from them, as in the paper;
            `"flip"` swaps chosen and rejected and believes the swapped label with 1 − P(correct); `"error"` refuses.
        constant_reliability (`float`, *optional*):
            Use this value for every training pair instead of the column: the constant baseline.
        min_reliability (`float`, *optional*):
            Drop training pairs whose reliability is below this threshold (hard filtering); the count is logged.
    """

    rapl_method: str = field(
        default="beta",
        metadata={"help": "How reliability enters the loss: `beta`, `p`, `margin` or `none`."},
    )
    reliability_kind: str = field(
        default="probability",
        metadata={"help": "`probability`: P(annotator is correct), converted. `raw`: used as it is."},
    )
    on_below_half: str = field(
        default="zero",
        metadata={"help": "Pairs with P(correct) below one half: `zero`, `flip` or `error`."},
    )
    constant_reliability: float | None = field(
        default=None,
        metadata={"help": "Use this value for every training pair instead of the column."},
    )
    min_reliability: float | None = field(
        default=None,
        metadata={"help": "Drop training pairs whose reliability is below this threshold."},
    )

    def __post_init__(self):
        super().__post_init__()
        for name, allowed in (
            ("rapl_method", RAPL_METHODS),
            ("reliability_kind", RELIABILITY_KINDS),
            ("on_below_half", ON_BELOW_HALF),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name in ("constant_reliability", "min_reliability"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise TypeError(f"`{name}` must be a number, got {value!r}")
        if self.reliability_kind == "probability" and self.constant_reliability is not None:
            if not 0 <= self.constant_reliability <= 1:
                raise ValueError(
                    f"`constant_reliability` must be in [0, 1], got {self.constant_reliability}. If it is a raw beta, "
                    "set `reliability_kind='raw'`."
                )
        if self.constant_reliability is not None and self.min_reliability is not None:
            raise ValueError("`constant_reliability` ignores the column that `min_reliability` filters by: set one")
        if self.reliability_kind == "raw" and self.on_below_half != "zero":
            raise ValueError("`on_below_half` needs P(correct): it contradicts `reliability_kind='raw'`")
