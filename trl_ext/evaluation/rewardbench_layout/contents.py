"""What RewardBench's files hold."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


# Keys beside subset accuracies and beside parallel arrays
MODEL_FIELDS = ("model", "model_type", "chat_template", "ref_model")
_PAIR_KEYS = ("results", "scores_chosen", "scores_rejected", "text_chosen", "text_rejected")
KINDS = ("results", "pair scores", "group scores", "best-of-n scores", "summary", "outputs")


@dataclass(frozen=True)
class LayoutFile:
    """
    A file of RewardBench, as it is.

    Args:
        kind (`str`):
            `"results"` (accuracies of subsets), `"pair scores"`, `"group scores"` (of RewardBench 2), `"best-of-n scores"`,
            `"summary"` and `"outputs"` (of the command line).
        content (`dict` or `list[dict]`):
            The JSON; of `"outputs"` a list with an entry per row.
    """

    kind: str
    content: Any

    @property
    def model(self) -> str | None:
        """Name of the model; files of outputs have none."""
        return None if self.kind == "outputs" else self.content.get("model")

    def accuracies(self) -> dict[str, float]:
        """
        Accuracy by subset, as stored; empty for files of scores.

        Raises:
            ValueError: An accuracy is not in [0, 1], of Ties not in [-0.01, 1.01]; the subset is named.
        """
        if self.kind == "results":
            stored = {key: value for key, value in self.content.items() if key not in MODEL_FIELDS}
        elif self.kind == "summary":
            stored = self.content["extra_results"] or {}
        else:
            stored = {}
        return {key: _accuracy(value, key) for key, value in stored.items()}

    @property
    def numbered(self) -> bool:
        """Whether rows have no ids, as those of DPO models, and [`scores`] gives their numbers."""
        rows = self.content if isinstance(self.content, list) else [self.content]
        return not all("id" in row for row in rows)

    def scores(self) -> pd.DataFrame:
        """
        A row per prompt or text.

        Returns:
            `pandas.DataFrame`: `id` (text; the row's number if the file has none), `subset` (empty if the file has none),
            `rewards` (list of floats, of right responses first; `None` of rankers that only decide), `num_correct`,
            `texts` (list), `result` (as stored).

        Raises:
            ValueError: The file has no rewards of responses, a reward of several numbers, rewards and texts of different
                number, or an impossible result or number of right responses; the row is named.
        """
        if self.kind not in ("pair scores", "group scores", "outputs"):
            raise ValueError(f"a file of {self.kind} has no rewards of prompts")
        rows = pd.DataFrame(self.content if self.kind == "outputs" else _arrays(self.content))
        if self.kind == "group scores":
            rewards, texts = rows["scores"], rows["text"]
            _check_groups(rows)
            num_correct = rows["num_correct"].astype(int)
        elif "scores_chosen" in rows:
            rewards = pd.Series(list(zip(rows["scores_chosen"], rows["scores_rejected"], strict=True)))
            texts = pd.Series(list(zip(rows["text_chosen"], rows["text_rejected"], strict=True)))
            num_correct = pd.Series(1, index=rows.index)
        else:
            raise ValueError("these outputs are rewards of single texts: there is nothing to compare")
        for row, value in enumerate(rows["results"]):
            if not _is_number(value) or not 0 <= value <= 1:
                raise ValueError(f"results, row {row}: expected a number in [0, 1], got {value!r}")
        return pd.DataFrame(
            {
                "id": (pd.Series(range(len(rows))) if self.numbered else rows["id"]).astype(str),
                "subset": rows["subset"].astype(str) if "subset" in rows else "",
                "rewards": [_rewards(values, row) for row, values in enumerate(rewards)],
                "num_correct": num_correct,
                "texts": [list(values) for values in texts],
                "result": rows["results"].astype(float),
            }
        )


def kind_of(content: Any) -> str:
    """
    Which kind of file a content is of.

    Raises:
        ValueError: of none, or its arrays have different lengths.
    """
    if isinstance(content, list):
        bad = [row for row, entry in enumerate(content) if not isinstance(entry, dict) or "results" not in entry]
        if bad or not content:
            raise ValueError(f"row {bad[0]} has no 'results'" if bad else "there are no rows")
        return "outputs"
    if not isinstance(content, dict):
        raise ValueError(f"expected an object, got {type(content).__name__}")
    if {"accuracy", "num_prompts"} <= set(content):
        return "summary"
    if "scores_chosen" in content:
        _check_arrays(content, _PAIR_KEYS)
        return "pair scores"
    if isinstance(content.get("scores"), list):
        grouped = "num_correct" in content
        _check_arrays(content, ("scores", "text", *(("results", "num_correct") if grouped else ())))
        return "group scores" if grouped else "best-of-n scores"
    bad = [key for key, value in content.items() if key not in MODEL_FIELDS and not _is_number(value)]
    if "model" in content and not bad:
        return "results"
    raise ValueError(
        f"not a file of RewardBench: {f'{bad[0]!r} is no accuracy' if bad else 'it names no model'}. Known are results "
        "(model, subset: accuracy), scores (parallel arrays) and outputs of the command line"
    )


def _arrays(content: dict[str, Any]) -> dict[str, list]:
    return {key: value for key, value in content.items() if key not in MODEL_FIELDS}


def _check_arrays(content: dict[str, Any], needed: tuple[str, ...]) -> None:
    missing = [key for key in needed if key not in content]
    if missing:
        raise ValueError(f"scores without {', '.join(missing)}")
    lengths = {key: len(value) if isinstance(value, list) else None for key, value in _arrays(content).items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"arrays must have one value per row, got lengths {lengths}")


def _check_groups(rows: pd.DataFrame) -> None:
    for row, (scores, texts, right) in enumerate(zip(rows["scores"], rows["text"], rows["num_correct"], strict=True)):
        if not isinstance(scores, list) or not isinstance(texts, list) or len(scores) != len(texts) or not scores:
            sizes = [len(values) if isinstance(values, list) else type(values).__name__ for values in (scores, texts)]
            raise ValueError(f"row {row}: scores and text must be lists with an entry per response, got {sizes}")
        if isinstance(right, bool) or not isinstance(right, int) or not 1 <= right < max(len(scores), 2):
            raise ValueError(
                f"num_correct, row {row}: expected a whole number from 1 to below {len(scores)}, the number of responses, "
                f"got {right!r}"
            )


def _accuracy(value: Any, subset: str) -> float:
    # the score of Ties in RewardBench 2 is no share
    slack = 0.01 if subset == "Ties" else 0.0
    if not _is_number(value) or not -slack <= value <= 1 + slack:
        raise ValueError(
            f"accuracy of subset {subset!r} must be a number in [{0 - slack:g}, {1 + slack:g}], got {value!r}"
            + (" (per cent? divide by 100)" if _is_number(value) and 1 < value <= 100 else "")
        )
    return float(value)


def _rewards(values: Any, row: int) -> list[float] | None:
    if all(value is None for value in values):
        return None
    return [_reward(value, row) for value in values]


def _reward(value: Any, row: int) -> float:
    # a model with one label gives lists of one number
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if not _is_number(value):
        raise ValueError(f"scores, row {row}: {value!r} is not one finite number")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
