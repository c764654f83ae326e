"""Load a reward model by name, ready to score."""

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..data.padding import distinct_pad_token
from ..scoring.loading import ModelSource
from ..shared_prefix import core_model
from ..trainer.reward_head import run_head_in_float32


def load_reward_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    token: str | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """
    Load a reward model, full or adapter, with its tokenizer.

    The model is in evaluation mode, its reward head computes in float32 whatever the precision of the rest, as in
    training and scoring, and it pads with a token that cannot end a sequence. Weights come from safetensors files only.

    Args:
        name (`str`):
            Hub id, local directory, or `bundled:smollm2-135m-instruct`. Of an adapter, the base model that it names is
            loaded first; that may be a `bundled:` model or a path that begins with `~`.
        revision (`str`, *optional*):
            Branch, tag or commit.
        dtype (`str` or `torch.dtype`, *optional*):
            Precision. By default that of the saved weights; of an adapter, that of its base model.
        device (`str` or `torch.device`, *optional*):
            Device. By default the GPU if there is one.
        trust_remote_code (`bool`, *optional*, defaults to `False`):
            Run code from the model's repository.
        token (`str`, *optional*):
            Access token. By default `HF_TOKEN`, or the one of `hf auth login`.

    Returns:
        `tuple`: The model and its tokenizer.

    Raises:
        ValueError: If the model has several outputs and nothing says what they are.
        OSError: If it does not exist, or has no weights in safetensors files.

    Example:
        ```python
        >>> from trl_ext import load_reward_model

        >>> model, tokenizer = load_reward_model("me/my-reward-model")
        >>> model(**tokenizer("2 + 2 = 4", return_tensors="pt")).logits.shape
        torch.Size([1, 1])
        ```
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    source = ModelSource.find(name, None, revision, trust_remote_code, token)
    config = source.load_config()
    tokenizer = source.load_tokenizer()
    model = source.load_model(config, "auto" if dtype is None else dtype, None, torch.device(device))
    pad_token = distinct_pad_token(tokenizer)
    if pad_token is not None:
        tokenizer.pad_token = pad_token
        core_model(model).config.get_text_config().pad_token_id = tokenizer.pad_token_id
    run_head_in_float32(model, config.num_labels)
    return model.eval(), tokenizer
