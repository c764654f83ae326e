"""
What scoring an original and its two rewrites costs: the three texts of a prompt in one row, and each text for itself.

    python benchmarks/rate_scoring.py
    python benchmarks/rate_scoring.py --model 54m --rows 64 --json outputs/rate_scoring.json

`chains` computes the prompt once for the three texts (`P + 3C` tokens); `texts` is the same scorer without that, rows sorted
by length and padded (`3(P + C)`, and what pads). Texts are drawn at random, so that rewrites share no words with their
original: less than real ones. Before anything is timed, the rewards must agree. Tokenisation is timed.
"""

import argparse
import sys
from pathlib import Path
from typing import Any


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from transformers import AutoTokenizer

from benchmarks.common import build_model, clock, save, time_interleaved
from trl_ext import RewardScorer
from trl_ext.data import resolve_model


WORDS = ("time", "people", "water", "house", "light", "story", "music", "paper", "river", "green", "small", "world")
TOLERANCE = 1e-4  # of the largest reward


def random_text(words: int, rng: np.random.Generator) -> str:
    """A text of some common words, a token each."""
    return " ".join(rng.choice(WORDS, words))


def make_rows(rows: int, prompt: int, response: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """Prompts and three texts each; lengths vary by a third."""
    rng = np.random.default_rng(seed)

    def text(words: int) -> str:
        return random_text(int(rng.integers(words * 2 // 3, words * 4 // 3 + 1)), rng)

    prompts = [f"{text(prompt)}\n" for _ in range(rows)]
    return prompts, [[text(response) for _ in range(3)] for _ in range(rows)]


def compare(args: argparse.Namespace, prompt: int, response: int) -> dict[str, Any]:
    """Ratios of tokens and time for prompts and texts of some lengths."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("bundled:smollm2-135m-instruct"))
    prompts, texts = make_rows(args.rows, prompt, response, args.seed)
    scorers = {
        name: RewardScorer(
            build_model(args.model, args.seed).to(args.device), tokenizer, shared_prefix=shared, progress=False
        )
        for name, shared in (("chains", True), ("texts", False))
    }
    rewards = {name: np.stack(scorer.score(prompts, texts)) for name, scorer in scorers.items()}
    difference = np.abs(rewards["chains"] - rewards["texts"]).max() / np.abs(rewards["texts"]).max()
    if difference > TOLERANCE:
        raise SystemExit(f"the rewards differ by {difference:.1e} of the largest: nothing to compare")
    computed = {name: scorer.timing.computed_tokens for name, scorer in scorers.items()}
    total = scorers["texts"].timing.sequence_tokens
    steps = {name: [lambda scorer=scorer: scorer.score(prompts, texts)] for name, scorer in scorers.items()}
    seconds = time_interleaved(steps, args.repetitions, args.seed, args.device)
    median = {name: float(np.median(times[clock(args.device)])) for name, times in seconds.items()}
    return {
        "prompt": prompt,
        "response": response,
        "expected_tokens": (prompt + 3 * response) / (3 * (prompt + response)),
        "tokens": computed["chains"] / total,
        "tokens_padded": computed["texts"] / total,
        "seconds": median,
        "time": median["chains"] / median["texts"],
        "difference": float(difference),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="4m", help="a size of benchmarks/common.py, or a path")
    parser.add_argument("--rows", type=int, default=32, help="prompts, with three texts each")
    parser.add_argument("--lengths", default="10x160,160x160,480x120", help="tokens of prompts x of texts")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = []
    print("chains / texts, the prompt computed once against three times\n")
    print("| prompt | text | (P+3C)/(3P+3C) | tokens computed | padded, not shared | time |")
    print("|--:|--:|--:|--:|--:|--:|")
    for lengths in args.lengths.split(","):
        prompt, response = map(int, lengths.split("x"))
        found = compare(args, prompt, response)
        print(
            f"| {prompt} | {response} | {found['expected_tokens']:.2f} | {found['tokens']:.2f} | "
            f"{found['tokens_padded']:.2f} | {found['time']:.2f} |",
            flush=True,
        )
        results.append(found)
    save({"model": args.model, "rows": args.rows, "results": results}, args.json)


if __name__ == "__main__":
    main()
