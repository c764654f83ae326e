"""Run under a launcher: evaluate 13 pairs of known oracle probability; the first process writes metrics and rewards."""

import json
import sys
from pathlib import Path

from tests.processes import leave
from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import NoiseAwareRewardConfig, NoiseAwareRewardTrainer


ORACLE = [(3 * i % 13) / 12 for i in range(13)]


def main(output: str) -> None:
    tokenizer = tiny_tokenizer()
    args = NoiseAwareRewardConfig(
        str(Path(output).parent), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False,
        save_strategy="no", per_device_eval_batch_size=4, disable_tqdm=True, eta=0.5,
    )  # fmt: skip
    trainer = NoiseAwareRewardTrainer(
        tiny_reward_model(tokenizer), args, train_dataset=pairs(8), processing_class=tokenizer
    )
    data = pairs(13, oracle_probability=ORACLE)
    metrics = trainer.evaluate(data)
    rewards = trainer.predict(data).predictions
    if trainer.is_world_process_zero():
        Path(output).write_text(json.dumps({"metrics": metrics, "rewards": rewards.tolist()}))
    leave(trainer.accelerator)


if __name__ == "__main__":
    main(*sys.argv[1:])
