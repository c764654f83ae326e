"""Token ids of prompts and responses apart: as TRL trains DPO models, or as RewardBench encodes them."""

import abc
import dataclasses
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from ..shared_prefix import common_prefix_length
from .encoders import ENCODINGS, _template
from .encoding import Encoder
from .groups import Group
from .rewardbench_encoding import RewardBenchEncoder, _messages


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


class EncodedResponse(NamedTuple):
    """Token ids of a prompt, and of the response that follows it."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class ResponseEncoder(abc.ABC):
    """
    Encodes prompts with their responses, and knows where a response begins.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer with an EOS token.
        chat_template (`str`, *optional*):
            Jinja template in place of the tokenizer's own.
        max_length (`int`, *optional*, defaults to `2048`):
            Largest number of tokens of a prompt with the longest response to it; `None` for no limit. Beyond it the prompt
            keeps its last `max_prompt_length` tokens, and if that is not enough, all responses to it are cut to the
            first `max_length - max_prompt_length`.
        max_prompt_length (`int`, *optional*, defaults to `128`):
            Tokens of a prompt that are kept.
    """

    tokenizer: "PreTrainedTokenizerBase"
    chat_template: str | None = None
    max_length: int | None = 2048
    max_prompt_length: int = 128

    def __post_init__(self):
        if self.max_prompt_length < 1:
            raise ValueError(f"`max_prompt_length` must be at least 1, got {self.max_prompt_length}")
        if self.max_length is not None and self.max_length <= self.max_prompt_length:
            raise ValueError(
                f"`max_length` must be None or more than max_prompt_length={self.max_prompt_length}, got {self.max_length}"
            )
        if self.tokenizer.eos_token_id is None:
            raise ValueError(
                f"tokenizer '{self.tokenizer.name_or_path}' has no EOS token, which must end every response. Set "
                "`processing_class.eos_token`."
            )

    @property
    def rendered_with(self) -> Any:
        """The chat template that messages are rendered with, unless a row has its own."""
        return self.tokenizer.chat_template if self.chat_template is None else self.chat_template

    def encode(self, groups: list[Group]) -> tuple[list[EncodedResponse], int]:
        """Token ids of all responses of all groups, in order, and the number of responses that were truncated."""
        result: list[EncodedResponse] = []
        truncated = 0
        for group in groups:
            whole = self._encode_group(group)
            short = self._shorten(whole)
            truncated += sum(before != after for before, after in zip(whole, short, strict=True))
            result.extend(short)
        return result, truncated

    @abc.abstractmethod
    def _encode_group(self, group: Group) -> list[EncodedResponse]:
        """Token ids of all responses of a group, whole."""

    def _shorten(self, encoded: list[EncodedResponse]) -> list[EncodedResponse]:
        if self.max_length is None:
            return encoded
        longest = max((len(response) for _, response in encoded), default=0)
        result = []
        for prompt, response in encoded:
            if len(prompt) + longest > self.max_length:
                prompt = prompt[-self.max_prompt_length :]
            if len(prompt) + longest > self.max_length:
                response = response[: self.max_length - self.max_prompt_length]
            result.append(EncodedResponse(prompt, response))
        return result


class TrainingResponseEncoder(ResponseEncoder):
    """
    Encodes as TRL's `DPOTrainer` does. Messages are rendered with the chat template, and what it writes before an answer
    belongs to the prompt. Texts are put together and ended with the EOS token. The responses begin where the tokens of the
    prompt and those of a response with it part.
    """

    def _encode_group(self, group: Group) -> list[EncodedResponse]:
        encoder = Encoder(self.tokenizer, chat_template=self.chat_template)
        prompts, wholes = [], []
        for before, after in _turns(group):
            asked = dataclasses.replace(group, prompt=before, responses=[after])
            wholes.append(encoder.encode([asked])[0][0])
            if not isinstance(before, str):
                kwargs = {**(group.template_kwargs or {}), "add_generation_prompt": True}
                asked = dataclasses.replace(asked, template_kwargs=kwargs)
            prompts.append(encoder._prompt_ids(asked))
        if group.prompt:  # one prompt for all
            start = min(map(common_prefix_length, prompts, wholes), default=0)
            starts = [start] * len(wholes)
        else:
            starts = list(map(common_prefix_length, prompts, wholes))
        return [
            EncodedResponse(tuple(ids[:start]), tuple(ids[start:])) for ids, start in zip(wholes, starts, strict=True)
        ]


class RewardBenchResponseEncoder(ResponseEncoder):
    """
    Encodes as RewardBench does for DPO models.

    Messages are the user's and the assistant's in turn, whatever their roles; a text is a message. The rendered prompt is
    removed from the rendered conversation, wherever it stands; what is left is the response, the beginning of the
    assistant's turn included. It begins after as many tokens as the prompt alone has, one token earlier if the two merge.
    A BOS token comes before the prompt and an EOS token after the response even where the chat template has them already.

    References:
        - RewardBench: Evaluating Reward Models for Language Modeling (Lambert et al.), https://arxiv.org/abs/2403.13787
    """

    def _encode_group(self, group: Group) -> list[EncodedResponse]:
        renderer = RewardBenchEncoder(self.tokenizer, chat_template=self.chat_template)
        encoded = []
        for index, (before, after) in enumerate(_turns(group)):
            name = f"{group.name}, response {index}"
            asked = dataclasses.replace(group, prompt=before)
            prompt = renderer._render(group, _messages(asked, [], name), name)
            whole = renderer._text(dataclasses.replace(asked, responses=[after], name=name), 0)
            encoded.append(self._encode_texts(prompt, _answer(prompt, whole, name)))
        return encoded

    def _encode_texts(self, prompt: str, answer: str) -> EncodedResponse:
        ids = self.tokenizer(text=[prompt, prompt + answer], add_special_tokens=False)["input_ids"]
        start = len(ids[0]) - (ids[1][: len(ids[0])] != ids[0])
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        return EncodedResponse((*([] if bos is None else [bos]), *ids[1][:start]), (*ids[1][start:], eos))


def make_response_encoder(
    encoding: str,
    tokenizer: "PreTrainedTokenizerBase",
    chat_template: str | None,
    override_chat_template: bool,
    max_length: int | None,
    max_prompt_length: int,
) -> ResponseEncoder:
    """Encoder by the name of its encoding; see [`~trl_ext.scoring.encoders.make_encoder`]."""
    if encoding not in ENCODINGS:
        raise ValueError(f"`encoding` must be one of {', '.join(ENCODINGS)}, got {encoding!r}")
    encoder_class = TrainingResponseEncoder if encoding == "training" else RewardBenchResponseEncoder
    template = _template(tokenizer, chat_template, override_chat_template)
    return encoder_class(tokenizer, template, max_length, max_prompt_length)


def _turns(group: Group) -> list[tuple[Any, Any]]:
    """What stands before each answer, and the answer: without a prompt, the last message answers the others."""
    if group.prompt:
        return [(group.prompt, response) for response in group.responses]
    for index, response in enumerate(group.responses):
        if isinstance(response, str):
            raise ValueError(
                f"{group.name}, response {index}: there is no prompt, so that nobody knows where the response begins. Give "
                "the text before it in `prompt`."
            )
        if len(response) < 2:
            raise ValueError(f"{group.name}, response {index}: one message alone is no answer to a prompt.")
    return [(response[:-1], response[-1:]) for response in group.responses]


def _answer(prompt: str, whole: str, name: str) -> str:
    """What the chat template writes beside the prompt."""
    if not whole.startswith(prompt):
        raise ValueError(
            f"{name}: the chat template writes the prompt in another way when an answer follows, so that nobody knows where "
            "the answer begins. Give another `chat_template`, or use encoding='training'."
        )
    answer = whole[len(prompt) :]
    if prompt in answer:
        logger.warning("%s repeats the whole prompt, which is removed from it, as RewardBench does.", name)
        answer = answer.replace(prompt, "")
    return answer
