"""
What weights, gradients and optimizer states take on every GPU: AdamW, bfloat16, as the trainers of this package do it.

The parameters are counted on models without storage (meta device). Bytes per parameter, P of all and T of the trained
ones, N processes, L of the largest unit that is gathered (a layer or the embeddings):

| | weights | gradients | optimizer | besides |
|---|---|---|---|---|
| DDP | 4 P (2 for a frozen base in bfloat16) | 4 T | 8 T | buckets 4 T if N > 1; bfloat16 copies 2 T |
| ZeRO-1 | 2 P | 2 T | 12 T / N | float32 gradients 4 T / N |
| ZeRO-2 | 2 P | 2 T / N | 12 T / N | float32 gradients 4 T / N |
| ZeRO-3 | 2 P / N | 4 T / N | 12 T / N | a gathered unit 4 L |
| ZeRO-3, offload | | | | a gathered unit 4 L; the rest in the memory of the machine |
| FSDP2 | 4 P / N (2 for a frozen base in bfloat16) | 4 T / N | 8 T / N | two gathered units and one gradient 6 L |

DDP: transformers trains float32 weights under autocast, which keeps the bfloat16 copy of every matrix until the end of
the forward pass; DistributedDataParallel keeps gradients and buckets apart. ZeRO: DeepSpeed's own estimates, with float32
weights in the optimizer; they count the gradients of ZeRO-2 in both precisions, those of ZeRO-3 in one. FSDP2: accelerate
keeps trained weights in float32; the next unit is gathered while one is computed. Not counted: activations, what CUDA and
NCCL take (about 1 to 2 GiB), fragmentation.
"""

from dataclasses import dataclass

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from benchmarks.common import build_config


LORA_RANK = 16


@dataclass(frozen=True)
class Parameters:
    """
    Numbers of parameters.

    Attributes:
        total (`int`): All of them.
        trained (`int`): Those with gradients.
        largest_unit (`int`): Those of the largest decoder layer or of the embeddings, whichever is larger.
    """

    total: int
    trained: int
    largest_unit: int


@dataclass(frozen=True)
class States:
    """Bytes on each GPU, and in the memory of the machine for each GPU."""

    weights: float
    gradients: float
    optimizer: float
    working: float
    host: float = 0.0

    @property
    def gpu(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.working


def empty_model(name: str, lora: bool = False) -> nn.Module:
    """A reward model of a named size without storage, with adapters on all linear layers if `lora`."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(build_config(name))
        if not lora:
            return model
        return get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=LORA_RANK, target_modules="all-linear"))


def count(model: nn.Module) -> Parameters:
    """Count the parameters of a model."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    units = [base.get_input_embeddings(), *base.model.layers]
    return Parameters(
        total=sum(weight.numel() for weight in model.parameters()),
        trained=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        largest_unit=max(sum(weight.numel() for weight in unit.parameters()) for unit in units),
    )


def ddp(p: Parameters, gpus: int) -> States:
    frozen = p.total - p.trained
    buckets = 4 * p.trained if gpus > 1 else 0
    return States(4 * p.trained + 2 * frozen, 4 * p.trained, 8 * p.trained, 2 * p.trained + buckets)


def zero1(p: Parameters, gpus: int) -> States:
    return States(2 * p.total, 2 * p.trained, 12 * p.trained / gpus, 4 * p.trained / gpus)


def zero2(p: Parameters, gpus: int) -> States:
    return States(2 * p.total, 2 * p.trained / gpus, 12 * p.trained / gpus, 4 * p.trained / gpus)


def zero3(p: Parameters, gpus: int) -> States:
    share = p.trained / gpus
    return States(2 * p.total / gpus, 4 * share, 12 * share, 4 * p.largest_unit)


def zero3_offload(p: Parameters, gpus: int) -> States:
    # 1.5: DeepSpeed's allowance for buffers
    return States(0, 0, 0, 4 * p.largest_unit, host=1.5 * (2 * p.total + 16 * p.trained) / gpus)


def fsdp2(p: Parameters, gpus: int) -> States:
    share, frozen = p.trained / gpus, (p.total - p.trained) / gpus
    return States(4 * share + 2 * frozen, 4 * share, 8 * share, 6 * p.largest_unit)


STRATEGIES = {
    "DDP": ddp,
    "ZeRO-1": zero1,
    "ZeRO-2": zero2,
    "ZeRO-3": zero3,
    "ZeRO-3, offload": zero3_offload,
    "FSDP2": fsdp2,
}
