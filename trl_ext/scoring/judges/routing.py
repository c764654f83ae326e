"""Different judges for different prompts."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from ..groups import Group, windows
from .base import Judge
from .composite import CompositeJudge


class RoutedJudge(CompositeJudge):
    """
    Sends every prompt to the judge for prompts of its kind, such as RewardBench 2's Ties to one that rates. Rewards of
    different judges are not comparable, so that rows that are compared with each other must go to the same one.

    Args:
        routes (`Mapping[str, Judge]`):
            Regular expression -> judge. The first expression that is found in a prompt's id decides; an empty one takes
            all that is left.

    Example:
        ```python
        >>> from trl_ext.completions import LocalBackend
        >>> from trl_ext.scoring.judges import FourWayJudge, RatingsJudge, RoutedJudge
        >>> backend, store = LocalBackend("Qwen/Qwen3-4B-Instruct-2507"), "answers.jsonl"
        >>> ties = RatingsJudge(backend, store, template="rating_ties")
        >>> judge = RoutedJudge({"^(tied|ref):": ties, "": FourWayJudge(backend, store)})
        ```
    """

    def __init__(self, routes: Mapping[str, Judge]):
        if not routes:
            raise ValueError("routes is empty: give at least one judge")
        super().__init__(routes)

    def check_first_windows(self, groups: Iterable[Group], window_size: int) -> int:
        """Look at the questions of the first window before anything is asked."""
        for route, members in self._routed(next(windows(groups, window_size), [])).items():
            self.judges[route].check_first_windows([group for _, group in members], window_size)
        return 0

    def score_groups(self, groups: list[Group]) -> tuple[np.ndarray, Mapping[str, int]]:
        """See [`WindowScorer.score_groups`]."""
        rewards: list[np.ndarray] = [np.empty(0)] * len(groups)
        tokens = 0
        for route, members in self._routed(groups).items():
            scored, cost = self.judges[route].score_groups([group for _, group in members])
            tokens += cost["computed_tokens"]
            ends = np.cumsum([len(group.responses) for _, group in members])
            for (index, _), own in zip(members, np.split(scored, ends[:-1]), strict=True):
                rewards[index] = own
        return np.concatenate(rewards), {"computed_tokens": tokens, "sequence_tokens": tokens}

    def recall(self, groups: list[Group]) -> None:
        """See [`Scorer.recall`]."""
        for route, members in self._routed(groups).items():
            self.judges[route].recall([group for _, group in members])

    def _routed(self, groups: Iterable[Group]) -> dict[str, list[tuple[int, Group]]]:
        found: dict[str, list[tuple[int, Group]]] = {}
        for index, group in enumerate(groups):
            route = next((route for route in self.judges if re.search(route, str(group.prompt_id))), None)
            if route is None:
                raise ValueError(
                    f"no route is for prompt {group.prompt_id!r}; routes are {', '.join(map(repr, self.judges))}. Add an "
                    "empty one for all that is left."
                )
            found.setdefault(route, []).append((index, group))
        return found
