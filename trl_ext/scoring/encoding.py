"""Token ids of prompts with their responses, exactly as in training, under a length limit that is never silent."""

import dataclasses
import json
from typing import TYPE_CHECKING

from ..data.tokenization import encode_messages, encode_texts
from ..shared_prefix import common_prefix_length
from .groups import Group


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_LENGTH_POLICIES = ("error", "truncate_prompt_left")


@dataclasses.dataclass(frozen=True, slots=True)
class Encoder:
    """
    Encodes prompts with their responses.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer.
        max_length (`int`, *optional*):
            Largest number of tokens of a prompt with a response.
        policy (`str`, *optional*, defaults to `"error"`):
            What happens to longer ones: `"error"` or `"truncate_prompt_left"`.
    """

    tokenizer: "PreTrainedTokenizerBase"
    max_length: int | None = None
    policy: str = "error"

    def __post_init__(self):
        if self.policy not in MAX_LENGTH_POLICIES:
            raise ValueError(
                f"`max_length_policy` must be one of {', '.join(MAX_LENGTH_POLICIES)}, got {self.policy!r}"
            )
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"`max_length` must be None or at least 1, got {self.max_length}")

    @property
    def truncates(self) -> bool:
        return self.max_length is not None and self.policy == "truncate_prompt_left"

    def encode(self, groups: list[Group]) -> tuple[list[list[int]], int]:
        """
        Token ids of all responses of all groups, in order, and the number of responses whose prompt was truncated.

        Equal texts are tokenised once.
        """
        texts: dict[tuple[str, str], int] = {}
        conversations: dict[str, int] = {}
        for group in groups:
            if isinstance(group.prompt, str):
                for response in group.responses:
                    texts.setdefault((group.prompt, response), len(texts))
            else:
                for response in group.responses:
                    conversations.setdefault(_conversation_key(group, response), len(conversations))
        text_ids = self._encode_texts(list(texts))
        conversation_ids = self._encode_conversations(list(conversations))

        sequences: list[list[int]] = []
        truncated = 0
        for group in groups:
            if isinstance(group.prompt, str):
                ids = [text_ids[texts[group.prompt, response]] for response in group.responses]
            else:
                ids = [conversation_ids[conversations[_conversation_key(group, r)]] for r in group.responses]
            if self.max_length is not None and ids and max(map(len, ids)) > self.max_length:
                ids = self._shorten(group, ids)
                truncated += len(ids)
            sequences.extend(ids)
        return sequences, truncated

    def _encode_texts(self, texts: list[tuple[str, str]]) -> list[list[int]]:
        if not texts:
            return []
        if self.tokenizer.eos_token is None and self.tokenizer.sep_token is None:
            raise ValueError(
                f"tokenizer '{self.tokenizer.name_or_path}' has no EOS token, which must end every text: the reward is "
                "read there. Set `processing_class.eos_token`."
            )
        prompts, responses = zip(*texts, strict=True)
        return encode_texts(list(prompts), list(responses), self.tokenizer)

    def _encode_conversations(self, keys: list[str]) -> list[list[int]]:
        if not keys:
            return []
        conversations, template_kwargs = zip(*map(json.loads, keys), strict=True)
        if self.tokenizer.chat_template is None and not all("chat_template" in kwargs for kwargs in template_kwargs):
            raise ValueError(
                f"tokenizer '{self.tokenizer.name_or_path}' has no chat template, but there are messages to score. Set "
                "`processing_class.chat_template`, or give prompts and responses as text."
            )
        return encode_messages(list(conversations), list(template_kwargs), self.tokenizer)

    def _shorten(self, group: Group, sequences: list[list[int]]) -> list[list[int]]:
        """Remove the same number of tokens from the left of the prompt of all responses, after a BOS token."""
        lengths = list(map(len, sequences))
        longest = lengths.index(max(lengths))
        if not self.truncates:
            raise ValueError(
                f"{group.name}, response {longest}: {lengths[longest]} tokens, more than max_length={self.max_length}. "
                "Raise max_length, or choose max_length_policy='truncate_prompt_left'."
            )
        surplus = lengths[longest] - self.max_length
        first, last = min(sequences), max(sequences)
        end = self._prompt_length(group, first, last)
        # If one sequence is the beginning of the others, its last token stays: it is the one that is scored
        end = min(end, min(lengths) - 1)
        start = int(end > 0 and first[0] == self.tokenizer.bos_token_id)
        if surplus > end - start:
            raise ValueError(
                f"{group.name}, response {longest}: {lengths[longest]} tokens, {lengths[longest] - max(end - start, 0)} "
                f"without the prompt, more than max_length={self.max_length}. Raise max_length, or remove this response."
            )
        return [ids[:start] + ids[start + surplus :] for ids in sequences]

    def _prompt_length(self, group: Group, first: list[int], last: list[int]) -> int:
        """
        Number of tokens that are the prompt's in every sequence from `first` to `last`, in order. Not all that they have
        in common: an opening that the responses share is theirs.
        """
        if not group.prompt:  # the responses contain it; one alone shows no border
            return common_prefix_length(first, last) if first != last else 0
        prompt = self._prompt_ids(group)
        return min(common_prefix_length(prompt, first), common_prefix_length(prompt, last))

    def _prompt_ids(self, group: Group) -> list[int]:
        if isinstance(group.prompt, str):
            return self.tokenizer(text=group.prompt)["input_ids"]
        return encode_messages([group.prompt], [group.template_kwargs or {}], self.tokenizer)[0]


def _conversation_key(group: Group, response: list) -> str:
    return json.dumps([[*group.prompt, *response], group.template_kwargs or {}])
