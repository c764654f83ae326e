"""Demo pairs labelled by several simulated annotators each, for the aggregation of labels."""

import numpy as np
import pandas as pd

from .demo import ANNOTATORS, PAIR_KINDS, demo_prompt, draw_label, load_demo_questions


def load_demo_votes(seed: int = 0, votes_per_pair: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """
    Let several of the simulated annotators label every pair of the demo questions, in a random order of the responses.

    The annotators who skim take the longer response, all of them: their mistakes go together, as those of people do, and
    against the assumption of the aggregation methods that annotators err independently.

    Args:
        seed (`int`, *optional*, defaults to `0`):
            Seed of the order of responses, of who votes on what, and of the votes.
        votes_per_pair (`int`, *optional*, defaults to `5`):
            Different annotators who vote on each pair.

    Returns:
        `tuple[DataFrame, DataFrame]`: Votes (`item_id`, `annotator_id`, `label`: 1 if the first response is preferred),
        and pairs (`item_id`, `prompt`, `response_a`, `response_b`, and the truth: `first_is_better`).

    Example:
        ```python
        >>> from trl_ext.data.demo_votes import load_demo_votes
        >>> votes, pairs = load_demo_votes(votes_per_pair=3)
        >>> len(votes) == 3 * len(pairs)
        True
        ```
    """
    if not 1 <= votes_per_pair <= len(ANNOTATORS):
        raise ValueError(f"votes_per_pair must lie in [1, {len(ANNOTATORS)}], got {votes_per_pair}")
    generator = np.random.default_rng([seed, 2])
    votes, pairs = [], []
    for question in load_demo_questions():
        for number, (good, bad) in enumerate(PAIR_KINDS):
            item_id = f"{question['id']}-{number}"
            first_is_better = bool(generator.random() < 0.5)
            first, second = (good, bad) if first_is_better else (bad, good)
            pairs.append(
                {
                    "item_id": item_id,
                    "prompt": demo_prompt(question["question"]),
                    "response_a": question[first],
                    "response_b": question[second],
                    "first_is_better": int(first_is_better),
                }
            )
            for i in generator.choice(len(ANNOTATORS), votes_per_pair, replace=False):
                row = draw_label(question, (good, bad), ANNOTATORS[i], generator)
                label = int(bool(row["correct_chosen"]) == first_is_better)
                votes.append({"item_id": item_id, "annotator_id": row["annotator_id"], "label": label})
    return pd.DataFrame(votes), pd.DataFrame(pairs)
