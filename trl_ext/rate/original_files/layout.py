"""The files of the original RATE code with texts: data sets of rewrites and templates, read and written.

data/rewrites/{dataset}_dataset_{time}[_smoke_test].json   id -> w_original, completions, reward_question
data/rewrites/{dataset}_template_{time}.txt                JSON: strings of the attribute, prompt, model
"""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic_files import write_text_atomically
from ...data.checks import shorten
from ..attributes.attribute import TARGET, TEXT, Attribute
from ..chains.steps import step_names
from ..chains.text_chains import TextChains
from ..originals.prompt_clusters import prompt_clusters
from ..originals.source_layouts import parse_dialogue


logger = logging.getLogger(__name__)

_NAMES = {
    "rewrites": "{dataset}_dataset_{time}{smoke_test}.json",
    "template": "{dataset}_template_{time}.txt",
    "scored": "{dataset}_{model}{smoke_test}_scored_{time}.jsonl",
    "effects": "{dataset}_{concept}_{score}_treatment_effects_{time}.json",
}
_PARTS = {"rewrites": (), "template": (), "scored": ("model",), "effects": ("concept", "score")}
_ORIGINAL_TEXT, _ORIGINAL_TARGET = "{original_completion}", "{w_counterfactual_string}"


def original_step_names(texts: int) -> tuple[str, ...]:
    """Names of the texts of a chain in the original's files: `original`, `rewrite`, `rewritten rewrite`, `rewrite 3`, ..."""
    return tuple(name.replace("_", " ") for name in step_names(texts))


def original_file_name(
    kind: str, dataset: str, *, time: datetime | None = None, smoke_test: bool = False, **parts: str
) -> str:
    """
    Name of a file as the original gives it.

    Args:
        kind (`str`): `"rewrites"`, `"template"`, `"scored"` or `"effects"`.
        dataset (`str`): Name of the data set.
        time (`datetime`, *optional*): By default now.
        smoke_test (`bool`, *optional*, defaults to `False`): Whether it is a trial with few rows.
        **parts: `model` of a scored file; `concept` and `score` of one with effects.

    Example:
        ```python
        >>> from datetime import datetime
        >>> from trl_ext.rate import original_file_name
        >>> original_file_name("scored", "imdb_length", model="armorm", time=datetime(2025, 1, 29, 12))
        'imdb_length_armorm_scored_20250129_120000.jsonl'

        ```
    """
    if kind not in _NAMES:
        raise ValueError(f"`kind` must be one of {', '.join(_NAMES)}, got {kind!r}")
    if set(parts) != set(_PARTS[kind]):
        raise ValueError(f"the name of a file of kind {kind!r} needs {_PARTS[kind] or 'nothing else'}, got {parts}")
    stamp = (time or datetime.now()).strftime("%Y%m%d_%H%M%S")
    return _NAMES[kind].format(dataset=dataset, time=stamp, smoke_test="_smoke_test" if smoke_test else "", **parts)


def read_original_rewrites(path: str | Path, attribute: str) -> TextChains:
    """
    Read `data/rewrites/*.json`.

    Args:
        path (`str` or `Path`): The file.
        attribute (`str`): Name of the attribute, which the file does not have.

    Returns:
        [`TextChains`]: Rewrites that are absent or empty are failures `missing` and `empty`. Rows of the same question are
        a cluster. A question that is a dialogue of several turns, as [`write_original_rewrites`] writes them, is a prompt
        of messages again.

    Raises:
        ValueError: The file can't be read, or a row is not as it must be. Its id is named.
    """
    path = Path(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} can't be read as JSON: {error}") from error
    if not isinstance(entries, dict) or not entries:
        raise ValueError(f"{path} must hold an object with an entry per id, got {shorten(entries)}")
    rows = [(name, f"{path}, id {name!r}", entry) for name, entry in entries.items()]
    return original_chains(rows, attribute)


def original_chains(rows: Sequence[tuple[str, str, Any]], attribute: str) -> TextChains:
    """Chains of entries of the original's files: id, name in errors, and entry."""
    for _, where, entry in rows:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("completions"), Mapping):
            raise ValueError(f"{where} must be an object with w_original, completions and reward_question")
        if entry.get("w_original") not in (True, False):
            raise ValueError(f"{where}: w_original must be true or false, got {entry.get('w_original')!r}")
        if "reward_question" not in entry:
            raise ValueError(f"{where} has no reward_question")
        if not isinstance(entry["completions"].get("original"), str) or not entry["completions"]["original"].strip():
            raise ValueError(f"{where}: completions must have a text `original`, got {shorten(entry['completions'])}")
    most = max(len(entry["completions"]) for _, _, entry in rows)
    names = original_step_names(most)
    for _, where, entry in rows:
        unknown = [name for name in entry["completions"] if name not in names]
        if unknown:
            raise ValueError(f"{where}: completions must be {', '.join(names)}, got {unknown[0]!r}")
        for name, text in entry["completions"].items():
            if text is not None and not isinstance(text, str):
                raise ValueError(f"{where}: completion {name!r} must be a text, got {shorten(text)}")
    texts, failures = zip(*(_texts(entry["completions"], names) for _, _, entry in rows), strict=True)
    prompts = [_prompt(entry["reward_question"]) for _, _, entry in rows]
    return TextChains(
        attribute,
        tuple(name for name, _, _ in rows),
        tuple(prompts),
        np.array([bool(entry["w_original"]) for _, _, entry in rows]),
        texts,
        failures,
        clusters=prompt_clusters(prompts),
    )


def _texts(completions: Mapping[str, Any], names: Sequence[str]) -> tuple[tuple, tuple]:
    texts, failures = [completions["original"]], []
    for step, name in enumerate(names[1:], start=1):
        text = completions.get(name)
        if failures and failures[-1] is not None:
            text, failure = None, f"no_{step_names(step)[-1]}"
        elif text is None or not text.strip():
            text, failure = None, "missing" if text is None else "empty"
        else:
            failure = None
        texts.append(text)
        failures.append(failure)
    return tuple(texts), tuple(failures)


def write_original_rewrites(chains: TextChains, path: str | Path) -> int:
    """
    Write `data/rewrites/*.json`. The original can't read rows that lack a rewrite: they are left out.

    Args:
        chains ([`TextChains`]): With two rewrites or more.
        path (`str` or `Path`): The file; replaced if it exists.

    Returns:
        `int`: Number of rows left out.

    Raises:
        ValueError: There are less than two rewrites, or no row has all of them.
    """
    entries = {name: entry for name, entry in zip(chains.ids, original_entries(chains), strict=True) if entry}
    write_text_atomically(path, json.dumps(entries, ensure_ascii=False, indent=4))
    left_out = len(chains) - len(entries)
    if left_out:
        logger.warning("%s: %d of %d rows lack a rewrite and were left out.", path, left_out, len(chains))
    return left_out


def original_entries(chains: TextChains) -> list[dict[str, Any] | None]:
    """Entries of the original's files, `None` for a row that lacks a rewrite."""
    if chains.steps < 2:
        raise ValueError(f"the original's files have two rewrites of every text, these have {chains.steps}")
    complete = chains.complete
    if not complete.any():
        raise ValueError(f"none of the {len(chains)} rows has all its rewrites")
    names = original_step_names(chains.steps + 1)
    return [
        {
            "w_original": bool(chains.w[row]),
            "completions": dict(zip(names, chains.texts[row], strict=True)),
            "reward_question": original_question(chains.prompts[row]),
        }
        if complete[row]
        else None
        for row in range(len(chains))
    ]


def original_question(prompt: Any) -> str:
    """A prompt as the original has it, one text: of several messages a dialogue."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return prompt[0]["content"]
    speakers = {"user": "Human", "assistant": "Assistant"}
    turns = [
        f"\n\n{speakers.get(message['role'], message['role'].title())}: {message['content']}" for message in prompt
    ]
    return "".join(turns) + "\n\nAssistant: "


def _prompt(question: Any) -> Any:
    """Messages of a question that [`original_question`] made of them; any other as it is."""
    dialogue = parse_dialogue(question) if isinstance(question, str) else None
    # Not unless the same question would be written again: nothing is lost
    several_turns = dialogue is not None and len(dialogue) > 2 and original_question(dialogue[:-1]) == question
    return dialogue[:-1] if several_turns else question


def write_original_template(
    attribute: Attribute, path: str | Path, *, dataset: str, rows: int, model: str, temperature: float | None
) -> None:
    """
    Write a template, the JSON file with what the rewrites were made of.

    Args:
        attribute ([`Attribute`]): The attribute.
        path (`str` or `Path`): The file; replaced if it exists.
        dataset (`str`): Name of the data set.
        rows (`int`): Number of originals.
        model (`str`): Name of the rewriter.
        temperature (`float`, *optional*): Of the rewriter.
    """
    template = {
        "dataset_name": dataset,
        "n_examples": rows,
        "w_strings": {"w=1": attribute.treated, "w=0": attribute.untreated},
        "w_classifier": json.dumps(dict(attribute.settings), default=str),
        "rewrite_prompt": attribute.instruction.replace(TEXT, _ORIGINAL_TEXT).replace(TARGET, _ORIGINAL_TARGET),
        "model": model,
        "temperature": temperature,
    }
    write_text_atomically(path, json.dumps(template, ensure_ascii=False, indent=4))


def read_original_template(path: str | Path, name: str) -> Attribute:
    """
    Read the words of a template. Its functions are source code, which is not run: the attribute has no classifier.

    Args:
        path (`str` or `Path`): The file.
        name (`str`): Name of the attribute.

    Raises:
        ValueError: The file can't be read, or lacks the words.
    """
    try:
        template = json.loads(Path(path).read_text(encoding="utf-8"))
        words, instruction = template["w_strings"], template["rewrite_prompt"]
        instruction = instruction.replace(_ORIGINAL_TEXT, TEXT).replace(_ORIGINAL_TARGET, TARGET)
        return Attribute(name, words["w=1"], words["w=0"], instruction)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} can't be read as JSON: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} must be an object with w_strings (w=1, w=0) and rewrite_prompt: {error!r}"
        ) from error
