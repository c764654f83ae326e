"""From comparisons to token ids of at most `max_length`, and from ids to batches."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from .comparisons import Comparisons
from .text import ComparisonFormat, bare_prompt


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoded:
    """
    Token ids of N comparisons.

    Args:
        ids (`list[list[int]]`): Ids of every row.
        shortened_prompts (`int`): Rows whose prompt lost its beginning.
        cut_responses (`int`): Rows in which the end of response B, and perhaps of A, was cut too.
    """

    ids: list[list[int]]
    shortened_prompts: int
    cut_responses: int


def limit_length(max_length: int, config: PretrainedConfig) -> int:
    """`max_length`, or less if the model has fewer positions."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return max_length if positions is None else min(max_length, positions)


def encode_comparisons(
    comparisons: Comparisons,
    text_format: ComparisonFormat,
    max_length: int,
    encode: Callable[[str], list[int]],
    tokenizer: PreTrainedTokenizerBase,
) -> Encoded:
    """
    Token ids of comparisons. Where they are too many, the prompt loses its beginning, so that both responses stay whole;
    where the responses alone are too long, the text loses its end. Both are counted and logged.

    Args:
        comparisons ([`Comparisons`]): Rows.
        text_format ([`ComparisonFormat`]): How to write a row.
        max_length (`int`): Largest number of tokens.
        encode (`Callable`): From a text to ids.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): Of the prompt, to find where to cut it.

    Returns:
        [`Encoded`]
    """
    rows, shortened, cut = [], 0, 0
    for prompt, a, b in zip(comparisons.prompt, comparisons.response_a, comparisons.response_b, strict=True):
        prompt = bare_prompt(prompt)
        ids = encode(text_format.render(prompt, a, b))
        shortened += len(ids) > max_length
        while len(ids) > max_length and prompt:
            prompt = _without_first_tokens(prompt, len(ids) - max_length, tokenizer)
            ids = encode(text_format.render(prompt, a, b))
        if len(ids) > max_length:
            cut += 1
            ids = ids[: max_length - 1] + ids[-1:]  # the last token is where the model is read
        rows.append(ids)
    if shortened:
        logger.warning(
            "%d of %d comparisons are longer than max_length=%d: their prompts lost their beginning%s.",
            shortened,
            len(rows),
            max_length,
            f", and {cut} of them, whose responses alone are too long, lost the end of the responses" if cut else "",
        )
    return Encoded(rows, shortened, cut)


def _without_first_tokens(text: str, count: int, tokenizer: PreTrainedTokenizerBase) -> str:
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    # at least one character goes, so that the caller's loop ends
    return text[max(offsets[count][0], 1) :].lstrip() if count < len(offsets) else ""


def length_sorted_batches(ids: list[list[int]], max_tokens: int) -> Iterator[np.ndarray]:
    """Row numbers of batches of similar length, longest first, with at most `max_tokens` tokens, padding included."""
    # by content too, so that the same texts in another order make the same batches and the same scores to the last bit
    order = np.array(sorted(range(len(ids)), key=lambda row: (-len(ids[row]), ids[row])), dtype=int)
    start = 0
    while start < len(order):
        stop = start + max(1, max_tokens // len(ids[order[start]]))
        yield order[start:stop]
        start = stop
