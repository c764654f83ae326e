"""Which pairs of a run a calibration may be fitted to and measured on, decided by what they say."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from tasks.pair_calibration import FOLDS
from tasks.pair_groups import question_groups, text_of
from tasks.train_config import ConfigError
from tasks.train_data import TrainingData
from trl_ext.scoring.calibrated.preference_checks import MIN_PAIRS


_TEXTS = ("prompt", "chosen", "rejected")


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """
    Positions of the pairs that did not train.

    Args:
        test (`np.ndarray`): Of the test pairs.
        evaluation (`np.ndarray`): Of the evaluation pairs that are not among the test pairs.
        trained (`int`): Pairs of both that are left out because the model was trained on them.
        trained_questions (`int` or `None`): Of the kept pairs, how many have a question that the model was trained on, by other
            pairs; `None` where questions are not known.
    """

    test: np.ndarray
    evaluation: np.ndarray
    trained: int
    trained_questions: int | None

    def __len__(self) -> int:
        return self.test.size + self.evaluation.size

    def facts(self) -> dict[str, Any]:
        """For the record."""
        return {"pairs_left_out_as_trained": self.trained, "pairs_of_trained_questions": self.trained_questions}


def find_held_out(data: TrainingData) -> HeldOut:
    """
    Of the evaluation and test pairs each once, without those that trained in either order of the responses. Two objects may
    hold the same pairs, and files may overlap: so texts are compared.
    """
    sides = [part for part in (data.train, data.human) if part is not None]
    trained = {frozenset((key[:1], *key[1:])) for part in sides for key in _keys(part)}
    test = [] if data.test is None else _keys(data.test)
    evaluation = [] if data.evaluation is None or data.evaluation is data.test else _keys(data.evaluation)
    known = set(test)
    kept = [[frozenset((key[:1], *key[1:])) not in trained for key in keys] for keys in (test, evaluation)]
    new = [key not in known for key in evaluation]
    own = np.flatnonzero(np.array(kept[0], dtype=bool))
    others = np.flatnonzero(np.array(kept[1], dtype=bool) & np.array(new, dtype=bool))
    left_out = kept[0].count(False) + sum(fresh and not keep for fresh, keep in zip(new, kept[1], strict=True))
    return HeldOut(own, others, left_out, _of_trained_questions(data, own, others))


def _keys(pairs: Dataset) -> list[tuple[str, ...]]:
    columns = [pairs[name] if name in pairs.column_names else [None] * len(pairs) for name in _TEXTS]
    return [tuple(map(text_of, row)) for row in zip(*columns, strict=True)]


def _of_trained_questions(data: TrainingData, test: np.ndarray, evaluation: np.ndarray) -> int | None:
    trained = [part for part in (data.train, data.human) if part is not None]
    held_out = [part.select(rows) for part, rows in ((data.test, test), (data.evaluation, evaluation)) if rows.size]
    names = ("question_id", "prompt_id", "prompt")
    tables = [
        part.select_columns([name for name in names if name in part.column_names]).to_pandas()
        for part in [*trained, *held_out]
    ]
    try:
        groups = question_groups(pd.concat(tables, ignore_index=True))
    except ValueError:
        return None
    n = sum(map(len, trained))
    return int(np.isin(groups[n:], groups[:n]).sum())


def check_enough(config: dict[str, Any], default: str, held_out: HeldOut) -> str | None:
    """
    Whether there are enough pairs for the calibration, before anything is trained.

    Returns:
        `str` or `None`: What there is too little of, where it is only the default that asks for a calibration.

    Raises:
        ConfigError: There are too few for a calibration that was asked for.
    """
    method = config["calibrate"]
    needed = -(-MIN_PAIRS[method] * FOLDS // (FOLDS - 1))
    if len(held_out) >= needed:
        return None
    trained = f" ({held_out.trained} more trained the model)" if held_out.trained else ""
    message = (
        f"a calibration by {method!r} needs at least {needed} pairs that did not train, so that {MIN_PAIRS[method]} fit in each "
        f"of {FOLDS} folds; the evaluation and test pairs have {len(held_out)}{trained}"
    )
    if method != default:
        raise ConfigError(f"calibrate={method}: {message}. Give more pairs (eval_data_path), or calibrate=None.")
    return message
