"""Scores of pairs by an oracle: known true rewards, scores that the data brings, or a reward model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from tasks.annotators.demo_pairs import demo_rewards
from tasks.annotators.oracle_sources import GIVEN_SCORES
from tasks.atomic_files import atomic_path
from tasks.provenance import model_identity
from trl_ext import RewardScorer
from trl_ext.data import resolve_model
from trl_ext.scoring.processes import on_main_process


def score_pairs(
    pairs: Dataset, config: Mapping[str, Any], folder: Path
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """
    Score pairs as the configuration says.

    Args:
        pairs ([`~datasets.Dataset`]): Of an [`~tasks.annotators.oracle_sources.OracleSource`].
        config (`Mapping`): Configuration of `prepare_oracle_data.py`.
        folder (`pathlib.Path`): Where a reward model's scores are appended, and found again.

    Returns:
        `tuple`: scores of chosen and of rejected, `(N,)` float64, and how they were made.

    Raises:
        ValueError: The oracle does not know the pairs, or the reward model has random weights, or a pair is too long.
    """
    if config["oracle"] == "demo":
        return *demo_rewards(pairs), {"oracle": "demo", "kind": "true rewards of demo answers"}
    if config["oracle"] == "dataset":
        missing = [name for name in GIVEN_SCORES if name not in pairs.column_names]
        if missing:
            raise ValueError(
                "oracle=dataset takes the scores that the data brings, but it has no columns chosen_score and "
                "rejected_score (or score_chosen and score_rejected); name them with columns.chosen_score=…"
            )
        chosen, rejected = (np.asarray(pairs[name], dtype=np.float64) for name in GIVEN_SCORES)
        return chosen, rejected, {"oracle": "dataset", "kind": "scores that the data brings"}
    return _score_with_model(pairs, config, folder)


def _score_with_model(
    pairs: Dataset, config: Mapping[str, Any], folder: Path
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    scorer = RewardScorer(
        config["oracle"],
        max_length=config["max_length"],
        max_length_policy=config["max_length_policy"],
        max_tokens_per_batch=config["max_tokens_per_batch"],
        shared_prefix=config["shared_prefix"],
        dtype=config["dtype"],
        attn_implementation=config["attn_implementation"],
        device=config["device"],
        adapter=config["adapter"],
        revision=config["revision"],
        trust_remote_code=config["trust_remote_code"],
        require_trained_head=True,  # scores of a random head look like any others
        progress=config["progress"],
    )
    source, output = folder / "pairs.jsonl", folder / "scores.jsonl"
    on_main_process(lambda: _write_pairs(pairs, source))
    meta = scorer.score_file(source, output, overwrite=config["overwrite"], window_size=config["window_size"])
    rewards = np.array([json.loads(line)["reward"] for line in output.read_text(encoding="utf-8").splitlines()])
    chosen, rejected = rewards.reshape(len(pairs), 2).T
    adapter = scorer.source.adapter
    scoring = {
        "oracle": config["oracle"],
        "kind": "reward model",
        "model": model_identity(config["oracle"], scorer.source.name, scorer.model),
        "adapter": None if adapter is None else model_identity(adapter, resolve_model(adapter)),
        "truncated": meta["truncated"],
        "timing": meta["timing"],
        **meta["settings"],
    }
    return chosen.astype(np.float64), rejected.astype(np.float64), scoring


def _write_pairs(pairs: Dataset, path: Path) -> None:
    columns = [name for name in ("id", "prompt", "chosen", "rejected") if name in pairs.column_names]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in pairs.select_columns(columns):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
