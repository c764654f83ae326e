"""Preference data for an oracle: HelpSteer, PKU-SafeRLHF, UltraFeedback, Skywork, the demo, or any other, in one shape."""

import hashlib
import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset

from tasks.annotators.demo_pairs import demo_pairs
from trl_ext.data import load_preferences, validate_preferences
from trl_ext.data.checks import shorten


logger = logging.getLogger("tasks.annotators.prepare_oracle_data")

# Where the named sources are on the Hub, in RLHFlow's layout: conversations in `chosen` and `rejected`, and their scores
HUB_IDS = {
    "helpsteer": "RLHFlow/Helpsteer-preference-standard",
    "pku": "RLHFlow/PKU-SafeRLHF-30K-standard",
    "ultrafeedback": "RLHFlow/UltraFeedback-preference-standard",
    "skywork": "Skywork/Skywork-Reward-Preference-80K-v0.2",
}
HELPSTEER_ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
PREFERENCES = ("better", "safer")  # of PKU-SafeRLHF: by helpfulness, by harmlessness

# Scores that a dataset brings, by the names that the layouts give them
GIVEN_SCORES = ("dataset_chosen_score", "dataset_rejected_score")
_SCORE_NAMES = (("chosen_score", "rejected_score"), ("score_chosen", "score_rejected"))
# What `prepare_oracle_data.py` adds: of an earlier run, if its output is the source
_ADDED = ("preference_score", "preference_probability", "swapped", "calibration_fold")


@dataclass(frozen=True)
class OracleSource:
    """
    Preference data, ready to be scored.

    Args:
        pairs ([`~datasets.Dataset`]):
            `id`, `prompt` (optional), `chosen`, `rejected`, `prompt_id` (pairs of a prompt share it), and what else the
            data has; the scores it brings as `dataset_chosen_score` and `dataset_rejected_score`.
        layout (`str`):
            How the data was read.
        dropped (`dict[str, int]`):
            Rows or pairs that were left out, by reason.
    """

    pairs: Dataset
    layout: str
    dropped: dict[str, int] = field(default_factory=dict)


def load_source(
    source: str,
    *,
    data_path: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    preference: str = "better",
    max_rows: int = 0,
    seed: int = 0,
) -> OracleSource:
    """
    Load preference data and bring it into one shape.

    Args:
        source (`str`):
            `demo`, `helpsteer`, `pku`, `ultrafeedback`, `skywork`, or anything [`~trl_ext.data.load_preferences`] reads.
        data_path (`str`, *optional*):
            Of a named source: another Hub id or a local copy (file, or directory of `save_to_disk` or of parquet files),
            in RLHFlow's layout or in that of the authors.
        split (`str`, *optional*):
            Split to load.
        columns (`Mapping[str, str]`, *optional*):
            Columns to rename: our name -> name in the data.
        preference (`"better"` or `"safer"`, *optional*, defaults to `"better"`):
            Which label of PKU-SafeRLHF's own layout says what is chosen.
        max_rows (`int`, *optional*, defaults to `0`):
            Pairs to keep, the first ones; 0 keeps all.
        seed (`int`, *optional*, defaults to `0`):
            Of the labels of the demo.

    Returns:
        [`OracleSource`]

    Raises:
        ValueError: The data can't be read, is in no known layout, or has bad values; the row is named.
    """
    if source == "demo":
        loaded = OracleSource(demo_pairs(seed), "demo pairs with known true rewards")
    else:
        path = data_path or HUB_IDS.get(source, source)
        raw = load_preferences(path, split=split, columns=columns)
        loaded = _convert(
            raw.remove_columns([name for name in _ADDED if name in raw.column_names]), source, preference
        )
    pairs = validate_preferences(loaded.pairs, name=source, identical="drop")
    dropped = loaded.dropped | {"identical chosen and rejected": len(loaded.pairs) - len(pairs)}
    if max_rows:
        pairs = pairs.select(range(min(max_rows, len(pairs))))
    pairs = _with_prompt_id(_with_id(pairs, source))
    return OracleSource(pairs, loaded.layout, {reason: count for reason, count in dropped.items() if count})


def _convert(raw: Dataset, source: str, preference: str) -> OracleSource:
    names = set(raw.column_names)
    own = {"helpsteer": (_HELPSTEER, _from_helpsteer), "pku": (_PKU, lambda rows: _from_pku(rows, preference))}
    if source in own and own[source][0] <= names:
        return own[source][1](raw)
    if {"chosen", "rejected"} <= names:
        return _from_pairs(raw)
    expected = "'chosen' and 'rejected'"
    if source in own:
        expected += f", or {', '.join(map(repr, sorted(own[source][0])))}"
    raise ValueError(f"{source}: the data has columns {', '.join(map(repr, raw.column_names))}; expected {expected}")


def _from_pairs(raw: Dataset) -> OracleSource:
    """RLHFlow's layout, that of UltraFeedback-binarized, or any other with chosen and rejected."""
    for theirs in _SCORE_NAMES:
        if set(theirs) <= set(raw.column_names):
            _check_scores(raw, theirs)
            raw = raw.rename_columns(dict(zip(theirs, GIVEN_SCORES, strict=True)))
            break
    # UltraFeedback-binarized repeats the prompt as text beside whole conversations; `messages` are those of chosen
    has_messages = isinstance(raw[0]["chosen"], list)
    repeated = ["messages"] if "messages" in raw.column_names else []
    if has_messages and "prompt" in raw.column_names and isinstance(raw[0]["prompt"], str):
        row = raw[0]["chosen"]
        if not row or row[0].get("role") == "assistant":
            raise ValueError(
                "column 'prompt' is text, but 'chosen' begins with a message of the assistant: make a message of the prompt"
            )
        repeated.append("prompt")
    return OracleSource(raw.remove_columns(repeated), "chosen and rejected")


def _check_scores(raw: Dataset, names: tuple[str, str]) -> None:
    for name in names:
        values = np.asarray(raw[name], dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise ValueError(
                f"column '{name}' has {bad.size} values that are not finite numbers; first: row {bad[0]}, value "
                f"{values[bad[0]]}. Remove these rows, or the column."
            )


_PKU = frozenset({"prompt", "response_0", "response_1"})


def _from_pku(raw: Dataset, preference: str) -> OracleSource:
    """PKU-SafeRLHF's own layout: two responses, and which is better (more helpful) and which is safer."""
    label = f"{preference}_response_id"
    if label not in raw.column_names:
        raise ValueError(f"pku: column '{label}' is missing; the data has {', '.join(map(repr, raw.column_names))}")
    rows = []
    for index, row in enumerate(raw):
        if row[label] not in (0, 1) or isinstance(row[label], bool):
            raise ValueError(f"pku: column '{label}' must hold 0 or 1; first: row {index}, value {row[label]!r}")
        rows.append(
            {
                "prompt": [{"role": "user", "content": row["prompt"]}],
                "chosen": [{"role": "assistant", "content": row[f"response_{row[label]}"]}],
                "rejected": [{"role": "assistant", "content": row[f"response_{1 - row[label]}"]}],
            }
        )
    return OracleSource(Dataset.from_list(rows), f"response_0 and response_1 by {label}")


_HELPSTEER = frozenset({"prompt", "response", *HELPSTEER_ATTRIBUTES})


def _from_helpsteer(raw: Dataset) -> OracleSource:
    """HelpSteer's own layout, a row per response: all pairs of a prompt by the mean of five attributes; ties are no pair."""
    by_prompt: dict[str, list[tuple[str, float]]] = {}
    for index, row in enumerate(raw):
        values = [row[name] for name in HELPSTEER_ATTRIBUTES]
        for name, value in zip(HELPSTEER_ATTRIBUTES, values, strict=True):
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise ValueError(f"helpsteer: column '{name}' must hold numbers; first: row {index}, value {value!r}")
        by_prompt.setdefault(row["prompt"], []).append((row["response"], float(np.mean(values))))
    rows, ties, alone = [], 0, 0
    for prompt, answers in by_prompt.items():
        alone += len(answers) == 1
        for better, worse in itertools.combinations(answers, 2):
            if better[1] == worse[1]:
                ties += 1
                continue
            if better[1] < worse[1]:
                better, worse = worse, better
            rows.append(
                {
                    "prompt": _turns(prompt),
                    "chosen": [{"role": "assistant", "content": better[0]}],
                    "rejected": [{"role": "assistant", "content": worse[0]}],
                    GIVEN_SCORES[0]: better[1],
                    GIVEN_SCORES[1]: worse[1],
                }
            )
    if not rows:
        raise ValueError("helpsteer: no prompt has two responses with different means of the attributes")
    dropped = {"pairs with equal means of the attributes": ties, "prompts with a single response": alone}
    logger.info("HelpSteer: %d pairs; left out: %s", len(rows), dropped)
    return OracleSource(Dataset.from_list(rows), "responses with five attributes, paired by their mean", dropped)


def _turns(prompt: str) -> list[dict[str, str]]:
    """Messages of a HelpSteer prompt, whose later turns begin with `<extra_id_1>User` or `<extra_id_1>Assistant`."""
    first, *others = prompt.split("\n<extra_id_1>")
    messages = [{"role": "user", "content": first}]
    for other in others:
        role, _, content = other.partition("\n")
        if role not in ("User", "Assistant"):
            raise ValueError(f"helpsteer: a turn must begin with User or Assistant, got {shorten(other)}")
        messages.append({"role": role.lower(), "content": content})
    return messages


def _with_id(pairs: Dataset, source: str) -> Dataset:
    if "id" in pairs.column_names:
        ids = pairs["id"]
        if len(set(ids)) < len(ids):
            raise ValueError(f"column 'id' has {len(ids) - len(set(ids))} values that occur more than once")
        return pairs
    prefix = source if source in HUB_IDS else "pair"
    return pairs.add_column("id", [f"{prefix}-{index}" for index in range(len(pairs))])


def _with_prompt_id(pairs: Dataset) -> Dataset:
    if "prompt_id" in pairs.column_names:
        return pairs
    return pairs.add_column(
        "prompt_id", [hashlib.sha256(repr(_prompt(row)).encode()).hexdigest()[:16] for row in pairs]
    )


def _prompt(row: Mapping[str, Any]) -> Any:
    """The prompt of a pair, or the messages that its conversations begin with; else the pair, which then stands alone."""
    if row.get("prompt") is not None:
        return row["prompt"]
    chosen, rejected = row["chosen"], row["rejected"]
    if isinstance(chosen, str):
        return chosen, rejected
    shared = list(itertools.takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False)))
    return [message for message, _ in shared] or (chosen, rejected)


SOURCES: tuple[str, ...] = ("demo", *HUB_IDS)
