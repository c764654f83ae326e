"""The card of a repository with results of evaluations."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
from huggingface_hub import DatasetCardData

from ...privacy import without_folders
from ...version import __version__
from ..statistics import Estimate
from ..table_formats import to_markdown
from .model_result import ModelResult


_TEMPLATE = """---
{card_data}
---

# {name}

Results of reward models on benchmarks, made with trl_ext {version}. Every figure has a confidence interval; how each was
made is in `results.json`.

{sections}
## Files

| file | content |
|---|---|
| `<benchmark>/<model>/results.json` | figures, settings, versions, hashes |
| `<benchmark>/<model>/per_row.csv` | what every row was worth |
| `<benchmark>/<model>/rewards.jsonl` | every reward |
| `eval-set/`, `pref-sets/`, … | RewardBench's own layout, where it has one |
"""


def results_card(results: Sequence[ModelResult], repo_id: str) -> str:
    """
    A dataset card with the figures of some results.

    Args:
        results (`Sequence[ModelResult]`):
            At least one.
        repo_id (`str`):
            The repository.

    Returns:
        `str`: `README.md`.
    """
    data = DatasetCardData(
        tags=["reward-model", "evaluation", "trl-ext", *dict.fromkeys(result.benchmark for result in results)],
        # tables of several kinds, which are no dataset to load
        viewer=False,
    )
    return _TEMPLATE.format(
        card_data=data.to_yaml(),
        name=repo_id.split("/")[-1],
        version=__version__,
        sections="\n".join(_section(result) for result in results),
    )


def _section(result: ModelResult) -> str:
    lines = [f"## {_plain(result.model)} on {result.benchmark}", ""]
    named = {} if result.overall is None else {"overall": result.overall}
    lines += [to_markdown(_table(named | result.sections))] if named or result.sections else []
    others = {name: figure for name, figure in result.subsets.items() if name not in result.sections}
    if others:
        lines += ["<details><summary>Subsets</summary>", "", to_markdown(_table(others)), "</details>", ""]
    missing = [name for key, names in result.details.items() if key.startswith("missing_") for name in names]
    if missing:
        lines += [f"Missing: {', '.join(missing)}.", ""]
    lines += [f"- {name}: {value}" for name, value in _facts(result.record).items()]
    return "\n".join(lines) + "\n"


def _table(figures: dict[str, Estimate]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"figure": name, "value": figure.value, "low": figure.ci_low, "high": figure.ci_high, "rows": figure.n}
            | {"interval": figure.method}
            for name, figure in figures.items()
        ]
    )


def _facts(record: dict[str, Any]) -> dict[str, str]:
    """What a reader wants to know first of how the figures were made."""
    command = record.get("command")
    command = " ".join(command) if isinstance(command, list) else command
    source = json.dumps(record["source"]) if record.get("source") else None
    settings = (record.get("scoring") or {}).get("settings") or {}
    facts = {
        "command": None if command is None else without_folders(str(command)),
        "versions": ", ".join(f"{name} {version}" for name, version in (record.get("versions") or {}).items()),
        "data (SHA-256)": (record.get("data") or {}).get("sha256"),
        "truncated responses": record.get("truncated"),
        "dtype": settings.get("dtype"),
        "max_length": settings.get("max_length"),
        "source": None if source is None else without_folders(source),
    }
    return {name: f"`{_plain(value)}`" for name, value in facts.items() if value not in (None, "")}


def _plain(value: Any) -> str:
    return " ".join(str(value).replace("`", "'").split())
