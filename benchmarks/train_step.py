"""
What a training step costs: TRL's RewardTrainer, and PairwiseRewardTrainer with packed and with shared prefixes.

    python benchmarks/train_step.py --lengths true --batch-size 8 --pairs 64 --model 54m

All variants take the same pairs and start from the same weights. `padded` is TRL's trainer with its own collator in
random order, `sorted` the same with batches sorted by length, `packed` ours without padding, `shared` ours with every
common prefix computed once. A step is the collator and `training_step`: forward, backward and metrics, no optimizer.
Before anything is timed, the loss and the gradient of all pairs must agree.
"""

import argparse
import dataclasses
import gc
import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import PreTrainedTokenizerFast, PrinterCallback
from trl import RewardConfig, RewardTrainer

from benchmarks.common import (
    MIN_VOCABULARY,
    VARIANTS,
    add_common_arguments,
    assert_equal,
    build_model,
    figures,
    gemm_peak,
    non_embedding_parameters,
    ratios,
    relative_difference,
    save,
    synchronize,
    table,
    time_interleaved,
)
from benchmarks.lengths import load_groups, random_sequences, represent
from trl_ext.trainer import PairwiseRewardConfig, PairwiseRewardTrainer


Pair = dict[str, list[int]]


# ---- Variants ----


def build_tokenizer() -> PreTrainedTokenizerFast:
    """TRL wants a tokenizer; of this one it only uses the padding token."""
    words = Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<eos>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")


def build_trainer(variant: str, options: argparse.Namespace, output_dir: str) -> RewardTrainer:
    """The trainer of a variant, after one step on a tiny pair with learning rate 0: warm, and with the same weights."""
    settings = {
        "output_dir": output_dir,
        "max_steps": 1,
        "learning_rate": 0.0,
        "optim": "sgd",
        "gradient_checkpointing": options.gradient_checkpointing,
        "bf16": options.dtype == "bfloat16",
        "use_cpu": options.device == "cpu",
        "max_length": None,
        "seed": options.seed,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    arguments = {
        "model": build_model(options.model, options.seed),
        "train_dataset": Dataset.from_list([{"chosen_ids": [2, 3], "rejected_ids": [2, 4]}]),
        "processing_class": build_tokenizer(),
    }
    if variant in ("padded", "sorted"):
        trainer = RewardTrainer(args=RewardConfig(**settings), **arguments)
    else:
        trainer = PairwiseRewardTrainer(args=PairwiseRewardConfig(shared_prefix=True, **settings), **arguments)
        if not trainer.shared_prefix_report.enabled:
            raise ValueError(f"{options.model} can't share prefixes: {trainer.shared_prefix_report.reason}")
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer


def build_batches(variant: str, pairs: list[Pair], batch_size: int) -> list[list[Pair]]:
    """Batches in the order of the pairs, or of their lengths."""
    if variant == "sorted":
        pairs = sorted(pairs, key=lambda pair: max(map(len, pair.values())))
    return [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)]


class Variant:
    """A trainer with its collator and its batches."""

    def __init__(self, name: str, trainer: RewardTrainer, pairs: list[Pair], batch_size: int):
        self.trainer = trainer
        self.collator = trainer.data_collator
        if name == "packed":
            self.collator = dataclasses.replace(self.collator, share=False)
        self.batches = build_batches(name, pairs, batch_size)

    def tokens(self, batch: list[Pair]) -> int:
        """Token slots that the model computes for a batch."""
        return self.collator(batch)["input_ids"].numel()

    def accumulate(self, batch: list[Pair]) -> Tensor:
        """One training step; its gradient is added to those before."""
        return self.trainer.training_step(self.trainer.model_wrapped, self.collator(batch))

    def step(self, batch: list[Pair]) -> None:
        """One training step, whose gradient is forgotten."""
        self.accumulate(batch)
        self.trainer.model_wrapped.zero_grad()

    def loss_and_gradient(self) -> tuple[list[Tensor], list[Tensor]]:
        """Sums over all batches."""
        loss = sum(self.accumulate(batch) for batch in self.batches)
        gradient = [parameter.grad.clone() for parameter in self.trainer.model.parameters()]
        self.trainer.model_wrapped.zero_grad()
        return [loss], gradient


def build_pairs(options: argparse.Namespace) -> tuple[list[Pair], list[list[int]]]:
    """Pairs of random tokens that represent the lengths, and the lengths they represent."""
    if options.pairs % options.batch_size:
        raise ValueError(f"{options.pairs} pairs can't be divided into batches of {options.batch_size}")
    population = load_groups(options.lengths)
    groups = represent(population, options.pairs, options.seed)
    sequences = random_sequences(groups, vocabulary=MIN_VOCABULARY, seed=options.seed)
    return [{"chosen_ids": chosen, "rejected_ids": rejected} for chosen, rejected in sequences], population


def population_tokens(groups: list[list[int]], batch_size: int, seed: int) -> dict[str, float]:
    """Tokens that the variants compute for the whole distribution; for random batches the mean of 20 orders."""
    lengths = np.array(groups)
    longest = lengths[:, 0] + lengths[:, 1:].max(axis=1)
    generator = np.random.default_rng(seed)

    def padded(order: np.ndarray) -> int:
        return sum(
            2 * len(order[start : start + batch_size]) * longest[order[start : start + batch_size]].max()
            for start in range(0, len(order), batch_size)
        )

    return {
        "padded": float(np.mean([padded(generator.permutation(len(groups))) for _ in range(20)])),
        "sorted": float(padded(np.argsort(longest))),
        "packed": float(lengths.sum() + lengths[:, 0].sum()),
        "shared": float(lengths.sum()),
    }


# ---- Memory ----


def resident_bytes(field: str) -> int:
    """A line of /proc/self/status: `VmRSS` is the memory in use, `VmHWM` its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def peak_memory(options: argparse.Namespace, variant: str) -> int:
    """Bytes that the step on the largest batch of a variant needs at its peak, above what was in use before it."""
    torch.set_num_threads(options.threads)
    pairs, _ = build_pairs(options)
    with tempfile.TemporaryDirectory() as output_dir:
        trainer = build_trainer(variant, options, output_dir)
    runner = Variant(variant, trainer, pairs, options.batch_size)
    largest = max(runner.batches, key=runner.tokens)
    gc.collect()
    if options.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        runner.accumulate(largest)
        synchronize(options.device)
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from VmRSS
    before = resident_bytes("VmRSS")
    runner.accumulate(largest)
    return resident_bytes("VmHWM") - before


def peak_memory_of_all(options: argparse.Namespace) -> dict[str, int]:
    """Peak memory of every variant, each in a process of its own."""
    peaks = {}
    for variant in VARIANTS:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            peaks[variant] = pool.submit(peak_memory, options, variant).result()
    return peaks


# ---- The benchmark ----


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the variants; return the figures."""
    torch.set_num_threads(options.threads)
    before = os.getloadavg()[0]
    pairs, population = build_pairs(options)
    with tempfile.TemporaryDirectory() as output_dir:
        stock, ours = (build_trainer(variant, options, output_dir) for variant in ("padded", "shared"))
    trainers = {"padded": stock, "sorted": stock, "packed": ours, "shared": ours}
    variants = {name: Variant(name, trainer, pairs, options.batch_size) for name, trainer in trainers.items()}

    loss, gradient = variants["padded"].loss_and_gradient()
    differences = {}
    for name in VARIANTS[1:]:
        values = variants[name].loss_and_gradient()
        differences[name] = {
            "loss": relative_difference(values[0], loss),
            "gradient": relative_difference(values[1], gradient),
        }
    largest = assert_equal(differences, options.dtype)

    peak = gemm_peak(options.device, options.dtype)
    steps = {name: [partial(variant.step, batch) for batch in variant.batches] for name, variant in variants.items()}
    seconds = time_interleaved(steps, options.repetitions, options.seed, options.device)
    peak = max(peak, gemm_peak(options.device, options.dtype))
    tokens = {name: sum(map(variant.tokens, variant.batches)) for name, variant in variants.items()}
    result = {
        "benchmark": "train_step",
        **figures(options, stock.model, seconds, tokens, 6 * non_embedding_parameters(stock.model), peak),
        "population_token_ratio": ratios(population_tokens(population, options.batch_size, options.seed)),
        "relative_difference": differences,
        "max_relative_difference": largest,
    }
    if options.memory:
        result["peak_memory_bytes"] = peak_memory_of_all(options)
        result["memory_ratio"] = ratios(result["peak_memory_bytes"])
    result["load_average"] = [before, os.getloadavg()[0]]
    return result


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_arguments(parser)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--gradient-checkpointing", action="store_true", help="as TRL does by default")
    parser.add_argument("--memory", action="store_true", help="measure peak memory as well")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    result = run(options)
    print(f"{options.pairs} pairs of {options.lengths!r}, batches of {options.batch_size}, model {options.model}")
    print(table(result))
    population = ", ".join(f"{name} {value:.2f}" for name, value in result["population_token_ratio"].items())
    print(f"token ratio of the whole distribution: {population}")
    if options.memory:
        peaks = ", ".join(
            f"{name} {size / 2**20:.0f} MiB ({result['memory_ratio'][name]:.2f})"
            for name, size in result["peak_memory_bytes"].items()
        )
        print(f"peak memory of the largest step: {peaks}")
    save(result, options.json)
    return result


if __name__ == "__main__":
    main()
