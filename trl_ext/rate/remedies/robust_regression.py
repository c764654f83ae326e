"""Least squares with standard errors that hold for unequal variances and for clusters, and what each row adds."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ...evaluation.statistics import Estimate, cluster_codes


# Directions of the coefficients are orthonormal below, so that this is relative to 1
_UNDETERMINED = 1e-6


@dataclass(frozen=True)
class Regression:
    """
    Coefficients of a linear regression.

    Args:
        values (`np.ndarray` of shape `(K,)`): Coefficients, NaN where the data do not determine one.
        influence (`np.ndarray` of shape `(N, K)`): What every row adds to the error of a coefficient, scaled so that the
            sum over clusters of squared sums is its squared standard error.
        codes (`np.ndarray` of shape `(N,)`): Cluster of every row, from 0.
        degrees (`float`): Degrees of freedom of t.
        method (`str`): How errors were obtained.
    """

    values: np.ndarray
    influence: np.ndarray
    codes: np.ndarray
    degrees: float
    method: str

    def estimate(self, value: float, influence: np.ndarray, level: float, what: str = "") -> Estimate:
        """t interval of a figure with this influence `(N,)`."""
        method = f"{what}{self.method}, {level:g} level)"
        if self.degrees < 1:
            return Estimate(float(value), np.nan, np.nan, np.nan, len(influence), method)
        se = float(np.sqrt(np.sum(np.bincount(self.codes, weights=influence) ** 2)))
        half = se * float(stats.t.ppf((1 + level) / 2, self.degrees))
        return Estimate(float(value), se, float(value - half), float(value + half), len(influence), method)

    def coefficient(self, k: int, level: float) -> Estimate | None:
        """Coefficient of a column; `None` if it is not determined."""
        return None if np.isnan(self.values[k]) else self.estimate(self.values[k], self.influence[:, k], level)


def regress(outcome: np.ndarray, design: np.ndarray, clusters: np.ndarray | None) -> Regression:
    r"""
    Least squares with HC1 errors, \( \frac{N}{N-K} \sum_i e_i^2 x_i x_i^\top \) in the middle of the sandwich, and t with
    N−K degrees of freedom; with clusters CR1, \( \frac{G}{G-1}\frac{N-1}{N-K} \), and t with G−1.

    Columns that are combinations of others have no coefficient, and neither have those that they are combinations of; the
    rest are those of the regression without the superfluous columns. (statsmodels gives such coefficients a value, and no
    influence of rows.)

    References:
        - MacKinnon and White, Some Heteroskedasticity-Consistent Covariance Matrix Estimators, 1985 (HC1).
        - Cameron and Miller, A Practitioner's Guide to Cluster-Robust Inference, 2015 (CR1).

    Args:
        outcome (`np.ndarray` of shape `(N,)`): Finite numbers.
        design (`np.ndarray` of shape `(N, K)`): Finite numbers.
        clusters (`np.ndarray` of shape `(N,)`, *optional*): Label of the cluster of every row.

    Returns:
        [`Regression`]
    """
    n = len(outcome)
    lengths = np.sqrt((design**2).sum(axis=0))
    scaled = design / np.where(lengths > 0, lengths, 1.0)
    # singular values and directions of the design from the small triangle of its QR decomposition
    _, scale, directions = np.linalg.svd(np.linalg.qr(scaled, mode="r"), full_matrices=False)
    rank = int((scale > scale[0] * max(design.shape) * np.finfo(np.float64).eps).sum())
    kept = directions[:rank]
    solve = kept.T / scale[:rank]
    q = scaled @ solve
    determined = np.abs((kept**2).sum(axis=0) - 1) < _UNDETERMINED
    inside = q.T @ outcome
    residuals = outcome - q @ inside
    if clusters is None:
        codes, degrees = np.arange(n), float(n - rank)
        factor = n / (n - rank) if n > rank else np.nan
        method = "OLS, HC1 heteroscedasticity-robust t interval ("
    else:
        codes, units = cluster_codes(clusters, n)
        degrees = float(units - 1) if n > rank else 0.0
        factor = units / (units - 1) * (n - 1) / (n - rank) if units > 1 and n > rank else np.nan
        method = f"OLS, CR1 cluster-robust t interval ({units} clusters, "
    method += f"{degrees:g} degrees of freedom"
    to_coefficients = solve / np.where(lengths > 0, lengths, 1.0)[:, None]
    influence = (q @ to_coefficients.T) * (residuals * np.sqrt(factor))[:, None]
    return Regression(np.where(determined, to_coefficients @ inside, np.nan), influence, codes, degrees, method)
