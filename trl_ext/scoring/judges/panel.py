"""Several judges that vote."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..groups import Group, windows
from ..processes import gathered
from .base import Judge
from .composite import CompositeJudge


class JudgePanel(CompositeJudge):
    """
    An odd number of judges with one vote each.

    A judge votes for the response with its highest reward; if several share it, each gets the same part of the vote. The
    reward of a response is its share of the votes: the highest is the choice of the majority, and equal ones are a tie,
    which is possible where judges are undecided themselves, or with more than two responses.

    Args:
        judges (`Mapping[str, Judge]`):
            The judges by name; an odd number. They may share a store.

    References:
        - Verga et al., Replacing Judges with Juries: Evaluating LLM Generations with a Panel of Diverse Models, 2024.

    Example:
        ```python
        >>> from trl_ext.completions import OpenAIBackend
        >>> from trl_ext.scoring.judges import JudgePanel, PairwiseJudge
        >>> names = ("judge-a", "judge-b", "judge-c")
        >>> url = "http://localhost:8000/v1"
        >>> judges = {n: PairwiseJudge(OpenAIBackend(n, base_url=url, api_key_env=None), "answers.jsonl") for n in names}
        >>> JudgePanel(judges).score(["Capital of France?"], [["Paris", "Rome"]])
        ```
    """

    def __init__(self, judges: Mapping[str, Judge]):
        if len(judges) < 3 or len(judges) % 2 == 0:
            raise ValueError(
                f"a panel needs an odd number of judges, three or more, got {len(judges)}: {list(judges)}"
            )
        super().__init__(judges)
        self._votes: list[dict[str, Any]] = []

    def check_first_windows(self, groups: Iterable[Group], window_size: int) -> int:
        """Look at the questions of the first window before anything is asked."""
        groups = next(windows(groups, window_size), [])
        for judge in self.judges.values():
            judge.check_first_windows(groups, window_size)
        return 0

    def score_groups(self, groups: list[Group]) -> tuple[np.ndarray, Mapping[str, int]]:
        """See [`WindowScorer.score_groups`]."""
        return self._vote(groups, {name: judge.score_groups(groups) for name, judge in self.judges.items()})

    def recall(self, groups: list[Group]) -> None:
        """See [`Scorer.recall`]."""
        self._vote(groups, {name: (judge.recalled_rewards(groups), {}) for name, judge in self.judges.items()})

    def reset_report(self) -> None:
        """Forget the votes of earlier calls."""
        super().reset_report()
        self._votes = []

    def votes(self) -> pd.DataFrame:
        """
        Votes of the last call. Every process has to call it.

        Returns:
            `pandas.DataFrame`: A row per prompt and judge: `prompt_id`, `judge`, `choices` (responses that share its vote).
        """
        return pd.DataFrame(gathered(self._votes), columns=["prompt_id", "judge", "choices"])

    def report(self) -> dict[str, Any]:
        """See [`Scorer.report`]: that of every judge, and how often they agreed."""
        return super().report() | {"panel": _agreement(self.votes())}

    def _vote(
        self, groups: list[Group], scored: Mapping[str, tuple[np.ndarray, Mapping[str, int]]]
    ) -> tuple[np.ndarray, Mapping[str, int]]:
        sizes = [len(group.responses) for group in groups]
        shares = [np.zeros(size) for size in sizes]
        for name, (rewards, _) in scored.items():
            for index, own in enumerate(np.split(rewards, np.cumsum(sizes)[:-1])):
                # verdict shares such as (1/2 + 1)/2 are equal or far apart
                choices = np.flatnonzero(np.isclose(own, own.max(), rtol=0, atol=1e-9))
                shares[index][choices] += 1 / len(choices) / len(self.judges)
                self._votes.append(
                    {"prompt_id": groups[index].prompt_id, "judge": name, "choices": tuple(choices.tolist())}
                )
        tokens = sum(cost.get("computed_tokens", 0) for _, cost in scored.values())
        return np.concatenate(shares), {"computed_tokens": tokens, "sequence_tokens": tokens}


def _agreement(votes: pd.DataFrame) -> dict[str, int]:
    """Prompts on which all judges voted for the same response, those without a single winner, and all."""
    unanimous = tied = prompts = 0
    for _, rows in votes.groupby("prompt_id", sort=False):
        shares: dict[int, float] = {}
        for choices in rows["choices"]:
            for choice in choices:
                shares[choice] = shares.get(choice, 0) + 1 / len(choices)
        top = max(shares.values())
        prompts += 1
        unanimous += rows["choices"].nunique() == 1 and len(rows["choices"].iloc[0]) == 1
        tied += sum(np.isclose(share, top) for share in shares.values()) > 1
    return {"prompts": prompts, "unanimous": int(unanimous), "tied": int(tied)}
