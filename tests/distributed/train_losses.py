"""Run under a launcher: train a few steps; the first process writes the losses and how batches were computed."""

import json
import os
import sys
from pathlib import Path

from peft import LoraConfig

from tests.tiny import pairs, tiny_checkpoint, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer


def main(output: str, base: str, settings: str) -> None:
    settings = json.loads(settings)
    lora = settings.pop("lora", False)
    args = PairwiseRewardConfig(
        str(Path(output).parent), report_to="none", use_cpu=True, bf16=False, save_strategy="no", disable_tqdm=True,
        learning_rate=1e-3, max_steps=4, logging_steps=1, train_sampling_strategy="sequential", adam_epsilon=1e-6,
        **settings,
    )  # fmt: skip
    trainer = PairwiseRewardTrainer(
        base,
        args,
        train_dataset=pairs(16, weight=[0.25 * (1 + i % 5) for i in range(16)]),
        processing_class=tiny_tokenizer(),
        peft_config=LoraConfig(task_type="SEQ_CLS", r=4, target_modules="all-linear") if lora else None,
    )
    trainer.train()
    if trainer.is_world_process_zero():
        found = {
            "loss": [row["loss"] for row in trainer.state.log_history if "loss" in row],
            "tokens": [row["num_computed_tokens"] for row in trainer.state.log_history if "loss" in row],
            "report": trainer.shared_prefix_report.to_dict(),
        }
        Path(output).write_text(json.dumps(found))
    trainer.accelerator.wait_for_everyone()
    os._exit(0)  # gloo's threads sometimes abort a process that ends in the ordinary way, after all is written


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        tiny_checkpoint(Path(sys.argv[2]))
    else:
        main(*sys.argv[1:])
