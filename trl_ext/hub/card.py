"""Model card of a reward model of which only the files are known."""

import json
from pathlib import Path

from huggingface_hub import ModelCardData

from ..trainer.model_card import ADAPTER_USAGE, FULL_USAGE, LOCAL_ADAPTER_USAGE
from ..version import __version__


_TEMPLATE = """---
{card_data}
---

# {name}

A reward model{base}, pushed with trl_ext {version}.
It maps a prompt with a response, laid out as in training, to one number; only differences between responses to the same prompt mean something.

## Use

```python
{usage}
```
"""


def minimal_model_card(folder: Path, repo_id: str) -> str:
    """A card with what a directory says of itself: full model or adapter, base model, how to load it."""
    adapter = folder / "adapter_config.json"
    base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"] if adapter.is_file() else None
    # A path, or a name of ours, is not a model on the Hub
    is_hub_id = bool(base) and not base.startswith(("/", "~", ".", "bundled:")) and not Path(base).exists()
    usage = FULL_USAGE if base is None else ADAPTER_USAGE if is_hub_id else LOCAL_ADAPTER_USAGE
    data = ModelCardData(
        base_model=base if is_hub_id else None,
        library_name="transformers" if base is None else "peft",
        model_name=repo_id.split("/")[-1],
        pipeline_tag="text-classification",
        tags=["reward-model", "trl-ext"],
    )
    return _TEMPLATE.format(
        card_data=data.to_yaml(),
        name=data.model_name,
        base="" if base is None else f": an adapter of `{base if is_hub_id else Path(base).name}`",
        version=__version__,
        usage=usage.format(location=repo_id, eos_token=_eos_token(folder)),
    )


def _eos_token(folder: Path) -> str:
    path = folder / "tokenizer_config.json"
    token = json.loads(path.read_text(encoding="utf-8")).get("eos_token") if path.is_file() else None
    return (token["content"] if isinstance(token, dict) else token) or ""
