"""Token ids of prompts with their responses, as RewardBench makes them."""

import dataclasses
from typing import TYPE_CHECKING, Any

import jinja2
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from ..data.checks import shorten
from .encoding import Encoder
from .groups import Group
from .truncation import added_tokens


if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

# Tokenizers that heed `add_eos_token` in the transformers of RewardBench's time; the others ignore it
_HEED_ADD_EOS_TOKEN = ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer")


@dataclasses.dataclass(frozen=True)
class RewardBenchEncoder(Encoder):
    """
    Encodes prompts with their responses as RewardBench does.

    Messages are the user's and the assistant's in turn, whatever their roles. They are rendered with the chat template
    and tokenised with special tokens; of two BOS tokens at the beginning one is dropped, after the limit of tokens was
    applied.

    References:
        - RewardBench: Evaluating Reward Models for Language Modeling (Lambert et al.), https://arxiv.org/abs/2403.13787

    Args:
        adds_eos (`bool`, *optional*, defaults to `False`):
            End every sequence with the EOS token.
        unread_token_id (`int`, *optional*):
            Token that the model takes for padding: rewards are read at the last token that is another.
    """

    adds_eos: bool = False
    unread_token_id: int | None = None

    def encode(self, groups: list[Group]) -> tuple[list[list[int]], int]:
        """See [`Encoder.encode`]. Sequences end with the token at which the reward is read: none before sees the rest."""
        sequences, truncated = super().encode(groups)
        return list(map(self._read_part, sequences)), truncated

    def _read_part(self, ids: list[int]) -> list[int]:
        bos = self.tokenizer.bos_token_id
        start = int(bos is not None and ids[:2] == [bos, bos])
        end = len(ids)
        while end > start + 1 and ids[end - 1] == self.unread_token_id:
            end -= 1
        return ids[start:end]

    def _ids_of_groups(self, groups: list[Group]) -> list[list[list[int]]]:
        texts: dict[str, int] = {}
        indices = [
            [texts.setdefault(self._text(group, index), len(texts)) for index in range(len(group.responses))]
            for group in groups
        ]
        ids = self._encode_rendered(list(texts))
        return [[ids[index] for index in indices_of_group] for indices_of_group in indices]

    def _text(self, group: Group, index: int) -> str:
        name = f"{group.name}, response {index}"
        messages = _messages(group, group.responses[index], name)
        if len(messages) % 2:
            raise ValueError(
                f"{name}: RewardBench takes messages for the user's and the assistant's in turn, but the response would be "
                f"message {len(messages)} and so the user's. Remove the system message, or use encoding='training'."
            )
        return self._render(group, messages, name)

    def _render(self, group: Group, messages: list[dict[str, Any]], name: str) -> str:
        if self.rendered_with is None:
            raise ValueError(
                f"tokenizer '{self.tokenizer.name_or_path}' has no chat template, which encoding='rewardbench' needs. Give "
                "`chat_template`: a name (such as 'tulu'), the path of a .jinja file, or a Jinja template."
            )
        if any(group.template_kwargs.values() if group.template_kwargs else ()):
            raise ValueError(
                f"{name}: RewardBench renders without `tools` and `chat_template_kwargs`. Remove them, or use "
                "encoding='training'."
            )
        turns = []
        for position, message in enumerate(messages):
            if not isinstance(message.get("content"), str):
                raise ValueError(f"{name}: RewardBench knows text only as content of messages, got {shorten(message)}")
            turns.append({"role": ("user", "assistant")[position % 2], "content": message["content"]})
        try:
            return self.tokenizer.apply_chat_template(turns, tokenize=False, chat_template=self.chat_template)
        except jinja2.TemplateError as error:
            raise ValueError(f"{name}: the chat template refuses it: {shorten(str(error))}") from error

    def _encode_rendered(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        sequences = self.tokenizer(text=texts, return_attention_mask=False, return_token_type_ids=False)["input_ids"]
        return [[*ids, self.tokenizer.eos_token_id] for ids in sequences] if self.adds_eos else sequences

    def _tokens_kept(self, ids: list[int]) -> int:
        """What the tokenizer puts before a text stays; a BOS token that only the template has is text."""
        return added_tokens(self.tokenizer)[0]

    def _last_tokens_kept(self, group: Group) -> int:
        return added_tokens(self.tokenizer)[1] + self.adds_eos

    def _prompt_ids(self, group: Group) -> list[int]:
        messages = _messages(group, [], group.name)
        return self._encode_rendered([self._render(group, messages, group.name)])[0]


def _messages(group: Group, response: Any, name: str) -> list[dict[str, Any]]:
    """Messages of a prompt with a response. A text is one message."""
    if not isinstance(group.prompt, str):
        return [*group.prompt, *response]
    if not group.prompt:
        raise ValueError(
            f"{name}: there is no prompt, but encoding='rewardbench' needs the user's message. Give `prompt`, or messages."
        )
    answer = [{"role": "assistant", "content": response}] if isinstance(response, str) else response
    return [{"role": "user", "content": group.prompt}, *answer]


def adds_eos(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """
    Whether RewardBench lets a tokenizer end texts with the EOS token: one without a chat template, if it heeds that, and
    does not do so already.
    """
    if tokenizer.chat_template is not None or tokenizer.eos_token_id is None:
        return False
    names = {type(tokenizer).__name__}
    if tokenizer.name_or_path:  # transformers loads some of them as another class than they were saved as
        names.add(get_tokenizer_config(tokenizer.name_or_path).get("tokenizer_class") or "")
    heeds = any(name.removesuffix("Fast") in _HEED_ADD_EOS_TOKEN for name in names)
    return heeds and tokenizer(text="")["input_ids"][-1:] != [tokenizer.eos_token_id]


def unread_token_id(tokenizer: "PreTrainedTokenizerBase", config: "PretrainedConfig") -> int | None:
    """The token that RewardBench makes a model take for padding: EOS if the tokenizer has none for it."""
    if tokenizer.pad_token_id is None:
        return tokenizer.eos_token_id
    pad_token_id = getattr(config, "pad_token_id", None)
    return tokenizer.pad_token_id if pad_token_id is None else pad_token_id
