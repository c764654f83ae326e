r"""
Pairs of demo answers whose true preference probabilities are known, because their true rewards are.

The reward of an answer with w words is

| answer | reward |
|---|---|
| correct | \( 1 + 0.03\,w \) |
| with a wrong fact (`bad_sort` is `factual`) | \( -0.03\,w \) |
| to another question (`bad_sort` is `relevance`) | \( -1 - 0.03\,w \) |

so that detail makes good answers better and bad ones worse. The probability that a committed annotator prefers one answer to
another is σ of the difference of their rewards.
"""

import itertools

import numpy as np
from datasets import Dataset
from scipy.special import expit

from trl_ext.data.checks import shorten
from trl_ext.data.demo import KINDS, demo_prompt, load_demo_questions


BASE_REWARDS = {"correct": 1.0, "factual": 0.0, "relevance": -1.0}
REWARD_PER_WORD = 0.03


def true_reward(question: dict[str, str], kind: str) -> float:
    """
    True reward of an answer.

    Args:
        question (`dict`): One of [`~trl_ext.data.demo.load_demo_questions`].
        kind (`str`): One of [`~trl_ext.data.demo.KINDS`].

    Returns:
        `float`

    Example:
        ```python
        >>> from trl_ext.data.demo import load_demo_questions
        >>> question = load_demo_questions()[0]
        >>> len(question["correct_concise"].split()), round(true_reward(question, "correct_concise"), 2)
        (11, 1.33)
        ```
    """
    words = len(question[kind].split())
    if kind.startswith("correct"):
        return BASE_REWARDS["correct"] + REWARD_PER_WORD * words
    return BASE_REWARDS[question["bad_sort"]] - REWARD_PER_WORD * words


def demo_pairs(seed: int = 0) -> Dataset:
    """
    All six pairs of the four answers to each demo question, labelled once by a committed annotator.

    Args:
        seed (`int`, *optional*, defaults to `0`):
            Seed of the labels: which of both answers is `chosen`.

    Returns:
        [`~datasets.Dataset`]: `id`, `prompt`, `chosen`, `rejected`, `question_id`, `chosen_type`, `rejected_type`; 738 rows.
    """
    # A stream of its own: labels that went with the swaps of the calibration would spoil it
    rng = np.random.default_rng([seed, 3])
    rows = []
    for question in load_demo_questions():
        for pair in itertools.combinations(KINDS, 2):
            difference = true_reward(question, pair[0]) - true_reward(question, pair[1])
            chosen, rejected = pair if rng.random() < expit(difference) else pair[::-1]
            rows.append(
                {
                    "id": f"{question['id']}-{pair[0]}-{pair[1]}",
                    "prompt": demo_prompt(question["question"]),
                    "chosen": question[chosen],
                    "rejected": question[rejected],
                    "question_id": question["id"],
                    "chosen_type": chosen,
                    "rejected_type": rejected,
                }
            )
    return Dataset.from_list(rows)


def demo_rewards(pairs: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """
    True rewards of pairs of demo answers, found by their texts.

    Args:
        pairs ([`~datasets.Dataset`]): `prompt`, `chosen` and `rejected`.

    Returns:
        `tuple[np.ndarray, np.ndarray]` of shapes `(N,)`: of chosen and of rejected, float64.

    Raises:
        ValueError: A pair is not of the demo.
    """
    if "prompt" not in pairs.column_names:
        raise ValueError("oracle=demo knows answers of the demo data alone, and needs a column 'prompt'")
    known = {
        (demo_prompt(question["question"]), question[kind]): true_reward(question, kind)
        for question in load_demo_questions()
        for kind in KINDS
    }
    rewards = []
    for column in ("chosen", "rejected"):
        keys = list(zip(pairs["prompt"], pairs[column], strict=True))
        unknown = [row for row, (prompt, text) in enumerate(keys) if not _is_known(prompt, text, known)]
        if unknown:
            raise ValueError(
                f"oracle=demo knows answers of the demo data alone; {len(unknown)} of {len(keys)} in column '{column}' are "
                f"none, first: row {unknown[0]}, value {shorten(keys[unknown[0]])}. Set oracle to a reward model, or to "
                "dataset for scores that the data brings."
            )
        rewards.append(np.array([known[key] for key in keys]))
    return rewards[0], rewards[1]


def _is_known(prompt: object, text: object, known: dict[tuple[str, str], float]) -> bool:
    return isinstance(prompt, str) and isinstance(text, str) and (prompt, text) in known
