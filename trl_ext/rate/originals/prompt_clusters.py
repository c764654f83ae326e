"""Texts that answer the same prompt: they are a cluster."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any


def prompt_key(prompt: Any) -> str:
    """A text that is equal for equal prompts."""
    return prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False, sort_keys=True)


def short_hash(text: str) -> str:
    """12 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def prompt_clusters(prompts: Sequence[Any]) -> tuple[str, ...] | None:
    """A label per prompt; `None` if there is one prompt only, as with film reviews: nothing groups such texts."""
    keys = [prompt_key(prompt) for prompt in prompts]
    return None if len(set(keys)) == 1 else tuple(map(short_hash, keys))
