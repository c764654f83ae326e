"""The sets a reward model is evaluated on: texts to score, and figures of the rewards."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.provenance import hash_file, hash_rows
from tasks.rapl.lie_data import TEST_FILE, load_lie_test, question_id
from tasks.rapl.survey_tables import find_family, read_table
from tasks.rapl.true_data import load_full_true, load_true_split, true_split_path
from trl_ext.evaluation import attribute_bias, lie_weights, rewards_of_a_and_b, rm_bench_accuracy, truth_scores
from trl_ext.evaluation.benchmarks.rm_bench import STYLES
from trl_ext.evaluation.benchmarks.rm_bench_data import load_rm_bench, rm_bench_files
from trl_ext.evaluation.biases.attribute_bias import ATTRIBUTES, encode_attributes
from trl_ext.evaluation.biases.lie import RESPONSE_KINDS


PROMPT_FORMATS = ("human_assistant", "chat")
_PAIR = ("chosen", "rejected")

_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \n]?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True)
class EvaluationSet:
    """
    Texts to score, and what is computed of their rewards.

    Args:
        name (`str`):
            Name in files and results.
        rows (`pandas.DataFrame`):
            What is known of each of the N rows, first of all its `id`; index 0..N−1.
        conversations (`list[list[dict]]`):
            Prompt of every row, as messages.
        answers (`dict[str, list[str]]`):
            The answers to score: name -> N texts.
        figures (`Callable`):
            From `rows` with a column `reward_<answer>` for every answer, to figures: nested dictionaries.
        headline (`tuple[str, ...]`):
            Figures to print, as paths such as `all.accuracy_to_truth`.
        files (`dict[str, str]`):
            SHA-256 of the files that were read, by name.
    """

    name: str
    rows: pd.DataFrame
    conversations: list[list[dict[str, str]]]
    answers: dict[str, list[str]]
    figures: Callable[[pd.DataFrame], dict[str, Any]]
    headline: tuple[str, ...]
    files: dict[str, str]

    def __len__(self) -> int:
        return len(self.rows)

    def data_hash(self) -> str:
        """SHA-256 of all rows: texts, and what is known of them, in their order."""
        texts = self.rows.assign(_conversation=[repr(turns) for turns in self.conversations], **self.answers)
        return hash_rows(texts, list(texts.columns))

    def select(self, keep: np.ndarray) -> "EvaluationSet":
        """The rows for which `keep` (bool of shape `(N,)`) is true."""
        chosen = np.flatnonzero(keep)
        return EvaluationSet(
            self.name,
            self.rows.iloc[chosen].reset_index(drop=True),
            [self.conversations[row] for row in chosen],
            {name: [texts[row] for row in chosen] for name, texts in self.answers.items()},
            self.figures,
            self.headline,
            self.files,
        )

    def to_score(self, prompt_format: str) -> list[dict[str, Any]]:
        """Rows for [`~trl_ext.RewardScorer.score_file`]: `id` (row number), `prompt`, `responses`, `ids`."""
        chat = prompt_format == "chat"
        return [
            {
                "id": row,
                "prompt": turns if chat else as_text(turns),
                "responses": [texts[row] if chat else f" {texts[row]}" for texts in self.answers.values()],
                "ids": list(self.answers),
            }
            for row, turns in enumerate(self.conversations)
        ]

    def table(self, rewards: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """`rows` with the rewards `(N,)` of every answer, in columns `reward_<answer>`."""
        return self.rows.assign(**{f"reward_{name}": rewards[name] for name in self.answers})


def as_text(turns: list[dict[str, str]]) -> str:
    r"""
    Messages as the text of the paper, up to where the answer begins. The blank that follows is the answer's, as
    byte-pair tokenizers attach it to the next word.

    Example:
        ```python
        >>> as_text([{"role": "user", "content": "Why?"}])
        'Human: Why?\n\nAssistant:'
        ```
    """
    marks = {role: mark for mark, role in _ROLES.items()}
    return "\n\n".join([*(f"{marks[turn['role']]}: {turn['content']}" for turn in turns), "Assistant:"])


def parse_turns(text: str) -> list[dict[str, str]]:
    r"""
    Messages of a text with `"Human: "` and `"Assistant: "` in front of the turns; without them, it is a single turn.

    Raises:
        ValueError: turns don't alternate, one is empty, or the last is not the human's.

    Example:
        ```python
        >>> parse_turns("\n\nHuman: Why?\n\nAssistant:")
        [{'role': 'user', 'content': 'Why?'}]
        ```
    """
    marks = list(_TURN.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        return [{"role": "user", "content": text}]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    turns = [
        {"role": _ROLES[mark[1]], "content": text[mark.end() : end]} for mark, end in zip(marks, ends, strict=True)
    ]
    if turns[-1]["role"] == "assistant" and not turns[-1]["content"].strip():
        turns.pop()
    roles = [turn["role"] for turn in turns]
    if len(turns) % 2 == 0 or roles != [("user", "assistant")[i % 2] for i in range(len(roles))]:
        raise ValueError(
            f"the turns must alternate, and begin and end with Human; they are {', '.join(roles) or 'none'}"
        )
    if not all(turn["content"].strip() for turn in turns):
        raise ValueError("a turn is empty")
    return turns


def find_lie_test(path: str | Path) -> Path:
    """The LIE test file: `path` itself, or in a folder or a clone of the RAPL repository."""
    path = Path(path).expanduser()
    if path.is_file():
        return path
    folders = [path, path / "LIE", path / "datasets" / "LIE", path / "RAPL" / "datasets" / "LIE"]
    found = next((folder / TEST_FILE for folder in folders if (folder / TEST_FILE).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"no {TEST_FILE} in {', '.join(str(folder) for folder in folders)}")
    return found


def lie_set(path: str | Path, *, seed: int = 0) -> EvaluationSet:
    """
    The LIE test set: every question with a correct and an incorrect answer, each concise and detailed.

    Args:
        path (`str` or `pathlib.Path`):
            See [`find_lie_test`].
        seed (`int`, *optional*, defaults to `0`):
            Seed of the bootstrap.
    """
    file = find_lie_test(path)
    data = load_lie_test(file)

    def figures(table: pd.DataFrame) -> dict[str, Any]:
        rewards = {kind: table[f"reward_{kind}"].to_numpy() for kind in RESPONSE_KINDS}
        return lie_weights(rewards, table["question_id"].to_numpy(), seed=seed).to_dict()

    questions = [prompt.removeprefix("Human: ").removesuffix("\n\nAssistant:") for prompt in data["prompt"]]
    return EvaluationSet(
        name="lie",
        rows=data.select_columns(["id", "question_id", "category"]).to_pandas(),
        conversations=[[{"role": "user", "content": question}] for question in questions],
        answers={kind: [answer.removeprefix(" ") for answer in data[kind]] for kind in RESPONSE_KINDS},
        figures=figures,
        headline=("length_weight", "correctness_weight", "ratio", "correct_over_incorrect"),
        files={file.name: hash_file(file)},
    )


def true_set(root: str | Path, split: str = "all", fold: int = 0, *, seed: int = 0) -> EvaluationSet:
    """
    TRUE as preference pairs: what the annotator chose and what not, one of them correct.

    Args:
        root (`str` or `pathlib.Path`):
            Clone of the RAPL repository, a folder that contains `TRUE/`, or `TRUE/` itself.
        split (`str`, *optional*, defaults to `"all"`):
            `"all"` 1150 pairs, or `"train"`, `"val"` or `"cal"` of a fold.
        fold (`int`, *optional*, defaults to `0`):
            From 0 to 4.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the bootstrap.
    """
    full = find_family(root, "TRUE", "no_repeats") / "full_TRUE_dataset.csv"
    file = full if split == "all" else true_split_path(root, split, fold)
    frame = load_full_true(root) if split == "all" else load_true_split(root, split, fold)
    if "dataset_name" not in frame and full.is_file():  # the files of splits lack it
        frame["dataset_name"] = frame["id"].map(load_full_true(root).set_index("id")["dataset_name"])
    source = frame["dataset_name"] if "dataset_name" in frame else frame["source"]
    frame["source_dataset"] = source.fillna("unknown")
    chose_a = (frame["chosen_response"] == "a").to_numpy()

    def scores(table: pd.DataFrame) -> dict[str, Any]:
        columns = (table[name].to_numpy() for name in ("reward_chosen", "reward_rejected", "correct_chosen"))
        return truth_scores(*columns, table["question_id"].to_numpy(), seed=seed).to_dict()

    def figures(table: pd.DataFrame) -> dict[str, Any]:
        by_source = {str(name): scores(part) for name, part in table.groupby("source_dataset")}
        return {"all": scores(table), "by_source": by_source}

    return EvaluationSet(
        name="true",
        rows=frame[["id", "question_id", "source_dataset", "correct_chosen"]],
        conversations=[[{"role": "user", "content": prompt.removeprefix("Human: ")}] for prompt in frame["prompt"]],
        answers={
            "chosen": np.where(chose_a, frame["response_a"], frame["response_b"]).tolist(),
            "rejected": np.where(chose_a, frame["response_b"], frame["response_a"]).tolist(),
        },
        figures=figures,
        headline=tuple(
            f"all.{name}"
            for name in ("accuracy_to_truth", "accuracy_to_labels", "annotator_accuracy", "auc_label_right")
        ),
        files={file.name: hash_file(file)},
    )


def rm_bench_set(path: str | Path) -> EvaluationSet:
    """
    RM-Bench: every prompt with three right and three wrong answers.

    Args:
        path (`str` or `pathlib.Path`):
            See [`~trl_ext.evaluation.benchmarks.rm_bench_data.rm_bench_files`].
    """
    data = load_rm_bench(path)
    rows = data.select_columns(["id", "domain", "subset"]).to_pandas()
    # those of one prompt in several rows are one cluster
    rows["prompt_id"] = [question_id(prompt) for prompt in data["prompt"]]

    def figures(table: pd.DataFrame) -> dict[str, Any]:
        rewards = [table[[f"reward_{side}_{style}" for style in STYLES]].to_numpy() for side in _PAIR]
        accuracy = rm_bench_accuracy(*rewards, table["prompt_id"].to_numpy(), domains=table["domain"].to_numpy())
        return accuracy.to_dict()

    return EvaluationSet(
        name="rm_bench",
        rows=rows,
        conversations=[[{"role": "user", "content": prompt}] for prompt in data["prompt"]],
        answers={
            f"{side}_{style}": [row[k] for row in data[side]] for side in _PAIR for k, style in enumerate(STYLES)
        },
        figures=figures,
        headline=("hard", "normal", "easy", "average"),
        files={file.name: hash_file(file) for file in rm_bench_files(path)},
    )


def attribute_bias_set(path: str | Path, *, other_codes: str = "error", correction: str = "holm") -> EvaluationSet:
    """
    Pairs with 25 codes of who has more of an attribute (A, B, or C for neither).

    Args:
        path (`str` or `pathlib.Path`):
            CSV with `prompt`, `chosen`, `rejected`, `chosen_choice` (`A` where A was chosen, else `B`) and the attributes.
            `chosen` and `rejected` hold the answer, or prompt and answer, in all rows alike.
        other_codes (`str`, *optional*, defaults to `"error"`):
            What happens to other codes: `"error"` or `"B"`, see [`~trl_ext.evaluation.attribute_bias`].
        correction (`str`, *optional*, defaults to `"holm"`):
            Correction for testing many attributes: `"holm"` or `"fdr_bh"`.
    """
    path = Path(path).expanduser()
    frame = read_table(path, ("prompt", *_PAIR, "chosen_choice", *ATTRIBUTES), ("prompt", *_PAIR))
    try:
        encode_attributes(frame, other=other_codes)
        rewards_of_a_and_b(np.zeros(len(frame)), np.zeros(len(frame)), frame["chosen_choice"])
        answers = _split_answers(frame)
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from error
    conversations = []
    for row, prompt in enumerate(frame["prompt"]):
        try:
            conversations.append(parse_turns(prompt))
        except ValueError as error:
            raise ValueError(f"'{path}': column 'prompt', row {row}: {error}") from error
    rows = pd.DataFrame({"id": range(len(frame)), "prompt_id": [question_id(prompt) for prompt in frame["prompt"]]})

    def figures(table: pd.DataFrame) -> dict[str, Any]:
        a, b = rewards_of_a_and_b(table["reward_chosen"], table["reward_rejected"], table["chosen_choice"])
        repeated = table["prompt_id"].duplicated().any()
        return attribute_bias(
            table,
            a,
            b,
            clusters=table["prompt_id"].to_numpy() if repeated else None,
            other=other_codes,
            correction=correction,
        ).to_dict()

    return EvaluationSet(
        name="attribute_bias",
        rows=pd.concat([rows, frame[["chosen_choice", *ATTRIBUTES]]], axis=1),
        conversations=conversations,
        answers=answers,
        figures=figures,
        headline=("longer", "truthful", "agree_human_explicit", "intercept"),
        files={path.name: hash_file(path)},
    )


def _split_answers(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The answers of `chosen` and `rejected`, which may hold the prompt before them."""
    prompts = [prompt.removesuffix("Assistant:").rstrip() for prompt in frame["prompt"]]
    whole = frame["chosen"].iloc[0].startswith(prompts[0])
    answers = {}
    for side in _PAIR:
        answers[side] = []
        for row, (prompt, text) in enumerate(zip(prompts, frame[side], strict=True)):
            if text.startswith(prompt) != whole:
                raise ValueError(
                    f"column '{side}', row {row}: the text begins {'not ' if whole else ''}with its prompt, unlike the "
                    "first row. Let all of them hold the prompt, or none."
                )
            answer = text.removeprefix(prompt).lstrip().removeprefix("Assistant:").strip() if whole else text
            if not answer:
                raise ValueError(f"column '{side}', row {row}: there is no answer after the prompt")
            answers[side].append(answer)
    return answers
