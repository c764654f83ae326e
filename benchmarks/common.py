"""What the benchmarks have in common: models, timing, the machine's own speed, and reports."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    set_seed,
)


VARIANTS = ("padded", "sorted", "packed", "shared")

# Largest difference that rounding explains. Activations of bfloat16 have 8 bits, whose errors add up in a gradient.
TOLERANCES = {"float32": 1e-5, "bfloat16": 1e-1}

# Token ids are drawn below this: every model has as many
MIN_VOCABULARY = 30000

_SMALL = {"vocab_size": 49152, "max_position_embeddings": 8192}
_4M = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 7}
_8M = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8}
_30M = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 10}
_54M = {"hidden_size": 640, "intermediate_size": 1728, "num_hidden_layers": 12}
_100M = {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 16}
_QWEN05 = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "vocab_size": 151936}
_LLAMA1B = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "vocab_size": 128256}
_QWEN15 = {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "vocab_size": 151936}
_QWEN3B = {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "vocab_size": 151936}
_QWEN8B = {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "vocab_size": 151936}
_QWEN14B = {"hidden_size": 5120, "intermediate_size": 17408, "num_hidden_layers": 40, "vocab_size": 151936}
_QWEN32B = {"hidden_size": 5120, "intermediate_size": 25600, "num_hidden_layers": 64, "vocab_size": 151936}
_LLAMA70B = {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "vocab_size": 128256}
# Named after their number of weights, the small ones without embeddings
MODELS = {
    "4m": (LlamaConfig, {"num_attention_heads": 3, "num_key_value_heads": 3, **_4M, **_SMALL}),
    "8m": (LlamaConfig, {"num_attention_heads": 4, "num_key_value_heads": 2, **_8M, **_SMALL}),
    "30m": (LlamaConfig, {"num_attention_heads": 8, "num_key_value_heads": 4, **_30M, **_SMALL}),
    "54m": (LlamaConfig, {"num_attention_heads": 10, "num_key_value_heads": 5, **_54M, **_SMALL}),
    "100m": (LlamaConfig, {"num_attention_heads": 12, "num_key_value_heads": 4, **_100M, **_SMALL}),
    # The shapes of Qwen2.5 (0.5B, 1.5B, 3B), Qwen3 (8B, 14B, 32B), Llama-3.2-1B and Llama-3-70B
    "qwen05": (Qwen2Config, {"num_attention_heads": 14, "num_key_value_heads": 2, **_QWEN05}),
    "llama1b": (LlamaConfig, {"num_attention_heads": 32, "num_key_value_heads": 8, **_LLAMA1B}),
    "qwen15": (Qwen2Config, {"num_attention_heads": 12, "num_key_value_heads": 2, **_QWEN15}),
    "qwen3b": (Qwen2Config, {"num_attention_heads": 16, "num_key_value_heads": 2, **_QWEN3B}),
    "qwen8b": (Qwen3Config, {"num_attention_heads": 32, "num_key_value_heads": 8, **_QWEN8B}),
    "qwen14b": (Qwen3Config, {"num_attention_heads": 40, "num_key_value_heads": 8, **_QWEN14B}),
    "qwen32b": (Qwen3Config, {"num_attention_heads": 64, "num_key_value_heads": 8, **_QWEN32B}),
    "llama70b": (LlamaConfig, {"num_attention_heads": 64, "num_key_value_heads": 8, **_LLAMA70B}),
}


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of every benchmark."""
    parser.add_argument("--lengths", default="lie", help="name of a file in benchmarks/lengths, or a path")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--model", default="4m", help=f"{', '.join(MODELS)}, or a path")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", default="float32", choices=list(TOLERANCES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


# ---- Models ----


def build_config(name: str) -> PreTrainedConfig:
    """The configuration of a named size."""
    config_class, sizes = MODELS[name]
    return config_class(**sizes, num_labels=1, pad_token_id=0, bos_token_id=None, eos_token_id=1)


def build_model(name: str, seed: int) -> PreTrainedModel:
    """A reward model of a named size with random weights, or one from a path."""
    set_seed(seed)
    if name in MODELS:
        model = AutoModelForSequenceClassification.from_config(build_config(name), attn_implementation="sdpa")
    else:
        model = AutoModelForSequenceClassification.from_pretrained(
            name, num_labels=1, dtype=torch.float32, attn_implementation="sdpa", pad_token_id=0
        )
    with torch.no_grad():  # the default head gives rewards near 0, whose loss is log 2 whatever the tokens are
        model.score.weight.mul_(20)
    return model


def non_embedding_parameters(model: PreTrainedModel) -> int:
    """Number of weights that take part in matrix products."""
    return model.num_parameters() - model.get_input_embeddings().weight.numel()


# ---- Timing ----


def clock(device: str) -> str:
    """The time that counts: of the process on a CPU, which other load disturbs little; of the wall on a GPU."""
    return "wall" if device.startswith("cuda") else "cpu"


def synchronize(device: str) -> None:
    """Wait for the GPU, if it is one."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def timed(function: Callable[[], Any], device: str) -> dict[str, float]:
    """Seconds of process time and of wall time that a call takes."""
    synchronize(device)
    cpu, wall = time.process_time(), time.perf_counter()
    function()
    synchronize(device)
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def time_interleaved(
    steps: dict[str, list[Callable[[], Any]]], repetitions: int, seed: int, device: str
) -> dict[str, dict[str, list[float]]]:
    """
    Time variants side by side: in every repetition the first step of each, in shuffled order, then the second, …

    Returns:
        `dict`: For every variant the seconds of process time (`"cpu"`) and of wall time (`"wall"`) of its steps in each
        repetition.
    """
    generator = np.random.default_rng(seed)
    seconds = {name: {"cpu": [0.0] * repetitions, "wall": [0.0] * repetitions} for name in steps}
    for repetition in range(repetitions):
        for index in range(max(map(len, steps.values()))):
            for name in generator.permutation(list(steps)).tolist():
                if index < len(steps[name]):
                    for kind, value in timed(steps[name][index], device).items():
                        seconds[name][kind][repetition] += value
    return seconds


def gemm_peak(device: str, dtype: str) -> float:
    """GFLOP per second of a large matrix product, the best of several."""
    size = 8192 if device.startswith("cuda") else 1024
    left, right = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    best = min(timed(lambda: left @ right, device)[clock(device)] for _ in range(8))
    return 2 * size**3 / best / 1e9


# ---- Equality ----


def relative_difference(values: list[Tensor], reference: list[Tensor]) -> float:
    """Norm of the difference of lists of tensors, relative to the norm of the reference."""
    pairs = [(value.double(), wanted.double()) for value, wanted in zip(values, reference, strict=True)]
    difference = sum((value - wanted).square().sum() for value, wanted in pairs)
    return (difference / sum(wanted.square().sum() for _, wanted in pairs)).sqrt().item()


def assert_equal(differences: dict[str, dict[str, float]], dtype: str) -> float:
    """Stop unless packed and shared agree with padded; return the largest of their relative differences."""
    largest = max(value for name in ("packed", "shared") for value in differences[name].values())
    if not largest <= TOLERANCES[dtype]:
        raise AssertionError(f"the variants do not agree, relative differences are {differences}")
    return largest


# ---- Reports ----


def machine(device: str) -> dict[str, Any]:
    """What the figures depend on."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    described = {"cpu": names[0] if names else platform.processor(), "cpus": os.cpu_count()}
    if device.startswith("cuda"):
        described["gpu"] = torch.cuda.get_device_name()
    return described


def versions() -> dict[str, str]:
    """Versions of the packages under comparison."""
    import transformers
    import trl

    modules = {"torch": torch, "transformers": transformers, "trl": trl}
    return {"python": platform.python_version()} | {name: module.__version__ for name, module in modules.items()}


def figures(
    options: argparse.Namespace,
    model: PreTrainedModel,
    seconds: dict[str, dict[str, list[float]]],
    tokens: dict[str, int],
    flops_per_token: int,
    peak: float,
) -> dict[str, Any]:
    """
    The figures of one run, as written to JSON.

    FLOPs are those of the matrix products with weights; attention among tokens is not counted.
    """
    medians = {
        kind: {name: statistics.median(times[kind]) for name, times in seconds.items()} for kind in ("cpu", "wall")
    }
    flops = {name: flops_per_token * count for name, count in tokens.items()}
    speed = {name: flops[name] / medians[clock(options.device)][name] / 1e9 for name in tokens}
    return {
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()},
        "machine": machine(options.device),
        "versions": versions(),
        "non_embedding_parameters": non_embedding_parameters(model),
        "tokens": tokens,
        "token_ratio": ratios(tokens),
        "seconds_cpu": medians["cpu"],
        "seconds_wall": medians["wall"],
        "repetitions": seconds,
        "ratio_cpu": ratios(medians["cpu"]),
        "ratio_wall": ratios(medians["wall"]),
        "flops": flops,
        "gflops_per_second": speed,
        "gemm_peak_gflops_per_second": peak,
        "fraction_of_peak": {name: value / peak for name, value in speed.items()},
    }


def ratios(values: dict[str, float]) -> dict[str, float]:
    """How many times less than `padded`."""
    return {name: values["padded"] / value for name, value in values.items()}


def table(result: dict[str, Any]) -> str:
    """The figures for reading."""
    kind = clock(result["settings"]["device"])
    lines = [
        f"{'':<8}{'tokens':>9}{'token ratio':>13}{'seconds':>9}{'time ratio':>12}{'time/token':>12}{'wall ratio':>12}"
        f"{'GFLOP/s':>9}{'of peak':>9}"
    ]
    for name in result["tokens"]:
        tokens, ratio = result["token_ratio"][name], result[f"ratio_{kind}"][name]
        lines.append(
            f"{name:<8}{result['tokens'][name]:>9}{tokens:>13.2f}{result[f'seconds_{kind}'][name]:>9.2f}{ratio:>12.2f}"
            f"{ratio / tokens:>12.2f}{result['ratio_wall'][name]:>12.2f}{result['gflops_per_second'][name]:>9.0f}"
            f"{result['fraction_of_peak'][name]:>9.0%}"
        )
    before, after = result["load_average"]
    lines.append(
        f"largest relative difference {result['max_relative_difference']:.1e}; load average {before:.1f} to {after:.1f}; "
        f"GEMM peak {result['gemm_peak_gflops_per_second']:.0f} GFLOP/s"
    )
    return "\n".join(lines)


def save(result: dict[str, Any], file: Path | None) -> None:
    """Write the figures, if a file was named."""
    if file is not None:
        file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
