"""What is scored: a prompt with its responses, checked, and gathered into windows."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..data.checks import shorten
from ..data.messages import message_problem
from ..data.tokenization import chat_template_arguments


# Bounds the memory of a window of long texts (about 2 million tokens)
_WINDOW_CHARACTERS = 8_000_000

_PAIR = ("chosen", "rejected")


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """
    A prompt with its responses.

    Args:
        prompt (`str` or `list[dict]`):
            Text or messages; empty if the responses contain the prompt.
        responses (`list[str]` or `list[list[dict]]`):
            Texts or messages, as the prompt.
        name (`str`):
            How errors call it.
        prompt_id (`str` or `int`):
            Identifier in the output.
        response_ids (`Sequence[str | int]`):
            Identifiers of the responses in the output.
        sources (`Sequence[str | None]`):
            What wrote each response.
        template_kwargs (`dict`, *optional*):
            Keyword arguments of the chat template.
    """

    prompt: str | list[dict[str, Any]]
    responses: Sequence[str] | Sequence[list[dict[str, Any]]]
    name: str
    prompt_id: str | int
    response_ids: Sequence[str | int]
    sources: Sequence[str | None]
    template_kwargs: dict[str, Any] | None = None

    def labels(self) -> Iterator[tuple[str | int, str | int, str | None]]:
        """Identifiers and source of every response, as the output has them."""
        for response_id, source in zip(self.response_ids, self.sources, strict=True):
            yield self.prompt_id, response_id, source


def make_group(prompt: Any, responses: Any, name: str, allow_empty: bool = False) -> Group:
    """
    Check a prompt with its responses. A text that answers messages becomes the message of an assistant.

    Args:
        prompt (`str` or `list[dict]`): Text or messages.
        responses (`list[str]` or `list[list[dict]]`): Texts or messages.
        name (`str`): How errors call the prompt.
        allow_empty (`bool`, *optional*, defaults to `False`): Whether a response may be empty.

    Raises:
        `TypeError`: Something is neither text nor messages, or a response is messages and the prompt is text.
        `ValueError`: A text is empty or only whitespace, or a list of messages is not as it must be.
    """
    _check(prompt, f"{name}: the prompt")
    if isinstance(responses, str) or not isinstance(responses, Sequence):
        raise TypeError(f"{name}: the responses must be a list with an entry per response, got {shorten(responses)}")
    responses = list(responses)
    for index, response in enumerate(responses):
        _check(response, f"{name}, response {index}", allow_empty)
        if isinstance(prompt, str) and not isinstance(response, str):
            raise TypeError(
                f"{name}, response {index}: it is a list of messages but the prompt is text. Use one kind for both."
            )
        if isinstance(response, str) and not isinstance(prompt, str):
            responses[index] = [{"role": "assistant", "content": response}]
    return Group(prompt, responses, name, name, range(len(responses)), [None] * len(responses))


def _check(value: Any, name: str, allow_empty: bool = False) -> None:
    if isinstance(value, str):
        if not value.strip() and not allow_empty:
            raise ValueError(f"{name} is empty or only whitespace: {shorten(value)}. Remove it.")
    elif isinstance(value, list):
        problem = message_problem(_with_some_answer(value) if allow_empty else value)
        if problem is not None:
            rule, part = problem
            raise ValueError(f"{name} is a list of messages {rule}: {shorten(part)}.")
    else:
        raise TypeError(f"{name} must be a str or a list of messages, got {type(value).__name__}: {shorten(value)}")


def _with_some_answer(messages: list[Any]) -> list[Any]:
    """Messages of which the last, if it is text of the assistant, is not empty."""
    last = messages[-1] if messages else None
    if isinstance(last, dict) and last.get("role") == "assistant" and isinstance(last.get("content"), str):
        return [*messages[:-1], last | {"content": "some"}]
    return messages


def groups_from_lists(prompts: Sequence[Any], responses: Sequence[Any], allow_empty: bool = False) -> list[Group]:
    """Groups of parallel lists: prompts, and for each a list of responses."""
    for name, value in (("prompts", prompts), ("responses", responses)):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise TypeError(f"`{name}` must be a list with an entry per prompt, got {shorten(value)}")
    if len(prompts) != len(responses):
        raise ValueError(
            f"`responses` must have a list for each of the {len(prompts)} prompts, but it has {len(responses)}"
        )
    return [
        make_group(prompt, answers, f"prompt {index}", allow_empty)
        for index, (prompt, answers) in enumerate(zip(prompts, responses, strict=True))
    ]


def groups_from_rows(
    rows: Iterable[Mapping[str, Any]], source: str, columns: Mapping[str, str], allow_empty: bool = False
) -> Iterator[Group]:
    """Groups of rows. Either all rows have an id or none: an index in place of one could be another row's id."""
    first: bool | None = None
    for index, row in enumerate(rows):
        prompt_id = row_id(row, index, source, columns)
        first = check_all_have_ids(first, prompt_id, f"{source}, row {index}")
        yield group_from_row(row, index, source, columns, allow_empty)


def check_all_have_ids(first: bool | None, prompt_id: str | int | None, name: str) -> bool:
    """Whether rows have ids, of which `first` is what the rows before say; a `ValueError` if this one says otherwise."""
    has_id = prompt_id is not None
    if first is not None and has_id != first:
        raise ValueError(
            f"{name} has {'an' if has_id else 'no'} id (`id` or `prompt_id`), but the rows before have "
            f"{'one' if first else 'none'}. Give every row an id, or none."
        )
    return has_id


def row_id(row: Mapping[str, Any], index: int, source: str, columns: Mapping[str, str]) -> str | int | None:
    """Identifier of a row: its `id`, else its `prompt_id`; `None` if it has neither (empty, in a CSV file)."""
    for column in ("id", "prompt_id"):
        value = row.get(columns.get(column, column))
        if value is not None and value != "":
            _check_id(value, f"{source}, row {index}: column '{columns.get(column, column)}'")
            return value
    return None


def _check_id(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise TypeError(f"{name} must hold text or whole numbers, got {type(value).__name__}: {shorten(value)}")


def group_from_row(
    row: Mapping[str, Any], index: int, source: str, columns: Mapping[str, str], allow_empty: bool = False
) -> Group:
    """
    Group of a K-way row (`prompt`, `responses`) or of a preference row (`chosen`, `rejected`, perhaps `prompt`).

    Args:
        row (`Mapping[str, Any]`): The row.
        index (`int`): Its index, which names a row that has no `id` or `prompt_id`.
        source (`str`): Where it comes from, for errors.
        columns (`Mapping[str, str]`): Our name -> name in the row.
        allow_empty (`bool`, *optional*, defaults to `False`): Whether a response may be empty.
    """

    def value(column: str) -> Any:
        return row.get(columns.get(column, column))

    def missing(column: str) -> ValueError:
        theirs = columns.get(column, column)
        return ValueError(
            f"{name}: column '{theirs}' is missing or empty; the row has {', '.join(map(repr, row)) or 'no columns'}. "
            "A row needs `prompt` and `responses`, or `chosen` and `rejected`; rename columns with `columns`."
        )

    prompt_id = row_id(row, index, source, columns)
    name = f"{source}, row {index}" + ("" if prompt_id is None else f" (id {prompt_id!r})")
    template_kwargs = chat_template_arguments(value("tools"), value("chat_template_kwargs"))
    if value("responses") is not None:
        if value("prompt") is None:
            raise missing("prompt")
        group = make_group(value("prompt"), value("responses"), name, allow_empty)
        response_ids = _of_every_response(value("ids"), group, "ids") or group.response_ids
        for response_id in response_ids:
            _check_id(response_id, f"{name}: column '{columns.get('ids', 'ids')}'")
        sources = _of_every_response(value("sources"), group, "sources") or group.sources
    else:
        for column in _PAIR:
            if value(column) is None:
                raise missing("responses" if row.get(columns.get("rejected", "rejected")) is None else column)
        pair = [value(column) for column in _PAIR]
        if value("prompt") is None:
            for response, column in zip(pair, _PAIR, strict=True):
                _check(response, f"{name}: column '{columns.get(column, column)}'", allow_empty)
            empty = "" if isinstance(pair[0], str) else []
            if isinstance(pair[1], str) != isinstance(pair[0], str):
                raise TypeError(f"{name}: columns 'chosen' and 'rejected' must both be text or both be messages.")
            group = Group(empty, pair, name, name, _PAIR, (None, None))
        else:
            group = make_group(value("prompt"), pair, name, allow_empty)
        response_ids, sources = _PAIR, (value("source_chosen"), value("source_rejected"))
    return dataclasses.replace(
        group,
        prompt_id=index if prompt_id is None else prompt_id,
        response_ids=response_ids,
        sources=sources,
        template_kwargs=template_kwargs,
    )


def _of_every_response(values: Any, group: Group, column: str) -> list[Any] | None:
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != len(group.responses):
        raise ValueError(
            f"{group.name}: column '{column}' must be a list with an entry for each of the {len(group.responses)} "
            f"responses, got {shorten(values)}"
        )
    return values


def windows(groups: Iterable[Group], size: int) -> Iterator[list[Group]]:
    """
    Gather groups until they have `size` responses, or very many characters. What is in one window is sorted, batched and
    written together.
    """
    window: list[Group] = []
    responses = characters = 0
    for group in groups:
        window.append(group)
        responses += len(group.responses)
        characters += _characters(group.prompt) * len(group.responses) + _characters(group.responses)
        if responses >= size or characters >= _WINDOW_CHARACTERS:
            yield window
            window, responses, characters = [], 0, 0
    if window:
        yield window


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return 0
    return sum(map(_characters, value))
