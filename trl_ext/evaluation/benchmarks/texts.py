"""Prompts and responses of benchmarks: texts or messages, in any of the forms that data has."""

from collections.abc import Mapping
from typing import Any

from ...data.checks import shorten
from ...data.messages import message_problem


Messages = list[dict[str, Any]]


class EmptyText(ValueError):
    """A prompt or response without text."""


def check_text(value: Any, where: str, allow_empty: bool = False) -> str:
    """A text that is not empty, unless that is allowed."""
    if not isinstance(value, str):
        raise ValueError(f"{where} must be text, got {type(value).__name__}: {shorten(value)}")
    if not value.strip() and not allow_empty:
        raise EmptyText(f"{where} is empty or only whitespace: {value!r}")
    return value


def check_texts(value: Any, where: str, allow_empty: bool = False) -> list[str]:
    """A list of such texts."""
    if not isinstance(value, list):
        hint = " CSV files can't hold lists: use JSON Lines or Parquet." if isinstance(value, str) else ""
        raise ValueError(f"{where} must be a list of texts, got {type(value).__name__}: {shorten(value)}.{hint}")
    if not value:
        raise ValueError(f"{where} is an empty list; it needs at least one text")
    return [check_text(text, f"{where}, entry {index}", allow_empty) for index, text in enumerate(value)]


def read_prompt(value: Any, where: str) -> Messages:
    """Messages of a prompt: text is the message of a user."""
    if isinstance(value, str):
        return [{"role": "user", "content": check_text(value, where)}]
    messages = _check_messages(value, where)
    if messages[-1]["role"] == "assistant":
        raise ValueError(
            f"{where} ends with a message of the assistant; it must end with what the responses answer, such as a "
            "message of the user"
        )
    return messages


def read_conversation(value: Any, where: str, allow_empty: bool = False) -> tuple[Messages | None, str]:
    """Prompt (`None` if there is none) and response: a text, or messages of which the assistant's last is the response."""
    if isinstance(value, str):
        return None, check_text(value, where, allow_empty)
    if allow_empty and isinstance(value, list) and value and _is_blank_answer(value[-1]):
        prompt, answer = value[:-1], value[-1]
    else:
        *prompt, answer = _check_messages(value, where)
    if answer["role"] != "assistant":
        raise ValueError(f"{where} must end with a message of role 'assistant', but its last is of {answer['role']!r}")
    if not isinstance(answer.get("content"), str):
        raise ValueError(f"{where}: the content of the last message must be text, got {shorten(answer)}")
    return (read_prompt(prompt, f"{where}, before its last message,") if prompt else None), answer["content"]


def _is_blank_answer(message: Any) -> bool:
    """An assistant's message of no text, which the rules for messages refuse."""
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return False
    return isinstance(message.get("content"), str) and not message["content"].strip()


def _check_messages(value: Any, where: str) -> Messages:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be text or a list of messages, got {type(value).__name__}: {shorten(value)}")
    # `datasets` gives every message all the keys of the column, with None
    messages = [
        {key: part for key, part in message.items() if part is not None} if isinstance(message, dict) else message
        for message in value
    ]
    problem = message_problem(messages)
    if problem is not None:
        rule, part = problem
        kind = EmptyText if rule.startswith("with empty") else ValueError
        raise kind(f"{where} is a list of messages {rule}: {shorten(part)}")
    return messages


def common_prompt(given: Any, implicit: Mapping[str, Messages | None], where: str) -> Messages:
    """
    The prompt of a row.

    Args:
        given (`str` or `list[dict]` or `None`):
            The column `prompt`.
        implicit (`Mapping[str, list[dict] | None]`):
            What came before each response, by its name.
        where (`str`):
            How errors call the row.
    """
    prompts = {name: prompt for name, prompt in implicit.items() if prompt is not None}
    if prompts and len(prompts) < len(implicit):
        lacking = next(name for name, prompt in implicit.items() if prompt is None)
        raise ValueError(
            f"{where}: {next(iter(prompts))} is a conversation with its prompt, but {lacking} is the response alone; use "
            "one form for all"
        )
    if not prompts:
        if given is None:
            raise ValueError(
                f"{where} has no prompt: give a column 'prompt', or responses as lists of messages that begin with it"
            )
        return read_prompt(given, f"{where}: column 'prompt'")
    first, prompt = next(iter(prompts.items()))
    for name, other in prompts.items():
        if other != prompt:
            raise ValueError(
                f"{where}: {first} and {name} must differ in their last message alone, but the messages before it are "
                f"{shorten(prompt)} and {shorten(other)}"
            )
    if given is not None:
        expected = prompt[-1]["content"] if isinstance(given, str) else prompt
        checked = given if isinstance(given, str) else _check_messages(given, f"{where}: column 'prompt'")
        if checked != expected:
            raise ValueError(
                f"{where}: column 'prompt' holds {shorten(given)}, but {first} begins with {shorten(prompt)}; remove "
                "the column, or leave the prompt out of the responses"
            )
    return prompt
