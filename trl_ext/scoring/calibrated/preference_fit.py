"""Fit of probabilities to reward differences of held-out pairs, with offsets of sources where they are asked for."""

import dataclasses
import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
import sklearn
from numpy.typing import ArrayLike
from scipy.stats import t as student_t
from sklearn.isotonic import IsotonicRegression

from ...evaluation import Estimate
from ...version import __version__
from .calibration import RewardCalibration
from .preference_checks import (
    PreferencePairs,
    as_pairs,
    check_direction,
    check_options,
    check_separation,
    check_solution,
    source_columns,
)
from .preference_curve import PreferenceCurve
from .preference_likelihood import LikelihoodFit, fit_likelihood


logger = logging.getLogger(__name__)


def fit_preference_calibration(
    rewards_chosen: ArrayLike,
    rewards_rejected: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    method: str = "temperature",
    base: RewardCalibration | None = None,
    fit_offsets: bool = False,
    sources_chosen: Sequence[str] | None = None,
    sources_rejected: Sequence[str] | None = None,
    lengths_chosen: ArrayLike | None = None,
    lengths_rejected: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    clusters: Sequence[Any] | None = None,
    presentation_order: bool = False,
    eta: float | None = None,
    level: float = 0.95,
    description: str | None = None,
) -> RewardCalibration:
    r"""
    Fit P(the first response is preferred) to reward differences of pairs that the model was **not** trained on.

    Of chosen and rejected, which is first is a matter of the label, so every pair counts in both orders and the curve is
    antisymmetric: exchanging the responses and 1 − label gives the same fit. Only with `presentation_order=True` and
    labels does the order mean something, and `"platt"` then estimates the advantage b of the first place; otherwise b = 0
    and `"platt"` is `"temperature"` without its division of rewards.

    - `"temperature"`, `"platt"`, `"lapse"`: maximum likelihood; standard errors from the sandwich of expected information
      and the scores of clusters, t intervals with G − 1 degrees of freedom (of T: the ends of 1/T inverted). They allow for
      what pairs of a cluster share, and take the form of the curve for right.
    - `"isotonic"`: regression of both orders; half a wrong pair of mean weight is added at the largest |d|, so that the ends
      stay within (0, 1) and the log-loss finite: k right pairs at the end give (k) / (k + 1/2). It has no standard errors.
    - offsets: Bradley–Terry, logit = d/T + γ_a − γ_b jointly with T, sum zero; stored as T·γ, in units of the reward.

    References:
        - See [`PreferenceCurve`]; Bradley and Terry, Rank Analysis of Incomplete Block Designs, 1952, for the offsets.
        - White, Maximum Likelihood Estimation of Misspecified Models, 1982, for the sandwich.

    Args:
        rewards_chosen, rewards_rejected (`array_like` of shape `(N,)`):
            Raw rewards of the first and second responses.
        labels (`array_like` of shape `(N,)`, *optional*):
            P(the first is preferred) in [0, 1], as reported; all 1 by default.
        method (`str`, *optional*, defaults to `"temperature"`):
            `"temperature"`, `"platt"`, `"isotonic"` or `"lapse"`.
        base ([`RewardCalibration`], *optional*):
            Curve of length or offsets that are applied first and kept, as of [`fit_length_calibration`].
        fit_offsets (`bool`, *optional*, defaults to `False`):
            Fit an offset per source too. Needs both sources of every pair, and pairs that connect all sources.
        sources_chosen, sources_rejected (`Sequence[str]` of length N, *optional*):
            Models that wrote the responses.
        lengths_chosen, lengths_rejected (`array_like` of shape `(N,)`, *optional*):
            Lengths, for a curve of length in `base`.
        weights (`array_like` of shape `(N,)`, *optional*):
            Weights of pairs, at least 0.
        clusters (`Sequence` of length N, *optional*):
            What pairs share, such as their prompt, for standard errors.
        presentation_order (`bool`, *optional*, defaults to `False`):
            The first response is the one that the annotator saw first; needs labels.
        eta (`float`, *optional*):
            η of `"lapse"`, in (0, 1], where it is known, as from monitoring; estimated otherwise.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        description (`str`, *optional*):
            Of the data, for the record.

    Returns:
        [`RewardCalibration`]: With a curve of preference, and in `provenance["preference"]` how it was fitted: parameters
        with intervals, numbers of pairs and clusters, hash of the data.

    Raises:
        ValueError: Pairs are too few (10; 50 for `"isotonic"`), all differences are 0, rewards are no better than chance
            (T would be infinite), they order all pairs as labelled (T would be 0), sources are not connected, or an
            argument is wrong.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.scoring.calibrated import fit_preference_calibration
        >>> # 30 of 40 right at a difference of 3: sigma(3 / T) = 0.75, T = 3 / log 3 = 2.73
        >>> chosen = np.where(np.arange(40) < 30, 3.0, -3.0)
        >>> calibration = fit_preference_calibration(chosen, np.zeros(40))
        >>> round(calibration.preference.temperature, 2), calibration.apply([3.0]).round(3)
        (2.73, array([1.099]))

        ```
    """
    check_options(method, base, labels, fit_offsets, presentation_order, eta, level)
    pairs = as_pairs(
        rewards_chosen, rewards_rejected, labels, base, sources_chosen, sources_rejected, lengths_chosen, lengths_rejected,
        weights, clusters, method,
    )  # fmt: skip
    names, by_source = source_columns(pairs) if fit_offsets else ([], None)
    ordered = presentation_order and method == "platt"
    check_direction(pairs, alone=method in ("temperature", "platt") and not (fit_offsets or ordered))
    columns = [pairs.differences]
    if not (fit_offsets or ordered) and method != "isotonic":
        check_separation(pairs, method, eta)
    columns += [] if by_source is None else list(by_source.T)
    columns += [np.ones(len(pairs))] if ordered else []

    known = eta if method == "lapse" else 1.0
    interval = student_t.ppf((1 + level) / 2, max(pairs.clusters - 1, 1))
    fit, parameters, offsets = None, {}, None
    differences = pairs.differences
    if method != "isotonic" or fit_offsets:
        fit = fit_likelihood(np.stack(columns, axis=1), pairs.labels, pairs.weights, pairs.codes, known)
        check_solution(fit, pairs, names)
        parameters = _parameters(fit, pairs, method, ordered, eta, interval, level)
    if fit_offsets:
        offsets, table = _offsets(fit, names, len(pairs), interval, level)
        parameters["offsets"] = table
        differences = differences + by_source @ fit.coefficients[1 : len(names)] / fit.coefficients[0]
    if method == "isotonic":
        parameters.pop("temperature", None)
        curve = _isotonic(differences, pairs)
        parameters["knots"] = len(curve.differences)
    else:
        curve = PreferenceCurve(
            method,
            temperature=float(1 / fit.coefficients[0]),
            intercept=float(fit.coefficients[-1]) if ordered else 0.0,
            eta=fit.eta if method == "lapse" else 1.0,
        )
    record = {
        **{"method": method, "n": len(pairs), "ties": int(np.sum(pairs.differences == 0)), "clusters": pairs.clusters},
        "weights": None if weights is None else {"sum": float(pairs.weights.sum()), "effective_n": pairs.effective_n},
        "labels": _labels_text(labels, ordered),
        "parameters": parameters,
        **{"level": level, "description": description, "data_sha256": pairs.sha256},
        "versions": {
            **{"trl_ext": __version__, "scipy": scipy.__version__},
            **{"scikit-learn": sklearn.__version__, "numpy": np.__version__},
        },
    }
    base = RewardCalibration(preference=curve) if base is None else base
    return dataclasses.replace(
        base,
        preference=curve,
        provenance=base.provenance | {"preference": record},
        **({} if offsets is None else {"source_offsets": offsets, "gauge": "sum_zero"}),
    )


def _labels_text(labels: ArrayLike | None, ordered: bool) -> str:
    if ordered:
        return "as reported, in the order of presentation"
    which = "chosen is preferred" if labels is None else "as reported"
    return (
        f"{which}; every pair counts in both orders, so that the advantage of the first place is 0 and not estimated"
    )


def _estimate(value: float, se: float, low: float, high: float, n: int, method: str) -> dict[str, Any]:
    plain = Estimate(value, se, low, high, n, method).to_dict()
    # JSON has no infinities: an end without bound is spelled out
    return {key: str(x) if isinstance(x, float) and not math.isfinite(x) else x for key, x in plain.items()}


def _parameters(
    fit: LikelihoodFit,
    pairs: PreferencePairs,
    method: str,
    ordered: bool,
    eta: float | None,
    interval: float,
    level: float,
) -> dict[str, Any]:
    n, how = len(pairs), f"sandwich ({pairs.clusters} clusters, {level:g} level)"
    slope, se = float(fit.coefficients[0]), float(np.sqrt(fit.covariance[0, 0]))
    low, high = slope - interval * se, slope + interval * se
    ends = (1 / high, 1 / low if low > 0 else math.inf)
    parameters = {"temperature": _estimate(1 / slope, se / slope**2, *ends, n, how)}
    if ordered:
        b, se_b = float(fit.coefficients[-1]), float(np.sqrt(fit.covariance[len(fit.coefficients) - 1, -1]))
        parameters["intercept"] = _estimate(b, se_b, b - interval * se_b, b + interval * se_b, n, how)
    if method == "lapse":
        if eta is not None:
            parameters["eta"] = _estimate(eta, math.nan, math.nan, math.nan, n, "given")
        elif fit.covariance.shape[0] == len(fit.coefficients):
            logger.warning("lapse: the labels show no guesses (η = 1); the curve is that of a temperature.")
            parameters["eta"] = _estimate(1.0, math.nan, math.nan, math.nan, n, "at the end of its range")
        else:
            se_eta = float(np.sqrt(fit.covariance[-1, -1]))
            bounds = (max(fit.eta - interval * se_eta, 0.0), min(fit.eta + interval * se_eta, 1.0))
            parameters["eta"] = _estimate(fit.eta, se_eta, *bounds, n, f"{how}, cut to [0, 1]")
            if bounds[1] - bounds[0] > 0.5 or ends[1] == math.inf:
                logger.warning(
                    "lapse: η = %.2f [%.2f, %.2f] and T = %.3g are hardly told apart by these %d pairs (few large "
                    "differences, where only guesses contradict the model). Give `eta`, or take a temperature.",
                    *(fit.eta, *bounds, 1 / slope, n),
                )
    return parameters


def _offsets(
    fit: LikelihoodFit, names: list[str], n: int, interval: float, level: float
) -> tuple[dict[str, float], dict[str, Any]]:
    """Offsets in units of the reward by source, and their estimates; the last source has minus the sum of the others."""
    k = len(names) - 1
    gamma = fit.coefficients[1 : k + 1]
    gamma, slope = np.append(gamma, -gamma.sum()), fit.coefficients[0]
    # offset = γ / slope: derivatives by (slope, γ_1, …, γ_k)
    by_gamma = np.vstack([np.eye(k), -np.ones(k)]) / slope
    jacobian = np.column_stack([-gamma / slope**2, by_gamma])
    se = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, fit.covariance[: k + 1, : k + 1], jacobian))
    offsets = dict(zip(names, (gamma / slope).tolist(), strict=True))
    table = {
        name: _estimate(
            value, error, value - interval * error, value + interval * error, n, f"delta ({level:g} level)"
        )
        for (name, value), error in zip(offsets.items(), se.tolist(), strict=True)
    }
    return offsets, table


def _isotonic(differences: np.ndarray, pairs: PreferencePairs) -> PreferenceCurve:
    farthest, half = np.abs(differences).max(), pairs.weights.mean() / 2
    # both orders of every pair, and half a pair that contradicts the model where it is surest
    d = np.concatenate([differences, -differences, [farthest, -farthest]])
    y = np.concatenate([pairs.labels, 1 - pairs.labels, [0.0, 1.0]])
    w = np.concatenate([pairs.weights, pairs.weights, [half, half]])
    # of size 1, as differences below 1e-16 count as equal there
    model = IsotonicRegression(increasing=True).fit(d / farthest, y, sample_weight=w)
    right = model.X_thresholds_ > 0
    knots, values = model.X_thresholds_[right] * farthest, np.clip(model.y_thresholds_[right], 0.5, None)
    if values[-1] <= 0.5:
        raise ValueError(
            "isotonic: no rising function of the reward difference predicts these labels better than 1/2. The model is no "
            "better than chance on these pairs, or chosen and rejected are exchanged."
        )
    return PreferenceCurve("isotonic", differences=tuple(knots.tolist()), probabilities=tuple(values.tolist()))
