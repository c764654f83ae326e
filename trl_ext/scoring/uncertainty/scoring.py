"""What a scorer tells beyond rewards: every output of its model, and how uncertain differences are."""

import copy
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from ...model_entries import REWARD_HEAD
from ...shared_prefix import core_model
from ..groups import groups_from_lists
from ..reduction import ALL_OUTPUTS, stored_reduction
from .rewards import PairUncertainty, UncertainRewards, differences, probabilities
from .storage import RewardUncertainty, applicable_uncertainty


class ScoresUncertainty:
    """The part of [`~trl_ext.RewardScorer`] that is about models with several outputs, and about conformal intervals."""

    def score_outputs(self, prompts: Sequence[Any], responses: Sequence[Sequence[Any]]) -> list[np.ndarray]:
        """
        Every output of the model for the responses to prompts.

        Args:
            prompts, responses:
                As in [`~trl_ext.scoring.base.Scorer.score`].

        Returns:
            `list[np.ndarray]`: For each prompt a float32 array `(n, K)`.
        """
        groups = groups_from_lists(prompts, responses, self.allow_empty_responses)
        if not groups:
            return []
        self.check_first_windows(groups, self.window_size)  # before the model is loaded
        self.prepare()
        every = copy.copy(self)  # with the same model
        every.reduction = ALL_OUTPUTS
        found = [window.rewards for window in every.score_windows(lambda: groups, total=len(groups))]
        self.timing = every.timing
        return np.split(np.concatenate(found), np.cumsum([len(group.responses) for group in groups])[:-1])

    def score_with_uncertainty(
        self, prompts: Sequence[Any], responses: Sequence[Sequence[Any]]
    ) -> list[UncertainRewards]:
        """
        Rewards with their uncertainty, of a model that was trained with `reward_head="ensemble"` or `"gaussian"`.

        Args:
            prompts, responses:
                As in [`~trl_ext.scoring.base.Scorer.score`].

        Returns:
            `list[UncertainRewards]`: For each prompt `rewards`, `sd` and `difference(first, second)`.

        Example:
            ```python
            >>> found = scorer.score_with_uncertainty(["2 + 2 = "], [["4", "5"]])[0]  # doctest: +SKIP
            >>> found.rewards, found.sd, found.difference(0, 1)  # doctest: +SKIP
            ```
        """
        kind = self._kind()
        if kind is None:
            raise ValueError(
                "this model says nothing of the uncertainty of its rewards: train one with reward_head='ensemble' or 'gaussian'"
            )
        return [UncertainRewards(kind, of_prompt) for of_prompt in self.score_outputs(prompts, responses)]

    def compare_pairs(
        self,
        prompts: Sequence[Any],
        first: Sequence[Any],
        second: Sequence[Any],
        *,
        groups: Sequence[Hashable] | None = None,
    ) -> PairUncertainty:
        """
        Compare two responses to each prompt: difference, its standard deviation where the model has several outputs, and
        the conformal interval and statement where they are stored with the model ([`save_uncertainty`]).

        Args:
            prompts (`list`):
                N prompts.
            first, second (`list`):
                A response to each.
            groups (`Sequence`, *optional*):
                Group of every pair, if intervals or preference sets were fitted by group.

        Returns:
            [`PairUncertainty`]

        Raises:
            ValueError: There are no pairs, the scorer has another `reduction` than the model's own, or what is stored is of
                other weights.
        """
        _check_lengths(prompts, first, second)
        kind = self._kind()
        stored = applicable_uncertainty(self.model) or RewardUncertainty()
        d, sd = self.pair_differences(prompts, first, second)
        low = high = decision = None
        if stored.intervals is not None:
            low, high = stored.intervals.intervals(d, sd, _if_grouped(stored.intervals.quantiles, groups))
        if stored.preference_sets is not None:
            sets = stored.preference_sets
            decision = sets.decide(d, sd, _if_grouped(sets.thresholds, groups))
        return PairUncertainty(d, sd, probabilities(kind, d, sd), low, high, decision)

    def pair_differences(
        self, prompts: Sequence[Any], first: Sequence[Any], second: Sequence[Any]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """
        Raw reward differences `(N,)` of two responses to each prompt, first minus second, and their standard deviations,
        `None` for a model with one output: what intervals and preference sets are fitted to.

        Args:
            prompts, first, second:
                As of [`compare_pairs`].
        """
        _check_lengths(prompts, first, second)
        responses = [list(pair) for pair in zip(first, second, strict=True)]
        kind = self._kind()
        if kind is None:
            rewards = np.array(self.score(prompts, responses), dtype=np.float64).reshape(-1, 2)
            return rewards[:, 0] - rewards[:, 1], None
        default = stored_reduction(core_model(self.model).config, None)
        if self.reduction != default:
            raise ValueError(
                f"pairs are compared by rewards with reduction={default!r}, but this scorer has reduction={self.reduction!r}: "
                "compare with a scorer without `reduction`"
            )
        outputs = np.stack(self.score_outputs(prompts, responses))
        return differences(kind, outputs[:, 0], outputs[:, 1])

    def _kind(self) -> str | None:
        self.prepare()
        entry = REWARD_HEAD.read(self.model)
        return None if entry is None else entry["kind"]


def _check_lengths(prompts: Sequence[Any], first: Sequence[Any], second: Sequence[Any]) -> None:
    if not len(prompts) == len(first) == len(second):
        raise ValueError(
            f"there must be one prompt, first and second response per pair, got {len(prompts)}, {len(first)}, {len(second)}"
        )
    if not len(prompts):
        raise ValueError("there are no pairs to compare")


def _if_grouped(values: dict[str, float], groups: Sequence[Hashable] | None) -> Sequence[Hashable] | None:
    return None if "" in values else groups
