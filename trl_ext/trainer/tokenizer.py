"""The tokenizer of a reward trainer: loaded, and with a padding token that cannot end a sequence."""

import logging
import os
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..data.padding import distinct_pad_token
from .reward_config import PairwiseRewardConfig


logger = logging.getLogger(__name__)


def load_tokenizer(name: str, args: PairwiseRewardConfig) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model, at the model's revision."""
    revision = (args.model_init_kwargs or {}).get("revision")
    return AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=args.trust_remote_code)


def clones_chat_template(args: PairwiseRewardConfig) -> bool:
    """Whether the chat template comes from another tokenizer, whose tokens TRL then adds to tokenizer and model."""
    path = args.chat_template_path
    return path is not None and not (os.path.isfile(path) and path.endswith((".jinja", ".j2")))


def set_up_tokenizer(processing_class: PreTrainedTokenizerBase, args: PairwiseRewardConfig) -> bool:
    """
    Apply `eos_token` and a template file, and choose a padding token; return whether a token had to be added.

    The head finds the last token as the right-most one that is not padding. Where end-of-sequence pads, the reward
    would be read one token early.
    """
    if args.eos_token is not None:
        if args.eos_token not in processing_class.get_vocab():
            raise ValueError(f"`eos_token` {args.eos_token!r} is not in the vocabulary of the tokenizer")
        processing_class.eos_token = args.eos_token
    if args.chat_template_path is not None and not clones_chat_template(args):
        processing_class.chat_template = Path(args.chat_template_path).read_text(encoding="utf-8")
    if args.pad_token is not None:
        processing_class.pad_token = args.pad_token
        args.pad_token = None
    pad_token = distinct_pad_token(processing_class)
    if pad_token is None:
        processing_class.add_special_tokens({"pad_token": "<|pad|>"})
        return True
    if pad_token != processing_class.pad_token:
        logger.warning(
            "Padding with %r instead of %r: the reward is read at the last token that is not padding, which must be able "
            "to be the end-of-sequence token.",
            pad_token,
            processing_class.pad_token,
        )
        processing_class.pad_token = pad_token
    return False
