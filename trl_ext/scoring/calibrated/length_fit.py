"""The curve of length, fitted by locally weighted regression."""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import statsmodels
from numpy.typing import ArrayLike
from statsmodels.nonparametric.smoothers_lowess import lowess

from ...version import __version__
from .calibration import RewardCalibration
from .checks import as_lengths, as_rewards
from .length_curve import LengthCurve, check_scale, scaled_lengths
from .lengths import check_unit


logger = logging.getLogger(__name__)

# Between so many points over the range of lengths the curve is linear
_KNOTS = 201
_MIN_NEIGHBOURS = 3
# Of the alternation between the curve and the prompts' means, in standard deviations of the reward within prompts
_TOLERANCE = 1e-4
_MAX_ROUNDS = 50


def fit_length_calibration(
    rewards: ArrayLike,
    lengths: ArrayLike,
    *,
    unit: str,
    scale: str = "log",
    fraction: float = 2 / 3,
    iterations: int = 3,
    prompts: Sequence[Any] | None = None,
    description: str | None = None,
) -> RewardCalibration:
    r"""
    Fit what the length of a response alone lets expect of its reward, \( E[r \mid \text{length}] - E[r] \), by LOWESS.

    To remove it keeps the mean reward of the data, and differences between responses of equal length. Nothing tells bias
    from merit: if longer responses are better on this data, that goes too. With `prompts`, only differences between
    responses to the same prompt count, so that prompts which ask for long answers and get high rewards do not.

    References:
        - Post-hoc Reward Calibration: A Case Study on Length Bias, https://arxiv.org/abs/2409.17407 (locally weighted
          regression of the reward on the length).
        - Cleveland, Robust Locally Weighted Regression and Smoothing Scatterplots, JASA 74 (1979).

    Args:
        rewards (`array_like` of shape `(N,)`):
            Raw rewards of responses of the kind that is to be scored later.
        lengths (`array_like` of shape `(N,)`):
            Their lengths, at least 0, see [`response_lengths`].
        unit (`str`):
            In what they were measured: `"characters"`, `"words"` or `"tokens"`.
        scale (`str`, *optional*, defaults to `"log"`):
            Regress on log(1 + length), or on the length (`"linear"`).
        fraction (`float`, *optional*, defaults to `2/3`):
            Share of the data in each local regression, in (0, 1]. The more, the smoother.
        iterations (`int`, *optional*, defaults to `3`):
            Robust iterations, which give outliers less weight. With 0 the curve is that of the mean; with more, of the
            bulk of the rewards.
        prompts (`Sequence` of length N, *optional*):
            Identifier of the prompt of every response. The prompts' means are then fitted with the curve, in turn until
            both stay (a warning says if they don't); prompts with one response say nothing and are counted.
        description (`str`, *optional*):
            Of the data, for the record.

    Returns:
        [`RewardCalibration`]: With a curve, and in `provenance["length"]` how it was fitted.

    Raises:
        ValueError: A reward is not finite, a length negative, shapes differ, all lengths are equal, or a local regression
            would see one length only.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.scoring.calibrated import fit_length_calibration
        >>> lengths = np.arange(100)
        >>> calibration = fit_length_calibration(1 + 0.02 * lengths, lengths, unit="tokens", scale="linear")
        >>> calibration.apply([1.0, 2.0, 3.5], lengths=[0, 50, 99]).round(3)
        array([1.99, 1.99, 2.51])

        ```
    """
    rewards, lengths = as_rewards(rewards), as_lengths(lengths)
    check_unit(unit)
    check_scale(scale)
    _check_options(rewards, lengths, fraction, iterations)
    digest = hashlib.sha256(rewards.tobytes() + lengths.tobytes())
    codes = None
    facts: dict[str, Any] = {}
    if prompts is not None:
        used, codes, facts = _within_prompts(prompts, len(rewards))
        digest.update("\0".join(map(str, prompts)).encode())
        rewards, lengths = rewards[used], lengths[used]
    scaled = scaled_lengths(lengths, scale)
    _check_neighbourhoods(scaled, fraction)
    knots, fitted, converged = _partial_fit(scaled, rewards, codes, fraction, iterations)
    fitted = fitted - np.mean(np.interp(scaled, knots, fitted))  # the mean reward stays
    provenance = {
        **{"method": "lowess", "fraction": fraction, "iterations": iterations, "n": len(rewards), **facts},
        **({} if codes is None else {"converged": converged}),
        **{"description": description, "data_sha256": digest.hexdigest()},
        "versions": {"trl_ext": __version__, "statsmodels": statsmodels.__version__, "numpy": np.__version__},
    }
    return RewardCalibration(
        length_curve=LengthCurve(_original(knots, lengths, scaled), tuple(fitted.tolist()), unit, scale),
        provenance={"length": provenance},
    )


def _check_options(rewards: np.ndarray, lengths: np.ndarray, fraction: float, iterations: int) -> None:
    if len(rewards) != len(lengths):
        raise ValueError(
            f"`rewards` and `lengths` must have one value per response, got {len(rewards)} and {len(lengths)}"
        )
    if not 0 < fraction <= 1:
        raise ValueError(f"`fraction` must be above 0 and at most 1, got {fraction}")
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 0:
        raise ValueError(f"`iterations` must be a whole number, 0 or more, got {iterations!r}")


def _within_prompts(prompts: Sequence[Any], n: int) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Which rows have company of the same prompt, the number of the prompt of each of these, and what to record."""
    if isinstance(prompts, str) or len(prompts) != n:
        raise ValueError(f"`prompts` must have one entry for each of the {n} rewards")
    _, codes, sizes = np.unique(np.array(list(map(str, prompts))), return_inverse=True, return_counts=True)
    used = sizes[codes] > 1
    if not used.any():
        raise ValueError(
            "no prompt has two responses: differences within prompts need two or more. Leave `prompts` out, or score several "
            "responses per prompt."
        )
    if not used.all():
        logger.warning("%d of %d responses are the only one to their prompt and say nothing here.", np.sum(~used), n)
    kept, codes = np.unique(codes[used], return_inverse=True)
    return used, codes, {"prompts": len(kept), "left_out": int(np.sum(~used))}


def _check_neighbourhoods(scaled: np.ndarray, fraction: float) -> None:
    neighbours = int(fraction * len(scaled) + 1e-10)  # as statsmodels counts them
    if neighbours < _MIN_NEIGHBOURS:
        raise ValueError(
            f"fraction={fraction:g} of {len(scaled)} responses is {neighbours}; a local regression needs at least "
            f"{_MIN_NEIGHBOURS}. Give more responses or a larger `fraction`."
        )
    values, counts = np.unique(scaled, return_counts=True)
    if len(values) == 1:
        raise ValueError("all responses have the same length: there is no curve to fit")
    if counts.max() >= neighbours:
        raise ValueError(
            f"{counts.max()} of {len(scaled)} responses have the same length, but a local regression takes "
            f"{neighbours}, which would then see one length only. Give a larger `fraction`, or lengths in a finer unit."
        )


def _partial_fit(
    scaled: np.ndarray, rewards: np.ndarray, codes: np.ndarray | None, fraction: float, iterations: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Knots, the curve there, and whether curve and prompts' means stayed."""
    if codes is None:
        return *_smooth(scaled, rewards, fraction, iterations), True
    sizes = np.bincount(codes)

    def centred(values: np.ndarray) -> np.ndarray:
        return values - (np.bincount(codes, values) / sizes)[codes]

    # The linear part at once, by least squares within prompts; the rest in turn with the prompts' means
    within = centred(scaled)
    if not within.any():
        raise ValueError("all responses to the same prompt have the same length: leave `prompts` out")
    slope = float(within @ centred(rewards) / (within @ within))
    rest = centred(rewards - slope * scaled)
    tolerance = _TOLERANCE * max(float(np.std(centred(rewards))), np.finfo(float).tiny)
    means, before, converged = np.zeros_like(rest), None, False
    for _ in range(_MAX_ROUNDS):
        knots, curve = _smooth(scaled, rest - means, fraction, iterations)
        curve = curve - np.mean(np.interp(scaled, knots, curve))
        at_rows = np.interp(scaled, knots, curve)
        means = -(at_rows - centred(at_rows))  # rest has the mean 0 within every prompt
        converged = before is not None and bool(np.max(np.abs(curve - before)) <= tolerance)
        before = curve
        if converged:
            break
    if not converged:
        logger.warning(
            "The curve of length and the prompts' means still changed after %d rounds: lengths differ little within prompts.",
            _MAX_ROUNDS,
        )
    return knots, curve + slope * knots, converged


def _smooth(
    scaled: np.ndarray, rewards: np.ndarray, fraction: float, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    step = np.ptp(scaled) / (_KNOTS - 1)
    fitted = lowess(rewards, scaled, frac=fraction, it=iterations, delta=step, return_sorted=False)
    values, codes, counts = np.unique(scaled, return_inverse=True, return_counts=True)
    fitted = np.bincount(codes, fitted) / counts
    if not np.isfinite(fitted).all():
        raise ValueError(
            f"a local regression at fraction={fraction:g} has no solution: give a larger `fraction`, or iterations=0"
        )
    nearest = np.searchsorted(values, np.linspace(values[0], values[-1], _KNOTS)).clip(max=len(values) - 1)
    kept = np.unique(nearest)
    return values[kept], fitted[kept]


def _original(knots: np.ndarray, lengths: np.ndarray, scaled: np.ndarray) -> tuple[float, ...]:
    """The lengths that these knots are, without the rounding of logarithms and back."""
    values, rows = np.unique(scaled, return_index=True)
    return tuple(lengths[rows[np.searchsorted(values, knots)]].tolist())
