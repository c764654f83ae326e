"""Tests of whether two systems differ on the same rows, and the smallest difference that they would find."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def mcnemar_p_values(only_a: ArrayLike, only_b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    r"""
    McNemar's exact test and its mid-p form, two-sided: is \( b \) of \( b + c \) discordant pairs more, or fewer, than
    half? Works on arrays, for simulations.

    The exact test never rejects a true null more often than its level, at the price of doing so much less often; mid-p
    counts the observed outcome half and keeps close to the level.

    References:
        - McNemar, Note on the Sampling Error of the Difference between Correlated Proportions or Percentages, 1947.
        - Fagerland, Lydersen and Laake, The McNemar Test for Binary Matched-Pairs Data: Mid-p and Asymptotic are Better
          than Exact Conditional, 2013.

    Args:
        only_a (`array_like` of int):
            Rows that only the first system has right.
        only_b (`array_like` of int):
            Rows that only the second has right, same shape.

    Returns:
        `tuple[numpy.ndarray, numpy.ndarray]`: exact and mid-p values; 1 without discordant pairs.

    Example:
        ```python
        >>> exact, mid_p = mcnemar_p_values(9, 2)  # P(at most 2 of 11) = 67 / 2048, P(2) = 55 / 2048
        >>> round(float(exact), 6), round(float(mid_p), 6)
        (0.06543, 0.038574)
        ```
    """
    a, b = np.broadcast_arrays(np.asarray(only_a), np.asarray(only_b))
    for name, counts in (("only_a", a), ("only_b", b)):
        if not (np.issubdtype(counts.dtype, np.integer) and (counts >= 0).all()):
            raise ValueError(f"{name} must hold whole numbers of at least 0, got {counts}")
    fewer = np.minimum(a, b)
    below, at = stats.binom.cdf(fewer, a + b, 0.5), stats.binom.pmf(fewer, a + b, 0.5)
    return np.minimum(2 * below, 1.0), np.minimum(2 * below - at, 1.0)


def sign_flip_p_value(contributions: ArrayLike, *, permutations: int = 9999, seed: int = 0) -> float:
    r"""
    Permutation test of a sum being 0: if the two systems are exchangeable, every cluster's difference could as well have
    had the other sign.

    Two-sided mid-p: sums larger in size than the observed one, and half of those equal to it. The observed signs count
    as one permutation, so that the smallest p-value is ½ / (permutations + 1).

    References:
        - Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005, section 3.2.
        - Phipson and Smyth, Permutation P-values Should Never Be Zero, 2010.

    Args:
        contributions (`array_like` of shape `(G,)`):
            What every cluster adds to the difference: its sum of differences, times the weight of its rows.
        permutations (`int`, *optional*, defaults to `9999`):
            Number of random signs.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Returns:
        `float`: p-value; 1 if all contributions are 0.

    Example:
        ```python
        >>> p = sign_flip_p_value([1.0] * 9 + [-1.0] * 2)
        >>> abs(p - float(mcnemar_p_values(9, 2)[1])) < 0.005
        True
        ```
    """
    contributions = np.asarray(contributions, dtype=np.float64)
    if contributions.ndim != 1 or not contributions.size or not np.isfinite(contributions).all():
        raise ValueError(f"contributions must be finite, of shape (G,) with G > 0, got shape {contributions.shape}")
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, got {permutations}")
    largest = np.abs(contributions).max()
    if largest == 0:
        return 1.0
    # Contributions of one size are a binomial number of pluses: right and wrong rows have one size per stratum
    sizes, counts = np.unique(np.round(np.abs(contributions) / largest, 12), return_counts=True)
    sizes, counts = sizes[sizes > 0], counts[sizes > 0]
    single = len(sizes) > counts.sum() / 4
    if single:  # a binomial of one draw is forty times slower than a random bit
        sizes, counts = np.repeat(sizes, counts), np.ones(counts.sum())
    observed = abs(contributions.sum()) / largest
    rng = np.random.default_rng([seed, 83])
    batch = max(1, 2_000_000 // len(sizes))  # 16 MB of draws at a time
    larger = equal = 0
    for start in range(0, permutations, batch):
        shape = (min(batch, permutations - start), len(sizes))
        pluses = rng.integers(0, 2, shape, dtype=np.int8) if single else rng.binomial(counts, 0.5, shape)
        sums = np.abs(2 * (pluses @ sizes) - counts @ sizes)
        tie = np.abs(sums - observed) <= 1e-9 * counts.sum()
        larger += int(np.sum((sums > observed) & ~tie))
        equal += int(np.sum(tie))
    return (larger + 0.5 * (equal + 1)) / (permutations + 1)


def minimum_detectable_effect(
    null_variance: float, effective_rows: float, *, level: float = 0.95, power: float = 0.8
) -> float:
    r"""
    Smallest true difference that a two-sided test of level \( \alpha \) = 1 − `level` finds with the given power.

    \( \delta = z_{1-\alpha/2} \sqrt{V_0} + z_{power} \sqrt{V_0 - \delta^2 / n} \), solved for \( \delta \), where
    \( V_0 \) is the variance of the estimated difference if there is none, and n the number of rows. For n pairs of which
    a share \( \psi \) is discordant, \( V_0 = \psi / n \), and this is Connor's sample size formula turned round.

    A difference can't exceed the discordance. Where few pairs are discordant, the systems must first disagree more before
    they can be told apart: \( V_0 \) is taken as at least \( (z_{1-\alpha/2} + z_{power})^2 / n^2 \), which is 7.85
    discordant pairs at 95 % and power .8.

    References:
        - Connor, Sample Size for Testing Differences in Proportions for the Paired-Sample Design, 1987.

    Args:
        null_variance (`float`):
            \( V_0 \).
        effective_rows (`float`):
            n; with weights \( 1 / \sum_h w_h^2 / n_h \).
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level of the test.
        power (`float`, *optional*, defaults to `0.8`):
            Probability of finding the difference, above ½.

    Returns:
        `float`: in the unit of the difference; `nan` if even the largest difference, 1, would not be found.

    Example:
        ```python
        >>> round(minimum_detectable_effect(0.1 / 1000, 1000), 4)  # 1000 pairs, 10 % of them discordant
        0.028
        ```
    """
    if not 0.5 < power < 1:
        raise ValueError(f"power must lie strictly between 0.5 and 1, got {power}")
    if not (null_variance >= 0 and effective_rows > 0):
        raise ValueError(
            f"null_variance must be at least 0 and effective_rows above 0, got {null_variance}, {effective_rows}"
        )
    z, z_power = stats.norm.ppf([(1 + level) / 2, power])
    variance = max(null_variance, ((z + z_power) / effective_rows) ** 2)
    a = 1 + z_power**2 / effective_rows
    discriminant = z_power**2 * variance * (1 - (z**2 - z_power**2) / effective_rows)
    effect = (z * np.sqrt(variance) + np.sqrt(max(discriminant, 0.0))) / a
    return float(effect) if effect <= 1 else np.nan
