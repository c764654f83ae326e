"""Quantities of the original's plots of incentives and payments, by its formulas: for comparison."""

from scipy.stats import binom


INCENTIVE_STEP = 5e-7


def _check(monitor: str, mean_probability: float | None) -> None:
    if monitor not in ("self", "expert"):
        raise ValueError(f"monitor must be 'self' or 'expert', got {monitor!r}")
    if monitor == "expert" and mean_probability is None:
        raise ValueError("monitor 'expert' needs mean_probability, the mean of max(p, 1 - p) over the pairs")


def legacy_incentive(eta: float, n: int, *, monitor: str, mean_probability: float | None = None) -> float:
    r"""
    How fast the probability of passing grows with effort, by a forward difference of step 5e-7.

    The threshold is the expected number of agreements n·q(η) itself. The derivative is n·pmf(k; n−1, q)·c/2 with
    k = ⌊n·q⌋, see [`incentive`]: the difference is off by some 1e-6, and jumps where n·q is an integer.

    Args:
        eta (`float`):
            Effort, in [0, 1].
        n (`int`):
            Number of monitored samples.
        monitor (`str`):
            `"self"`, without errors (δ = 0), or `"expert"`, who is always right.
        mean_probability (`float`, *optional*):
            Mean of max(p, 1 − p); for the expert.

    Returns:
        `float`

    Raises:
        ValueError: An unknown monitor, or an expert without `mean_probability`.

    Example:
        ```python
        >>> from trl_ext.annotators.contracts.legacy_curves import legacy_incentive
        >>> round(legacy_incentive(0.9, 10, monitor="self"), 4)
        3.1513

        ```
    """
    _check(monitor, mean_probability)

    def agreement(effort: float) -> float:
        return (1 + effort) / 2 if monitor == "self" else effort * mean_probability + (1 - effort) / 2

    threshold = n * agreement(eta)
    fail, fail_less = (binom.cdf(threshold, n, agreement(effort)) for effort in (eta, eta + INCENTIVE_STEP))
    return float((fail - fail_less) / INCENTIVE_STEP)


def legacy_decision_mean(eta: float, *, monitor: str, mean_probability: float | None = None) -> float:
    """
    Agreement probability in the original's payment plots.

    Two answers to one question agree with probability (1 + η²)/2 if effort is drawn for each of them. Everywhere else
    the original draws it once for both, (1 + η)/2.

    Args:
        eta (`float`):
            Effort, in [0, 1].
        monitor (`str`):
            `"self"` or `"expert"`.
        mean_probability (`float`, *optional*):
            Mean of max(p, 1 − p); for the expert.

    Returns:
        `float`

    Raises:
        ValueError: An unknown monitor, or an expert without `mean_probability`.

    Example:
        ```python
        >>> from trl_ext.annotators.contracts.legacy_curves import legacy_decision_mean
        >>> legacy_decision_mean(0.5, monitor="self")
        0.625

        ```
    """
    _check(monitor, mean_probability)
    return (1 + eta**2) / 2 if monitor == "self" else eta * mean_probability + (1 - eta) / 2
