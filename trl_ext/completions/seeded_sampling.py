"""What tokens may come next and which is taken: forms, and randomness that does not depend on the rest of the batch."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from .requests import AnswerForm, Sampling


class GumbelNoise(LogitsProcessor):
    r"""
    Adds Gumbel noise to the logits of every row, from a generator of the row's own.

    The token with the largest logit plus noise is distributed as the softmax of the logits, so that greedy decoding of
    noisy logits is sampling; and a row gets the same noise in every batch.

    References:
        - Maddison, Tarlow and Minka, A* Sampling, 2014 (the Gumbel-max trick).

    Args:
        seeds (`Sequence[int]`): Seed of every row.
    """

    def __init__(self, seeds: Sequence[int]):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        noise = torch.stack(
            [torch.empty(scores.shape[1]).exponential_(generator=generator) for generator in self.generators]
        )
        # -log of an exponential variable is a Gumbel variable
        return scores.float() - noise.log().to(scores.device)


class FormFilling(LogitsProcessor):
    """
    Forbids every token but those that a form allows at its place.

    Args:
        allowed (`Sequence[Sequence[int]]`): Allowed tokens at every place of the answer.
        prompt_length (`int`): Tokens of a row, padding included, before the answer begins.
    """

    def __init__(self, allowed: Sequence[Sequence[int]], prompt_length: int):
        self.allowed = allowed
        self.prompt_length = prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        tokens = list(self.allowed[input_ids.shape[1] - self.prompt_length])
        masked = torch.full_like(scores, -torch.inf)
        masked[:, tokens] = scores[:, tokens]
        return masked


def form_tokens(form: AnswerForm, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """
    Allowed tokens at every place of an answer that fills in a form.

    Raises:
        `ValueError`: An option is not a single token.
    """

    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    allowed: list[list[int]] = []
    for text, options in form.blanks:
        allowed += [[token] for token in encode(text)]
        encoded = [encode(option) for option in options]
        for option, tokens in zip(options, encoded, strict=True):
            if len(tokens) != 1:
                raise ValueError(f"the option {option!r} of the form is {len(tokens)} tokens for this model, not one")
        allowed.append([tokens[0] for tokens in encoded])
    return allowed + [[token] for token in encode(form.end)]


def seeded_sampling(sampling: Sampling, seeds: Sequence[int | None]) -> LogitsProcessorList:
    """
    What makes greedy decoding draw as `sampling` says.

    Args:
        sampling ([`Sampling`]): Temperature and `top_p`.
        seeds (`Sequence[int]`): Seed of every row of the batch; not looked at for temperature 0.

    Returns:
        [`~transformers.LogitsProcessorList`]
    """
    processors = LogitsProcessorList()
    if sampling.temperature == 0:
        return processors
    if sampling.temperature not in (None, 1):
        processors.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_p is not None and sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    processors.append(GumbelNoise(seeds))
    return processors
