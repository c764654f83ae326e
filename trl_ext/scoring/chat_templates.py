"""The chat templates that RewardBench takes from FastChat for models whose tokenizer has none, as Jinja templates."""

import dataclasses
import difflib
import json
from pathlib import Path

from ..data.checks import shorten


@dataclasses.dataclass(frozen=True)
class _Format:
    """
    What stands around the messages.

    Args:
        user, assistant (`tuple[str, str, str]`):
            Before a message, after it, and what an empty message is rendered as.
        opening (`str`, *optional*, defaults to `""`):
            Beginning of every text.
    """

    user: tuple[str, str, str]
    assistant: tuple[str, str, str]
    opening: str = ""

    def to_jinja(self) -> str:
        opening, user, assistant = json.dumps(self.opening), *map(_message, (self.user, self.assistant))
        return (
            f"{{{{ {opening} }}}}"
            "{% for message in messages %}"
            f"{{% if message['role'] == 'user' %}}{user}"
            f"{{% elif message['role'] == 'assistant' %}}{assistant}"
            "{% else %}{{ raise_exception('this template knows the roles user and assistant only, not '"
            " + message['role']) }}{% endif %}"
            "{% endfor %}"
            f"{{% if add_generation_prompt %}}{{{{ {json.dumps(self.assistant[2])} }}}}{{% endif %}}"
        )


def _message(parts: tuple[str, str, str]) -> str:
    before, after, empty = map(json.dumps, parts)
    return f"{{{{ {before} + message['content'] + {after} if message['content'] else {empty} }}}}"


def _alike(user: str, assistant: str, after: str, opening: str = "") -> _Format:
    """A format that ends both roles' messages in the same way and renders an empty message as its beginning."""
    return _Format((user, after, user), (assistant, after, assistant), opening)


_ROBIN_OPENING = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions.\n"
)
_USER_OPENING = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
)
_TASK_OPENING = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
)


def _named(user: str, assistant: str, after_user: str, after_assistant: str, opening: str = "") -> _Format:
    """A format of names with a colon and a space, of which an empty message has no space."""
    return _Format(
        (f"{user}: ", after_user, f"{user}:"), (f"{assistant}: ", after_assistant, f"{assistant}:"), opening
    )


def _chatml(system: str | None = None) -> _Format:
    opening = "" if system is None else f"<|im_start|>system\n{system}<|im_end|>\n"
    return _alike("<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n", opening)


_FORMATS = {
    "tulu": _alike("<|user|>\n", "<|assistant|>\n", "\n"),
    "raw": _alike("", "", ""),
    "pku-align": _alike("USER: ", "ASSISTANT: ", " ", "BEGINNING OF CONVERSATION: "),
    "openbmb": _alike("User: ", "Assistant: ", "\n\n"),
    "Ziya": _alike("Human: ", "Assistant: ", "\n\n", "\n\n"),
    "oasst_pythia": _alike("<|prompter|>", "<|assistant|>", "<|endoftext|>"),
    "mistral": _Format(("[INST] ", " ", "[INST]"), ("[/INST] ", "</s>", "[/INST]")),
    "llama-2": _Format(("[INST] ", " ", "[INST]"), ("[/INST] ", " </s><s>", "[/INST]")),
    "Yi-34b-chat": _chatml(),
    "Robin": _alike("###Human:\n", "###Assistant:\n", "\n", _ROBIN_OPENING),
    "zephyr": _alike("<|user|>\n", "<|assistant|>\n", "</s>\n", "<|system|>\n</s>\n"),
    "TinyLlama": _alike("<|user|>\n", "<|assistant|>\n", "</s>\n", "<|system|>\n</s>\n"),
    "vicuna_v1.1": _named("USER", "ASSISTANT", " ", "</s>", _USER_OPENING),
    "koala_v1": _named("USER", "GPT", " ", "</s>", "BEGINNING OF CONVERSATION: "),
    "alpaca": _named("### Instruction", "### Response", "\n\n", "</s>", _TASK_OPENING),
    "openchat_3.5": _named("GPT4 Correct User", "GPT4 Correct Assistant", "<|end_of_turn|>", "<|end_of_turn|>"),
    "tenyxchat": _named("User", "Assistant", "<|end_of_turn|>", "<|end_of_turn|>"),
    "deepseek-chat": _named("User", "Assistant", "\n\n", "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>"),
    "qwen-7b-chat": _chatml("You are a helpful assistant."),
    "dolphin-2.2.1-mistral-7b": _chatml("You are Dolphin, a helpful AI assistant."),
    "solar": _alike("### User\n", "### Assistant\n", "\n\n"),
    "starchat": _alike("<|user|>\n", "<|assistant|>\n", "<|end|>\n", "<system>\n<|end|>\n"),
    "oasst_llama": _alike("<|prompter|>", "<|assistant|>", "</s>"),
    "h2ogpt": _alike("<|prompt|>", "<|answer|>", "</s>"),
    "baichuan2-chat": _alike("<reserved_106>", "<reserved_107>", ""),
}
CHAT_TEMPLATES: dict[str, str] = {name: format.to_jinja() for name, format in _FORMATS.items()}


def named_chat_template(name: str) -> str:
    """
    Chat template by the name that FastChat and RewardBench's configurations have for it.

    Args:
        name (`str`):
            One of `CHAT_TEMPLATES`. RewardBench's configurations name tulu, raw, pku-align, openbmb, Ziya, oasst_pythia,
            mistral, llama-2, Yi-34b-chat and Robin; the others are zephyr, TinyLlama, vicuna_v1.1, koala_v1, alpaca,
            openchat_3.5, tenyxchat, deepseek-chat, qwen-7b-chat, dolphin-2.2.1-mistral-7b, solar, starchat, oasst_llama,
            h2ogpt and baichuan2-chat.

    Returns:
        `str`: A Jinja template for `apply_chat_template`. It knows the roles user and assistant.

    Raises:
        ValueError: there is no template of this name.

    References:
        - RewardBench: Evaluating Reward Models for Language Modeling (Lambert et al.), https://arxiv.org/abs/2403.13787

    Example:
        ```python
        >>> from transformers.utils.chat_template_utils import render_jinja_template

        >>> messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
        >>> render_jinja_template([messages], chat_template=named_chat_template("mistral"))[0]
        ['[INST] Hi [/INST] Hello!</s>']
        ```
    """
    if name not in CHAT_TEMPLATES:
        close = difflib.get_close_matches(name, CHAT_TEMPLATES, n=1)
        raise ValueError(
            f"there is no chat template named {shorten(name)}"
            + (f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(CHAT_TEMPLATES)}")
        )
    return CHAT_TEMPLATES[name]


def find_chat_template(value: str) -> str:
    """The Jinja template that a name, the path of a `.jinja` file, or the template itself stands for."""
    if value in CHAT_TEMPLATES:
        return CHAT_TEMPLATES[value]
    if value.endswith(".jinja"):
        path = Path(value).expanduser()
        if not path.is_file():
            raise ValueError(f"`chat_template`: there is no file {path}")
        return path.read_text(encoding="utf-8")
    if "{{" in value or "{%" in value:
        return value
    try:
        return named_chat_template(value)
    except ValueError as error:
        raise ValueError(
            f"`chat_template` must be a name, the path of a .jinja file, or a Jinja template; {error}"
        ) from None
