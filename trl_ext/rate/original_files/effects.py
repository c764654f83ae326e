"""The effects files of the original RATE code, read and written: effects/{dataset}_{concept}_{score}_..._{time}.json."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...atomic_files import write_text_atomically


_EFFECTS = (
    "naive_effect",
    *(f"{e}_{kind}" for kind in ("single_rewrite", "rewritten_rewrite") for e in ("ATE", "ATT", "ATU")),
)
EFFECT_KEYS = (
    *(key for effect in _EFFECTS for key in (effect, f"{effect}_stderr")),
    "reward_std",
    "Y1_count",
    "Y0_count",
)  # fmt: skip


def write_original_effects(effects: Any, path: str | Path, config: Mapping[str, Any] | None = None) -> None:
    """
    Write effects with the original's 17 keys and the keys of its configuration.

    Args:
        effects ([`RateEffects`] or `Mapping`): With `to_original()`, or the 17 keys themselves; `None` where there is none.
        path (`str` or `Path`): The file; replaced if it exists.
        config (`Mapping`, *optional*): Keys of the original's `effects`, such as `dataset_name` and `concept`.

    Raises:
        ValueError: A key is missing, or stands in both.
    """
    values = dict(effects.to_original() if hasattr(effects, "to_original") else effects)
    _check_keys(values, "the effects")
    config = dict(config or {})
    both = [key for key in config if key in values]
    if both:
        raise ValueError(f"{both[0]!r} is a key of the effects, it can't be one of the configuration")
    for key, value in values.items():
        # The original writes NaN, which is not JSON
        values[key] = None if isinstance(value, float) and not math.isfinite(value) else value
    write_text_atomically(path, json.dumps(values | config, indent=4, allow_nan=False))


def read_original_effects(path: str | Path) -> tuple[dict[str, float | None], dict[str, Any]]:
    """
    Read effects of the original.

    Args:
        path (`str` or `Path`): The file.

    Returns:
        `tuple[dict, dict]`: The 17 values, `None` where the original has NaN; and the configuration.

    Raises:
        ValueError: The file can't be read, or lacks a key.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} can't be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object")
    _check_keys(content, str(path))
    values = {key: content.pop(key) for key in EFFECT_KEYS}
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }, content


def _check_keys(content: Mapping[str, Any], where: str) -> None:
    missing = [key for key in EFFECT_KEYS if key not in content]
    if missing:
        raise ValueError(f"{where}: key {missing[0]!r} is missing; there must be {', '.join(EFFECT_KEYS)}")
