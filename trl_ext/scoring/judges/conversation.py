"""Conversations and responses as text that a judge reads."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..groups import Group


def conversation_and_responses(group: Group) -> tuple[str, list[str]]:
    """
    What a judge is shown of a group: the conversation with every turn marked, and each response.

    Where the prompt is not given apart, it is the messages that all responses begin with.

    Raises:
        `ValueError`: There is no prompt. `TypeError`: A message holds something else than text.
    """
    prompt, responses = group.prompt, list(group.responses)
    if not prompt:
        prompt, responses = _split_common(group)
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    rendered = "\n".join(
        f'<turn number="{number}" role="{turn["role"]}">\n{_content(turn, group.name)}\n</turn>'
        for number, turn in enumerate(turns, start=1)
    )
    shown = [_response(response, group.name) for response in responses]
    return f"<conversation>\n{rendered}\n</conversation>", shown


def _split_common(group: Group) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    lists = [response for response in group.responses if not isinstance(response, str)]
    common = 0
    if lists and len(lists) == len(group.responses):
        # every response keeps a message of its own
        shortest = min(map(len, lists)) - 1
        while common < shortest and all(messages[common] == lists[0][common] for messages in lists):
            common += 1
    if common == 0:
        raise ValueError(
            f"{group.name} has no prompt that a judge could be shown: give column 'prompt', or messages that begin alike"
        )
    return lists[0][:common], [messages[common:] for messages in lists]


def _response(response: str | Sequence[Mapping[str, Any]], name: str) -> str:
    if isinstance(response, str):
        return response.strip()
    if len(response) == 1:
        return _content(response[0], name)
    return "\n\n".join(f"{message['role'].capitalize()}: {_content(message, name)}" for message in response)


def _content(message: Mapping[str, Any], name: str) -> str:
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError(
                f"{name}: a message of role {message['role']!r} has parts that are no text, which a judge can't be shown"
            )
        content = "\n".join(texts)
    calls = message.get("tool_calls")
    shown = [(content or "").strip(), json.dumps(calls, ensure_ascii=False, default=str) if calls else ""]
    return "\n".join(text for text in shown if text)
