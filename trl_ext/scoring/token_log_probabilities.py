"""Log-probabilities of chosen tokens under a language model: logits only where they are asked for, batches by length."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..shared_prefix import core_model, unsupported_reason
from .inference import _evaluation_mode, _forget_longest_sequence


REDUCTIONS = ("sum", "avg", "norm")
IGNORED_LABEL = -100

# Logits that may exist at once (4 GiB in float32), and those that are turned into float32 at once
_MAX_LOGITS = {"cpu": 2**28, "other": 2**30}
_FLOAT32_LOGITS = 2**25


@dataclasses.dataclass(frozen=True, slots=True)
class TokenQuery:
    """
    Tokens of which the log-probabilities are asked.

    Args:
        ids (`Sequence[int]`):
            Tokens the model reads; of an encoder-decoder, those of its encoder.
        positions (`Sequence[int]`):
            Where each probability is read: at the token before. Of an encoder-decoder, in `decoder_ids`.
        targets (`Sequence[int]`):
            The token asked for at each position.
        decoder_ids (`Sequence[int]`, *optional*):
            Tokens the decoder reads.
    """

    ids: Sequence[int]
    positions: Sequence[int]
    targets: Sequence[int]
    decoder_ids: Sequence[int] | None = None


def response_log_probabilities(logits: Tensor, labels: Tensor, reduction: str = "sum") -> Tensor:
    r"""
    Log-probability of responses from logits: \( \sum_t \log \pi_t \), its mean over tokens, or minus the Euclidean norm
    of the tokens' log-probabilities.

    References:
        - RewardBench: Evaluating Reward Models for Language Modeling (Lambert et al.), https://arxiv.org/abs/2403.13787,
          section on DPO models: rewards with a reference use the sum; without one, any of the three.

    Args:
        logits (`torch.Tensor` of shape `(B, T, V)`):
            Logits of the next token at every token.
        labels (`torch.Tensor` of shape `(B, T)`):
            Tokens of the responses; -100 at every other token. A label at the first token has no logits and is ignored.
        reduction (`str`, *optional*, defaults to `"sum"`):
            `"sum"`, `"avg"` or `"norm"`.

    Returns:
        `torch.Tensor` of shape `(B,)`: In float64 for logits in float64, else in float32.

    Raises:
        ValueError: shapes don't fit, a row has no response token, or the reduction is unknown.

    Example:
        ```python
        >>> import torch
        >>> logits = torch.log(torch.tensor([[[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]]]))
        >>> response_log_probabilities(logits, torch.tensor([[-100, 1, 0]]))  # log 0.5 + log 0.25
        tensor([-2.0794])
        ```
    """
    check_reduction(reduction)
    if logits.ndim != 3 or labels.shape != logits.shape[:2]:
        raise ValueError(
            f"logits must have shape (B, T, V) and labels (B, T), got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    labels = labels[:, 1:]
    rows, positions = torch.nonzero(labels != IGNORED_LABEL, as_tuple=True)
    counts = torch.bincount(rows, minlength=len(labels))
    if (counts == 0).any():
        raise ValueError(f"labels, row {int((counts == 0).nonzero()[0])} has no response token after the first token")
    values = _log_softmax_at(logits[rows, positions], labels[rows, positions])
    if reduction == "norm":
        values = values.square()
    sums = values.new_zeros(len(labels)).index_add(0, rows, values)
    return {"sum": lambda: sums, "avg": lambda: sums / counts, "norm": lambda: -sums.sqrt()}[reduction]()


def reduce_log_probabilities(values: np.ndarray, reduction: str) -> float:
    """One number of the log-probabilities `(T,)` of a response's tokens; see [`response_log_probabilities`]."""
    if reduction == "norm":
        return -float(np.linalg.norm(values))
    return float(values.mean() if reduction == "avg" else values.sum())


def check_reduction(reduction: str) -> None:
    """Raise a `ValueError` unless the reduction is known."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"the reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")


@torch.inference_mode()
def token_log_probabilities(
    model: nn.Module, queries: Sequence[TokenQuery], max_tokens: int
) -> tuple[list[np.ndarray], int, float]:
    """
    Log-probabilities of all queries under a language model in evaluation mode, with a log-softmax in float32.

    Args:
        model (`torch.nn.Module`):
            A causal language model or an encoder-decoder, perhaps wrapped.
        queries (`Sequence[TokenQuery]`):
            What is asked.
        max_tokens (`int`):
            Tokens the model computes at once, padding included. A longer sequence gets a batch of its own.

    Returns:
        `tuple[list[np.ndarray], int, float]`: For each query float64 log-probabilities in the order of its targets; the
        tokens that were computed; the seconds that the model took.
    """
    core = core_model(model)
    weight = core.get_input_embeddings().weight
    _check_vocabulary(queries, len(weight))
    max_rows = max(_MAX_LOGITS["cpu" if weight.device.type == "cpu" else "other"] // len(weight), 1)
    values: list[np.ndarray] = [np.empty(0)] * len(queries)
    computed = 0
    started = time.perf_counter()
    with _evaluation_mode(model):
        for indices in _batches(queries, max_tokens, max_rows, _needs_equal_lengths(core)):
            batch = [queries[index] for index in indices]
            _forget_longest_sequence(core)
            logits, tokens = _logits_at_positions(model, core, batch, weight.device)
            computed += tokens
            targets = torch.tensor([target for query in batch for target in query.targets], device=logits.device)
            flat = _log_softmax_at(logits, targets).double().cpu().numpy()
            ends = np.cumsum([len(query.targets) for query in batch])[:-1]
            for index, part in zip(indices, np.split(flat, ends), strict=True):
                values[index] = part
    return values, computed, time.perf_counter() - started


def _log_softmax_at(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probability `(M,)` of a target in each row of logits `(M, V)`, a few rows in float32 at a time."""
    size = max(_FLOAT32_LOGITS // max(logits.shape[-1], 1), 1)
    parts = []
    for rows, wanted in zip(logits.split(size), targets.split(size), strict=True):
        rows = rows if rows.dtype == torch.float64 else rows.float()
        parts.append(rows.gather(-1, wanted[:, None]).squeeze(-1) - rows.logsumexp(-1))
    return torch.cat(parts)


def _check_vocabulary(queries: Sequence[TokenQuery], size: int) -> None:
    for query in queries:
        largest = max(*query.ids, *query.targets)
        if largest >= size:
            raise ValueError(
                f"token {largest} is not in the model's vocabulary of {size}: the tokenizer belongs to another model"
            )


def _needs_equal_lengths(model: PreTrainedModel) -> bool:
    """Whether a sequence's positions depend on the longest one of its batch."""
    return "longest sequence" in (unsupported_reason(model) or "")


def _batches(
    queries: Sequence[TokenQuery], max_tokens: int, max_rows: int, equal_lengths: bool
) -> Iterator[list[int]]:
    """Queries by length, and by their tokens, so that batches don't depend on the order of the input."""
    batch: list[int] = []
    rows = 0
    order = sorted(range(len(queries)), key=lambda i: (_length(queries[i]), *map(tuple, _key(queries[i]))))
    for index in order:
        length, more = _length(queries[index]), len(queries[index].targets)
        differs = equal_lengths and batch and _length(queries[batch[0]]) != length
        if batch and (differs or (len(batch) + 1) * length > max_tokens or rows + more > max_rows):
            yield batch
            batch, rows = [], 0
        batch.append(index)
        rows += more
    if batch:
        yield batch


def _length(query: TokenQuery) -> int:
    return len(query.ids) + len(query.decoder_ids or ())


def _key(query: TokenQuery) -> tuple[Sequence[int], Sequence[int]]:
    return query.ids, query.targets


def _logits_at_positions(
    model: nn.Module, core: PreTrainedModel, batch: list[TokenQuery], device: torch.device
) -> tuple[Tensor, int]:
    """Logits `(M, V)` at the positions of all queries, and the number of tokens computed."""
    input_ids, mask = _padded([query.ids for query in batch])
    inputs = {"input_ids": input_ids, "attention_mask": mask, "use_cache": False}
    if batch[0].decoder_ids is not None:
        inputs["decoder_input_ids"], inputs["decoder_attention_mask"] = _padded([q.decoder_ids for q in batch])
    rows = torch.tensor([row for row, query in enumerate(batch) for _ in query.positions], device=device)
    columns = torch.tensor([position for query in batch for position in query.positions], device=device)
    with _head_computes_only(core, rows, columns):
        logits = model(**{name: v.to(device) if torch.is_tensor(v) else v for name, v in inputs.items()}).logits
    if logits.shape[:2] != (1, len(rows)):
        raise ValueError(
            f"{type(core).__name__} gave logits of shape {tuple(logits.shape)} where its head computed {len(rows)} "
            "tokens: its log-probabilities can't be read"
        )
    return logits[0], sum(v.numel() for name, v in inputs.items() if name in ("input_ids", "decoder_input_ids"))


def _padded(sequences: list[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, padded on the right: what pads comes after all that is asked for."""
    width = max(map(len, sequences))
    ids = torch.tensor([[*sequence, *[0] * (width - len(sequence))] for sequence in sequences])
    mask = torch.tensor([[1] * len(sequence) + [0] * (width - len(sequence)) for sequence in sequences])
    return ids, mask


@contextmanager
def _head_computes_only(model: PreTrainedModel, rows: Tensor, columns: Tensor):
    """
    Let the language-model head see the hidden states at some positions only, as a batch of one. What the model does to
    logits afterwards (scaling, soft capping) stays its own.
    """

    def select(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][rows.to(inputs[0].device), columns.to(inputs[0].device)][None], *inputs[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
