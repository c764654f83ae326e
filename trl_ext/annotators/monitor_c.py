"""The c of a monitor: what turns agreements into commitment, and where it is known from."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..evaluation.statistics import Estimate
from ._checks import positive_c
from .checks_table import Checks
from .estimation import estimate_c
from .model import expert_c_items, self_consistency_c


@dataclass(frozen=True)
class MonitorC:
    """
    The c of a monitor.

    Args:
        c (`float`):
            Its value; with items their mean.
        source (`str`):
            Where it comes from.
        estimate ([`~trl_ext.evaluation.Estimate`], *optional*):
            With its interval, if it was estimated.
        items (`np.ndarray` of shape `(N,)`, *optional*):
            c of every check, if known.
    """

    c: float
    source: str
    estimate: Estimate | None = None
    items: np.ndarray | None = None


def c_from_trusted(
    checks: Checks, trusted: Sequence[Hashable], eta: float, level: float, method: str, chance: float
) -> MonitorC:
    """c from the checks of annotators of known commitment."""
    unknown = [annotator for annotator in trusted if annotator not in checks.counts.index]
    if unknown or isinstance(trusted, str):
        raise ValueError(f"trusted must be a list of annotator ids; not in the table: {unknown or trusted!r}")
    own = checks.checks["annotator_id"].isin(trusted)
    if not own.any():
        raise ValueError(f"trusted annotators {list(trusted)} have no checks")
    agreements = int(checks.checks["agree"][own].sum())
    found = estimate_c(agreements, int(own.sum()), eta, level, method=method, chance=chance)
    if found.value <= 0:
        raise ValueError(f"trusted annotators agree in {agreements} of {found.n} checks, no more than guesses do")
    return MonitorC(found.value, f"{found.n} checks of trusted annotators", found)


def c_from_delta(delta: float, delta_convention: str, chance: float) -> MonitorC:
    """c of the self-consistency monitor."""
    c = positive_c(self_consistency_c(delta, delta_convention, chance))
    return MonitorC(c, f"delta {delta:g}, {delta_convention}")


def c_from_items(checks: Checks, expert: float | Literal["p"], chance: float) -> MonitorC:
    """c of every check by an expert, from the true probabilities of the items."""
    if "p" not in checks.checks:
        raise ValueError(
            "the expert monitor needs to know how often a committed annotator would agree with the expert: give c (twice "
            "that share, minus 1), a column 'p' with the true probabilities of the items, or trusted annotators"
        )
    if chance != 0.5:
        raise ValueError("column 'p' needs labels of two kinds; give c instead")
    items = expert_c_items(checks.checks["p"], expert)
    return MonitorC(positive_c(float(items.mean())), "probabilities of the items", items=items)
