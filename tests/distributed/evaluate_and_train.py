"""Run under a launcher: evaluate 13 pairs and train on 16; the first process writes what it found as JSON."""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate.utils import gather_object

from tests.processes import leave
from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer


OUTPUTS = {"scalar": 1, "ensemble": 8, "gaussian": 2}


def main(output: str, settings: str) -> None:
    tokenizer = tiny_tokenizer()
    world = int(os.environ.get("WORLD_SIZE", 1))
    args = PairwiseRewardConfig(
        str(Path(output).parent), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False,
        save_strategy="no", per_device_eval_batch_size=4, per_device_train_batch_size=8 // world, disable_tqdm=True,
        learning_rate=0.05, optim="sgd", num_train_epochs=2, logging_steps=1,
        **json.loads(settings),
    )  # fmt: skip
    trainer = PairwiseRewardTrainer(
        tiny_reward_model(tokenizer, num_labels=OUTPUTS[args.reward_head]),
        args,
        train_dataset=pairs(
            16,
            weight=[0.25 * (i % 5) for i in range(16)],
            anchor_chosen=[2 if i % 3 else None for i in range(16)],
            anchor_rejected=[None if i % 4 else i % 3 for i in range(16)],
        ),
        processing_class=tokenizer,
    )
    prediction = trainer.predict(pairs(13))
    metrics = trainer.evaluate(pairs(13))
    trainer.train()
    batches = gather_object([[batch["weight"].tolist() for batch in trainer.get_train_dataloader()]])
    if trainer.is_world_process_zero():
        found = {
            "predictions": prediction.predictions.tolist(),
            "accuracy": metrics["eval_accuracy"],
            "loss": metrics["eval_loss"],
            "train_accuracy": [row["accuracy"] for row in trainer.state.log_history if "accuracy" in row],
            "train_loss": [row["loss"] for row in trainer.state.log_history if "loss" in row],
            "batches": batches,
            "difference_sd": metrics.get("eval_mean_difference_sd"),
            "thresholds": (trainer.reward_head.entry() or {}).get("anchor_thresholds"),
            "parameters": torch.cat([p.detach().flatten() for p in trainer.model.parameters()]).tolist(),
        }
        Path(output).write_text(json.dumps(found))
    leave(trainer.accelerator)


if __name__ == "__main__":
    main(*sys.argv[1:])
