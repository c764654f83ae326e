"""The LIE dataset (Length Incentivized Evaluations) of Reliability-Aware Preference Learning, read from a clone.

The original repository states no licence: nothing of it is shipped here, and the functions read the files where the
user has them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset
from sklearn.model_selection import GroupKFold

from tasks.rapl.survey_tables import read_table
from trl_ext.evaluation.biases.lie import RESPONSE_KINDS
from trl_ext.reliability.calibrators import PlattCalibrator
from trl_ext.reliability.normalizers import ArmNormalizer


N_FOLDS = 5
TEST_FILE = "LIE_dataset_test.csv"

# normalised column -> raw column
NORMALIZED_ARMS = {"decision_time": "raw_decision_time", "number_of_clicks": "raw_number_of_clicks"}
CALIBRATED_ARMS = ("confidence_scores", "decision_time", "number_of_clicks")

_TEXT_COLUMNS = ("prompt", "chosen", "rejected", "chosen_type", "rejected_type")
_SOURCE_COLUMNS = (*_TEXT_COLUMNS, "IDs", "correct_chosen", "confidence_scores", *NORMALIZED_ARMS.values())
_BUILT_COLUMNS = (*_TEXT_COLUMNS, "id", "question_id", "correct_chosen")
_ANSWER_MARK = "\n\nAssistant:"
_QUESTION_MARK = "Human: "


@dataclass(frozen=True)
class LIEFiles:
    """
    Files of one fold.

    Args:
        train (`pathlib.Path`):
            Training pairs.
        val (`pathlib.Path`):
            Validation pairs.
        test (`pathlib.Path`):
            Test questions with four answers each.
        calibration (`pathlib.Path` or `None`):
            TRUE pairs the calibrators of this fold are fitted on; `None` in a folder without `TRUE/`.
    """

    train: Path
    val: Path
    test: Path
    calibration: Path | None


def find_lie_files(lie_data_dir: str | Path, fold: int = 0) -> LIEFiles:
    """
    Finds the files of a fold.

    Args:
        lie_data_dir (`str` or `pathlib.Path`):
            Clone of the RAPL repository, a folder that contains `LIE/`, `LIE/` itself, or what `build_lie.py` wrote as
            CSV.
        fold (`int`, *optional*, defaults to `0`):
            Fold, from 0 to 4.

    Returns:
        [`LIEFiles`]
    """
    if fold not in range(N_FOLDS):
        raise ValueError(f"fold must be from 0 to {N_FOLDS - 1}, got {fold!r}")
    root = Path(lie_data_dir).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"lie_data_dir '{root}' is not a directory")
    candidates = [root, root / "LIE", root / "datasets" / "LIE", root / "RAPL" / "datasets" / "LIE"]
    lie = next((path for path in candidates if (path / "folds").is_dir()), None)
    if lie is None:
        raise FileNotFoundError(
            f"no LIE folds under '{root}': looked for a folder `folds` in {', '.join(str(c) for c in candidates)}. "
            "Point lie_data_dir to a clone of github.com/shivamsinghal001/reliability-aware-preference-learning."
        )
    calibration = lie.parent / "TRUE" / "no_repeats" / f"cal_single_{fold}.csv"
    files = LIEFiles(
        train=lie / "folds" / f"LIE_train_{fold}.csv",
        val=lie / "folds" / f"LIE_val_{fold}.csv",
        test=lie / TEST_FILE,
        calibration=calibration if calibration.is_file() else None,
    )
    missing = [str(path) for path in (files.train, files.val, files.test) if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"missing in '{lie}': {', '.join(missing)}")
    return files


def locate_lie_test(train_data_path: str | Path) -> Path:
    """
    Finds the LIE test file that belongs to a training file: in its folder, the parent, or the parent of that.

    Args:
        train_data_path (`str` or `pathlib.Path`):
            Path of a training file; the file itself need not exist.

    Returns:
        `pathlib.Path`
    """
    folder = Path(train_data_path).expanduser().resolve().parent
    folders = [folder, *folder.parents[:2]]
    for candidate in folders:
        if (candidate / TEST_FILE).is_file():
            return candidate / TEST_FILE
    raise FileNotFoundError(
        f"no {TEST_FILE} in {', '.join(str(path) for path in folders)}. eval_on_lie_test needs it beside the training "
        "data or up to two folders above; set lie_data_dir to a clone of the RAPL repository, or copy the file there."
    )


def question_id(prompt: str) -> str:
    """
    Identifier of a question, the same in every file: the first 12 hex digits of its SHA-256, without role marks.

    Args:
        prompt (`str`):
            Question with or without `"Human: "` in front and `"\\n\\nAssistant:"` behind.

    Returns:
        `str`
    """
    question = prompt.removesuffix(_ANSWER_MARK).removeprefix(_QUESTION_MARK)
    return hashlib.sha256(question.encode()).hexdigest()[:12]


def read_lie_pairs(path: str | Path) -> pd.DataFrame:
    """Reads a `LIE_{train,val}_{fold}.csv` of the original, with its own columns, for [`add_normalized_columns`]."""
    return read_table(path, _SOURCE_COLUMNS, _TEXT_COLUMNS)


def read_full_train(lie_data_dir: str | Path) -> pd.DataFrame:
    """
    All 1000 training pairs: fold 0's training rows, then its validation rows. The LLM-written difficulty scores of the
    repository have no ids and follow this order.
    """
    files = find_lie_files(lie_data_dir, fold=0)
    return pd.concat([read_lie_pairs(files.train), read_lie_pairs(files.val)], ignore_index=True)


def _split_texts(head: str, text: str, column: str, row: int) -> str:
    if not text.startswith(head):
        raise ValueError(
            f"column '{column}', row {row}: the text does not start with its prompt and '\\n\\nAssistant:'; "
            f"expected {head!r}, got {text[: len(head)]!r}"
        )
    answer = text[len(head) :]
    if not answer.strip():
        raise ValueError(f"column '{column}', row {row}: no answer after the prompt {head!r}")
    return answer


def to_preferences(frame: pd.DataFrame) -> Dataset:
    """
    Turns pairs as the original stores them into a preference dataset.

    The prompt ends with `"Assistant:"` and the answers start with the blank that follows, as byte-pair tokenizers attach
    it to the next word. `prompt + chosen` is the original text, character by character.

    Args:
        frame (`pandas.DataFrame`):
            Rows from [`read_lie_pairs`].

    Returns:
        `datasets.Dataset`: `prompt`, `chosen`, `rejected`, `id` (the original `IDs`), `question_id`, `category`,
        `chosen_type`, `rejected_type`, `correct_chosen`, and every other numeric column of the frame: what the survey
        recorded and all reliability metrics, under the names of the original.
    """
    prompts = [prompt + _ANSWER_MARK for prompt in frame["prompt"]]
    columns = {"prompt": prompts}
    for side in ("chosen", "rejected"):
        columns[side] = [
            _split_texts(head, text, side, row)
            for row, (head, text) in enumerate(zip(prompts, frame[side], strict=True))
        ]
    columns["id"] = frame["IDs"].tolist()
    columns["question_id"] = [question_id(prompt) for prompt in prompts]
    if "categories" in frame:
        columns["category"] = frame["categories"].tolist()
    for name in ("chosen_type", "rejected_type", "correct_chosen"):
        columns[name] = frame[name].tolist()
    for name in frame.select_dtypes("number").columns:
        if name not in ("IDs", "correct_chosen"):
            columns[name] = frame[name].tolist()
    return Dataset.from_dict(columns)


def load_lie_preferences(path: str | Path) -> Dataset:
    """
    Reads LIE preference pairs, from the original file or from one that `build_lie.py` wrote as CSV.

    Args:
        path (`str` or `pathlib.Path`):
            `LIE_train_<fold>.csv` or `LIE_val_<fold>.csv`.

    Returns:
        `datasets.Dataset`: see [`to_preferences`].
    """
    columns = pd.read_csv(path, nrows=0).columns if Path(path).is_file() else ()
    if "question_id" in columns:
        return Dataset.from_dict(read_table(path, _BUILT_COLUMNS, _TEXT_COLUMNS).to_dict("list"))
    frame = read_lie_pairs(path)
    try:
        return to_preferences(frame)
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from error


def load_lie_test(path: str | Path) -> Dataset:
    """
    Reads the LIE test set: 40 questions, four rows each. The rows of a question differ in the pair of statements (one
    true, one false) the four answers were written from; they share the question, so cluster by `question_id`.

    Args:
        path (`str` or `pathlib.Path`):
            `LIE_dataset_test.csv`.

    Returns:
        `datasets.Dataset`: `id` (row number), `question_id`, `category`, `prompt` (ends with `"Assistant:"`), and the
        answers `correct_concise`, `correct_detailed`, `incorrect_concise`, `incorrect_detailed`. Prompt and answer
        joined are the original text.
    """
    frame = read_table(path, ("categories", "prompt", *RESPONSE_KINDS), ("prompt", *RESPONSE_KINDS))
    prompts = [f"{_QUESTION_MARK}{prompt}{_ANSWER_MARK}" for prompt in frame["prompt"]]
    answers = {
        kind: [
            _split_texts(head, text, kind, row)
            for row, (head, text) in enumerate(zip(prompts, frame[kind], strict=True))
        ]
        for kind in RESPONSE_KINDS
    }
    return Dataset.from_dict(
        {
            "id": list(range(len(frame))),
            "question_id": [question_id(prompt) for prompt in prompts],
            "category": frame["categories"].tolist(),
            "prompt": prompts,
            **answers,
        }
    )


def grouped_folds(
    frame: pd.DataFrame, n_folds: int = N_FOLDS, seed: int = 42
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """
    Folds in which no question is on both sides. The original splits rows, so that 94 to 100% of the validation rows
    have their question in the training split.

    Args:
        frame (`pandas.DataFrame`):
            Pairs with a `prompt` column.
        n_folds (`int`, *optional*, defaults to `5`):
            Number of folds.
        seed (`int`, *optional*, defaults to `42`):
            Seed of the assignment of questions.

    Yields:
        `tuple[numpy.ndarray, numpy.ndarray]`: row positions of the training and the validation split.
    """
    groups = frame["prompt"].map(question_id)
    yield from GroupKFold(n_splits=n_folds, shuffle=True, random_state=seed).split(frame, groups=groups)


def add_normalized_columns(
    train: pd.DataFrame, val: pd.DataFrame, calibration_path: str | Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """
    Computes the reliability columns of a fold as the original did: `decision_time` and `number_of_clicks` from the raw
    columns by an [`ArmNormalizer`] fitted on the training rows, and `TRUE_calibrated_<metric>` by a
    [`PlattCalibrator`] fitted on TRUE pairs, where it is known who was right.

    Two things to know: the decision time of TRUE runs from the first click to the submission, the one of LIE from the
    first to the last click (0 after a single click), so its calibrator is applied to another quantity than it was fitted
    on; and the calibrator slopes of time and clicks change sign between folds.

    Args:
        train (`pandas.DataFrame`):
            Training pairs from [`read_lie_pairs`].
        val (`pandas.DataFrame`):
            Validation pairs.
        calibration_path (`str` or `pathlib.Path`):
            `TRUE/no_repeats/cal_single_<fold>.csv`.

    Returns:
        `tuple[pandas.DataFrame, pandas.DataFrame]`: copies with the columns replaced.
    """
    train, val = train.copy(), val.copy()
    for name, raw in NORMALIZED_ARMS.items():
        normalizer = ArmNormalizer.fit(train[raw], name)
        for frame in (train, val):
            if len(frame):
                frame[name] = normalizer.transform(frame[raw])
    calibration = read_table(calibration_path, ("correct_chosen", *CALIBRATED_ARMS), ())
    for name in CALIBRATED_ARMS:
        calibrator = PlattCalibrator().fit(
            calibration[name], calibration["correct_chosen"], fitted_on=Path(calibration_path).name, arm=f"TRUE/{name}"
        )
        for frame in (train, val):
            # as the original did, also where LIE measures another time than TRUE: a warning says so
            frame[f"TRUE_calibrated_{name}"] = calibrator.predict(
                frame[name], arm=f"LIE/{name}", allow_definition_mismatch=True
            )
    return train, val
