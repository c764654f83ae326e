"""Built-in preference data: questions written for this package, labelled by simulated annotators of known reliability.

Every annotator has a commitment η. With probability η he reads the two answers and prefers the better one with
probability σ(`QUALITY_GAP`); otherwise he skims, and takes the longer answer with a probability of his own (the length
bias). Reading takes longer and leaves him more confident, so that decision time and confidence carry information on
whether a label can be believed. Nothing else is used to estimate `reliability`; the truth is kept in extra columns.
"""

import importlib.resources
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    from datasets import DatasetDict


KINDS = ("correct_concise", "correct_detailed", "incorrect_concise", "incorrect_detailed")

# Pairs of one good and one bad answer, and how often annotators meet them. As in the LIE data, the short good answer
# against the long bad one is the most frequent: there a liking for length misleads.
PAIR_KINDS = {
    ("correct_concise", "incorrect_detailed"): 0.4,
    ("correct_concise", "incorrect_concise"): 0.2,
    ("correct_detailed", "incorrect_detailed"): 0.2,
    ("correct_detailed", "incorrect_concise"): 0.2,
}

QUALITY_GAP = 4.0
CONFIDENCE_LEVELS = (0.0, 1 / 3, 2 / 3, 1.0)
CONFIDENCE_READING = (0.05, 0.10, 0.30, 0.55)
CONFIDENCE_SKIMMING = (0.25, 0.35, 0.25, 0.15)
LOG_SECONDS_READING, LOG_SECONDS_SKIMMING, LOG_SECONDS_SD = 3.2, 2.2, 0.5

SPLITS = {"train": 0.56, "validation": 0.08, "calibration": 0.12, "test": 0.24}
CALIBRATION_LABELS = 480
DEFAULT_TRAIN_PAIRS = 480


@dataclass(frozen=True)
class DemoAnnotator:
    """
    A simulated annotator.

    Args:
        annotator_id (`str`): Name.
        eta (`float`): Commitment: probability in [0, 1] of reading instead of skimming.
        length_bias (`float`): Probability in [0.5, 1] of taking the longer answer when skimming.
    """

    annotator_id: str
    eta: float
    length_bias: float


ANNOTATORS = tuple(
    DemoAnnotator(f"annotator-{i:02d}", eta, length_bias)
    for i, (eta, length_bias) in enumerate(
        [
            (0.98, 0.70), (0.92, 0.80), (0.85, 0.75), (0.75, 0.85), (0.60, 0.80), (0.45, 0.85),
            (0.35, 0.90), (0.25, 0.90), (0.15, 0.85), (0.10, 0.95), (0.05, 0.90), (0.02, 0.95),
        ],
        start=1,
    )
)  # fmt: skip


def load_demo_questions() -> list[dict[str, str]]:
    """
    Return the questions with their answers.

    Returns:
        `list[dict]`: `id`, `topic`, `question`, `bad_sort` (`"factual"`: the bad answers have a wrong fact, `"relevance"`:
        they are good answers to another question), and one text for each of `KINDS`.
    """
    text = importlib.resources.files(__package__).joinpath("demo", "questions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def demo_prompt(question: str) -> str:
    """Return the prompt of a question, in the plain-text format of the demo data."""
    return f"Question: {question}\nAnswer: "


def split_questions(questions: list[dict[str, str]], seed: int) -> dict[str, list[dict[str, str]]]:
    """Split questions into train, validation, calibration and test, with the same share of both sorts in each."""
    generator = np.random.default_rng(seed)
    splits: dict[str, list[dict[str, str]]] = {name: [] for name in SPLITS}
    bounds = np.cumsum(list(SPLITS.values()))[:-1]
    for sort in ("factual", "relevance"):
        members = [q for q in questions if q["bad_sort"] == sort]
        order = generator.permutation(len(members))
        parts = np.split(order, np.round(bounds * len(members)).astype(int))
        for name, part in zip(SPLITS, parts, strict=True):
            splits[name] += [members[i] for i in part]
    return splits


def draw_label(
    question: dict[str, str], pair: tuple[str, str], annotator: DemoAnnotator, generator: np.random.Generator
) -> dict:
    """One annotator's label of one (good, bad) pair, with what he did and what can be observed of it."""
    good, bad = pair
    committed = generator.random() < annotator.eta
    if committed:
        correct = generator.random() < 1 / (1 + np.exp(-QUALITY_GAP))
    else:
        longer_is_good = len(question[good]) > len(question[bad])
        takes_longer = generator.random() < annotator.length_bias
        same_length = good.rsplit("_", 1)[1] == bad.rsplit("_", 1)[1]
        correct = generator.random() < 0.5 if same_length else takes_longer == longer_is_good
    confidence = generator.choice(CONFIDENCE_LEVELS, p=CONFIDENCE_READING if committed else CONFIDENCE_SKIMMING)
    log_seconds = generator.normal(LOG_SECONDS_READING if committed else LOG_SECONDS_SKIMMING, LOG_SECONDS_SD)
    chosen, rejected = (good, bad) if correct else (bad, good)
    return {
        "question_id": question["id"],
        "topic": question["topic"],
        "bad_sort": question["bad_sort"],
        "prompt": demo_prompt(question["question"]),
        "chosen": question[chosen],
        "rejected": question[rejected],
        "chosen_type": chosen,
        "rejected_type": rejected,
        "annotator_id": annotator.annotator_id,
        "confidence": float(confidence),
        "decision_time": round(float(np.exp(log_seconds)), 1),
        "correct_chosen": int(correct),
        "committed": bool(committed),
        "eta": annotator.eta,
    }


def _label_all(questions: list[dict[str, str]], generator: np.random.Generator) -> list[dict]:
    """Every pair of every question, each labelled once."""
    return [
        draw_label(question, pair, ANNOTATORS[generator.integers(len(ANNOTATORS))], generator)
        for question in questions
        for pair in PAIR_KINDS
    ]


def _label_sample(questions: list[dict[str, str]], count: int, generator: np.random.Generator) -> list[dict]:
    """`count` labels of pairs drawn with the frequencies of `PAIR_KINDS`, questions as evenly as possible."""
    pairs, frequencies = list(PAIR_KINDS), list(PAIR_KINDS.values())
    order = np.concatenate([generator.permutation(len(questions)) for _ in range(-(-count // len(questions)))])[:count]
    return [
        draw_label(
            questions[i],
            pairs[generator.choice(len(pairs), p=frequencies)],
            ANNOTATORS[generator.integers(len(ANNOTATORS))],
            generator,
        )
        for i in order
    ]


def _signals(rows: list[dict], agreement: dict[str, float]) -> np.ndarray:
    return np.array([[r["confidence"], np.log1p(r["decision_time"]), agreement[r["annotator_id"]]] for r in rows])


def _estimate_reliability(calibration: list[dict], splits: dict[str, list[dict]]) -> None:
    """
    Add the column `reliability`, P(the label is correct), to every row of `splits`.

    A logistic regression on confidence, decision time and the annotator's agreement with an expert. It sees the truth of
    calibration questions only: one half of them gives each annotator's agreement, the other half fits the regression.
    """
    from sklearn.linear_model import LogisticRegression

    ids = sorted({row["question_id"] for row in calibration})
    first_half = set(ids[::2])
    agreement = {}
    for annotator in ANNOTATORS:
        checks = [
            row["correct_chosen"]
            for row in calibration
            if row["annotator_id"] == annotator.annotator_id and row["question_id"] in first_half
        ]
        agreement[annotator.annotator_id] = (sum(checks) + 1) / (len(checks) + 2)
    fitting = [row for row in calibration if row["question_id"] not in first_half]
    model = LogisticRegression().fit(_signals(fitting, agreement), [row["correct_chosen"] for row in fitting])
    for rows in splits.values():
        for row, probability in zip(rows, model.predict_proba(_signals(rows, agreement))[:, 1], strict=True):
            row["reliability"] = round(float(probability), 4)


def load_demo_preferences(seed: int = 0, train_pairs: int = DEFAULT_TRAIN_PAIRS) -> "DatasetDict":
    """
    Simulate the annotation of the demo questions.

    Args:
        seed (`int`, *optional*, defaults to `0`):
            Seed of the split and of the simulation. The same seed gives the same rows everywhere.
        train_pairs (`int`, *optional*, defaults to `480`):
            Labels in the training split.

    Returns:
        [`~datasets.DatasetDict`]: `train`, `validation` and `test`, no question in two of them. Columns `id`, `prompt`,
        `chosen`, `rejected`, `reliability`, `annotator_id`, `confidence`, `decision_time` (seconds), and the ground truth:
        `correct_chosen` (1 if the better answer was chosen), `committed`, `eta`, `chosen_type`, `rejected_type`,
        `bad_sort`, `topic`, `question_id`.

    Example:
        ```python
        >>> data = load_demo_preferences()
        >>> data["train"].num_rows
        480
        ```
    """
    from datasets import Dataset, DatasetDict

    questions = split_questions(load_demo_questions(), seed)
    generator = np.random.default_rng([seed, 1])
    calibration = _label_sample(questions["calibration"], CALIBRATION_LABELS, generator)
    splits = {
        "train": _label_sample(questions["train"], train_pairs, generator),
        "validation": _label_all(questions["validation"], generator),
        "test": _label_all(questions["test"], generator),
    }
    _estimate_reliability(calibration, splits)
    for name, rows in splits.items():
        for i, row in enumerate(rows):
            row["id"] = f"{name}-{i:04d}"
    return DatasetDict({name: Dataset.from_list(rows) for name, rows in splits.items()})
