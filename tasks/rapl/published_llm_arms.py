"""The published difficulty scores of language models on LIE, joined to the pairs they belong to.

The files have no ids. Row i is about pair i of [`~tasks.rapl.lie_data.read_full_train`]: fold 0's training rows, then its
validation rows. The reasoning beside the scores talks about the pair, and by that the order is checked.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from tasks.rapl.lie_data import question_id, read_full_train
from trl_ext.reliability.llm_arms import CRITERIA, CriterionScore, check_scores


ARM_FOLDER = "LLM_ARM_generation"

# Aligned files have median rank 0; the same files in another order have about half the number of rows
_LARGEST_MEDIAN_RANK = 0.05


def find_published_scores(lie_data_dir: str | Path) -> list[Path]:
    """The score files of a clone of the RAPL repository, by name."""
    root = Path(lie_data_dir).expanduser()
    candidates = [root / ARM_FOLDER, root / "datasets" / ARM_FOLDER, root / "RAPL" / "datasets" / ARM_FOLDER]
    candidates += [root.parent / ARM_FOLDER]
    files = next((found for folder in candidates if (found := sorted(folder.glob("*.json")))), [])
    if not files:
        raise FileNotFoundError(f"no score files: looked for *.json in {', '.join(str(path) for path in candidates)}")
    return files


def read_published_scores(path: str | Path, n_rows: int | None = None) -> list[dict[str, CriterionScore]]:
    """
    Reads and checks a file of scores.

    Args:
        path (`str` or `Path`):
            JSON list with an object for each pair: criterion -> `{"reasoning": text, "score": 1 to 5}`.
        n_rows (`int`, *optional*):
            Number of rows it must have.

    Returns:
        `list[dict[str, CriterionScore]]`

    Raises:
        `ValueError`: It is no such list, has another length, or a row lacks a criterion or has a score that is not
            allowed; the message names the first bad row.
    """
    path = Path(path)
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is not JSON: {error}") from error
    if not isinstance(records, list):
        raise ValueError(f"'{path}' must hold a list with an object for each pair, got {type(records).__name__}")
    if n_rows is not None and len(records) != n_rows:
        raise ValueError(f"'{path}' has {len(records)} rows, but there are {n_rows} pairs; they are joined by row")
    scores = []
    for row, record in enumerate(records):
        try:
            scores.append(check_scores(record))
        except ValueError as error:
            raise ValueError(f"'{path}', row {row}: {error}") from error
    return scores


def load_published_scores(lie_data_dir: str | Path, paths: Sequence[str | Path]) -> pd.DataFrame:
    """
    Joins published scores to the ids of the 1000 LIE pairs.

    Args:
        lie_data_dir (`str` or `Path`):
            Clone of the RAPL repository, or what [`~tasks.rapl.lie_data.find_lie_files`] finds.
        paths (`Sequence[str or Path]`):
            Score files: several (repetitions, models) are averaged.

    Returns:
        `pandas.DataFrame`: `id` (the original `IDs`), `question_id`, the seven criteria (mean over the files),
        `n_answers` (number of files), `correct_chosen`, and `informative`: one response is correct and one is not, so
        that the annotator could be right or wrong.

    Raises:
        `ValueError`: A file is not valid, or its reasoning does not fit the pairs of the same rows.
    """
    if not paths:
        raise ValueError("paths is empty: give at least one file of scores")
    pairs = read_full_train(lie_data_dir)
    tables = []
    for path in paths:
        scores = read_published_scores(path, len(pairs))
        _check_alignment(path, scores, pairs)
        tables.append([[row[name].score for name in CRITERIA] for row in scores])
    frame = pd.DataFrame(np.mean(tables, axis=0), columns=list(CRITERIA))
    frame.insert(0, "id", pairs["IDs"])
    frame.insert(1, "question_id", pairs["prompt"].map(question_id))
    frame["n_answers"] = len(paths)
    frame["correct_chosen"] = pairs["correct_chosen"].astype(int)
    frame["informative"] = is_informative(pairs)
    return frame


def is_informative(pairs: pd.DataFrame) -> pd.Series:
    """Pairs of a correct and an incorrect response. On the others, `correct_chosen` says nothing about the annotator."""
    kinds = pairs[["chosen_type", "rejected_type"]].apply(lambda column: column.str.startswith("correct"))
    return kinds["chosen_type"] != kinds["rejected_type"]


def reasoning_similarity(scores: Sequence[dict[str, CriterionScore]], pairs: pd.DataFrame) -> np.ndarray:
    """
    How much the reasoning of every row resembles every pair (TF-IDF cosine).

    Args:
        scores (`Sequence[dict[str, CriterionScore]]`): From [`read_published_scores`].
        pairs (`pandas.DataFrame`): From [`~tasks.rapl.lie_data.read_full_train`].

    Returns:
        `numpy.ndarray` of shape `(N, N)`: row of the scores, row of the pairs.
    """
    reasoning = [" ".join(score.reasoning for score in row.values()) for row in scores]
    texts = pairs["chosen"] + " " + pairs["rejected"].str.split("Assistant:").str[-1]
    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True).fit([*texts, *reasoning])
    return (vectorizer.transform(reasoning) @ vectorizer.transform(texts).T).toarray()


def reasoning_ranks(similarity: np.ndarray) -> np.ndarray:
    """
    For every row, how many other pairs resemble its reasoning more than the pair of that row: 0 where none does, about N/2
    for rows in another order.
    """
    return (similarity > np.diag(similarity)[:, None]).sum(axis=1)


def most_similar_shift(similarity: np.ndarray) -> int:
    """By how many rows (modulo N) the scores have to be moved to fit the pairs best: 0 if no row is missing or added."""
    rows = np.arange(len(similarity))
    return int(np.argmax([similarity[rows, (rows + shift) % rows.size].mean() for shift in rows]))


def _check_alignment(path: str | Path, scores: Sequence[dict[str, CriterionScore]], pairs: pd.DataFrame) -> None:
    if not any(score.reasoning for row in scores for score in row.values()):
        return  # nothing to compare
    similarity = reasoning_similarity(scores, pairs)
    median, shift = float(np.median(reasoning_ranks(similarity))), most_similar_shift(similarity)
    if median > _LARGEST_MEDIAN_RANK * len(pairs) or shift:
        raise ValueError(
            f"'{path}' is not in the order of the pairs: its reasoning resembles other pairs more (median rank {median:g} of "
            f"{len(pairs)}, best fit when moved by {shift} rows; both are 0 or nearly so where rows match). Give the files and "
            "the data of one clone."
        )
