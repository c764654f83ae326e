"""Token ids of prompts and responses apart, as RewardBench encodes them for DPO models."""

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..shared_prefix import common_prefix_length
from .groups import Group


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

ENCODINGS = ("rewardbench", "plain")


class EncodedResponse(NamedTuple):
    """Token ids of a prompt, and of the response that follows it."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ResponseEncoder:
    """
    Encodes prompts with their responses, and knows where a response begins.

    Texts are encoded whole. The response begins after as many tokens as the prompt alone has, one token earlier if the
    end of the prompt merges with the beginning of the response.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer with an EOS token; for messages, with a chat template.
        max_length (`int`, *optional*, defaults to `2048`):
            Largest number of tokens of a prompt with the longest response to it; `None` for no limit. Beyond it the prompt
            keeps its last `max_prompt_length` tokens, and if that is not enough, all responses to it are cut to the
            first `max_length - max_prompt_length`.
        max_prompt_length (`int`, *optional*, defaults to `128`):
            Tokens of a prompt that are kept.
        encoding (`str`, *optional*, defaults to `"rewardbench"`):
            `"rewardbench"`: as there, a BOS token before the prompt and an EOS token after the response even where the
            chat template has them already, and every repetition of the prompt's text in the response is removed. `"plain"`:
            no token twice, nothing removed.
    """

    tokenizer: "PreTrainedTokenizerBase"
    max_length: int | None = 2048
    max_prompt_length: int = 128
    encoding: str = "rewardbench"

    def __post_init__(self):
        if self.encoding not in ENCODINGS:
            raise ValueError(f"`encoding` must be one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
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

    def encode(self, groups: list[Group]) -> tuple[list[EncodedResponse], int]:
        """Token ids of all responses of all groups, in order, and the number of responses that were truncated."""
        texts = [self._texts(group) for group in groups]
        distinct = list(dict.fromkeys(pair for pairs in texts for pair in pairs))
        encoded = dict(zip(distinct, self._encode(distinct), strict=True))
        result: list[EncodedResponse] = []
        truncated = 0
        for pairs in texts:
            whole = [encoded[pair] for pair in pairs]
            short = self._shorten(whole)
            truncated += sum(before != after for before, after in zip(whole, short, strict=True))
            result.extend(short)
        return result, truncated

    def _texts(self, group: Group) -> list[tuple[str, str]]:
        """Texts of the prompt and of each response to it."""
        if not group.prompt and any(isinstance(response, str) for response in group.responses):
            raise ValueError(
                f"{group.name}: there is no prompt, so that nobody knows where the responses begin. Give the text before "
                "them in `prompt`."
            )
        if isinstance(group.prompt, str):
            return [(group.prompt, response) for response in group.responses]
        rendered: dict[str, str] = {}
        pairs = []
        for index, response in enumerate(group.responses):
            # Without a prompt of its own, a response is a whole conversation, whose last message answers the others
            before, after = (group.prompt, response) if group.prompt else (response[:-1], response[-1:])
            if not before:
                raise ValueError(f"{group.name}, response {index}: one message alone is no answer to a prompt.")
            key = json.dumps(before)
            if key not in rendered:
                rendered[key] = self._render(before, group)
            prompt, whole = rendered[key], self._render([*before, *after], group)
            pairs.append((prompt, self._answer(prompt, whole, f"{group.name}, response {index}")))
        return pairs

    def _render(self, messages: list[dict[str, Any]], group: Group) -> str:
        if self.tokenizer.chat_template is None and "chat_template" not in (group.template_kwargs or {}):
            raise ValueError(
                f"tokenizer '{self.tokenizer.name_or_path}' has no chat template, but there are messages to score. Set "
                "`processing_class.chat_template`, or give prompts and responses as text."
            )
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **(group.template_kwargs or {}))

    def _answer(self, prompt: str, whole: str, name: str) -> str:
        """What the chat template writes after the prompt."""
        if not whole.startswith(prompt):
            raise ValueError(
                f"{name}: the chat template writes the prompt in another way when an answer follows, so that nobody knows "
                "where the answer begins. Use another `processing_class.chat_template`, or text."
            )
        answer = whole[len(prompt) :]
        if self.encoding == "rewardbench" and prompt in answer:
            logger.warning("%s repeats the whole prompt, which is removed from it as RewardBench does.", name)
            answer = answer.replace(prompt, "")
        return answer

    def _encode(self, pairs: list[tuple[str, str]]) -> list[EncodedResponse]:
        prompts = list(dict.fromkeys(prompt for prompt, _ in pairs))
        prompt_ids = dict(zip(prompts, self._ids(prompts), strict=True))
        whole_ids = self._ids([prompt + answer for prompt, answer in pairs])
        return [self._split(prompt_ids[prompt], ids) for (prompt, _), ids in zip(pairs, whole_ids, strict=True)]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(text=texts, add_special_tokens=False)["input_ids"] if texts else []

    def _split(self, prompt: list[int], whole: list[int]) -> EncodedResponse:
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        if self.encoding == "plain":
            start = common_prefix_length(prompt, whole)
            begin = [] if bos is None or whole[:1] == [bos] else [bos]
            end = [] if whole[start:][-1:] == [eos] else [eos]
        else:
            start = len(prompt) if whole[: len(prompt)] == prompt else len(prompt) - 1
            begin, end = [] if bos is None else [bos], [eos]
        return EncodedResponse((*begin, *whole[:start]), (*whole[start:], *end))

    def _shorten(self, encoded: list[EncodedResponse]) -> list[EncodedResponse]:
        if self.max_length is None or not encoded:
            return encoded
        longest = max(len(response) for _, response in encoded)
        result = []
        for prompt, response in encoded:
            if len(prompt) + longest > self.max_length:
                prompt = prompt[-self.max_prompt_length :]
            if len(prompt) + longest > self.max_length:
                response = response[: self.max_length - self.max_prompt_length]
            result.append(EncodedResponse(prompt, response))
        return result
