"""Run under a launcher: train on 13 weighted pairs, which no even batch divides, predict, and save the model."""

import json
import os
import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType, gather_object
from peft import LoraConfig
from torch.distributed.tensor import DTensor

from tests.processes import leave
from tests.tiny import pairs, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer


def main(output: str, base: str, settings: str) -> None:
    settings = json.loads(settings)
    lora, checkpoint = settings.pop("lora", False), settings.pop("checkpoint", None)
    args = PairwiseRewardConfig(
        str(Path(output).parent), report_to="none", use_cpu=True, disable_tqdm=True,
        num_train_epochs=2, logging_steps=1, adam_epsilon=1e-6,
        **({"bf16": False, "save_strategy": "no", "learning_rate": 1e-3} | settings),
    )  # fmt: skip
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        # accelerate applies FSDP to processes with accelerators only; on CPUs it would run DistributedDataParallel
        assert args.device.type == "cpu"
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    trainer = PairwiseRewardTrainer(
        base,
        args,
        train_dataset=pairs(13, weight=[0.25 * (i % 5) for i in range(13)]),
        eval_dataset=pairs(5),
        processing_class=tiny_tokenizer(),
        peft_config=LoraConfig(task_type="SEQ_CLS", r=4, target_modules="all-linear") if lora else None,
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    # Before the prediction, after which FSDP2 keeps the last units whole
    divided = all(isinstance(weight, DTensor) or hasattr(weight, "ds_id") for weight in trainer.model.parameters())
    rewards = trainer.predict(pairs(5)).predictions
    sums = gather_object([sum(weight.double().sum().item() for weight in trainer.model.parameters())])
    trainer.save_model()
    if trainer.is_world_process_zero():
        found = {
            "logs": [row for row in trainer.state.log_history if "loss" in row],
            "report": trainer.shared_prefix_report.to_dict(),
            "distributed_type": trainer.accelerator.distributed_type.value,
            "divided": divided,
            "rewards": rewards.tolist(),
            "sums": sums,
            "best": trainer.state.best_model_checkpoint,
        }
        Path(output).write_text(json.dumps(found))
    leave(trainer.accelerator)


if __name__ == "__main__":
    main(*sys.argv[1:])
