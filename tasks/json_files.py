"""JSON files that are complete or absent."""

import json
import math
import os
from pathlib import Path
from typing import Any

from trl_ext.privacy import hide_private


def _finite(content: Any) -> Any:
    """Spell out infinities and NaN, which strict JSON lacks (the interval of an undetermined ratio is unbounded)."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return str(content) if isinstance(content, float) and not math.isfinite(content) else content


def as_recorded(content: dict) -> dict:
    """What [`write_json`] makes of a content, read back."""
    return json.loads(json.dumps(hide_private(_finite(content)), default=str, allow_nan=False))


def write_json(path: Path, content: dict) -> None:
    """Write a file in one step: it is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(hide_private(_finite(content)), file, indent=2, default=str, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
