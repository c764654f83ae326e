"""Rewards of chains of rewrites: prompts computed once for all texts of a chain, in a file that can be continued."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...atomic_files import write_text_atomically
from ...json_lines import as_lines, read_lines
from ...scoring.scored_folder import INPUT, REWARDS, check_complete, read_reward_rows, score_rows
from .reward_chains import RewardChains
from .steps import step_names
from .text_chains import TextChains


if TYPE_CHECKING:
    from ...scoring.base import Scorer


RECORD = "chains.json"


def score_chains(
    scorer: "Scorer",
    chains: TextChains,
    folder: str | Path,
    *,
    overwrite: bool = False,
    on_failure: str = "error",
    facts: Mapping[str, Any] | None = None,
) -> RewardChains:
    """
    Score originals and all their rewrites.

    A prompt with the texts of its chain is one row, so that [`~trl_ext.RewardScorer`] computes it once for all of them
    (and for all rows of a window with this prompt): `P + 3C` tokens instead of `3(P + C)`. Equal texts are computed once.
    The same call continues what was interrupted; under `accelerate launch` the rows are divided among the processes.

    Args:
        scorer ([`~trl_ext.RewardScorer`] or another scorer):
            The reward model.
        chains ([`TextChains`]):
            Texts and their rewrites.
        folder (`str` or `Path`):
            Gets `input.jsonl` (K-way rows), `rewards.jsonl` (`prompt_id, response_id, source, reward`: row, step),
            `rewards.jsonl.meta.json` (settings, versions, timing) and `chains.json` (attribute, SHA-256 of the rewrites as
            in the file of [`TextChains.write`], rows that are left out by reason).
        overwrite (`bool`, *optional*, defaults to `False`):
            Score again if the folder has rewards of other texts or settings.
        on_failure (`str`, *optional*, defaults to `"error"`):
            What becomes of rows with a rewrite that failed: `"error"`, or `"drop"`, which leaves them out and counts them.
        facts (`Mapping`, *optional*):
            More to record in `chains.json`, or in place of what it has, such as rows left out before. Plain JSON types.

    Returns:
        [`RewardChains`]: Rows in the order of `chains`, less those that are left out.

    Raises:
        ValueError: A rewrite failed, a text is too long, or the folder has rewards of other texts or settings.

    Example:
        ```python
        >>> scorer = RewardScorer("Skywork/Skywork-Reward-V2-Qwen3-0.6B", dtype="bfloat16")
        >>> chains = TextChains.read("outputs/rate/imdb_length/rewrites.jsonl")
        >>> rewards = score_chains(scorer, chains, "outputs/rate/imdb_length/scores/skywork", on_failure="drop")
        >>> rewards.original.shape
        (25000,)
        ```
    """
    from ...scoring.processes import on_main_process

    complete, left_out = complete_chains(chains, on_failure)
    folder = Path(folder)
    score_rows(
        *(scorer, _input_rows(complete), folder), overwrite=overwrite, what="chains", parts="rows, prompts or texts"
    )
    record = {
        "attribute": chains.attribute,
        "steps": chains.steps,
        "rows": len(complete),
        "left_out": left_out,
        "rewrites_sha256": hashlib.sha256(as_lines(chains.rows()).encode()).hexdigest(),
        **(facts or {}),
    }
    on_main_process(lambda: write_text_atomically(folder / RECORD, json.dumps(record, indent=2) + "\n"))
    return read_reward_chains(folder)


def score_many(
    scorers: Mapping[str, "Scorer | Callable[[], Scorer]"],
    chains: TextChains,
    folder: str | Path,
    *,
    overwrite: bool = False,
    on_failure: str = "error",
    facts: Mapping[str, Any] | None = None,
) -> dict[str, RewardChains]:
    """
    Score the same chains with several reward models, one after another. Rewrites are made once, whatever scores them.

    Args:
        scorers (`Mapping[str, Scorer]`):
            Scorers by the names of their folders. A function that makes one is called when its turn comes, so that only
            one model is in memory.
        chains ([`TextChains`]):
            Texts and their rewrites.
        folder (`str` or `Path`):
            Gets a folder for each name.
        overwrite, on_failure, facts:
            As in [`score_chains`].

    Returns:
        `dict[str, RewardChains]`: Rewards by name, all of the same rows.

    Raises:
        ValueError: A name can't be that of a folder, or as in [`score_chains`].
    """
    if not scorers:
        raise ValueError("there are no scorers: give at least one")
    for name in scorers:
        if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
            raise ValueError(f"the name of a scorer is that of a folder, so a word without slashes; got {name!r}")
    from ...scoring.base import Scorer

    rewards = {}
    for name, made in scorers.items():
        scorer = made if isinstance(made, Scorer) else made()
        rewards[name] = score_chains(
            *(scorer, chains, Path(folder) / name), overwrite=overwrite, on_failure=on_failure, facts=facts
        )
    return rewards


def read_reward_chains(folder: str | Path, chains: TextChains | None = None) -> RewardChains:
    """
    Read the rewards that [`score_chains`] wrote.

    Args:
        folder (`str` or `Path`): Its folder.
        chains ([`TextChains`], *optional*): Texts that must be those that were scored, as far as rows were.

    Returns:
        [`RewardChains`]: With ids, and clusters if there are any; rows in the order of `input.jsonl`.

    Raises:
        ValueError: A file is missing, torn, not finished or changed, `chains` has other texts, or a reward is missing,
            twice there or not finite. File and line, or row and step, are named.
    """
    folder = Path(folder)
    rows = read_reward_rows(folder, what="chains", column="response_id", called="step")
    path = folder / INPUT
    inputs = read_lines(path)
    for number, row in inputs:
        missing = [name for name in ("id", "w", "responses", "ids") if name not in row]
        if missing or row["ids"] != list(step_names(len(row["ids"]))):
            raise ValueError(f"{path}, line {number} is not of chains of rewrites: column {missing or ['ids']} is not")
    if chains is not None:
        _check_texts(path, [row for _, row in inputs], chains)
    names = inputs[0][1]["ids"]
    expected = [(row["id"], name) for _, row in inputs for name in names]
    check_complete(folder / REWARDS, rows, expected, "response_id", "step")
    if len(rows) != len(expected):
        raise ValueError(
            f"{folder / REWARDS} has {len(rows)} rewards of {len(expected)} texts: score again with overwrite=True"
        )
    rewards = {(row["prompt_id"], row["response_id"]): row["reward"] for row in rows}
    return RewardChains(
        np.array([row["w"] for _, row in inputs]),
        np.array([rewards[key] for key in expected]).reshape(-1, len(names)),
        np.array([row["cluster"] for _, row in inputs], dtype=object) if "cluster" in inputs[0][1] else None,
        np.array([row["id"] for _, row in inputs], dtype=object),
    )


def complete_chains(chains: TextChains, on_failure: str = "error") -> tuple[TextChains, dict[str, int]]:
    """
    Chains with all their texts, and how many others there are.

    Args:
        chains ([`TextChains`]):
            Texts and their rewrites.
        on_failure (`str`, *optional*, defaults to `"error"`):
            `"error"` or `"drop"`.

    Returns:
        `tuple[TextChains, dict[str, int]]`: The complete ones, and numbers of the others by the reason of their first
        failure.

    Raises:
        ValueError: A chain is not complete and `on_failure="error"`, or no chain is complete.
    """
    if on_failure not in ("error", "drop"):
        raise ValueError(f"`on_failure` must be 'error' or 'drop', got {on_failure!r}")
    complete = chains.complete
    failed = np.flatnonzero(~complete)
    reasons = [next(reason for reason in chains.failures[row] if reason is not None) for row in failed]
    left_out = dict(Counter(reasons).most_common())
    if failed.size and on_failure == "error":
        raise ValueError(
            f"{failed.size} of {len(chains)} rows have no {step_names(chains.steps + 1)[-1]!r} ({_counts(left_out)}); first: "
            f"row {failed[0]} (id {chains.ids[failed[0]]!r}). Rewrite them again, or leave them out with on_failure='drop'."
        )
    if failed.size == len(chains):
        raise ValueError(f"no row has all its rewrites ({_counts(left_out)}): there is nothing to score")
    return (chains.select(complete) if failed.size else chains), left_out


def chat_prompts(chains: TextChains) -> TextChains:
    """
    The same with prompts that are texts as messages of the user, for reward models that score conversations.

    Args:
        chains ([`TextChains`]): Texts and their rewrites.

    Example:
        ```python
        >>> from trl_ext.rate import TextChains, chat_prompts
        >>> chains = TextChains("length", ("a",), ("Write a review.",), [True], (("Very good.",),))
        >>> chat_prompts(chains).prompts
        ([{'role': 'user', 'content': 'Write a review.'}],)

        ```
    """
    prompts = (
        [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt for prompt in chains.prompts
    )
    return dataclasses.replace(chains, prompts=tuple(prompts))


def _input_rows(chains: TextChains) -> list[dict[str, Any]]:
    names = list(step_names(chains.steps + 1))
    rows = []
    for i, name in enumerate(chains.ids):
        row = {"id": name, "attribute": chains.attribute, "w": bool(chains.w[i])}
        if chains.clusters is not None:
            row["cluster"] = chains.clusters[i]
        rows.append(row | {"prompt": chains.prompts[i], "responses": list(chains.texts[i]), "ids": names})
    return rows


def _check_texts(path: Path, scored: list[dict[str, Any]], chains: TextChains) -> None:
    known = {name: (bool(w), list(texts)) for name, w, texts in zip(chains.ids, chains.w, chains.texts, strict=True)}
    other = [row["id"] for row in scored if known.get(row["id"]) != (row["w"], row["responses"])]
    if other:
        raise ValueError(
            f"{len(other)} of {len(scored)} rows that were scored have other texts now, or another w; first: id "
            f"{other[0]!r} of {path}. Score the chains again with overwrite=True."
        )


def _counts(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in left_out.items())
