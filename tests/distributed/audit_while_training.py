"""Run under a launcher: train 4 steps, with an audit or without; the first process writes what came of it as JSON."""

import json
import os
import sys
from pathlib import Path

from accelerate.utils import gather_object
from transformers import set_seed

from tests.processes import leave
from tests.rate.chains import word_chains
from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer
from trl_ext.rate import RateAuditCallback


def main(output: str, watched: str) -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_reward_model(tokenizer)  # before the arguments, with which ZeRO-3 would divide it at once
    world = int(os.environ.get("WORLD_SIZE", 1))
    args = PairwiseRewardConfig(
        str(Path(output).parent), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False,
        save_strategy="no", per_device_train_batch_size=8 // world, disable_tqdm=True, learning_rate=0.01,
        max_steps=4, logging_steps=1,
    )  # fmt: skip
    trainer = PairwiseRewardTrainer(model, args, train_dataset=pairs(16), processing_class=tokenizer)
    path = Path(output).with_suffix(".jsonl")
    callback = None
    if json.loads(watched):
        callback = RateAuditCallback(trainer, word_chains(9), every_n_steps=2, at_start=True, bootstrap=50, path=path)
        trainer.add_callback(callback)
    set_seed(1)
    trainer.train()
    history = trainer.state.log_history
    figures = [{k: v for k, v in row.items() if k.startswith("eval_rate/")} for row in history]
    rewards = [] if callback is None else callback.rewards["indeed"].rewards.tolist()
    steps = [] if callback is None else list(callback.effects)
    gathered = gather_object([(figures, steps, rewards)])
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.is_world_process_zero():
        found = {
            "losses": [row["loss"] for row in history if "loss" in row],
            "parameters": [x for name in sorted(weights) for x in weights[name].float().flatten().tolist()],
            "lines": [json.loads(line)["step"] for line in path.read_text().splitlines()] if callback else [],
        }
        found |= dict(zip(("figures", "steps", "rewards"), map(list, zip(*gathered, strict=True)), strict=True))
        Path(output).write_text(json.dumps(found))
    leave(trainer.accelerator)


if __name__ == "__main__":
    main(*sys.argv[1:])
