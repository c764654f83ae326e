"""Run under a launcher: the gradients of win-rate matching on ragged batches, with human pairs and without."""

import os
import sys
from pathlib import Path

from accelerate import Accelerator
from safetensors.torch import save_file

from tests.calibration_data import Gradients, human_pairs, make_calibration, model_pairs
from tests.processes import leave
from tests.tiny import tiny_tokenizer


WEIGHT = [0.25 * (1 + i % 5) for i in range(21)]
# 21 pairs fill two batches of 8 and 5 places of a third; with the 8 human pairs there are 29
RUNS = {
    "batch": {},
    "human": {"human": human_pairs(8), "pairs_of_models_per_batch": 2},
    "running": {"win_rate_ema_decay": 0.8, "gradient_accumulation_steps": 2, "human": human_pairs(8)},
    "kl": {"win_rate_divergence": "kl", "anchor_coefficient": 0.0},
}


def gradients(folder: Path, world: int, names: list[str]) -> dict:
    """Gradients of every step of the runs, their losses and logs."""
    found = {}
    for name in names:
        record = Gradients()
        trainer = make_calibration(
            folder, tiny_tokenizer(), model_pairs(21, weight=WEIGHT), callbacks=[record], optim="sgd", learning_rate=1e-4, max_grad_norm=0,
            per_device_train_batch_size=8 // world, logging_steps=1, num_train_epochs=1, **RUNS[name],
        )  # fmt: skip
        trainer.train()
        for step, gradient in enumerate(record.steps):
            found[f"{name}.gradient.{step}"] = gradient
        for key in ("loss", "win_rate_gap", "anchor", "human_loss", "human_accuracy"):
            values = [row[key] for row in trainer.state.log_history if key in row]
            found[f"{name}.{key}"] = gradient.new_tensor(values)
        found[f"{name}.scale"] = gradient.new_tensor([trainer.temperature, trainer.anchor_weight])
        found[f"{name}.running"] = trainer._matching.running.float()
    return found


if __name__ == "__main__":
    output, *names = sys.argv[1:]
    found = gradients(Path(output).parent, int(os.environ["WORLD_SIZE"]), names)
    save_file(found, f"{output}.{os.environ['RANK']}")
    leave(Accelerator())
