"""Pairs of responses of three models with ratings, and a trainer of a tiny model on them."""

import torch
from datasets import Dataset
from transformers import TrainerCallback

from tests.tiny import pairs, tiny_reward_model
from trl_ext import CalibrationRewardConfig, CalibrationRewardTrainer


RATINGS = {"ant": 1200.0, "bee": 1260.0, "cow": 1100.0}
ORDERS = (("ant", "bee"), ("bee", "ant"), ("ant", "cow"), ("cow", "bee"), ("bee", "cow"))
SETTINGS = {
    "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
    "disable_tqdm": True, "learning_rate": 1e-2, "per_device_train_batch_size": 8, "num_train_epochs": 2,
    "logging_steps": 2,
}  # fmt: skip


def model_pairs(count: int = 40, **columns) -> Dataset:
    """Rows that compare models, in both orders."""
    sources = [ORDERS[i % len(ORDERS)] for i in range(count)]
    rows = {"source_chosen": [a for a, _ in sources], "source_rejected": [b for _, b in sources]}
    return pairs(count, **(rows | columns))


def human_pairs(count: int = 12) -> Dataset:
    """Rows with human labels and other texts."""
    rows = pairs(count).to_dict()
    return Dataset.from_dict(rows | {"chosen": [f"{text} Right?" for text in rows["chosen"]]})


def make_calibration(
    path, tokenizer, train=None, *, human=None, ratings=RATINGS, evaluation=None, callbacks=(), **settings
):
    return CalibrationRewardTrainer(
        tiny_reward_model(tokenizer),
        CalibrationRewardConfig(str(path), **(SETTINGS | {"calibration_method": "matching"} | settings)),
        train_dataset=model_pairs() if train is None else train,
        eval_dataset=evaluation,
        human_dataset=human,
        ratings=ratings,
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


class Gradients(TrainerCallback):
    """The gradients of every step, after they were averaged over processes."""

    def __init__(self):
        self.steps: list[torch.Tensor] = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.steps.append(torch.cat([p.grad.detach().flatten().clone() for p in model.parameters()]))
