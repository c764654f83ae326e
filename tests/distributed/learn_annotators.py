"""Run under a launcher: learn 3 annotators with the reward model on 13 pairs, which no even batch divides."""

import json
import os
import sys
from pathlib import Path

from accelerate.utils import gather_object

from tests.processes import leave
from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext.trainer import AnnotatorAwareRewardConfig, AnnotatorAwareRewardTrainer


def main(output: str) -> None:
    world = int(os.environ.get("WORLD_SIZE", 1))
    tokenizer = tiny_tokenizer()
    args = AnnotatorAwareRewardConfig(
        str(Path(output).parent), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False,
        save_strategy="steps", save_steps=3, per_device_train_batch_size=4 // world, disable_tqdm=True,
        learning_rate=0.05, optim="sgd", num_train_epochs=3, logging_steps=1, eta_update_steps=3,
    )  # fmt: skip
    trainer = AnnotatorAwareRewardTrainer(
        tiny_reward_model(tokenizer),
        args,
        train_dataset=pairs(13, annotator_id=[f"annotator-{i % 3}" for i in range(13)]),
        processing_class=tokenizer,
    )
    trainer.train()
    state = trainer.annotators
    everywhere = gather_object([[state.eta.tolist(), state.latest.tolist()]])
    trainer.save_model()
    if trainer.is_world_process_zero():
        found = {
            "everywhere": everywhere,
            "logs": [row["eta_mean"] for row in trainer.state.log_history if "eta_mean" in row],
            "loss": [row["loss"] for row in trainer.state.log_history if "loss" in row],
            "table": (Path(output).parent / "annotators.csv").is_file(),
        }
        Path(output).write_text(json.dumps(found))
    leave(trainer.accelerator)


if __name__ == "__main__":
    main(*sys.argv[1:])
