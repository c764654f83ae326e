"""Run under a launcher: train a few steps; the first process writes the losses and how batches were computed."""

import json
import os
import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType
from peft import LoraConfig
from torch.distributed.tensor import DTensor

from tests.tiny import pairs, tiny_checkpoint, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer


def main(output: str, base: str, settings: str) -> None:
    settings = json.loads(settings)
    lora = settings.pop("lora", False)
    args = PairwiseRewardConfig(
        str(Path(output).parent), report_to="none", use_cpu=True, save_strategy="no", disable_tqdm=True,
        learning_rate=1e-3, max_steps=4, logging_steps=1, train_sampling_strategy="sequential", adam_epsilon=1e-6,
        **({"bf16": False} | settings),
    )  # fmt: skip
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        # accelerate applies FSDP to processes with accelerators only; on CPUs it would run DistributedDataParallel
        assert args.device.type == "cpu"
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    trainer = PairwiseRewardTrainer(
        base,
        args,
        train_dataset=pairs(16, weight=[0.25 * (1 + i % 5) for i in range(16)]),
        processing_class=tiny_tokenizer(),
        peft_config=LoraConfig(task_type="SEQ_CLS", r=4, target_modules="all-linear") if lora else None,
    )
    trainer.train()
    # Before the prediction, after which FSDP2 keeps the last units whole
    divided = all(isinstance(weight, DTensor) or hasattr(weight, "ds_id") for weight in trainer.model.parameters())
    rewards = trainer.predict(pairs(5)).predictions
    if trainer.is_world_process_zero():
        found = {
            "loss": [row["loss"] for row in trainer.state.log_history if "loss" in row],
            "tokens": [row["num_computed_tokens"] for row in trainer.state.log_history if "loss" in row],
            "report": trainer.shared_prefix_report.to_dict(),
            "distributed_type": trainer.accelerator.distributed_type.value,
            "divided": divided,
            "rewards": rewards.tolist(),
        }
        Path(output).write_text(json.dumps(found))
    trainer.accelerator.wait_for_everyone()
    os._exit(0)  # gloo's threads sometimes abort a process that ends in the ordinary way, after all is written


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        tiny_checkpoint(Path(sys.argv[2]))
    else:
        main(*sys.argv[1:])
