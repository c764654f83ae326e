"""Pairs that a curve of preference is fitted to: checked, and refused where they have no finite solution."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...data.checks import shorten
from .calibration import RewardCalibration
from .checks import as_finite, as_rewards
from .preference_curve import PREFERENCE_METHODS
from .preference_likelihood import LikelihoodFit


MIN_PAIRS = {"temperature": 10, "platt": 10, "lapse": 10, "isotonic": 50}
# Log-odds beyond which a fit has run away: no data of these sizes speak of such odds
_LARGEST_LOGIT = 50.0
_RANGE = (1e-100, 1e100)


@dataclass(frozen=True)
class PreferencePairs:
    """
    Checked pairs.

    Args:
        differences (`np.ndarray` of shape `(N,)`): Of rewards, first minus second, after the corrections of `base`.
        labels (`np.ndarray` of shape `(N,)`): P(first is preferred), as reported.
        weights (`np.ndarray` of shape `(N,)`): At least 0.
        codes (`np.ndarray` of shape `(N,)`): Number of the cluster of every pair.
        sources (`tuple` of two sequences or `None`): Of first and second.
        sha256 (`str`): Of all of these.
    """

    differences: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    codes: np.ndarray
    sources: tuple[Sequence[str], Sequence[str]] | None
    sha256: str

    def __len__(self) -> int:
        return self.differences.size

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return int(self.codes.max()) + 1

    @property
    def effective_n(self) -> float:
        """Kish's effective number of pairs under the weights."""
        return float(self.weights.sum() ** 2 / np.sum(self.weights**2))


def check_options(method, base, labels, fit_offsets: bool, presentation_order: bool, eta, level: float) -> None:
    """Raise an error on options that make no sense, alone or together."""
    if method not in PREFERENCE_METHODS:
        raise ValueError(f"`method` must be one of {', '.join(map(repr, PREFERENCE_METHODS))}, got {method!r}")
    if base is not None and not isinstance(base, RewardCalibration):
        raise TypeError(f"`base` must be a RewardCalibration, got {type(base).__name__}")
    if base is not None and base.preference is not None:
        raise ValueError("`base` has a curve of preference already: give its offsets and its curve of length alone")
    if fit_offsets and base is not None and base.source_offsets is not None:
        raise ValueError("`base` has offsets already: fit_offsets=False keeps them, or remove them to fit new ones")
    if presentation_order and labels is None:
        raise ValueError(
            "`presentation_order` needs `labels`: of chosen and rejected, the order is the label's and says nothing of places"
        )
    if presentation_order and method != "platt":
        raise ValueError(f'`presentation_order` is for method="platt", which has an intercept; got method={method!r}')
    if eta is not None and method != "lapse":
        raise ValueError(f'`eta` is for method="lapse"; got method={method!r}')
    if eta is not None and not 0 < eta <= 1:
        raise ValueError(f"`eta` must be above 0 and at most 1, got {eta!r}")
    if not 0 < level < 1:
        raise ValueError(f"`level` must be in (0, 1), got {level!r}")


def as_pairs(
    rewards_chosen: ArrayLike,
    rewards_rejected: ArrayLike,
    labels: ArrayLike | None,
    base: RewardCalibration | None,
    sources_chosen: Sequence[str] | None,
    sources_rejected: Sequence[str] | None,
    lengths_chosen: ArrayLike | None,
    lengths_rejected: ArrayLike | None,
    weights: ArrayLike | None,
    clusters: Sequence[Any] | None,
    method: str,
) -> PreferencePairs:
    """Arguments of [`fit_preference_calibration`] as arrays, `base` applied; pairs of weight 0 are left out."""
    chosen, rejected = as_rewards(rewards_chosen), as_rewards(rewards_rejected)
    if chosen.shape != rejected.shape:
        raise ValueError(f"there must be as many chosen as rejected rewards, got {chosen.size} and {rejected.size}")
    n = chosen.size
    for name, side in (("sources_chosen", sources_chosen), ("sources_rejected", sources_rejected)):
        if side is not None and (isinstance(side, str) or len(side) != n):
            raise ValueError(f"`{name}` must have one entry for each of the {n} pairs, got {shorten(side)}")
    if base is not None:
        chosen = base.apply(chosen, sources_chosen, lengths_chosen)
        rejected = base.apply(rejected, sources_rejected, lengths_rejected)
    y = np.ones(n) if labels is None else _column(labels, "labels", n, 0.0, 1.0)
    w = np.ones(n) if weights is None else _column(weights, "weights", n, 0.0, np.inf)
    if clusters is None:
        codes = np.arange(n)
    elif isinstance(clusters, str) or len(clusters) != n:
        raise ValueError(f"`clusters` must have one entry for each of the {n} pairs")
    else:
        codes = np.unique(list(map(str, clusters)), return_inverse=True)[1]
    sources = None
    if sources_chosen is not None and sources_rejected is not None:
        sources = (list(sources_chosen), list(sources_rejected))
    kept = w > 0
    if kept.sum() < MIN_PAIRS[method]:
        raise ValueError(
            f"method={method!r} needs at least {MIN_PAIRS[method]} pairs (with weight above 0), got {int(kept.sum())}"
        )
    differences = (chosen - rejected)[kept]
    largest = np.abs(differences).max()
    if largest and not _RANGE[0] < largest < _RANGE[1]:
        raise ValueError(
            f"the largest reward difference is {largest:.3g}: such numbers can't be squared. Divide or multiply all rewards."
        )
    digest = hashlib.sha256(np.stack([differences, y[kept], w[kept]]).tobytes())
    return PreferencePairs(
        differences,
        y[kept],
        w[kept],
        np.unique(codes[kept], return_inverse=True)[1],
        sources and tuple([name for name, keep in zip(side, kept, strict=True) if keep] for side in sources),
        digest.hexdigest(),
    )


def _column(values: ArrayLike, name: str, n: int, low: float, high: float) -> np.ndarray:
    array = as_finite(values, name)
    if array.shape != (n,):
        raise ValueError(f"`{name}` must have shape ({n},) as the rewards, got {array.shape}")
    bad = np.flatnonzero((array < low) | (array > high))
    if bad.size:
        rule = "in [0, 1]" if high == 1 else "at least 0"
        raise ValueError(
            f"`{name}` must be {rule}; {bad.size} values are not, first: row {bad[0]}, value {array[bad[0]]:g}"
        )
    return array


def source_columns(pairs: PreferencePairs) -> tuple[list[str], np.ndarray]:
    """
    Names of K sources, and columns `(N, K − 1)` whose coefficients are offsets of all but the last, which has minus their
    sum.

    Raises:
        ValueError: A source is missing, or sources are not connected by pairs, so that offsets can't be compared.
    """
    if pairs.sources is None:
        raise ValueError("`fit_offsets` needs `sources_chosen` and `sources_rejected`")
    for side, name in zip(pairs.sources, ("sources_chosen", "sources_rejected"), strict=True):
        bad = [row for row, source in enumerate(side) if not isinstance(source, str) or not source]
        if bad:
            raise ValueError(f"`{name}`: {len(bad)} pairs have no source; first: row {bad[0]}, value {side[bad[0]]!r}")
    names = [str(name) for name in sorted({*pairs.sources[0], *pairs.sources[1]})]
    number = {name: position for position, name in enumerate(names)}
    first, second = (np.array([number[source] for source in side]) for side in pairs.sources)
    parts, component = connected_components(
        coo_array((np.ones(len(pairs)), (first, second)), shape=(len(names), len(names))), directed=False
    )
    if len(names) < 2:
        raise ValueError(f"all responses are of one source, {names[0]!r}: there is no offset to fit")
    if parts > 1:
        groups = [
            shorten([name for name, own in zip(names, component, strict=True) if own == part]) for part in range(2)
        ]
        raise ValueError(
            f"offsets are compared through pairs, but no pair connects {groups[0]} with {groups[1]}: give pairs of both, or "
            "fit them apart"
        )
    indicator = np.zeros((len(pairs), len(names)))
    np.add.at(indicator, (np.arange(len(pairs)), first), 1.0)
    np.add.at(indicator, (np.arange(len(pairs)), second), -1.0)
    return names, indicator[:, :-1] - indicator[:, -1:]


def check_direction(pairs: PreferencePairs, alone: bool) -> None:
    """
    Raise a `ValueError` if differences say nothing: all are 0, or, where the curve is σ(d / T) and nothing else explains the
    labels, the log-loss falls as T grows.
    """
    if not pairs.differences.any():
        raise ValueError(f"all {len(pairs)} pairs are ties: the model gives both responses the same reward")
    if alone and np.sum(pairs.weights * (pairs.labels - 0.5) * pairs.differences) <= 0:
        raise ValueError(no_better_than_chance(pairs))


def no_better_than_chance(pairs: PreferencePairs) -> str:
    """The message. Large differences with the wrong sign can outweigh many that are right."""
    agreement = np.where(pairs.differences > 0, pairs.labels, 1 - pairs.labels)[pairs.differences != 0]
    if agreement.mean() > 0.5:
        farthest = pairs.differences[np.argmax(np.abs(pairs.differences))]
        return (
            f"the rewards agree with {agreement.mean():.1%} of the labels of these {len(pairs)} pairs, but where they do not, "
            f"differences are so large that no T > 0 beats probabilities of 1/2 (largest difference: {farthest:.3g}, median "
            f'size {np.median(np.abs(pairs.differences)):.3g}). Look at these pairs, or take method="isotonic", for which only '
            'the order of differences counts, or "lapse", for which sure mistakes are guesses.'
        )
    return (
        f"the rewards are no better than chance on these {len(pairs)} pairs (they agree with {agreement.mean():.1%} of the "
        "labels): the best T is infinite, every probability 1/2. Calibration can't repair that: train the model, or check "
        "that chosen and rejected are not exchanged."
    )


def check_separation(pairs: PreferencePairs, method: str, eta: float | None) -> None:
    """Raise a `ValueError` if no label contradicts the sign of the difference: the log-loss falls as T goes to 0."""
    against = np.where(pairs.differences > 0, 1 - pairs.labels, pairs.labels) * (pairs.differences != 0)
    if not against.any():
        extra = "" if method != "lapse" or eta == 1 else " (no guess shows in them)"
        raise ValueError(
            f"the rewards order all {len(pairs)} pairs as they are labelled{extra}: the best T is 0, every probability 0 or 1, "
            "which no finite number of pairs shows. Give more pairs, that the model was not trained on."
        )


def check_solution(fit: LikelihoodFit, pairs: PreferencePairs, names: Sequence[str]) -> None:
    """Raise a `ValueError` if the fit has run away, or a larger difference goes with fewer preferences."""
    typical = np.median(np.abs(fit.logits)) if not names else np.abs(fit.logits).max()
    if not np.isfinite(fit.coefficients).all() or typical > _LARGEST_LOGIT:
        why = (
            f"some of the sources {shorten(list(names))} are preferred in all of their pairs, or in none: their offsets would "
            "be infinite. Leave them out, or give more pairs of them."
            if names
            else "the sign of the reward difference alone explains the labels: the best T is 0. Give more pairs, or take "
            'method="isotonic".'
        )
        raise ValueError(f"the likelihood has no finite maximum: {why}")
    if fit.coefficients[0] <= 0:
        raise ValueError(no_better_than_chance(pairs))
