"""The reasoning that some models show before their answer, between tags such as `<think>` and `</think>`."""

import re


_START = re.compile(r"<\s*(?:think|thinking|reasoning)\s*>", re.IGNORECASE)
_END = re.compile(r"<\s*/\s*(?:think|thinking|reasoning)\s*>", re.IGNORECASE)


def reasoning_end(text: str) -> int:
    """Where the answer begins: behind the last closing tag, whose opening tag may be in the prompt; 0 without one."""
    return max((match.end() for match in _END.finditer(text)), default=0)


def opens_reasoning(text: str) -> bool:
    """Whether there is an opening tag. What follows [`reasoning_end`] has one if the reasoning was cut."""
    return _START.search(text) is not None
