"""What files of a run say to everyone: no names of annotators, and no folders of the machine they were written on."""

import fnmatch
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..privacy import map_text, without_folder, without_folders


# Files that the model is loaded from: their texts (tokens, templates) stay as they are
_OF_THE_MODEL = (
    *("config.json", "generation_config.json", "adapter_config.json", "*processor_config.json", "modules.json"),
    *("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "chat_template*.json"),
    *("*.safetensors.index.json", "reward_calibration.json", "reward_head.json", "reward_intervals.json"),
)
_REPORTS = ("calibration", "evaluation", "mismatch", "rate")
_ANNOTATOR = "annotator_id"


def public_text(name: str, path: Path) -> str | None:
    """
    The content of a staged file as it is published, if that is another than what the file says.

    Args:
        name (`str`): Path of the file within the directory.
        path (`Path`): The file.

    Returns:
        `str` or `None`: `None` if the file is published as it is.

    Raises:
        ValueError: The file is no JSON, so that nobody knows what it says.
    """
    if any(fnmatch.fnmatch(path.name, pattern) for pattern in _OF_THE_MODEL):
        return None
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        public = public_json(content)
        return None if public == content else json.dumps(public, indent=2, ensure_ascii=False) + "\n"
    if path.suffix in (".md", ".txt") and name.split("/")[0] in _REPORTS:
        text = path.read_text(encoding="utf-8")
        public = without_folders(text)
        return None if public == text else public
    return None


def public_json(content: Any) -> Any:
    """
    Content of a JSON file without rows about annotators, of which a summary remains, and with paths as their last part.

    Example:
        ```python
        >>> public_json({"table": [{"annotator_id": "ann", "eta": 0.5}], "output_dir": "/srv/ann/rm"})
        {'table': {'annotators': 1, 'median_eta': 0.5, 'lowest_eta': 0.5, 'highest_eta': 0.5}, 'output_dir': 'rm'}
        ```
    """
    public = map_text(_without_annotators(content), without_folder)
    # readers expect a table under this name
    if isinstance(public, dict) and isinstance(public.get("annotators"), dict):
        if isinstance(public["annotators"].get("table"), dict):
            public["annotators_summary"] = public.pop("annotators")
    return public


def _without_annotators(content: Any) -> Any:
    if isinstance(content, Mapping):
        named = content.get(_ANNOTATOR)
        if isinstance(named, Mapping | list):  # a table by columns
            return _summary([dict.fromkeys([_ANNOTATOR])] * len(named))
        return {key: _without_annotators(value) for key, value in content.items() if key != _ANNOTATOR}
    if isinstance(content, list):
        if any(isinstance(row, Mapping) and _ANNOTATOR in row for row in content):
            return _summary(content)
        return [_without_annotators(value) for value in content]
    return content


def _summary(rows: Sequence[Any]) -> dict[str, Any]:
    rows = [row for row in rows if isinstance(row, Mapping)]
    found: dict[str, Any] = {"annotators": len(rows)}
    eta = [row["eta"] for row in rows if isinstance(row.get("eta"), int | float)]
    if eta:
        found |= {"median_eta": statistics.median(eta), "lowest_eta": min(eta), "highest_eta": max(eta)}
    for name in ("adversarial", "better_than_chance"):
        if any(name in row for row in rows):
            found[name] = sum(row.get(name) is True for row in rows)
    return found
