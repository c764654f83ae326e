"""One form of result for every figure: a value and how far to trust it."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """
    A figure and how far to trust it.

    Args:
        value (`float`):
            The estimate, in the unit of the data.
        se (`float`):
            Standard error, same unit; `nan` where the data can't tell (a single row or cluster).
        ci_low (`float`):
            Lower end of the confidence interval; `-inf` when the data put no bound on it, `nan` when unknown.
        ci_high (`float`):
            Upper end, likewise.
        n (`int`):
            Number of rows the value was computed from (not clusters: those are in `method`).
        method (`str`):
            How `se` and the interval were obtained, with level and number of clusters.
    """

    value: float
    se: float
    ci_low: float
    ci_high: float
    n: int
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON. Python's `json` writes `nan` and `inf` as `NaN` and `Infinity`."""
        return asdict(self)
