"""Run under a launcher: train 8 steps, with benchmarks or without; the first process writes what came of it as JSON."""

import json
import os
import sys
from pathlib import Path

from accelerate.utils import gather_object
from datasets import Dataset
from transformers import set_seed

from tests.processes import leave
from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer
from trl_ext.evaluation.benchmarks.preference_benchmark import PreferenceBenchmark
from trl_ext.evaluation.training.callbacks import RewardBenchmarkCallback


# One row: it can't be divided, so that one of two processes has nothing to score
ROWS = {
    "many": {
        "prompt": [f"What is {i} and {i}?" * (1 + i % 3) for i in range(9)],
        "chosen": [f"It is {2 * i}." + " Yes." * (i % 4) for i in range(9)],
        "rejected": [f"It is {2 * i + 1}." + " No." * (i % 5) for i in range(9)],
    },
    "one": {"prompt": ["2 and 2?"], "chosen": ["It is 4."], "rejected": ["It is 5."]},
}


def main(output: str, watched: str) -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_reward_model(tokenizer)  # before the arguments, with which ZeRO-3 would divide it at once
    world = int(os.environ.get("WORLD_SIZE", 1))
    args = PairwiseRewardConfig(
        str(Path(output).parent), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False,
        save_strategy="no", per_device_train_batch_size=8 // world, disable_tqdm=True, learning_rate=0.01,
        num_train_epochs=4, logging_steps=1,
    )  # fmt: skip
    trainer = PairwiseRewardTrainer(model, args, train_dataset=pairs(16), processing_class=tokenizer)
    callback = None
    if json.loads(watched):
        choices = {name: (PreferenceBenchmark(), Dataset.from_dict(rows)) for name, rows in ROWS.items()}
        callback = RewardBenchmarkCallback(trainer, choices, every_n_steps=2, at_start=True)
        trainer.add_callback(callback)
    set_seed(1)
    trainer.train()
    history = trainer.state.log_history
    figures = [{k: v for k, v in row.items() if k.startswith("eval_")} for row in history if "eval_one/overall" in row]
    steps = [row["step"] for row in history if "eval_one/overall" in row]
    margins = [] if callback is None else [float(x) for r in callback.results.values() for x in r.rows["margin"]]
    gathered = gather_object([(figures, steps, margins)])
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.is_world_process_zero():
        found = {
            "losses": [row["loss"] for row in history if "loss" in row],
            "parameters": [x for name in sorted(weights) for x in weights[name].float().flatten().tolist()],
        }
        found |= dict(zip(("figures", "steps", "margins"), map(list, zip(*gathered, strict=True)), strict=True))
        Path(output).write_text(json.dumps(found))
    leave(trainer.accelerator)


if __name__ == "__main__":
    main(*sys.argv[1:])
