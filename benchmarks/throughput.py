"""
Tokens per second and peak memory of real training steps: our trainer, AdamW, random weights, random tokens.

    python benchmarks/throughput.py --model qwen05 --steps 20 --json outputs/throughput.json      # one GPU
    accelerate launch --config_file accelerate_configs/zero3.yaml --num_processes 1 \\
        benchmarks/throughput.py --model qwen15 --steps 20                                        # ZeRO-3, one process
    python benchmarks/throughput.py --model 8m --steps 2 --device cpu                             # a trial anywhere

The first steps are not counted: kernels are compiled and chosen, memory is reserved. Where `train_step.py` compares
layouts of a batch in one process, this runs whole steps, optimizer included, under any launcher; figures are of all
processes together, memory is of the process with the most.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback

from benchmarks.common import (
    MIN_VOCABULARY,
    MODELS,
    build_model,
    machine,
    non_embedding_parameters,
    save,
    synchronize,
    versions,
)
from benchmarks.lengths import load_groups, random_sequences, represent
from benchmarks.model_states import empty_model
from benchmarks.train_step import build_tokenizer, resident_bytes
from trl_ext.trainer import PairwiseRewardConfig, PairwiseRewardTrainer


class StepTimer(TrainerCallback):
    """Notes when every step ends."""

    def __init__(self, device: str):
        self.device = device
        self.times: list[float] = []

    def on_step_end(self, args, state, control, **kwargs):
        synchronize(self.device)
        self.times.append(time.perf_counter())


def build_trainer(options: argparse.Namespace, output_dir: str) -> PairwiseRewardTrainer:
    groups = load_groups(options.lengths)
    sequences = random_sequences(represent(groups, min(options.pairs, len(groups)), options.seed), MIN_VOCABULARY, 0)
    args = PairwiseRewardConfig(
        output_dir=output_dir,
        max_steps=options.warmup + options.steps,
        per_device_train_batch_size=options.batch_size,
        max_tokens_per_batch=options.max_tokens_per_batch,
        shared_prefix=not options.padded,
        gradient_checkpointing=options.gradient_checkpointing,
        bf16=options.dtype == "bfloat16",
        use_cpu=options.device == "cpu",
        learning_rate=1e-6,
        max_length=None,
        logging_steps=1,
        seed=options.seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return PairwiseRewardTrainer(
        model=build_model(options.model, options.seed),
        args=args,
        train_dataset=Dataset.from_list([{"chosen_ids": pair[0], "rejected_ids": pair[1]} for pair in sequences]),
        processing_class=build_tokenizer(),
    )


def peak_bytes(device: str) -> int:
    """Peak memory of this process: allocated on the GPU, or resident."""
    return torch.cuda.max_memory_allocated() if device.startswith("cuda") else resident_bytes("VmHWM")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train; return the figures."""
    timer = StepTimer(options.device)
    # Counted first: under ZeRO-3, a model that is built later has no parameters of its own
    parameters = non_embedding_parameters(empty_model(options.model))
    with tempfile.TemporaryDirectory() as output_dir:
        trainer = build_trainer(options, output_dir)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(timer)
        trainer.train()
    logs = [row for row in trainer.state.log_history if "num_computed_tokens" in row]
    first, last = (logs[step - 1] for step in (options.warmup, options.warmup + options.steps))
    seconds = timer.times[-1] - timer.times[options.warmup - 1]
    tokens, computed = (last[key] - first[key] for key in ("num_tokens", "num_computed_tokens"))
    return {
        "benchmark": "throughput",
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()},
        "machine": machine(options.device),
        "versions": versions(),
        "processes": trainer.accelerator.num_processes,
        "distributed_type": trainer.accelerator.distributed_type.value,
        "shared_prefix": trainer.shared_prefix_report.to_dict(),
        "non_embedding_parameters": parameters,
        "seconds": seconds,
        "tokens": tokens,
        "computed_tokens": computed,
        "tokens_per_second": tokens / seconds,
        "computed_tokens_per_second": computed / seconds,
        "peak_memory_bytes": max(gather_object([peak_bytes(options.device)])),
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen05", choices=list(MODELS))
    parser.add_argument("--steps", type=int, default=20, help="steps that count")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--lengths", default="multiturn", help="name of a file in benchmarks/lengths, or a path")
    parser.add_argument("--pairs", type=int, default=512, help="pairs of the training set")
    parser.add_argument("--batch-size", type=int, default=16, help="pairs per process")
    parser.add_argument("--max-tokens-per-batch", type=int, help="computed tokens per process, instead of pairs")
    parser.add_argument("--padded", action="store_true", help="batches as TRL pads them")
    parser.add_argument("--gradient-checkpointing", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    if min(options.warmup, options.steps) < 1:
        parser.error("--warmup and --steps must be at least 1")
    return options


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    result = run(options)
    if PartialState().is_main_process:
        print(
            f"{options.model}, {result['distributed_type']} on {result['processes']}: "
            f"{result['tokens_per_second']:.0f} tokens/s of the pairs, {result['computed_tokens_per_second']:.0f} "
            f"computed tokens/s, peak memory {result['peak_memory_bytes'] / 2**30:.2f} GiB"
        )
        save(result, options.json)
    return result


if __name__ == "__main__":
    main()
