"""
RM-Bench on its real files: `RewardScorer`, and a loop as RewardBench has it, in one run.

    python benchmarks/score_rm_bench.py --data DATA/rm_bench
    python benchmarks/score_rm_bench.py --data DATA/rm_bench --full --json outputs/rm_bench.json

The loop takes the pairs of chosen and rejected of the same style in the order of the files, in batches padded to their
longest row, the chosen and the rejected of a batch in forward calls of their own. Both have the same weights, the same
tokens and float32, both tokenise within their time, and their rewards must agree within 1e-4. Blocks of prompts are
scored by one and by the other in turns, so that other load on the machine hits both. The head of a language model is
random (`--seed`), so its accuracies say nothing of the model.

Without `--full`, a sample of every file is scored. The tokens that the whole data would cost are counted either way:
that needs no model.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, set_seed

from benchmarks.common import machine, save, timed
from tasks.provenance import command, hash_rows, model_identity, package_versions, template_hash
from trl_ext import RewardScorer
from trl_ext.data.bundled import DEFAULT_MODEL, resolve_model
from trl_ext.data.tokenization import encode_messages
from trl_ext.evaluation import RMBenchAccuracy, rm_bench_accuracy
from trl_ext.evaluation.benchmarks.rm_bench import STYLES
from trl_ext.evaluation.benchmarks.rm_bench_data import load_rm_bench
from trl_ext.scoring.batching import packed_batches


SHARED = Path(os.environ.get("TRL_EXT_SHARED_DIR", Path(__file__).resolve().parents[2] / "shared"))
TOLERANCE = 1e-4
COUNTED_BATCH_SIZES = (8, 16, 64)
ORDERS = {
    "prompt": "the three pairs of a prompt one after the other",
    "style": "all pairs of one style, then of the next",
}


# ---- Data ----


def sample(rows: Dataset, count: int, seed: int) -> Dataset:
    """
    Rows of every file in its share of `count`, at least one, in the order of the files.

    Args:
        rows ([`~datasets.Dataset`]): Rows of [`load_rm_bench`].
        count (`int`): Number of rows.
        seed (`int`): Seed of the draw.
    """
    rng = np.random.default_rng([seed, 17])
    chosen: list[int] = []
    for _, part in groupby(range(len(rows)), key=rows["domain"].__getitem__):
        indices = list(part)
        size = min(len(indices), max(1, round(count * len(indices) / len(rows))))
        chosen.extend(sorted(rng.choice(indices, size, replace=False).tolist()))
    return rows.select(chosen)


def conversations(rows: Dataset) -> list[list[list[dict[str, str]]]]:
    """The six conversations of every prompt: three chosen, three rejected."""
    return [
        [
            [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": answer}]
            for answer in (*row["chosen"], *row["rejected"])
        ]
        for row in rows
    ]


def loop_calls(prompts: int, batch_size: int, order: str) -> list[list[tuple[int, int]]]:
    """Forward calls of the loop, as (prompt, answer) of their rows: the chosen of a batch, then the rejected."""
    pairs = [(prompt, style) for prompt in range(prompts) for style in range(len(STYLES))]
    if order == "style":
        pairs.sort(key=lambda pair: pair[1])
    batches = [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)]
    return [[(prompt, style + offset) for prompt, style in batch] for batch in batches for offset in (0, len(STYLES))]


# ---- The two ways ----


def score_loop(
    model: PreTrainedModel, tokenizer: Any, texts: list[list[list[dict]]], batch_size: int, order: str
) -> tuple[np.ndarray, int]:
    """Rewards `(prompts, 6)` by the loop, and the tokens that the model computed, padding included."""
    rewards, tokens = np.empty((len(texts), 2 * len(STYLES)), np.float32), 0
    for call in loop_calls(len(texts), batch_size, order):
        ids = encode_messages([texts[prompt][answer] for prompt, answer in call], [{}] * len(call), tokenizer)
        input_ids, attention_mask = padded(ids, model.config.pad_token_id)
        with torch.inference_mode():
            logits = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits[:, 0]
        rewards[tuple(np.array(call).T)] = logits.numpy()
        tokens += input_ids.numel()
    return rewards, tokens


def padded(ids: Sequence[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Rows padded on the right to the longest, and their mask."""
    rows = [torch.tensor(row) for row in ids]
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return pad_sequence(rows, batch_first=True, padding_value=pad_token_id), mask


def score_ours(scorer: RewardScorer, texts: list[list[list[dict]]]) -> tuple[np.ndarray, int]:
    """Rewards `(prompts, 6)` by a scorer, and the tokens that the model computed."""
    prompts = [group[0][:-1] for group in texts]
    rewards = scorer.score(prompts, [[chat[-1:] for chat in group] for group in texts])
    return np.stack(rewards), scorer.timing.computed_tokens


def count_tokens(texts: list[list[list[dict]]], tokenizer: Any, max_tokens: int) -> dict[str, Any]:
    """Tokens that the loop and the scorer compute for prompts, exactly, without a model."""
    ids = [encode_messages(group, [{}] * len(group), tokenizer) for group in tqdm(texts, desc="Counting tokens")]
    size = RewardScorer.window_size // (2 * len(STYLES))
    windows = [ids[start : start + size] for start in range(0, len(ids), size)]
    ours = sum(
        batch.num_tokens
        for window in windows
        for batch in packed_batches(list(map(list, {tuple(row) for group in window for row in group})), max_tokens)
    )
    loops = {
        f"batches of {batch_size}, {ORDERS[order]}": sum(
            len(call) * max(len(ids[prompt][answer]) for prompt, answer in call)
            for call in loop_calls(len(ids), batch_size, order)
        )
        for batch_size in COUNTED_BATCH_SIZES
        for order in ORDERS
    }
    return {
        "prompts": len(ids),
        "sequences": sum(map(len, ids)),
        "sequence_tokens": sum(len(row) for group in ids for row in group),
        "ours": ours,
        "loops": {name: {"tokens": tokens, "ratio": tokens / ours} for name, tokens in loops.items()},
    }


# ---- The benchmark ----


def build_model(path: str, tokenizer: Any, seed: int) -> PreTrainedModel:
    """The reward model in float32; a language model gets a random head."""
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=1, dtype=torch.float32, attn_implementation="sdpa", use_safetensors=True
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.eval().requires_grad_(False)


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def compare(
    scorer: RewardScorer,
    peer: PreTrainedModel,
    tokenizer: Any,
    texts: list[list[list[dict]]],
    options: argparse.Namespace,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Score block by block in both ways, each first in every other block; return our rewards, and times and tokens."""
    rewards = {way: np.empty((len(texts), 2 * len(STYLES)), np.float32) for way in ("ours", "loop")}
    totals = {way: {"cpu": 0.0, "wall": 0.0, "tokens": 0} for way in rewards}

    def step(way: str, block: slice) -> None:
        if way == "ours":
            scored = score_ours(scorer, texts[block])
        else:
            scored = score_loop(peer, tokenizer, texts[block], options.batch_size, options.order)
        rewards[way][block] = scored[0]
        totals[way]["tokens"] += scored[1]

    for index, block in enumerate(tqdm(list(blocks(len(texts), options.block)), desc="Scoring", unit="block")):
        for way in sorted(rewards, reverse=bool(index % 2)):
            for clock, seconds in timed(lambda way=way, block=block: step(way, block), "cpu").items():
                totals[way][clock] += seconds
    difference = float(np.abs(rewards["ours"] - rewards["loop"]).max())
    if not difference <= TOLERANCE:
        raise AssertionError(f"rewards differ by up to {difference:.1e}, more than {TOLERANCE}")
    ratios = {kind: totals["loop"][kind] / totals["ours"][kind] for kind in totals["ours"]}
    return rewards["ours"], {**totals, "ratio": ratios, "max_reward_difference": difference}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Score, compare, and return the figures."""
    torch.set_num_threads(options.threads)
    before = os.getloadavg()
    rows = load_rm_bench(options.data)
    path = resolve_model(options.model)
    tokenizer = AutoTokenizer.from_pretrained(path)
    whole = count_tokens(conversations(rows), tokenizer, options.max_tokens)
    scored = rows if options.full else sample(rows, options.prompts, options.seed)
    texts = conversations(scored)

    ours, peer = (build_model(path, tokenizer, options.seed) for _ in range(2))
    scorer = RewardScorer(ours, tokenizer, max_tokens_per_batch=options.max_tokens, progress=False)
    score_ours(scorer, texts[:1]), score_loop(peer, tokenizer, texts[:1], 8, "prompt")  # what is done once only
    rewards, figures = compare(scorer, peer, tokenizer, texts, options)

    accuracy = rm_bench_accuracy(
        rewards[:, : len(STYLES)], rewards[:, len(STYLES) :], scored["id"], domains=scored["domain"]
    )
    return {
        "benchmark": "score_rm_bench",
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()},
        "prompts": len(scored),
        "accuracy": accuracy.to_dict(),
        "table": accuracy_table(accuracy),
        **figures,
        "whole_data": whole,
        "provenance": {
            "command": command("benchmarks/score_rm_bench.py"),
            "versions": package_versions(),
            "machine": machine("cpu"),
            "model": model_identity(options.model, path, ours),
            "chat_template_sha256": template_hash(tokenizer),
            "rows_sha256": hash_rows(scored, ["id", "domain", "prompt", "chosen", "rejected"]),
            "scorer": scorer.settings(),
            "load_average": [before[0], os.getloadavg()[0]],
        },
    }


# ---- Reports ----


def accuracy_table(accuracy: RMBenchAccuracy) -> str:
    """The matrix of styles, the difficulties and the domains, with intervals."""

    def cell(estimate: Any) -> str:
        return f"{estimate.value:.3f} [{estimate.ci_low:.3f}, {estimate.ci_high:.3f}]"

    lines = [f"{'right / wrong':<16}" + "".join(f"{style:>24}" for style in STYLES)]
    lines += [
        f"{style:<16}" + "".join(f"{cell(estimate):>24}" for estimate in row)
        for style, row in zip(STYLES, accuracy.all_prompts.matrix, strict=True)
    ]
    figures = {name: getattr(accuracy, name) for name in ("hard", "normal", "easy", "average")}
    figures |= {name: domain.average for name, domain in accuracy.domains.items()}
    return "\n".join(lines + [f"{name:<16}{cell(estimate):>24}" for name, estimate in figures.items()])


def report(result: dict[str, Any]) -> str:
    """The figures for reading."""
    lines = [result["table"], "", f"{'':<6}{'tokens':>10}{'wall, s':>10}{'process, s':>12}"]
    for way in ("loop", "ours"):
        figures = result[way]
        lines.append(f"{way:<6}{figures['tokens']:>10}{figures['wall']:>10.1f}{figures['cpu']:>12.1f}")
    ratio, whole = result["ratio"], result["whole_data"]
    lines += [
        f"{'ratio':<6}{ratio['tokens']:>10.2f}{ratio['wall']:>10.2f}{ratio['cpu']:>12.2f}",
        f"largest difference of rewards {result['max_reward_difference']:.1e}",
        "",
        f"All {whole['prompts']} prompts, {whole['sequence_tokens']} tokens: ours computes {whole['ours']}, the loop",
        *(
            f"  {loop['tokens']:>9}, {loop['ratio']:.2f} times as many: {name}"
            for name, loop in whole["loops"].items()
        ),
    ]
    return "\n".join(lines)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "rm_bench", help="folder with its files")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or path of a reward model or a language model")
    parser.add_argument("--prompts", type=int, default=24, help="size of the sample")
    parser.add_argument("--full", action="store_true", help="all prompts; hours on a CPU")
    parser.add_argument("--batch-size", type=int, default=8, help="rows of a batch of the loop")
    parser.add_argument("--order", choices=list(ORDERS), default="prompt", help="order of the pairs in the loop")
    parser.add_argument("--block", type=int, default=8, help="prompts that are scored by one, then by the other")
    parser.add_argument("--max-tokens", type=int, default=4096, help="tokens of a packed row")
    parser.add_argument(
        "--threads", type=int, default=1, help="one: process time is then little disturbed by other load"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample and of a random head")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    if not options.data.exists():
        parser.error(f"no RM-Bench at {options.data}: give --data (github.com/THU-KEG/RM-Bench, folder data)")
    return options


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    result = run(options)
    print(f"{result['prompts']} prompts of RM-Bench, model {options.model}, loop in batches of {options.batch_size}")
    print(report(result))
    save(result, options.json)
    return result


if __name__ == "__main__":
    main()
