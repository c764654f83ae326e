"""
What scoring several responses per prompt costs: the loop of RewardBench, and packed rows with shared prefixes.

    python benchmarks/score.py --lengths long --responses 4 --prompts 32 --model 54m
    python benchmarks/score.py --rm-bench DATA/rm_bench --prompts 64 --model 54m

`padded` is RewardBench's loop: batches in the order of the data, padded to their longest row; with two responses the
chosen and the rejected ones in batches of their own, with more of them one after the other. `sorted` is the same on
rows sorted by length, `packed` rows of tokens without padding, `shared` with every common prefix computed once. Before
anything is timed, the scores must agree. Sequences are tokenised beforehand, packing is timed.
"""

import argparse
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, PreTrainedModel

from benchmarks.common import (
    MIN_VOCABULARY,
    add_common_arguments,
    assert_equal,
    build_model,
    figures,
    gemm_peak,
    non_embedding_parameters,
    relative_difference,
    save,
    table,
    time_interleaved,
)
from benchmarks.lengths import (
    load_groups,
    random_sequences,
    represent,
    rm_bench_pairs,
    rm_bench_texts,
    tokenize,
)
from trl_ext.data import resolve_model
from trl_ext.shared_prefix import build_plan, enable_shared_prefix, pack_rows


# ---- Variants: scores of sequences, and the number of tokens computed for them ----


def score_padded(
    model: PreTrainedModel, batches: list[list[int]], sequences: Sequence[list[int]]
) -> tuple[Tensor, int]:
    """Scores of batches padded to their longest sequence, as RewardBench computes them."""
    scores, tokens = torch.empty(len(sequences)), 0
    for batch in batches:
        rows = [torch.tensor(sequences[index]) for index in batch]
        input_ids = pad_sequence(rows, batch_first=True, padding_value=0)
        attention_mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        logits = model(input_ids=input_ids.to(model.device), attention_mask=attention_mask.to(model.device)).logits
        scores[batch] = logits[:, 0].float().cpu()
        tokens += input_ids.numel()
    return scores, tokens


def score_packed(
    model: PreTrainedModel, sequences: Sequence[list[int]], max_tokens: int, share: bool
) -> tuple[Tensor, int]:
    """Scores of packed rows."""
    scores, tokens = torch.empty(len(sequences)), 0
    for row in pack_rows(sequences, max_tokens) if share else rows_in_order(sequences, max_tokens):
        plan = build_plan([sequences[index] for index in row], share=share).to(model.device)
        scores[row] = model(**plan.model_inputs()).logits[:, 0].float().cpu()
        tokens += plan.layout.num_tokens
    return scores, tokens


def rows_in_order(sequences: Sequence[list[int]], max_tokens: int) -> Iterator[list[int]]:
    """Rows of at most `max_tokens` tokens, nothing shared."""
    row, used = [], 0
    for index, sequence in enumerate(sequences):
        if row and used + len(sequence) > max_tokens:
            yield row
            row, used = [], 0
        row.append(index)
        used += len(sequence)
    yield row


def loop_batches(groups: int, responses: int, batch_size: int) -> list[list[int]]:
    """Batches of RewardBench's loops, as indices of sequences, those of a group next to each other."""
    count = groups * responses
    if responses > 2:
        return cut(list(range(count)), batch_size)
    chosen, rejected = (cut(list(range(first, count, 2)), batch_size) for first in (0, 1))
    return [batch for both in zip(chosen, rejected, strict=True) for batch in both]


def cut(indices: list[int], size: int) -> list[list[int]]:
    """Pieces of a list."""
    return [indices[start : start + size] for start in range(0, len(indices), size)]


# ---- The benchmark ----


def read_rm_bench(folder: Path, prompts: int, order: str, seed: int) -> list[list[list[int]]]:
    """The three pairs of every k-th prompt of RM-Bench; tokens of the bundled tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("bundled:smollm2-135m-instruct"))
    texts = rm_bench_texts(folder, tokenizer)
    drawn = [texts[index * len(texts) // prompts] for index in range(prompts)]
    pairs = rm_bench_pairs(tokenize(drawn, tokenizer))
    if order == "random":
        random.Random(seed).shuffle(pairs)
    return pairs


def read(options: argparse.Namespace) -> list[list[list[int]]]:
    """Token ids of the responses to every prompt."""
    if options.rm_bench is not None:
        if options.responses != 2:
            raise ValueError("--rm-bench is scored in pairs: leave --responses at 2")
        return read_rm_bench(options.rm_bench, options.prompts, options.order, options.seed)
    groups = represent(load_groups(options.lengths, options.responses), options.prompts, options.seed)
    return random_sequences(groups, MIN_VOCABULARY, options.seed)


def build_scorers(
    options: argparse.Namespace, groups: list[list[list[int]]]
) -> tuple[PreTrainedModel, dict[str, Callable[[], tuple[Tensor, int]]]]:
    """A model and the variants, which run on two models with the same weights."""
    dtype = getattr(torch, options.dtype)
    stock, ours = (
        build_model(options.model, options.seed).to(options.device, dtype).eval().requires_grad_(False)
        for _ in range(2)
    )
    report = enable_shared_prefix(ours)
    if not report.enabled:
        raise ValueError(f"{options.model} can't share prefixes: {report.reason}")
    sequences = [sequence for group in groups for sequence in group]
    batches = loop_batches(len(groups), options.responses, options.batch_size)
    by_length = cut(sorted(range(len(sequences)), key=lambda index: len(sequences[index])), options.batch_size)
    return stock, {
        "padded": lambda: score_padded(stock, batches, sequences),
        "sorted": lambda: score_padded(stock, by_length, sequences),
        "packed": lambda: score_packed(ours, sequences, options.max_tokens, share=False),
        "shared": lambda: score_packed(ours, sequences, options.max_tokens, share=True),
    }


@torch.no_grad()
def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the variants; return the figures."""
    torch.set_num_threads(options.threads)
    before = os.getloadavg()[0]
    model, scorers = build_scorers(options, read(options))

    results = {name: scorer() for name, scorer in scorers.items()}
    differences = {
        name: {"scores": relative_difference([scores], [results["padded"][0]])}
        for name, (scores, _) in results.items()
        if name != "padded"
    }
    largest = assert_equal(differences, options.dtype)

    peak = gemm_peak(options.device, options.dtype)
    steps = {name: [scorer] for name, scorer in scorers.items()}
    seconds = time_interleaved(steps, options.repetitions, options.seed, options.device)
    peak = max(peak, gemm_peak(options.device, options.dtype))
    tokens = {name: count for name, (_, count) in results.items()}
    return {
        "benchmark": "score",
        **figures(options, model, seconds, tokens, 2 * non_embedding_parameters(model), peak),
        "relative_difference": differences,
        "max_relative_difference": largest,
        "load_average": [before, os.getloadavg()[0]],
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_arguments(parser)
    parser.set_defaults(lengths="multiturn")
    parser.add_argument("--responses", type=int, default=2, help="responses per prompt")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=4096, help="tokens of a packed row")
    parser.add_argument("--rm-bench", type=Path, help="folder with the files of RM-Bench, instead of --lengths")
    parser.add_argument(
        "--order", choices=("random", "file"), default="random", help="order of the pairs of --rm-bench, for padding"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    result = run(options)
    data = "RM-Bench" if options.rm_bench else repr(options.lengths)
    print(
        f"{options.prompts} prompts of {data} with {options.responses} responses, batches of {options.batch_size}, "
        f"rows of {options.max_tokens} tokens, model {options.model}"
    )
    print(table(result))
    save(result, options.json)
    return result


if __name__ == "__main__":
    main()
