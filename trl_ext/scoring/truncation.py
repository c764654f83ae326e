"""What happens to sequences that are longer than a limit."""

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_LENGTH_POLICIES = ("error", "truncate_prompt_left", "truncate_left", "truncate_right")


def check_length_limit(max_length: int | None, policy: str) -> None:
    """Raise a `ValueError` unless limit and policy are among those that are known."""
    if policy not in MAX_LENGTH_POLICIES:
        raise ValueError(f"`max_length_policy` must be one of {', '.join(MAX_LENGTH_POLICIES)}, got {policy!r}")
    if max_length is not None and max_length < 1:
        raise ValueError(f"`max_length` must be None or at least 1, got {max_length}")


def truncate_left(sequences: list[list[int]], max_length: int, kept: int) -> tuple[list[list[int]], int]:
    """
    Cut the left of every sequence that is too long, after its first `kept` tokens.

    Returns:
        `tuple[list[list[int]], int]`: The sequences, and how many of them were cut.
    """
    cut = [
        ids if len(ids) <= max_length else ids[:kept] + ids[len(ids) - max(max_length - kept, 1) :]
        for ids in sequences
    ]
    return cut, sum(len(ids) > max_length for ids in sequences)


def truncate_right(sequences: list[list[int]], max_length: int, kept: int) -> tuple[list[list[int]], int]:
    """
    Cut the right of every sequence that is too long, before its last `kept` tokens.

    Returns:
        `tuple[list[list[int]], int]`: The sequences, and how many of them were cut.
    """
    kept = min(kept, max_length - 1)
    cut = [ids if len(ids) <= max_length else ids[: max_length - kept] + ids[len(ids) - kept :] for ids in sequences]
    return cut, sum(len(ids) > max_length for ids in sequences)


def added_tokens(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, int]:
    """Number of special tokens that a tokenizer puts before and after a text."""
    bare, whole = (tokenizer(text="a", add_special_tokens=added)["input_ids"] for added in (False, True))
    starts = range(len(whole) - len(bare) + 1)
    before = next((start for start in starts if whole[start : start + len(bare)] == bare), 0)
    return before, len(whole) - before - len(bare)


def truncate_prompts_left(
    sequences: list[list[int]], max_length: int, kept: int, prompt_length: int, name: str
) -> list[list[int]]:
    """
    Cut the same number of tokens from the left of the prompt of all responses, after the first `kept` tokens.

    Args:
        sequences (`list[list[int]]`):
            The responses to one prompt, with it.
        max_length (`int`):
            Largest number of tokens of any of them afterwards.
        kept (`int`):
            Tokens at the beginning that stay: a BOS token.
        prompt_length (`int`):
            Tokens at the beginning that are the prompt's in all sequences.
        name (`str`):
            How errors call the prompt.

    Raises:
        ValueError: a sequence is too long even without the prompt.
    """
    lengths = list(map(len, sequences))
    longest = lengths.index(max(lengths))
    surplus = lengths[longest] - max_length
    # If one sequence is the beginning of the others, its last token stays: it is the one that is scored
    end = min(prompt_length, min(lengths) - 1)
    kept = kept if end > 0 else 0
    if surplus > end - kept:
        raise ValueError(
            f"{name}, response {longest}: {lengths[longest]} tokens, {lengths[longest] - max(end - kept, 0)} without the "
            f"prompt, more than max_length={max_length}. Raise max_length, or remove this response."
        )
    return [ids[:kept] + ids[kept + surplus :] for ids in sequences]
