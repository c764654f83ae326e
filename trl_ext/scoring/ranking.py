"""PairwiseRankingScorer: rewards from a model that compares two responses."""

import abc
import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from .base import WindowScorer
from .comparison_text import Comparison, conversation_text
from .groups import Group, windows
from .results import ScoredWindow
from .timing import Timing


logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class ComparisonResults:
    """
    What a comparer says.

    Args:
        probabilities (`np.ndarray` of shape `(N,)`): Probability that the first response is preferred, in float64.
        truncated (`Sequence[bool]` of length `N`): Whether the prompt was truncated.
        computed_tokens (`int`): Tokens that the model computed, padding included.
        sequence_tokens (`int`): Tokens of all comparisons.
    """

    probabilities: np.ndarray
    truncated: Sequence[bool]
    computed_tokens: int
    sequence_tokens: int


class Comparer(abc.ABC):
    """Gives the probability that the first of two responses to a prompt is preferred."""

    @abc.abstractmethod
    def compare(self, comparisons: Sequence[Comparison]) -> ComparisonResults:
        """
        Compare.

        Args:
            comparisons (`Sequence[Comparison]`):
                Distinct comparisons. What one gives depends on it alone, up to rounding.

        Returns:
            [`ComparisonResults`]
        """

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """What probabilities depend on, for JSON."""

    def provenance(self) -> dict[str, Any]:
        """What is good to know of them, but changes none, for JSON."""
        return {}

    def prepare(self) -> None:  # noqa: B027  some have nothing to load
        """Load what is needed."""


class PairwiseRankingScorer(WindowScorer):
    r"""
    Reward of a response: the mean probability that it is preferred to the other responses to its prompt.

    Every two responses are compared in both orders, and the two answers averaged:
    \( p_{ij} = [P(i \text{ first}, j) + 1 - P(j \text{ first}, i)] / 2 \), so that which one stands first decides nothing,
    \( p_{ij} + p_{ji} = 1 \), and equal responses have exactly 1/2. Of two responses, the first has the larger reward if
    and only if \( p_{12} > 1/2 \) (to float32: within 6e-8 of 1/2 they tie). With more, rewards depend on which others
    there are: they compare responses to one prompt, and nothing across prompts. N responses cost N (N - 1) comparisons.

    References:
        - LLM-Blender: Ensembling Large Language Models with Pairwise Ranking and Generative Fusion (Jiang et al.),
          https://arxiv.org/abs/2306.02561, section 3: both orders, and the sum over all comparisons.
        - RewardBench: Evaluating Reward Models for Language Modeling (Lambert et al.), https://arxiv.org/abs/2403.13787,
          of whose pairwise models some see a random order; here no result depends on chance.

    Args:
        comparer ([`Comparer`]):
            [`CrossEncoderComparer`], [`LanguageModelComparer`], or one of your own.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.scoring.ranking import Comparer, ComparisonResults

        >>> class LikesLonger(Comparer):
        ...     def compare(self, comparisons):
        ...         longer = [float(len(c.first) > len(c.second)) for c in comparisons]
        ...         return ComparisonResults(np.array(longer), [False] * len(longer), 0, 0)
        ...
        ...     def settings(self):
        ...         return {"comparer": "LikesLonger"}

        >>> scorer = PairwiseRankingScorer(LikesLonger(), progress=False)
        >>> scorer.score(["How are you?"], [["Fine.", "Very well, thanks.", "Good, thanks."]])
        [array([0. , 1. , 0.5], dtype=float32)]
        ```
    """

    def __init__(self, comparer: Comparer, *, progress: bool = True):
        self.comparer = comparer
        self.progress = progress
        self.timing = Timing()

    def check_first_windows(self, groups: Iterable[Group], window_size: int) -> int:
        """Check the first window; see [`~trl_ext.scoring.base.Scorer.check_first_windows`]."""
        for group in next(windows(groups, window_size), []):
            _texts(group)
        return 0

    def prepare(self) -> None:
        """Load the comparer's model."""
        self.comparer.prepare()

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
        yield from super().score_windows(
            groups, window_size=window_size, num_workers=num_workers, skip=skip, done=done, total=total
        )
        if self.timing.truncated:
            logger.warning(
                "%d of %d responses were compared with a truncated prompt.",
                self.timing.truncated,
                self.timing.responses,
            )

    def score_groups(self, groups: list[Group]) -> tuple[np.ndarray, Mapping[str, int]]:
        """See [`~trl_ext.scoring.base.WindowScorer.score_groups`]."""
        texts = [_texts(group) for group in groups]
        comparisons = {
            Comparison(prompts[i], responses[i], responses[j]): None
            for prompts, responses in texts
            for i in range(len(responses))
            for j in range(len(responses))
            if responses[i] != responses[j]
        }
        # In an order of their own, so that rewards don't depend on that of the responses, not even by rounding
        distinct = sorted(comparisons)
        results = self.comparer.compare(distinct)
        _check(results, distinct)
        said = dict(zip(distinct, zip(results.probabilities.tolist(), results.truncated, strict=True), strict=True))
        rewards: list[float] = []
        truncated = 0
        for prompts, responses in texts:
            wins, is_short = _rank(prompts, responses, said)
            rewards.extend(wins)
            truncated += sum(is_short)
        return np.array(rewards), {
            "computed_tokens": results.computed_tokens,
            "sequence_tokens": results.sequence_tokens,
            "truncated": truncated,
        }

    def settings(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.base.Scorer.settings`]."""
        return {"scorer": type(self).__name__, "orders": "both, averaged", **self.comparer.settings()}

    def provenance(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.base.Scorer.provenance`]."""
        return self.comparer.provenance()


def _texts(group: Group) -> tuple[list[str], list[str]]:
    """Text of the prompt as each response has it, and of the responses."""
    if len(group.responses) == 1:
        raise ValueError(f"{group.name} has one response, which there is nothing to compare with. Give two or more.")
    if not group.prompt and any(isinstance(response, str) for response in group.responses):
        raise ValueError(f"{group.name}: there is no prompt. Give the text before the responses in `prompt`.")
    prompts, responses = [], []
    for index, response in enumerate(group.responses):
        name = f"{group.name}, response {index}"
        # Without a prompt of its own, a response is a whole conversation, whose last message answers the others
        before, after = (group.prompt, response) if group.prompt else (response[:-1], response[-1:])
        if not before:
            raise ValueError(f"{name}: one message alone is no answer to a prompt.")
        prompts.append(conversation_text(before, name))
        responses.append(conversation_text(after, name))
    if len(set(prompts)) > 1:
        raise ValueError(f"{group.name}: its responses answer different prompts, so that they can't be compared.")
    return prompts, responses


def _rank(
    prompts: list[str], responses: list[str], said: Mapping[Comparison, tuple[float, bool]]
) -> tuple[list[float], list[bool]]:
    """Mean probability of every response to be preferred, and whether a comparison of it was truncated."""
    sums = [0.0] * len(responses)
    truncated = [False] * len(responses)
    for i, j in combinations(range(len(responses)), 2):
        advantage = 0.0
        if responses[i] != responses[j]:
            first, first_short = said[Comparison(prompts[i], responses[i], responses[j])]
            second, second_short = said[Comparison(prompts[i], responses[j], responses[i])]
            advantage = (first - second) / 2
            if first_short or second_short:
                truncated[i] = truncated[j] = True
        sums[i] += advantage
        sums[j] -= advantage
    return [0.5 + value / (len(responses) - 1) for value in sums], truncated


def _check(results: ComparisonResults, comparisons: list[Comparison]) -> None:
    values = results.probabilities
    if values.shape != (len(comparisons),):
        raise ValueError(
            f"a comparer must give one probability per comparison: {len(comparisons)}, got {values.shape}"
        )
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if wrong.size:
        raise ValueError(
            f"a comparer must give probabilities, got {values[wrong[0]]} for the prompt that begins "
            f"{comparisons[int(wrong[0])].prompt[:60]!r}. If its model is in float16, use dtype='float32' or 'bfloat16'."
        )
