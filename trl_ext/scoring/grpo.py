"""A scorer as reward function of TRL's GRPOTrainer, RLOOTrainer and the like."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from .base import Scorer
from .calibrated.scorer import CalibratedScorer, with_sources
from .groups import Group, make_group
from .processes import gathered, process_state


def reward_function(
    scorer: Scorer, *, source: str | None = None, name: str | None = None
) -> Callable[..., list[float]]:
    """
    A scorer as reward function for TRL: `GRPOTrainer(reward_funcs=[reward_function(scorer)], ...)`.

    Completions of equal prompts are scored together, so that the prompt is computed once. Under several processes, those of
    all are divided among them, and each gets the rewards of its own. A policy may answer nothing: empty completions are
    scored as they are. Text too long for the scorer ends training unless its `max_length_policy` truncates.

    A source's offset is the same for all completions of a policy. GRPO subtracts the mean reward of each prompt's
    completions, so it changes the logged rewards and nothing that is learned; a curve of length does change what is learned.
    The shares of completions shorter and longer than those it was fitted on are logged as `calibration/shorter` and
    `calibration/longer`.

    Args:
        scorer ([`~trl_ext.scoring.base.Scorer`]):
            Any scorer, raw or calibrated. Loaded at once, its progress bar switched off.
        source (`str`, *optional*):
            Name of the policy that is trained, for a calibration with offsets per source.
        name (`str`, *optional*):
            Under which TRL logs the rewards. By default `"reward"`, or `"calibrated_reward"` if they are.

    Returns:
        `Callable`: Takes `prompts` and `completions` (texts, or lists of messages), `log_metric` of TRL, and further
        keyword arguments, which are not used, and returns the reward of each completion as a list of floats.

    Raises:
        ValueError: The calibration has offsets, but none for `source`.

    Example:
        ```python
        >>> from trl_ext import RewardScorer
        >>> from trl_ext.scoring import reward_function

        >>> reward = reward_function(RewardScorer("bundled:smollm2-135m-instruct"))  # doctest: +SKIP
        >>> rewards = reward(prompts=["2 + 2 = ", "2 + 2 = "], completions=["4", "5"])  # doctest: +SKIP
        >>> len(rewards)  # doctest: +SKIP
        2
        ```
    """
    calibrated = isinstance(scorer, CalibratedScorer)
    if calibrated and scorer.calibration.source_offsets is not None and scorer.unknown_source == "error":
        if source not in scorer.calibration.source_offsets:
            raise ValueError(
                f"the calibration has an offset per source, but none for the policy {source!r}: `source` must be one of "
                f"{', '.join(map(repr, scorer.calibration.source_offsets))}. All completions are the policy's, so that an "
                'offset changes nothing that GRPO learns: unknown_source="zero" trains the same.'
            )
    scorer.progress = False
    scorer.prepare()

    def reward(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        log_metric: Callable[[str, float], None] | None = None,
        **kwargs: Any,
    ) -> list[float]:
        if len(prompts) != len(completions):
            raise ValueError(f"there must be a prompt per completion, got {len(prompts)} and {len(completions)}")
        state = process_state()
        parts = gathered([list(zip(prompts, completions, strict=True))])
        pairs = [pair for part in parts for pair in part]
        rewards = _rewards(scorer, pairs, source, state.num_processes)
        if calibrated and pairs:
            scorer.warns = False  # once: the same is logged at every step
            counts = scorer.report()["calibration"]
            for counted in sorted(counts.keys() - {"responses"}) if log_metric is not None else ():
                log_metric(f"calibration/{counted}", counts[counted] / len(pairs))
        start = sum(map(len, parts[: state.process_index]))
        return rewards[start : start + len(prompts)]

    reward.__name__ = reward.__qualname__ = name or ("calibrated_reward" if calibrated else "reward")
    return reward


def _rewards(scorer: Scorer, pairs: Sequence[tuple[Any, Any]], source: str | None, num_processes: int) -> list[float]:
    """Rewards of prompts with completions, in order."""
    if not pairs:
        return []
    rows_of: dict[str, list[int]] = {}
    for row, (prompt, _) in enumerate(pairs):
        rows_of.setdefault(json.dumps(prompt, sort_keys=True, default=str), []).append(row)
    groups = [_group(pairs, rows) for rows in rows_of.values()]
    scored = scorer.score_groups_in_memory(
        groups if source is None else with_sources(groups, source),
        window_size=math.ceil(len(pairs) / num_processes),  # a window is computed by one process
        num_workers=0,
    )
    rewards = [math.nan] * len(pairs)
    for rows, of_group in zip(rows_of.values(), scored, strict=True):
        for row, value in zip(rows, of_group, strict=True):
            rewards[row] = float(value)
    return rewards


def _group(pairs: Sequence[tuple[Any, Any]], rows: Sequence[int]) -> Group:
    return make_group(
        pairs[rows[0]][0], [pairs[row][1] for row in rows], f"prompt of completion {rows[0]}", allow_empty=True
    )
