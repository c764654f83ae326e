"""Run under a launcher: train a few steps and push the model, whose weights are divided among the processes."""

import sys

from tests.processes import leave
from tests.tiny import pairs, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer


def main(output: str, base: str) -> None:
    args = PairwiseRewardConfig(
        output, report_to="none", use_cpu=True, bf16=False, save_strategy="no", disable_tqdm=True, max_steps=2,
        hub_model_id="tester/divided", hub_private_repo=True,
    )  # fmt: skip
    trainer = PairwiseRewardTrainer(base, args, train_dataset=pairs(16), processing_class=tiny_tokenizer())
    trainer.train()
    trainer.push_to_hub()
    leave(trainer.accelerator)


if __name__ == "__main__":
    main(*sys.argv[1:])
