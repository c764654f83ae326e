"""A padding token that cannot be mistaken for the end of a sequence."""

from transformers import PreTrainedTokenizerBase


# Tokens that model makers reserve for padding or leave unused, most specific first
_CANDIDATES = ("<|finetune_right_pad_id|>", "<|pad|>", "<pad>", "[PAD]", "<|endoftext|>", "<|vision_pad|>")


def distinct_pad_token(processing_class: PreTrainedTokenizerBase) -> str | None:
    """
    Find a token to pad with that is not the end-of-sequence token.

    The sequence-classification heads of transformers read the reward at the right-most token that is not padding. Where
    end-of-sequence pads, they read it one token early.

    Args:
        processing_class ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer. It is not changed.

    Returns:
        `str` or `None`: The tokenizer's padding token if it is fit; else one it has that never ends a sequence (a
        reserved token, the unknown token, the beginning-of-sequence token); `None` if there is none.
    """
    eos = processing_class.eos_token
    if processing_class.pad_token is not None and processing_class.pad_token != eos:
        return processing_class.pad_token
    vocabulary = processing_class.get_vocab()
    for token in (*_CANDIDATES, processing_class.unk_token, processing_class.bos_token):
        if token is not None and token != eos and token in vocabulary:
            return token
    return None
