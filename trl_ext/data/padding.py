"""Choice of a padding token that a sequence-classification head cannot mistake for the end of a sequence."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Tokens that model families keep for padding, or that never end a sequence when they aren't the EOS token
_PAD_TOKENS = ("<|finetune_right_pad_id|>", "<pad>", "[PAD]", "<|pad|>", "<|fim_pad|>", "<|endoftext|>")
# Further names of padding (`<｜▁pad▁｜>`) and unused tokens. Placeholders of images and sounds are none of these.
_SPARE_TOKEN = re.compile(r"(?<!image_)(?<!video_)(?<!vision_)(?<!audio_)(?<![a-z])pad(?![a-z])|reserved|unused", re.I)


def _candidates(tokenizer: "PreTrainedTokenizerBase") -> Iterator[str | None]:
    yield tokenizer.pad_token
    yield from _PAD_TOKENS
    yield tokenizer.unk_token
    added = tokenizer.get_added_vocab()
    yield from sorted(filter(_SPARE_TOKEN.search, added), key=added.get)
    yield tokenizer.bos_token


def distinct_pad_token(processing_class: "PreTrainedTokenizerBase") -> str | None:
    r"""
    Pad token that is not the end-of-sequence token.

    Sequence-classification heads of transformers read the reward at the right-most token that differs from the pad
    token. If padding with EOS, they read it one token before the EOS that ends the response.

    The current pad token is preferred. Then come the tokens that model families keep for padding
    (`<|finetune_right_pad_id|>`, `<pad>`, `[PAD]`, `<|endoftext|>`), the unknown token, reserved tokens, and the BOS
    token. Tokens that can end a turn (`<|im_end|>`, `<|eot_id|>`) are never chosen, although they may not be EOS.

    Args:
        processing_class ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer. It isn't changed.

    Returns:
        `str` or `None`:
            Token of the vocabulary, or `None` if every candidate is missing or is the EOS token: the caller has to
            add a token to the tokenizer and resize the embeddings.

    Example:
        ```python
        >>> from transformers import AutoTokenizer
        >>> from trl_ext.data import distinct_pad_token

        >>> distinct_pad_token(AutoTokenizer.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct"))  # pads with EOS
        '<|endoftext|>'
        ```
    """
    vocabulary = processing_class.get_vocab()
    for token in _candidates(processing_class):
        if token in vocabulary and token != processing_class.eos_token:
            return token
    return None
