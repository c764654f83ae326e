"""How long responses are: in characters, in words, or in tokens of the reward model's tokenizer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from ...data.checks import shorten


LENGTH_UNITS = ("characters", "words", "tokens")


def response_lengths(
    responses: Sequence[str | list[dict[str, Any]]],
    unit: str,
    processing_class: PreTrainedTokenizerBase | None = None,
) -> np.ndarray:
    """
    Lengths of responses. Of messages, that of their texts together, without what a chat template adds.

    Args:
        responses (`Sequence[str]` or `Sequence[list[dict]]` of length N):
            Texts or messages; a text may be empty.
        unit (`str`):
            `"characters"` (Unicode code points), `"words"` (parts between white space) or `"tokens"` (of
            `processing_class`, without special tokens).
        processing_class ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer, for tokens.

    Returns:
        `np.ndarray` of shape `(N,)`: Lengths, int64.

    Raises:
        ValueError: There is no such unit, or tokens are asked for without a tokenizer.

    Example:
        ```python
        >>> from trl_ext.scoring.calibrated import response_lengths
        >>> response_lengths(["Paris.", [{"role": "assistant", "content": "It is Paris."}]], "words")
        array([1, 3])

        ```
    """
    check_unit(unit)
    texts = [_text(response) for response in responses]
    if unit == "characters":
        lengths = list(map(len, texts))
    elif unit == "words":
        lengths = [len(text.split()) for text in texts]
    else:
        if processing_class is None:
            raise ValueError("lengths in tokens need the reward model's tokenizer: give `processing_class`")
        ids = processing_class(texts, add_special_tokens=False)["input_ids"] if texts else []
        lengths = list(map(len, ids))
    return np.array(lengths, dtype=np.int64)


def check_unit(unit: str) -> None:
    """Raise a `ValueError` unless lengths can be measured in this unit."""
    if unit not in LENGTH_UNITS:
        raise ValueError(f"the unit of lengths must be one of {', '.join(map(repr, LENGTH_UNITS))}, got {unit!r}")


def _text(response: Any) -> str:
    if isinstance(response, str):
        return response
    if not isinstance(response, (list, tuple)) or not all(isinstance(message, dict) for message in response):
        raise TypeError(f"a response must be text or a list of messages, got {shorten(response)}")
    return "".join(_content(message.get("content")) for message in response)


def _content(content: Any) -> str:
    """Text of a message; one with tool calls alone has none, and of parts only texts have a length."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
