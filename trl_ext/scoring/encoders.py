"""The encoder of a scorer, by name."""

import logging
from typing import TYPE_CHECKING

from .chat_templates import find_chat_template
from .encoding import Encoder
from .rewardbench_encoding import RewardBenchEncoder, adds_eos, unread_token_id


if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

ENCODINGS = ("training", "rewardbench")


def make_encoder(
    encoding: str,
    tokenizer: "PreTrainedTokenizerBase",
    config: "PretrainedConfig",
    reads_last_token: bool,
    max_length: int | None,
    policy: str,
    chat_template: str | None,
    override_chat_template: bool,
) -> Encoder:
    """
    Encoder for a model.

    Args:
        encoding (`str`):
            `"training"` or `"rewardbench"`.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer.
        config ([`~transformers.PretrainedConfig`]):
            Configuration of the model.
        reads_last_token (`bool`):
            Whether the model reads the reward at the last token that does not pad, as those of transformers do.
        max_length, policy:
            See [`Encoder`].
        chat_template (`str`, *optional*):
            Name, path or Jinja text of the template for a tokenizer without one.
        override_chat_template (`bool`):
            Use it even if the tokenizer has one.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"`encoding` must be one of {', '.join(ENCODINGS)}, got {encoding!r}")
    template = _template(tokenizer, chat_template, override_chat_template)
    if encoding == "training":
        return Encoder(tokenizer, max_length, policy, template)
    return RewardBenchEncoder(
        tokenizer,
        max_length,
        policy,
        template,
        adds_eos=adds_eos(tokenizer),
        unread_token_id=unread_token_id(tokenizer, config) if reads_last_token else None,
    )


def _template(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None, override: bool) -> str | None:
    """The template in place of the tokenizer's own; `None` if that is used."""
    if chat_template is None:
        if override:
            raise ValueError("`override_chat_template` needs `chat_template`")
        return None
    template = find_chat_template(chat_template)
    if tokenizer.chat_template is not None and not override:
        logger.warning(
            "The tokenizer has a chat template of its own, which is used, as in RewardBench; "
            "override_chat_template=True uses the one that was given."
        )
        return None
    return template
