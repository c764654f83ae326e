"""CalibratedScorer: a scorer's rewards with a calibration applied, and probabilities of preferences."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from transformers import PreTrainedTokenizerBase

from ...model_entries import REWARD_HEAD
from ...shared_prefix import core_model
from ...trainer.head_fingerprint import head_fingerprint
from ..base import Scorer
from ..groups import Group, groups_from_lists, windows
from ..reduction import stored_reduction
from ..results import ScoredWindow
from ..scorer import RewardScorer
from ..timing import Timing
from .calibration import RewardCalibration, check_unknown_source, warn_of
from .lengths import response_lengths
from .storage import read_stored


class CalibratedScorer(Scorer):
    """
    Scores with another scorer and calibrates its rewards: adds the offset of the model that wrote a response, and removes
    what its length alone lets expect, whichever the calibration has; with a temperature the result is divided by it, so that
    rewards are log-odds. With a curve of preference, [`CalibratedScorer.preference_probability`] gives probabilities.

    The offset needs sources: `sources` of [`CalibratedScorer.score`], in datasets and files the columns `sources`, or
    `source_chosen` and `source_rejected`. The length needs rows whose prompt is apart from the responses.

    Args:
        scorer ([`~trl_ext.scoring.base.Scorer`]):
            Gives raw rewards.
        calibration ([`RewardCalibration`], *optional*):
            The calibration. By default the one stored with the model of a [`~trl_ext.RewardScorer`]; one that is given
            is applied in its place, as rewards of `scorer` are raw.
        unknown_source (`str`, *optional*, defaults to `"error"`):
            What becomes of a response whose source has no offset: `"error"`, or `"zero"` for the offset 0; the report
            counts them.
        processing_class ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer for lengths in tokens. By default the scorer's.

    Attributes:
        warns (`bool`): Whether a warning says, after each call, how many responses the calibration was not fitted for.

    Raises:
        ValueError: No calibration is stored with the model, `scorer` is calibrated already, or there is no tokenizer. When
            the model is loaded: the stored calibration is of other weights, or of another `reduction` of several outputs.

    Example:
        ```python
        >>> from trl_ext.scoring import CalibratedScorer

        >>> scorer = CalibratedScorer.from_pretrained("me/my-reward-model")  # doctest: +SKIP
        >>> scorer.score(["Is water wet? "], [["Yes.", "No."]], sources=[["gpt-4o", "gemma"]])  # doctest: +SKIP
        [array([ 1.1312, -0.4071], dtype=float32)]
        ```
    """

    has_report: ClassVar[bool] = True
    warns: bool = True

    def __init__(
        self,
        scorer: Scorer,
        calibration: RewardCalibration | None = None,
        *,
        unknown_source: str = "error",
        processing_class: PreTrainedTokenizerBase | None = None,
    ):
        check_unknown_source(unknown_source)
        if isinstance(scorer, CalibratedScorer):
            raise ValueError(
                "this scorer is calibrated already, and a calibration was fitted on raw rewards: give `scorer.scorer`, or "
                "one calibration with offsets and curve"
            )
        if not isinstance(scorer, Scorer):
            raise TypeError(f"`scorer` must be a scorer, e.g. RewardScorer(model), got {type(scorer).__name__}")
        self.scorer = scorer
        # Of the reward head that a stored calibration belongs to; a given one is the caller's affair
        self._head: str | None = None
        self._is_stored = calibration is None
        if calibration is None:
            calibration, self._head = _stored_calibration(scorer)
        self.calibration = calibration
        self.unknown_source = unknown_source
        self.processing_class = processing_class or getattr(scorer, "processing_class", None)
        self._curve = self.calibration.length_curve
        if self._curve is not None and self._curve.unit == "tokens" and self.processing_class is None:
            raise ValueError(
                "the calibration has a curve of length in tokens, but the scorer has no tokenizer: give `processing_class`"
            )
        self.reset_report()

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        calibration: RewardCalibration | None = None,
        unknown_source: str = "error",
        **scorer_arguments: Any,
    ) -> "CalibratedScorer":
        """
        A [`~trl_ext.RewardScorer`] of a model by name, with the calibration that is stored with the model.

        Args:
            model (`str`):
                Hub id or folder of a reward model or adapter.
            calibration, unknown_source:
                As of the class.
            **scorer_arguments:
                Of [`~trl_ext.RewardScorer`].
        """
        return cls(RewardScorer(model, **scorer_arguments), calibration, unknown_source=unknown_source)

    @property
    def window_size(self) -> int:
        """Responses of a window, by default: the scorer's."""
        return self.scorer.window_size

    @property
    def timing(self) -> Timing:
        """Duration and amount of the last call: the scorer's."""
        return self.scorer.timing

    @property
    def allow_empty_responses(self) -> bool:
        """Whether responses without text are scored: as the scorer does."""
        return self.scorer.allow_empty_responses

    @property
    def progress(self) -> bool:
        """Whether there is a progress bar, which is the scorer's."""
        return self.scorer.progress

    @progress.setter
    def progress(self, value: bool) -> None:
        self.scorer.progress = value

    def score(
        self,
        prompts: Sequence[Any],
        responses: Sequence[Sequence[Any]],
        *,
        sources: str | Sequence[Sequence[str | None]] | None = None,
    ) -> list[np.ndarray]:
        """
        Score the responses to prompts.

        Args:
            prompts, responses:
                As in [`~trl_ext.scoring.base.Scorer.score`].
            sources (`str` or `Sequence[Sequence[str]]`, *optional*):
                The model that wrote all responses, or for each prompt a list with that of each response.

        Returns:
            `list[np.ndarray]`: For each prompt a float32 array with the calibrated reward of each of its responses.
        """
        groups = groups_from_lists(prompts, responses, self.allow_empty_responses)
        return self.score_groups_in_memory(with_sources(groups, sources))

    def preference_probability(
        self,
        prompts: Sequence[Any],
        responses_a: Sequence[Any],
        responses_b: Sequence[Any],
        *,
        sources_a: str | Sequence[str | None] | None = None,
        sources_b: str | Sequence[str | None] | None = None,
        better: bool = False,
    ) -> np.ndarray:
        """
        P(the first response to each prompt is preferred to the second).

        Args:
            prompts (`Sequence[str]` or `Sequence[list[dict]]` of length N):
                Prompts.
            responses_a, responses_b (`Sequence[str]` or `Sequence[list[dict]]` of length N):
                The first and the second response to each.
            sources_a, sources_b (`str` or `Sequence[str]` of length N, *optional*):
                The models that wrote them, for a calibration with offsets.
            better (`bool`, *optional*, defaults to `False`):
                P(the first is the better one) instead; see [`PreferenceCurve.probability_of_better`].

        Returns:
            `np.ndarray` of shape `(N,)`: float64.

        Raises:
            ValueError: The calibration has no curve of preference, or the numbers of prompts and responses differ.
        """
        self.calibration.required_preference()
        if not len(prompts) == len(responses_a) == len(responses_b):
            raise ValueError(
                f"there must be two responses per prompt, got {len(prompts)} prompts, {len(responses_a)} and "
                f"{len(responses_b)} responses"
            )
        sources = None
        if sources_a is not None or sources_b is not None:
            sides = [
                [side] * len(prompts) if side is None or isinstance(side, str) else side
                for side in (sources_a, sources_b)
            ]
            sources = [list(pair) for pair in zip(*sides, strict=True)]
        rewards = self.score(
            prompts, [list(pair) for pair in zip(responses_a, responses_b, strict=True)], sources=sources
        )
        pairs = np.array(rewards, dtype=np.float64).reshape(-1, 2)
        return self.calibration.preference_probability(pairs[:, 0], pairs[:, 1], better=better)

    def preference_matrices(
        self,
        prompts: Sequence[Any],
        responses: Sequence[Sequence[Any]],
        *,
        sources: str | Sequence[Sequence[str | None]] | None = None,
        better: bool = False,
    ) -> list[np.ndarray]:
        """
        P(response i is preferred to response j) for all pairs of the K responses to each prompt.

        Args:
            prompts, responses, sources:
                As of [`CalibratedScorer.score`].
            better:
                As of [`CalibratedScorer.preference_probability`].

        Returns:
            `list[np.ndarray]`: For each prompt an array `(K, K)`, float64, with i in rows and `nan` on the diagonal.
        """
        self.calibration.required_preference()
        matrices = []
        for rewards in self.score(prompts, responses, sources=sources):
            k = len(rewards)
            first, second = np.repeat(rewards, k), np.tile(rewards, k)
            matrix = self.calibration.preference_probability(first, second, better=better).reshape(k, k)
            np.fill_diagonal(matrix, np.nan)
            matrices.append(matrix)
        return matrices

    def check_first_windows(self, groups: Iterable[Group], window_size: int) -> int:
        """Look at the first window for what the calibration needs too; see [`Scorer.check_first_windows`]."""
        first: list[Group] = []
        responses = 0
        for group in groups:
            first.append(group)
            responses += len(group.responses)
            if responses > window_size:  # a group of the second window: some scorers ask whether there is one
                break
        for window in itertools.islice(windows(first, window_size), 1):
            self._adjustments(window)
        return self.scorer.check_first_windows(first, window_size)

    def prepare(self) -> None:
        """Load what the scorer needs, and check that a stored calibration is of these weights."""
        self.scorer.prepare()
        if self._head is not None and head_fingerprint(self.scorer.model) not in (self._head, None):
            raise ValueError(
                "the calibration that is stored with the model is of other weights: the reward head is not the one it was "
                "stored with, so the model was trained or changed since. Fit it again (tasks/calibrate.py) or "
                "`remove_calibration`; to apply it all the same, give `calibration=read_calibration(...)`."
            )
        self._head = None  # checked once
        if self._is_stored:
            self._check_reduction()

    def _check_reduction(self) -> None:
        config = core_model(self.scorer.model).config
        if REWARD_HEAD.read(self.scorer.model) is None:
            return
        default, reduction = stored_reduction(config, None), self.scorer.reduction
        if reduction != default:
            raise ValueError(
                f"the calibration that is stored with the model is of rewards with reduction={default!r}, but the scorer has "
                f"reduction={reduction!r}: leave `reduction` out, or give a `calibration` that was fitted on such rewards"
            )

    def score_windows(
        self,
        groups: Callable[[], Iterable[Group]],
        *,
        window_size: int | None = None,
        num_workers: int | None = None,
        skip: int = 0,
        done: int = 0,
        total: int | None = None,
    ) -> Iterator[ScoredWindow]:
        """See [`Scorer.score_windows`]."""
        window_size = self.window_size if window_size is None else window_size
        if num_workers is None:
            num_workers = self.check_first_windows(groups(), window_size)
        self.prepare()
        self._forget()
        ours = windows(groups(), window_size)
        for window in itertools.islice(ours, skip):
            self._count(window)
        raw = self.scorer.score_windows(
            groups, window_size=window_size, num_workers=num_workers, skip=skip, done=done, total=total
        )
        # Every process gets every window, in order
        for window, scored in zip(ours, raw, strict=True):
            added = self._adjustments(window)
            self._count(window)
            rewards = (scored.rewards.astype(np.float64) + added) / self.calibration.reward_scale
            yield dataclasses.replace(scored, rewards=rewards.astype(np.float32))
        if self.warns:
            warn_of(self._beyond, self._responses)

    def _adjustments(self, window: Sequence[Group]) -> np.ndarray:
        """What is added to the rewards of a window, before division by a temperature."""
        n = sum(len(group.responses) for group in window)
        try:
            return self.calibration.adjustments(n, *self._facts(window), unknown_source=self.unknown_source)
        except ValueError as error:
            if len(window) == 1:
                raise ValueError(f"{window[0].name}: {error}") from error
            for group in window:  # which names the first that is wrong
                self._adjustments([group])
            raise

    def _count(self, window: Sequence[Group]) -> None:
        n = sum(len(group.responses) for group in window)
        self._responses += n
        for name, count in self.calibration.beyond(n, *self._facts(window)).items():
            self._beyond[name] = self._beyond.get(name, 0) + count

    def _facts(self, window: Sequence[Group]) -> tuple[list[str | None], np.ndarray | None]:
        """Sources and lengths of the responses of a window."""
        sources = [source for group in window for source in group.sources]
        if self._curve is None:
            return sources, None
        for group in window:
            if not group.prompt:
                raise ValueError(
                    "the responses contain the prompt, so that their lengths are unknown: give the prompt in a column of its "
                    "own"
                )
        responses = [response for group in window for response in group.responses]
        return sources, response_lengths(responses, self._curve.unit, self.processing_class)

    def settings(self) -> dict[str, Any]:
        """See [`Scorer.settings`]."""
        return {
            "scorer": type(self).__name__,
            "calibration_sha256": self.calibration.fingerprint,
            "unknown_source": self.unknown_source,
            "raw": self.scorer.settings(),
        }

    def provenance(self) -> dict[str, Any]:
        """See [`Scorer.provenance`]."""
        return {**self.scorer.provenance(), "calibration": self.calibration.to_dict()}

    def report(self) -> dict[str, Any]:
        """How many responses were scored, how many of them the calibration was not fitted for; and the scorer's report."""
        return {**self.scorer.report(), "calibration": {"responses": self._responses, **self._beyond}}

    def reset_report(self) -> None:
        """See [`Scorer.reset_report`]."""
        self._forget()
        self.scorer.reset_report()

    def _forget(self) -> None:
        self._responses = 0
        self._beyond: dict[str, int] = {}

    def recall(self, groups: list[Group]) -> None:
        """See [`Scorer.recall`]."""
        self._count(groups)
        self.scorer.recall(groups)


def with_sources(groups: Sequence[Group], sources: str | Sequence[Sequence[str | None]] | None) -> list[Group]:
    """Groups with the model that wrote all responses, or with one for each response."""
    if sources is None:
        return list(groups)
    if isinstance(sources, str):
        sources = [[sources] * len(group.responses) for group in groups]
    if len(sources) != len(groups):
        raise ValueError(
            f"`sources` must have a list for each of the {len(groups)} prompts, but it has {len(sources)}"
        )
    for group, of_group in zip(groups, sources, strict=True):
        if isinstance(of_group, str) or len(of_group) != len(group.responses):
            raise ValueError(
                f"{group.name}: `sources` must have an entry for each of the {len(group.responses)} responses, got "
                f"{of_group!r}"
            )
    return [
        dataclasses.replace(group, sources=list(of_group)) for group, of_group in zip(groups, sources, strict=True)
    ]


def _stored_calibration(scorer: Scorer) -> tuple[RewardCalibration, str | None]:
    if not isinstance(scorer, RewardScorer):
        raise ValueError(f"a {type(scorer).__name__} has no model with a calibration: give `calibration`")
    source = scorer.source
    if source is None:
        return read_stored(scorer.model)
    if source.adapter is not None:
        return read_stored(source.adapter, revision=source.adapter_revision, token=source.token)
    return read_stored(source.name, revision=source.revision, token=source.token)
