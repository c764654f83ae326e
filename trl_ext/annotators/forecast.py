"""How many more checks annotators need; infinitely many where no number that can be planned is enough."""

import functools
import math

import numpy as np
import pandas as pd

from .planning import MAX_CHECKS, TooManyChecksError, plan_sample_size


def checks_for_decision(eta0: float, eta1: float, c: float, alpha: float, beta: float, chance: float) -> float:
    """Checks that tell eta1 from eta0, a whole number or `inf`."""
    return _number(c, eta0=eta0, eta1=eta1, alpha=alpha, beta=beta, chance=chance)


def missing_for_width(
    frame: pd.DataFrame, c: float, half_width: float, level: float, method: str, chance: float
) -> np.ndarray:
    """Checks that each annotator lacks for an interval of the half width."""
    # to two decimals towards 0, where more is needed; somebody without checks may be anybody
    etas = np.floor(frame["eta"].fillna(0).clip(0, 1) * 100) / 100
    needed = [_number(c, half_width=half_width, eta=eta, level=level, method=method, chance=chance) for eta in etas]
    return np.maximum(np.array(needed) - frame["n_checks"], 0)


def forecast_messages(frame: pd.DataFrame, needed: float) -> list[str]:
    """What could not be forecast."""
    messages = []
    if math.isinf(needed):
        messages.append(
            f"more_checks_decision is infinite: more than {MAX_CHECKS:,} checks would be needed; choose eta0 and eta1 "
            "further apart"
        )
    if endless := int(np.isinf(frame["more_checks_half_width"]).sum()):
        messages.append(
            f"more_checks_half_width is infinite for {endless} annotators: more than {MAX_CHECKS:,} checks would be "
            "needed; choose a larger half_width"
        )
    return messages


@functools.lru_cache(maxsize=4096)
def _number(c: float, **promise) -> float:
    try:
        return plan_sample_size(c, **promise).n
    except TooManyChecksError:
        return math.inf
