"""Rules for lists of messages."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .checks import Checker, is_blank, is_list, is_string


# Most chat templates render any role as it is, so a misspelt one (or `human`, `gpt`) spoils training in silence
MESSAGE_ROLES = ("system", "developer", "user", "assistant", "tool", "function", "ipython", "document", "environment")
# The others may have nothing to say: a tool that returned nothing, a system message that was left empty
_ROLES_WITH_CONTENT = ("user", "assistant")


def message_problem(messages: list[Any]) -> tuple[str, Any] | None:
    """Rule that a list of messages breaks and the value that breaks it, or `None`."""
    if not messages:
        return "without a message (empty list)", messages
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            return "with a message that is not a dict with 'role' and 'content'", message
        role, content, calls = message["role"], message.get("content"), message.get("tool_calls")
        if role not in MESSAGE_ROLES:
            return f"with a role that is not one of {', '.join(MESSAGE_ROLES)}", role
        if content is None and calls:
            continue
        if not isinstance(content, (str, list)):
            return "with content that is not text (or a list of parts)", message
        is_empty = not content.strip() if isinstance(content, str) else not content
        if is_empty and not calls and role in _ROLES_WITH_CONTENT:
            return "with empty or whitespace-only content", message
    return None


def _field(array: pa.Array, name: str) -> pa.Array | None:
    """One field of all messages of all rows, if it is text."""
    if not is_list(array.type) or not pa.types.is_struct(array.type.value_type):
        return None
    if array.type.value_type.get_field_index(name) < 0:
        return None
    field = pc.struct_field(array.flatten(), name)  # unlike StructArray.field, null where the message is null
    return field if is_string(field.type) else None


def _is_suspect(array: pa.Array) -> np.ndarray:
    """Quick look at many rows: true where `message_problem` has to take a closer one."""
    role, content = _field(array, "role"), _field(array, "content")
    if role is None or content is None:
        return np.ones(len(array), dtype=bool)
    good = pc.and_(pc.is_in(role, value_set=pa.array(MESSAGE_ROLES, role.type)), pc.invert(is_blank(content)))
    good = pc.fill_null(good, False).to_numpy(zero_copy_only=False)
    suspect = pc.list_value_length(array).to_numpy(zero_copy_only=False) == 0
    suspect[pc.list_parent_indices(array).to_numpy()[~good]] = True
    return suspect


def check_messages(checker: Checker, column: str) -> None:
    """Raise a `ValueError` if a list of messages is empty, or has a message with a bad role or bad content."""
    suspects = checker.rows(_is_suspect, column)
    problems = zip(suspects, map(message_problem, checker.values(column, suspects)), strict=True)
    broken = [(row, *problem) for row, problem in problems if problem is not None]
    if not broken:
        return
    _, rule, value = broken[0]
    rows = [row for row, other_rule, _ in broken if other_rule == rule]
    is_sharegpt = isinstance(value, dict) and "from" in value and "value" in value
    fix = (
        "Rename 'from' to 'role' and 'value' to 'content', human to user and gpt to assistant." if is_sharegpt else ""
    )
    checker.fail(column, rule, rows, noun="list", value=value, fix=fix)


def _may_be_identical(chosen: pa.Array, rejected: pa.Array) -> np.ndarray:
    """Quick look at many pairs: false where roles or contents differ."""
    if not (is_list(chosen.type) and is_list(rejected.type)):
        return np.ones(len(chosen), dtype=bool)
    identical = pc.equal(pc.list_value_length(chosen), pc.list_value_length(rejected)).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(identical)
    chosen, rejected = chosen.take(pa.array(rows)), rejected.take(pa.array(rows))  # now aligned message by message
    for name in ("role", "content"):
        left, right = _field(chosen, name), _field(rejected, name)
        if left is not None and right is not None:
            differs = pc.fill_null(pc.not_equal(left, right), False).to_numpy(zero_copy_only=False)
            identical[rows[pc.list_parent_indices(chosen).to_numpy()[differs]]] = False
    return identical


def identical_messages(checker: Checker) -> np.ndarray:
    """Rows whose `chosen` and `rejected` are the same, with tool calls and all other fields."""
    rows = checker.rows(_may_be_identical, "chosen", "rejected")
    pairs = zip(checker.values("chosen", rows), checker.values("rejected", rows), strict=True)
    return rows[np.array([chosen == rejected for chosen, rejected in pairs], dtype=bool)]
