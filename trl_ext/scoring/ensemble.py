"""EnsembleScorer: several scorers as one."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from .base import Scorer
from .ensemble_combination import Moments, check_mode, combine, moments_of, normalized
from .groups import Group
from .processes import process_state
from .results import ScoredWindow
from .timing import Timing


class EnsembleScorer(Scorer):
    """
    Scores with several scorers and combines their rewards.

    To normalise takes the mean and the standard deviation of each member's rewards. They come from rewards that are fitted
    once ([`EnsembleScorer.fit`], or `moments`) and then stay, so that a reward depends on its prompt and response alone:
    not on what else is scored, on windows or on the number of processes. Without them, scoring is refused. RewardBench
    normalises by the very rewards it evaluates; [`ensemble_rewards`] and [`~trl_ext.scoring.sweep_ensembles`] do that
    with rewards that are there already, without computing any model again.

    All members are in memory at once. `timing` sums over them, except for wall time and responses.

    Args:
        scorers (`Mapping[str, Scorer]` or `Sequence[Scorer]`):
            Two or more members, perhaps by name. Their own progress bars are switched off.
        mode (`str`, *optional*, defaults to `"mean"`):
            `"mean"`, `"worst"` or `"uncertainty"`; see [`ensemble_rewards`].
        normalize (`bool`, *optional*, defaults to `True`):
            Normalise each member's rewards.
        moments (`Mapping[str, tuple[float, float]]`, *optional*):
            Mean and standard deviation of each member's rewards, by its name (without names, `"0"`, `"1"`, …).
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar.

    Attributes:
        moments (`dict[str, Moments]`): What normalises each member; empty before it is fitted.

    Example:
        ```python
        >>> from trl_ext import RewardScorer
        >>> from trl_ext.scoring import EnsembleScorer

        >>> scorers = {"small": RewardScorer("my-small-model"), "large": RewardScorer("my-large-model")}  # doctest: +SKIP
        >>> ensemble = EnsembleScorer(scorers, "worst").fit(prompts, responses)  # doctest: +SKIP
        >>> rewards = ensemble.score(other_prompts, other_responses)  # doctest: +SKIP
        ```
    """

    def __init__(
        self,
        scorers: Mapping[str, Scorer] | Sequence[Scorer],
        mode: str = "mean",
        *,
        normalize: bool = True,
        moments: Mapping[str, tuple[float, float]] | None = None,
        progress: bool = True,
    ):
        check_mode(mode)
        if not isinstance(scorers, Mapping):
            scorers = {str(index): scorer for index, scorer in enumerate(scorers)}
        if len(scorers) < 2:
            raise ValueError(f"an ensemble has two or more members, got {len(scorers)}")
        if len({id(scorer) for scorer in scorers.values()}) < len(scorers):
            raise ValueError("an ensemble's members must be different scorers, but one is there twice")
        self.scorers = dict(scorers)
        self.mode = mode
        self.normalize = normalize
        self.moments: dict[str, Moments] = {}
        if moments is not None:
            if not normalize:
                raise ValueError("`moments` normalise rewards, but normalize=False")
            self._set_moments(moments)
        self.progress = progress
        self.timing = Timing()
        for scorer in self.scorers.values():
            scorer.progress = False

    def fit(self, prompts: Sequence[Any], responses: Sequence[Sequence[Any]]) -> "EnsembleScorer":
        """
        Score prompts with every member, and keep the mean and the standard deviation of its rewards.

        Args:
            prompts, responses:
                As in [`~trl_ext.scoring.base.Scorer.score`]. Of the kind that is to be scored later.

        Returns:
            [`EnsembleScorer`]: This scorer.
        """
        return self.fit_rewards(
            {
                name: np.concatenate([np.empty(0), *scorer.score(prompts, responses)])
                for name, scorer in self.scorers.items()
            }
        )

    def fit_rewards(self, rewards: Mapping[str, ArrayLike]) -> "EnsembleScorer":
        """Keep the mean and the standard deviation of rewards `(N,)` that are there already, by the member's name."""
        if not self.normalize:
            raise ValueError("there is nothing to fit with normalize=False")
        self._set_moments({name: moments_of(values, name) for name, values in rewards.items()})
        return self

    def _set_moments(self, moments: Mapping[str, tuple[float, float]]) -> None:
        if moments.keys() != self.scorers.keys():
            raise ValueError(
                f"moments must be given for each member ({', '.join(self.scorers)}), got {', '.join(moments) or 'none'}"
            )
        for name, (mean, std) in moments.items():
            if not (np.isfinite(mean) and np.isfinite(std) and std > 0):
                raise ValueError(f"moments of member {name!r} must be finite, std positive, got {(mean, std)}")
        self.moments = {name: Moments(float(mean), float(std)) for name, (mean, std) in moments.items()}

    def check_first_windows(self, groups: Iterable[Group], window_size: int) -> int:
        """Let every member look at the first window; see [`~trl_ext.scoring.base.Scorer.check_first_windows`]."""
        self._check_fitted()
        first: list[Group] = []
        responses = 0
        for group in groups:
            first.append(group)
            responses += len(group.responses)
            if responses > window_size:  # one group of the second window: some members ask whether there is one
                break
        for scorer in self.scorers.values():
            scorer.check_first_windows(first, window_size)
        return 0

    def prepare(self) -> None:
        """Load every member."""
        self._check_fitted()
        for scorer in self.scorers.values():
            scorer.prepare()

    def _check_fitted(self) -> None:
        if self.normalize and not self.moments:
            raise ValueError(
                "the ensemble normalises rewards, but knows no mean and standard deviation yet: call `fit` with prompts and "
                "responses, or `fit_rewards`, give `moments`, or set normalize=False"
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
        """See [`~trl_ext.scoring.base.Scorer.score_windows`]."""
        window_size = self.window_size if window_size is None else window_size
        if num_workers is None:
            self.check_first_windows(groups(), window_size)
        self.prepare()
        state = process_state()
        self.timing = Timing(processes=state.num_processes)
        started = time.perf_counter()
        # In step on all processes: a member's windows are divided among them, and every process gets every window
        members = [
            scorer.score_windows(groups, window_size=window_size, skip=skip, done=done)
            for scorer in self.scorers.values()
        ]
        hidden = not (self.progress and state.is_main_process)
        with tqdm(initial=done, total=total, unit="prompt", desc="Scoring", disable=hidden) as bar:
            for windows in zip(*members, strict=True):
                window = self._combined(windows)
                self.timing.wall_seconds = time.perf_counter() - started
                self.timing.model_seconds += window.model_seconds
                self.timing.responses += len(window.rewards)
                self.timing.computed_tokens += window.computed_tokens
                self.timing.sequence_tokens += window.sequence_tokens
                self.timing.truncated += window.truncated
                bar.update(window.groups)
                yield window

    def _combined(self, windows: Sequence[ScoredWindow]) -> ScoredWindow:
        rewards = np.stack([window.rewards.astype(np.float64) for window in windows])
        if self.normalize:
            rewards = np.stack(
                [normalized(row, self.moments[name]) for row, name in zip(rewards, self.scorers, strict=True)]
            )
        return ScoredWindow(
            groups=windows[0].groups,
            labels=windows[0].labels,
            rewards=combine(rewards, self.mode).astype(np.float32),
            model_seconds=sum(window.model_seconds for window in windows),
            computed_tokens=sum(window.computed_tokens for window in windows),
            sequence_tokens=sum(window.sequence_tokens for window in windows),
            truncated=sum(window.truncated for window in windows),
        )

    def settings(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.base.Scorer.settings`]."""
        return {
            "scorer": type(self).__name__,
            "mode": self.mode,
            "normalize": self.normalize,
            "moments": {name: list(moments) for name, moments in self.moments.items()},
            "members": {name: scorer.settings() for name, scorer in self.scorers.items()},
        }

    def provenance(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.base.Scorer.provenance`]."""
        return {"members": {name: scorer.provenance() for name, scorer in self.scorers.items()}}
