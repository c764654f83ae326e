"""Texts that show a prompt and two responses to a model, under a length limit that is never silent."""

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_LENGTH_POLICIES = ("error", "truncate_prompt_left")
_FIELDS = ("prompt", "first", "second")
_FIELD = re.compile("|".join(rf"\{{{name}\}}" for name in _FIELDS))


class Comparison(NamedTuple):
    """A prompt with two responses, as text."""

    prompt: str
    first: str
    second: str


def conversation_text(messages: str | Sequence[dict[str, Any]], name: str) -> str:
    """
    Text of a prompt or a response: itself, the content of a single message, or the messages of a longer conversation with
    their roles, an empty line between them.
    """
    if isinstance(messages, str):
        return messages
    for message in messages:
        if not isinstance(message.get("content"), str):
            raise TypeError(f"{name}: a message's content must be text to be compared, got {message.get('content')!r}")
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in messages)


@dataclasses.dataclass(frozen=True, slots=True)
class ComparisonEncoder:
    """
    Encodes comparisons for a model.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer.
        template (`str`):
            Text with `{prompt}`, `{first}` and `{second}`; other braces mean nothing.
        chat (`bool`):
            The text is the message of a user, which the chat template turns into the beginning of an answer.
        max_length (`int`, *optional*):
            Largest number of tokens of the whole text.
        policy (`str`):
            What happens to longer ones: `"error"`, or `"truncate_prompt_left"`, which removes the beginning of the prompt.
    """

    tokenizer: "PreTrainedTokenizerBase"
    template: str
    chat: bool
    max_length: int | None
    policy: str

    def __post_init__(self):
        missing = [f"{{{name}}}" for name in _FIELDS if f"{{{name}}}" not in self.template]
        if missing:
            raise ValueError(
                f"`template` must have {{prompt}}, {{first}} and {{second}}; it lacks {', '.join(missing)}"
            )
        if self.policy not in MAX_LENGTH_POLICIES:
            raise ValueError(
                f"`max_length_policy` must be one of {', '.join(MAX_LENGTH_POLICIES)}, got {self.policy!r}"
            )
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"`max_length` must be None or at least 1, got {self.max_length}")
        if self.chat and self.tokenizer.chat_template is None:
            raise ValueError(
                f"tokenizer '{self.tokenizer.name_or_path}' has no chat template; set `use_chat_template=False`"
            )

    def encode(self, comparisons: Sequence[Comparison]) -> tuple[list[list[int]], list[bool]]:
        """Token ids of every comparison, and whether its prompt was truncated."""
        encoded = self._ids([self._fill(comparison) for comparison in comparisons]) if comparisons else []
        truncated = [self.max_length is not None and len(ids) > self.max_length for ids in encoded]
        for index, is_long in enumerate(truncated):
            if is_long:
                encoded[index] = self._shorten(comparisons[index], encoded[index])
        return encoded, truncated

    def _fill(self, comparison: Comparison) -> str:
        # In one pass: a response may well contain "{prompt}"
        return _FIELD.sub(lambda match: getattr(comparison, match[0][1:-1]), self.template)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not self.chat:
            return self.tokenizer(text=texts)["input_ids"]
        rendered = [
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
            )
            for text in texts
        ]
        return self.tokenizer(text=rendered, add_special_tokens=False)["input_ids"]  # the template has them

    def _shorten(self, comparison: Comparison, ids: list[int]) -> list[int]:
        tokens = len(ids)
        if self.policy == "error":
            raise ValueError(
                f"a comparison has {tokens} tokens, more than max_length={self.max_length}; its prompt begins "
                f"{comparison.prompt[:60]!r}. Raise max_length, or choose max_length_policy='truncate_prompt_left'."
            )
        prompt = comparison.prompt
        while len(ids) > self.max_length and prompt:
            # Tokens at the border may merge anew, so that it can take more than one pass
            of_prompt = self.tokenizer(text=prompt, add_special_tokens=False, return_offsets_mapping=True)
            starts = [start for start, _ in of_prompt["offset_mapping"]]
            surplus = len(ids) - self.max_length
            cut = starts[surplus] if surplus < len(starts) else len(prompt)
            prompt = prompt[max(cut, 1) :]
            ids = self._ids([self._fill(comparison._replace(prompt=prompt))])[0]
        if len(ids) > self.max_length:
            raise ValueError(
                f"a comparison has {tokens} tokens, {len(ids)} without the prompt, more than max_length={self.max_length}; "
                f"its prompt begins {comparison.prompt[:60]!r}. Raise max_length, or remove these responses."
            )
        return ids
