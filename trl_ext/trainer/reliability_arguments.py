"""Arguments that say how reliability enters a pairwise loss, for every trainer that has one."""

from dataclasses import dataclass, field


RAPL_METHODS = ("beta", "p", "margin", "smoothing", "backward", "none")
RELIABILITY_KINDS = ("probability", "raw")
ON_BELOW_HALF = ("zero", "flip", "error")
MEAN = "mean"


@dataclass
class ReliabilityArguments:
    """Fields that [`ReliabilityRewardConfig`] and [`ReliabilityDPOConfig`] share; described there."""

    rapl_method: str = field(
        default="beta",
        metadata={
            "help": "How reliability enters the loss: `beta`, `p`, `margin`, `smoothing`, `backward` or `none`."
        },
    )
    reliability_kind: str = field(
        default="probability",
        metadata={"help": "`probability`: P(annotator is correct), converted. `raw`: used as it is."},
    )
    on_below_half: str = field(
        default="zero",
        metadata={"help": "Pairs with P(correct) below one half: `zero`, `flip` or `error`."},
    )
    constant_reliability: float | str | None = field(
        default=None,
        metadata={
            "help": "Use this value for every training pair instead of the column; `mean` is the mean of the column."
        },
    )
    min_reliability: float | None = field(
        default=None,
        metadata={"help": "Drop training pairs whose reliability is below this threshold."},
    )
    normalize_beta: bool = field(
        default=False,
        metadata={"help": "Divide beta by its mean over the training pairs."},
    )
    min_eta: float = field(
        default=0.01,
        metadata={"help": "Smallest eta = 2 P(correct) - 1 above 0 that `rapl_method='backward'` accepts."},
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
        self._check_numbers()
        if self.has_constant_number and self.min_reliability is not None:
            raise ValueError("`constant_reliability` ignores the column that `min_reliability` filters by: set one")
        if self.reliability_kind == "raw" and self.on_below_half != "zero":
            raise ValueError("`on_below_half` needs P(correct): it contradicts `reliability_kind='raw'`")
        if self.normalize_beta and self.rapl_method != "beta":
            raise ValueError(f"`normalize_beta` needs `rapl_method='beta'`, got {self.rapl_method!r}")

    @property
    def has_constant_number(self) -> bool:
        """Whether every training pair gets a number that is known without the column."""
        return self.constant_reliability is not None and self.constant_reliability != MEAN

    def _check_numbers(self) -> None:
        numbers = {"min_reliability": self.min_reliability, "min_eta": self.min_eta}
        if isinstance(self.constant_reliability, str):  # from a command line
            try:
                self.constant_reliability = float(self.constant_reliability)
            except ValueError:
                if self.constant_reliability != MEAN:
                    raise ValueError(
                        f"`constant_reliability` must be a number or {MEAN!r}, got {self.constant_reliability!r}"
                    ) from None
        if self.has_constant_number:
            numbers["constant_reliability"] = self.constant_reliability
        for name, value in numbers.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise TypeError(f"`{name}` must be a number, got {value!r}")
        if self.reliability_kind == "probability" and self.has_constant_number:
            if not 0 <= self.constant_reliability <= 1:
                raise ValueError(
                    f"`constant_reliability` must be in [0, 1], got {self.constant_reliability}. If it is a raw beta, "
                    "set `reliability_kind='raw'`."
                )
        if not 0 < self.min_eta <= 1:
            raise ValueError(f"`min_eta` must be in (0, 1], got {self.min_eta}")
