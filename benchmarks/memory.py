"""
Memory per GPU, as Markdown tables: what fits where.

    python benchmarks/memory.py --json outputs/memory.json             # computed: a few seconds
    python benchmarks/memory.py --measure --json outputs/memory.json   # and the formula checked, minutes on one core

Computed: weights, gradients and optimizer states (`model_states.py`), activations per token (`activations.py`), and the
smallest number of GPUs on which both fit. Measured, on the CPU with small random models: what a forward pass keeps for
the backward pass, beside the formula, for padded batches and for packed rows with shared prefixes.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from benchmarks.activations import (
    PRECISIONS,
    Workload,
    layer_bytes,
    padded_workload,
    plan_workload,
    predicted_bytes,
    saved_bytes,
)
from benchmarks.common import MIN_VOCABULARY, build_config, build_model, save, versions
from benchmarks.lengths import load_groups, random_sequences, represent
from benchmarks.model_states import STRATEGIES, Parameters, count, empty_model
from trl_ext.shared_prefix import build_plan, enable_shared_prefix


SHAPES = ("qwen05", "qwen15", "qwen3b", "qwen8b", "qwen14b", "qwen32b", "llama70b")
GPUS = (1, 2, 4, 8, 16)
GIB, KIB = 2**30, 2**10

# What is left of a GPU of 80 GB or 24 GB after the CUDA context, NCCL and fragmentation
USABLE_SHARE = 0.9

LENGTHS = ("lie", "true", "rm_bench", "long", "multiturn", "short", "verylong")


# ---- Computed ----


def activation_bytes(name: str, strategy: str, tokens: int, checkpointing: bool) -> int:
    """
    Bytes of activations at their peak, for so many computed tokens per GPU with flash attention.

    With checkpointing that is the input of every layer, and all of one layer.
    """
    config, work = build_config(name), Workload(tokens, tokens)
    precision = "autocast" if strategy == "DDP" else "bfloat16"
    kept = predicted_bytes(config, precision, work, checkpointing)
    return kept + layer_bytes(config, precision, work) if checkpointing else kept


def memory(parameters: Parameters, strategy: str, gpus: int, name: str, tokens: int) -> float:
    """Bytes per GPU with gradient checkpointing."""
    return STRATEGIES[strategy](parameters, gpus).gpu + activation_bytes(name, strategy, tokens, checkpointing=True)


def fewest_gpus(parameters: Parameters, strategy: str, name: str, tokens: int, gibibytes: float) -> int | None:
    """The smallest number of GPUs of so much memory on which a training fits; `None` if none of [`GPUS`] is enough."""
    limit = gibibytes * GIB * USABLE_SHARE
    return next((gpus for gpus in GPUS if memory(parameters, strategy, gpus, name, tokens) <= limit), None)


def compute(tokens: int) -> dict[str, Any]:
    """All computed figures, in bytes."""
    result: dict[str, Any] = {}
    for name in SHAPES:
        counted = {kind: count(empty_model(name, lora=kind == "lora")) for kind in ("full", "lora")}
        result[name] = {
            "parameters": {kind: vars(parameters) for kind, parameters in counted.items()},
            "states": {
                kind: {label: {n: vars(states(p, n)) for n in GPUS} for label, states in STRATEGIES.items()}
                for kind, p in counted.items()
            },
            "activations": {
                label: {
                    "per_token": activation_bytes(name, label, 1, checkpointing=False),
                    "per_token_checkpointing": activation_bytes(name, label, 1, checkpointing=True),
                }
                for label in ("DDP", "FSDP2")
            },
            "fewest_gpus": {
                str(size): {
                    kind: {label: fewest_gpus(p, label, name, tokens, size) for label in STRATEGIES}
                    for kind, p in counted.items()
                }
                for size in (80, 24)
            },
        }
    return result


# ---- Measured ----


def autocast_copies(model: PreTrainedModel) -> int:
    """Bytes of the bfloat16 copies of all matrices but the embeddings, which autocast keeps beside the activations."""
    matrices = [module.weight for module in model.modules() if isinstance(module, torch.nn.Linear)]
    return 2 * sum(weight.numel() for weight in matrices)


def check_formula(model_name: str, seed: int) -> list[dict[str, Any]]:
    """The formula beside the measurement, for one batch of 8 pairs of LIE."""
    groups = represent(load_groups("lie"), 8, seed)
    rows = []
    for precision in PRECISIONS:
        for checkpointing in (False, True):
            model = build_model(model_name, seed).train()
            if precision == "bfloat16":
                model.bfloat16()
            if checkpointing:
                model.gradient_checkpointing_enable({"use_reentrant": False})
            copies = autocast_copies(model) if precision == "autocast" and not checkpointing else 0
            measured = measure(model, random_sequences(groups, MIN_VOCABULARY, seed), precision)
            for layout, (work, size) in measured.items():
                predicted = predicted_bytes(model.config, precision, work, checkpointing) + copies
                row = {"precision": precision, "checkpointing": checkpointing, "layout": layout, "tokens": work.tokens}
                rows.append(row | {"predicted": predicted, "measured": size})
    return rows


def measure(model: PreTrainedModel, groups: list[list[list[int]]], precision: str) -> dict[str, tuple[Workload, int]]:
    """What a forward pass over the groups keeps, padded and with shared prefixes."""
    context = partial(torch.autocast, "cpu", torch.bfloat16, enabled=precision == "autocast")
    sequences = [sequence for group in groups for sequence in group]
    ids = pad_sequence([torch.tensor(sequence) for sequence in sequences], batch_first=True)
    mask = pad_sequence([torch.ones(len(sequence), dtype=torch.long) for sequence in sequences], batch_first=True)
    found = {
        "padded": (padded_workload(mask), saved_bytes(model, {"input_ids": ids, "attention_mask": mask}, context))
    }
    report = enable_shared_prefix(model)
    if not report.enabled:
        raise ValueError(f"the model can't share prefixes: {report.reason}")
    plan = build_plan(sequences)
    found["shared"] = (plan_workload(plan), saved_bytes(model, plan.model_inputs(), context))
    return found


def compare_layouts(model_name: str, lengths: str, pairs: int, batch_size: int, seed: int) -> dict[str, Any]:
    """Tokens and bytes of padded batches and of packed rows, in total and of the largest batch."""
    groups = random_sequences(represent(load_groups(lengths), pairs, seed), MIN_VOCABULARY, seed)
    batches = []
    for start in range(0, pairs, batch_size):
        model = build_model(model_name, seed).train()
        batches.append(measure(model, groups[start : start + batch_size], "float32"))
    result: dict[str, Any] = {"lengths": lengths}
    for layout in ("padded", "shared"):
        result[layout] = {
            "tokens": sum(batch[layout][0].tokens for batch in batches),
            "bytes": sum(batch[layout][1] for batch in batches),
            "largest": max(batch[layout][1] for batch in batches),
        }
    return result


# ---- Tables ----


def markdown(header: list[str], rows: list[list[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def states_table(result: dict[str, Any]) -> str:
    rows = []
    for name, figures in result.items():
        for label in STRATEGIES:
            cells = []
            for gpus in GPUS:
                full, lora = (
                    sum(value for part, value in figures["states"][kind][label][gpus].items() if part != "host") / GIB
                    for kind in ("full", "lora")
                )
                cells.append(f"{full:.1f} / {lora:.1f}")
            rows.append([f"{name} ({figures['parameters']['full']['total'] / 1e9:.2f}B)", label, *cells])
    return markdown(["model", "GiB per GPU, full / LoRA", *(f"{gpus} GPU" for gpus in GPUS)], rows)


def activations_table(result: dict[str, Any]) -> str:
    header = ["model", "KiB per computed token: DDP", "with checkpointing", "ZeRO, FSDP2", "with checkpointing"]
    rows = [
        [name, *(f"{size / KIB:.0f}" for strategy in figures["activations"].values() for size in strategy.values())]
        for name, figures in result.items()
    ]
    return markdown(header, rows)


def host_table(result: dict[str, Any]) -> str:
    rows = [
        [name, *(f"{figures['states'][kind]['ZeRO-3, offload'][1]['host'] / GIB:.0f}" for kind in ("full", "lora"))]
        for name, figures in result.items()
    ]
    return markdown(["model", "GiB of all machines together, full", "LoRA"], rows)


def fit_table(result: dict[str, Any], kind: str) -> str:
    rows = [
        [
            name,
            *(
                " / ".join(str(figures["fewest_gpus"][size][kind][label] or "–") for size in ("80", "24"))
                for label in STRATEGIES
            ),
        ]
        for name, figures in result.items()
    ]
    return markdown(["model", *STRATEGIES], rows)


def formula_table(rows: list[dict[str, Any]]) -> str:
    header = ["precision", "checkpointing", "batch", "tokens", "predicted MiB", "measured MiB", "predicted / measured"]
    return markdown(
        header,
        [
            [
                row["precision"],
                "yes" if row["checkpointing"] else "no",
                row["layout"],
                row["tokens"],
                f"{row['predicted'] / 2**20:.1f}",
                f"{row['measured'] / 2**20:.1f}",
                f"{row['predicted'] / row['measured']:.3f}",
            ]
            for row in rows
        ],
    )


def layouts_table(rows: list[dict[str, Any]]) -> str:
    header = ["lengths", "tokens padded", "shared", "ratio", "kept, padded / shared", "largest batch, padded / shared"]
    return markdown(
        header,
        [
            [
                f"`{row['lengths']}`",
                row["padded"]["tokens"],
                row["shared"]["tokens"],
                *(f"{row['padded'][key] / row['shared'][key]:.2f}" for key in ("tokens", "bytes", "largest")),
            ]
            for row in rows
        ],
    )


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=16384, help="computed tokens per GPU, for the smallest numbers")
    parser.add_argument("--measure", action="store_true", help="check the formula, compare padded and shared")
    parser.add_argument("--model", default="4m", help="model that is measured")
    parser.add_argument("--lengths", nargs="+", default=list(LENGTHS), help="distributions that are measured")
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)

    computed = compute(options.tokens)
    print(f"## Weights, gradients, optimizer states\n\n{states_table(computed)}\n")
    print(f"## Activations\n\n{activations_table(computed)}\n")
    print(f"## Memory of the machines with offload\n\n{host_table(computed)}\n")
    for kind in ("full", "lora"):
        title = (
            f"Fewest of {', '.join(map(str, GPUS))} GPUs of 80 GB / of 24 GB: {kind}, {options.tokens} tokens per GPU"
        )
        print(f"## {title}\n\n{fit_table(computed, kind)}\n")
    result: dict[str, Any] = {"versions": versions(), "computed": computed}
    if options.measure:
        result["formula"] = check_formula(options.model, options.seed)
        print(f"## Formula and measurement\n\n{formula_table(result['formula'])}\n")
        result["layouts"] = [
            compare_layouts(options.model, lengths, options.pairs, options.batch_size, options.seed)
            for lengths in options.lengths
        ]
        print(f"## Padded and shared\n\n{layouts_table(result['layouts'])}\n")
    result = json.loads(json.dumps(result))  # the keys as they are in the file
    save(result, options.json)
    return result


if __name__ == "__main__":
    main()
