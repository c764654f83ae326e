"""Scored rewrites of users by level: subsets in which two attributes go together, or levels of a file."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trl_ext.json_lines import read_lines
from trl_ext.rate import RewardChains, TextChains, correlated_rows, get_attribute, read_reward_chains


logger = logging.getLogger(__name__)


def load_levels(config: Mapping[str, Any]) -> dict[str, dict[float, RewardChains]]:
    """
    Rewards by reward model (`""` for a file) and level, as `data` of the configuration says.

    Raises:
        ValueError: A file or column is missing, or a value is not as it must be.
    """
    path = Path(config["data"]).expanduser()
    return _of_folder(path, config) if path.is_dir() else {"": _of_file(path, config)}


def _of_file(path: Path, config: Mapping[str, Any]) -> dict[float, RewardChains]:
    table = pd.read_csv(path) if path.suffix == ".csv" else pd.DataFrame([row for _, row in read_lines(path)])
    if config["second"] is None:
        if "level" not in table:
            raise ValueError(
                f"{path} has no column 'level'. Set `second` to a column of 0 and 1, to draw subsets in which it goes with "
                f"'w'; there are {', '.join(map(repr, table.columns))}"
            )
        levels = pd.to_numeric(table["level"], errors="coerce").astype(float)
        bad = np.flatnonzero(~np.isfinite(levels))
        if bad.size:
            raise ValueError(
                f"{path}: column 'level' must be numbers; {bad.size} values are not, first: row {bad[0]}, value "
                f"{table['level'].iloc[bad[0]]!r}"
            )
        return {float(level): RewardChains.of_table(rows) for level, rows in table.groupby(levels)}
    if config["second"] not in table:
        raise ValueError(f"{path} has no column {config['second']!r}; there are {', '.join(map(repr, table.columns))}")
    second = table[config["second"]]
    bad = np.flatnonzero(~second.isin([0, 1]))
    if bad.size:
        raise ValueError(
            f"{path}: column {config['second']!r} must be 0 or 1; {bad.size} values are not, first: row {bad[0]}, value "
            f"{second.iloc[bad[0]]!r}"
        )
    rewards = RewardChains.of_table(table)
    if rewards.ids is None:
        rewards = RewardChains(rewards.w, rewards.rewards, rewards.clusters, np.arange(len(rewards)))
    return _subsets(rewards, second.to_numpy(dtype=bool), config)


def _of_folder(folder: Path, config: Mapping[str, Any]) -> dict[str, dict[float, RewardChains]]:
    names = config["reward_models"] or sorted(path.name for path in folder.glob("scores/*") if path.is_dir())
    if not names:
        raise ValueError(f"{folder} has no scores/: score its rewrites first, with tasks/rate/score.py")
    chains = TextChains.read(folder / "rewrites.jsonl")
    known = dict(zip(chains.ids, second_attribute(chains, config["second"]), strict=True))
    found = {}
    for name in names:
        rewards = read_reward_chains(folder / "scores" / name, chains)
        values = [known[key] for key in rewards.ids]
        have = np.array([value is not None for value in values])
        if not have.all():
            logger.warning(
                "%s: of %d texts it can't be said whether they have attribute %r; they are left out",
                name,
                int((~have).sum()),
                config["second"],
            )
        second = np.array([bool(value) for value in values])
        found[name] = _subsets(rewards.select(have), second[have], config)
    return found


def second_attribute(chains: TextChains, name: str) -> Sequence[bool | None]:
    """Values of an attribute of the originals: a column of their metadata, or an attribute that comes with the package."""
    if all(name in row for row in chains.metadata):
        values = [row[name] for row in chains.metadata]
        bad = next(((i, v) for i, v in enumerate(values) if v is not None and v not in (0, 1)), None)
        if bad is None:
            return [None if value is None else bool(value) for value in values]
        raise ValueError(f"metadata {name!r} must be true or false, got {bad[1]!r} in row {bad[0]}")
    attribute = get_attribute(name)
    rows = ({"prompt": prompt, **row} for prompt, row in zip(chains.prompts, chains.metadata, strict=True))
    return [attribute.classify(text, row) for text, row in zip(chains.of(0), rows, strict=True)]


def _subsets(rewards: RewardChains, second: np.ndarray, config: Mapping[str, Any]) -> dict[float, RewardChains]:
    picked = correlated_rows(rewards.w, second, config["levels"], seed=config["seed"], negative=config["negative"])
    sign = -1 if config["negative"] else 1
    return {sign * level / 10: rewards.select(rows) for level, rows in zip(config["levels"], picked, strict=True)}
