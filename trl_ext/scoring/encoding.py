"""Token ids of prompts with their responses, exactly as in training, under a length limit that is never silent."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import jinja2

from ..data.checks import shorten
from ..data.tokenization import encode_messages, encode_texts
from ..shared_prefix import common_prefix_length
from .groups import Group
from .truncation import added_tokens, check_length_limit, truncate_left, truncate_prompts_left, truncate_right


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclasses.dataclass(frozen=True)
class Encoder:
    """
    Encodes prompts with their responses.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer.
        max_length (`int`, *optional*):
            Largest number of tokens of a prompt with a response.
        policy (`str`, *optional*, defaults to `"error"`):
            What happens to longer ones: one of `MAX_LENGTH_POLICIES`.
        chat_template (`str`, *optional*):
            Jinja template in place of the tokenizer's own.
    """

    tokenizer: "PreTrainedTokenizerBase"
    max_length: int | None = None
    policy: str = "error"
    chat_template: str | None = None

    def __post_init__(self):
        check_length_limit(self.max_length, self.policy)

    @property
    def truncates(self) -> bool:
        return self.max_length is not None and self.policy != "error"

    @property
    def rendered_with(self) -> Any:
        """The chat template that messages are rendered with, unless a row has its own."""
        return self.tokenizer.chat_template if self.chat_template is None else self.chat_template

    def encode(self, groups: list[Group]) -> tuple[list[list[int]], int]:
        """
        Token ids of all responses of all groups, in order, and the number of responses that were truncated.

        Equal texts are tokenised once.
        """
        sequences: list[list[int]] = []
        truncated = 0
        for group, ids in zip(groups, self._ids_of_groups(groups), strict=True):
            if self.max_length is not None and ids and max(map(len, ids)) > self.max_length:
                ids, count = self._shorten(group, ids)
                truncated += count
            sequences.extend(ids)
        return sequences, truncated

    def _ids_of_groups(self, groups: list[Group]) -> list[list[list[int]]]:
        """Token ids of the responses of every group, whole."""
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
        return [
            [text_ids[texts[group.prompt, response]] for response in group.responses]
            if isinstance(group.prompt, str)
            else [conversation_ids[conversations[_conversation_key(group, response)]] for response in group.responses]
            for group in groups
        ]

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
        if self.rendered_with is None and not all("chat_template" in kwargs for kwargs in template_kwargs):
            raise ValueError(
                f"tokenizer '{self.tokenizer.name_or_path}' has no chat template, but there are messages to score. Give "
                "`chat_template`, or prompts and responses as text."
            )
        if self.chat_template is not None:
            template_kwargs = [{"chat_template": self.chat_template, **kwargs} for kwargs in template_kwargs]
        try:
            return encode_messages(list(conversations), list(template_kwargs), self.tokenizer)
        except jinja2.TemplateError as error:
            raise ValueError(f"the chat template refuses a conversation: {shorten(str(error))}") from error

    def _shorten(self, group: Group, sequences: list[list[int]]) -> tuple[list[list[int]], int]:
        """Apply the policy to the responses of a group, of which at least one is too long."""
        if self.policy == "error":
            lengths = list(map(len, sequences))
            longest = lengths.index(max(lengths))
            raise ValueError(
                f"{group.name}, response {longest}: {lengths[longest]} tokens, more than max_length={self.max_length}. "
                "Raise max_length, or choose max_length_policy='truncate_prompt_left'."
            )
        if self.policy == "truncate_right":
            return truncate_right(sequences, self.max_length, self._last_tokens_kept(group))
        kept = self._tokens_kept(sequences[0])
        if self.policy == "truncate_left":
            return truncate_left(sequences, self.max_length, kept)
        prompt_length = self._prompt_length(group, min(sequences), max(sequences))
        sequences = truncate_prompts_left(sequences, self.max_length, kept, prompt_length, group.name)
        return sequences, len(sequences)

    def _tokens_kept(self, ids: list[int]) -> int:
        """Number of tokens at the beginning of a sequence that truncation leaves there."""
        return int(ids[0] in self._first_tokens())

    def _first_tokens(self) -> set[int]:
        return {self.tokenizer.bos_token_id, self.tokenizer.cls_token_id} - {None}

    def _last_tokens_kept(self, group: Group) -> int:
        """Number of tokens at the end that the tokenizer adds, after it has cut a text. It adds none to messages."""
        if not all(isinstance(response, str) for response in group.responses):
            return 0
        return added_tokens(self.tokenizer)[1]

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
        return self._encode_conversations([_conversation_key(group, [])])[0]


def _conversation_key(group: Group, response: list) -> str:
    return json.dumps([[*group.prompt, *response], group.template_kwargs or {}])
