"""A calibration as numbers: offsets of sources, a curve of length, a curve of preference, and where they come from."""

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...data.checks import shorten
from .checks import as_lengths, as_rewards
from .length_curve import LengthCurve
from .preference_curve import PreferenceCurve


logger = logging.getLogger(__name__)

VERSION = 2  # 1 has no curve of preference, and is what is written without one
GAUGES = ("sum_zero", "reference")
UNKNOWN_SOURCES = ("error", "zero")


@dataclasses.dataclass(frozen=True)
class RewardCalibration:
    """
    What is done to a reward model's rewards at inference, on request: an offset is added if it is known which model wrote
    the response, what its length alone lets expect is subtracted, and differences of what remains are turned into
    probabilities that the first response is preferred. Any of the three may be missing, not all.

    A curve of preference with method `"temperature"` also divides rewards by T, so that they are log-odds: σ of a difference
    is the probability. The other methods give probabilities and leave rewards as they are.

    Only differences of offsets are identified: a constant added to all changes no comparison. `gauge` says which constant
    was chosen, and so what the offset 0 of an unknown source means.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045: the offset.
        - Post-hoc Reward Calibration: A Case Study on Length Bias, https://arxiv.org/abs/2409.17407: the curve of length.
        - [`PreferenceCurve`] for those of the curve of preference.

    Args:
        source_offsets (`dict[str, float]`, *optional*):
            What is added to the reward of a response, by the model that wrote it.
        gauge (`str`, *optional*):
            With offsets: `"sum_zero"` if they sum to zero (0 is an average model), `"reference"` if a model has exactly 0.
        length_curve ([`LengthCurve`], *optional*):
            What is subtracted.
        provenance (`dict`, *optional*):
            What all were fitted on and how, for JSON.
        preference ([`PreferenceCurve`], *optional*):
            Probabilities of differences.

    Raises:
        ValueError: There is none of the three, an offset is not finite, or the gauge is not that of the offsets.

    Example:
        ```python
        >>> from trl_ext.scoring.calibrated import RewardCalibration
        >>> calibration = RewardCalibration({"gpt-4o-mini": 0.0, "gemma-2-9b-it-SimPO": -1.5}, gauge="reference")
        >>> calibration.apply([2.0, 3.0], sources=["gpt-4o-mini", "gemma-2-9b-it-SimPO"])
        array([2. , 1.5])

        ```
    """

    source_offsets: dict[str, float] | None = None
    gauge: str | None = None
    length_curve: LengthCurve | None = None
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    preference: PreferenceCurve | None = None

    def __post_init__(self):
        if self.source_offsets is None and self.length_curve is None and self.preference is None:
            raise ValueError(
                "a calibration has `source_offsets`, a `length_curve`, a `preference` or several; got none"
            )
        if self.preference is not None and not isinstance(self.preference, PreferenceCurve):
            raise TypeError(f"`preference` must be a PreferenceCurve, got {shorten(self.preference)}")
        if self.length_curve is not None and not isinstance(self.length_curve, LengthCurve):
            raise TypeError(f"`length_curve` must be a LengthCurve, got {shorten(self.length_curve)}")
        if self.source_offsets is not None:
            object.__setattr__(self, "source_offsets", _checked_offsets(self.source_offsets))
            _check_gauge(self.source_offsets, self.gauge)
        elif self.gauge is not None:
            raise ValueError(f"`gauge` is that of `source_offsets`, of which there are none; got {self.gauge!r}")
        try:
            plain = json.loads(json.dumps(self.provenance, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`provenance` is for JSON, which cannot hold {shorten(self.provenance)}: {error}"
            ) from error
        if not isinstance(plain, dict):
            raise TypeError(f"`provenance` must be a dict, got {shorten(self.provenance)}")
        object.__setattr__(self, "provenance", plain)

    def apply(
        self,
        rewards: ArrayLike,
        sources: Sequence[str | None] | None = None,
        lengths: ArrayLike | None = None,
        *,
        unknown_source: str = "error",
    ) -> np.ndarray:
        """
        Calibrated rewards, in log-odds if the calibration has a temperature. Lengths beyond those that were fitted count as the nearest that was, and a warning counts them.

        Args:
            rewards (`array_like` of shape `(N,)`):
                Raw rewards.
            sources (`Sequence[str]` of length N, *optional*):
                Which model wrote each response, `None` where that is unknown; not used without offsets.
            lengths (`array_like` of shape `(N,)`, *optional*):
                Lengths of the responses in the curve's unit, see [`response_lengths`]; not used without curve.
            unknown_source (`str`, *optional*, defaults to `"error"`):
                What becomes of a response whose source has no offset: `"error"`, or `"zero"` for the offset 0, with a
                warning.

        Returns:
            `np.ndarray` of shape `(N,)`: Rewards in float64.

        Raises:
            ValueError: A reward is not finite, a length negative, a source unknown, or what is needed is missing.
        """
        rewards = as_rewards(rewards)
        adjustments = self.adjustments(len(rewards), sources, lengths, unknown_source=unknown_source)
        warn_of(self.beyond(len(rewards), sources, lengths), len(rewards))
        return (rewards + adjustments) / self.reward_scale

    @property
    def reward_scale(self) -> float:
        """What rewards are divided by after the adjustments: the temperature, else 1."""
        return 1.0 if self.preference is None else self.preference.reward_scale

    def preference_probability(
        self, rewards_a: ArrayLike, rewards_b: ArrayLike, *, better: bool = False
    ) -> np.ndarray:
        """
        P(the first of two responses is preferred to the second), of **calibrated** rewards: those of
        [`RewardCalibration.apply`] or of [`CalibratedScorer`].

        Args:
            rewards_a, rewards_b (`array_like` of shape `(N,)`):
                Calibrated rewards of the first and of the second responses.
            better (`bool`, *optional*, defaults to `False`):
                P(the first is the better one) instead; see [`PreferenceCurve.probability_of_better`].

        Returns:
            `np.ndarray` of shape `(N,)`: float64.

        Raises:
            ValueError: The calibration has no curve of preference, a reward is not finite, or the shapes differ.

        Example:
            ```python
            >>> from trl_ext.scoring.calibrated import PreferenceCurve, RewardCalibration
            >>> calibration = RewardCalibration(preference=PreferenceCurve("temperature", temperature=2.0))
            >>> rewards = calibration.apply([3.0, 1.0])
            >>> rewards, calibration.preference_probability(rewards[:1], rewards[1:]).round(4)
            (array([1.5, 0.5]), array([0.7311]))

            ```
        """
        curve = self.required_preference()
        a, b = as_rewards(rewards_a), as_rewards(rewards_b)
        if a.shape != b.shape:
            raise ValueError(f"`rewards_a` and `rewards_b` must have the same shape, got {a.shape} and {b.shape}")
        differences = (a - b) * curve.reward_scale
        return curve.probability_of_better(differences) if better else curve(differences)

    def required_preference(self) -> PreferenceCurve:
        """The curve of preference, or a `ValueError` that says how to get one."""
        if self.preference is None:
            raise ValueError(
                "the calibration has no curve of preference, so that reward differences have no probabilities: fit one "
                "(trl_ext.scoring.calibrated.fit_preference_calibration, or tasks/calibrate.py)"
            )
        return self.preference

    def adjustments(
        self,
        n: int,
        sources: Sequence[str | None] | None = None,
        lengths: ArrayLike | None = None,
        *,
        unknown_source: str = "error",
    ) -> np.ndarray:
        """What is added to N rewards `(N,)`, before division by a temperature; see [`RewardCalibration.apply`]."""
        check_unknown_source(unknown_source)
        added = np.zeros(n)
        if self.source_offsets is not None:
            sources = self._sources(n, sources)
            if unknown_source == "error":
                self._check_known(sources)
            added += np.array([self.source_offsets.get(source, 0.0) for source in sources])
        if self.length_curve is not None:
            added -= self.length_curve(self._lengths(n, lengths))
        return added

    def beyond(
        self, n: int, sources: Sequence[str | None] | None = None, lengths: ArrayLike | None = None
    ) -> dict[str, int]:
        """Of N responses, how many have an unknown source, and a length below or above those fitted."""
        counts: dict[str, int] = {}
        if self.source_offsets is not None:
            counts["unknown_source"] = sum(source not in self.source_offsets for source in self._sources(n, sources))
        if self.length_curve is not None:
            counts["shorter"], counts["longer"] = self.length_curve.outside(self._lengths(n, lengths))
        return counts

    def _sources(self, n: int, sources: Sequence[str | None] | None) -> Sequence[str | None]:
        if sources is None:
            return [None] * n
        if isinstance(sources, str) or len(sources) != n:
            raise ValueError(f"`sources` must have one entry for each of the {n} rewards, got {shorten(sources)}")
        return sources

    def _lengths(self, n: int, lengths: ArrayLike | None) -> np.ndarray:
        if lengths is None:
            raise ValueError(
                f"the calibration has a curve of length in {self.length_curve.unit}: give `lengths` "
                "(trl_ext.scoring.calibrated.response_lengths measures them)"
            )
        lengths = as_lengths(lengths)
        if len(lengths) != n:
            raise ValueError(f"`lengths` must have shape ({n},) as the rewards, got {lengths.shape}")
        return lengths

    def _check_known(self, sources: Sequence[str | None]) -> None:
        unknown = [row for row, source in enumerate(sources) if source not in self.source_offsets]
        if unknown:
            raise ValueError(
                f"{len(unknown)} of {len(sources)} responses have a source without an offset; first: row {unknown[0]}, "
                f"source {sources[unknown[0]]!r}. Known are {', '.join(map(repr, self.source_offsets))}. Name the model "
                "that wrote each response (`sources`, in files the columns `sources` or `source_chosen` and "
                '`source_rejected`), or set unknown_source="zero".'
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides calibrated rewards and probabilities: the numbers, not where they come from."""
        facts = {name: value for name, value in self.to_dict().items() if name not in ("gauge", "provenance")}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        curve = self.length_curve and dataclasses.asdict(self.length_curve)
        if curve:
            curve |= {name: list(curve[name]) for name in ("lengths", "deviations")}
        values = {
            "version": 1,
            "source_offsets": self.source_offsets,
            "gauge": self.gauge,
            "length_curve": curve,
            "provenance": self.provenance,
        }
        if (
            self.preference is None
        ):  # as version 1, that fingerprints of scored files stay and earlier versions read it
            return values
        preference = dataclasses.asdict(self.preference)
        for name in ("differences", "probabilities"):
            preference[name] = preference[name] and list(preference[name])
        return values | {"version": VERSION, "preference": preference}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], name: str = "the calibration") -> "RewardCalibration":
        """
        The inverse of [`RewardCalibration.to_dict`].

        Args:
            values (`Mapping`): What JSON held.
            name (`str`, *optional*): How errors call it.

        Raises:
            ValueError: It is of another version, or damaged.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"{name} is damaged: it must be an object, got {shorten(values)}")
        version = values.get("version")
        if version not in (1, VERSION):
            raise ValueError(
                f"{name} has version {version!r}; this trl_ext reads versions 1 and {VERSION}. Install the version of trl_ext "
                "that wrote it, or fit it again."
            )
        fields = {field.name for field in dataclasses.fields(cls)} - ({"preference"} if version == 1 else set())
        if set(values) != fields | {"version"}:
            wrong = sorted(set(values) ^ (fields | {"version"}))
            raise ValueError(f"{name} is damaged: unknown or missing: {', '.join(map(repr, wrong))}")
        try:
            curve, preference = values["length_curve"], values.get("preference")
            return cls(
                source_offsets=values["source_offsets"],
                gauge=values["gauge"],
                length_curve=None if curve is None else LengthCurve(**curve),
                provenance=values["provenance"],
                preference=None if preference is None else PreferenceCurve(**preference),
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} is damaged: {error}") from error


def check_unknown_source(value: str) -> None:
    """Raise a `ValueError` unless this is a way to treat unknown sources."""
    if value not in UNKNOWN_SOURCES:
        raise ValueError(f"`unknown_source` must be one of {', '.join(map(repr, UNKNOWN_SOURCES))}, got {value!r}")


def warn_of(beyond: Mapping[str, int], n: int) -> None:
    """Log what [`RewardCalibration.beyond`] counted, if it is anything."""
    if beyond.get("unknown_source"):
        logger.warning("%d of %d responses have a source without an offset: 0 was added.", beyond["unknown_source"], n)
    if beyond.get("shorter") or beyond.get("longer"):
        logger.warning(
            "%d of %d responses are shorter, and %d longer, than all that the curve of length was fitted on: they count as "
            "the nearest that was.",
            *(beyond["shorter"], n, beyond["longer"]),
        )


def _checked_offsets(offsets: Any) -> dict[str, float]:
    if not isinstance(offsets, Mapping) or not offsets:
        raise ValueError(f"`source_offsets` must be a dict of models with their offsets, got {shorten(offsets)}")
    for model, offset in offsets.items():
        if not isinstance(model, str) or not model:
            raise ValueError(f"`source_offsets`: names of models must be text, got {model!r}")
        is_number = isinstance(offset, (int, float, np.number)) and not isinstance(offset, bool)
        if not is_number or not math.isfinite(offset):
            raise ValueError(f"`source_offsets`: the offset of {model!r} must be a finite number, got {offset!r}")
    return {model: float(offset) for model, offset in offsets.items()}


def _check_gauge(offsets: Mapping[str, float], gauge: str | None) -> None:
    if gauge not in GAUGES:
        raise ValueError(
            f"only differences of offsets are identified: say which constant was chosen. `gauge` must be one of "
            f"{', '.join(map(repr, GAUGES))}, got {gauge!r}"
        )
    total, largest = math.fsum(offsets.values()), max(map(abs, offsets.values()))
    if gauge == "sum_zero" and abs(total) > 1e-6 * max(largest, 1e-300) * len(offsets):
        raise ValueError(
            f'gauge="sum_zero" needs offsets that sum to zero, but they sum to {total:g}: subtract {total / len(offsets):g} '
            'from each, or name a model that has 0 and set gauge="reference"'
        )
    if gauge == "reference" and 0.0 not in offsets.values():
        raise ValueError(
            f'gauge="reference" needs a model with the offset 0, but there is none among {shorten(dict(offsets))}. Add the '
            "model that the others were compared with, with 0.0."
        )
