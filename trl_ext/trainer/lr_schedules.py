"""Learning-rate schedules that transformers lacks: step decay by thirds, and a cosine that ends at a tenth."""

import math
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def step_decay(step: int, total: int) -> float:
    """Return 1, 0.1, 0.01 in the first, second and last third of `total` steps."""
    if step < total // 3:
        return 1.0
    return 0.1 if step < 2 * total // 3 else 0.01


def cosine_w_floor(step: int, total: int) -> float:
    """Return a half cosine from 1 at step 0 down to 0.1 at step `total`."""
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(step, total) / max(total, 1)))


LR_SCHEDULES = {"step_decay": step_decay, "cosine_w_floor": cosine_w_floor}


def _factor(step: int, *, schedule: str, warmup: int, total: int) -> float:
    if step < warmup:
        return step / warmup
    return LR_SCHEDULES[schedule](step - warmup, max(total - warmup, 1))


def get_lr_schedule(schedule: str, optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int) -> LambdaLR:
    """
    Build one of the schedules of the RAPL experiments, after a linear warm-up.

    Args:
        schedule (`str`):
            `"step_decay"` or `"cosine_w_floor"`.
        optimizer ([`~torch.optim.Optimizer`]):
            Optimizer whose learning rate is scheduled.
        num_warmup_steps (`int`):
            Optimizer steps of linear warm-up from 0; the schedule proper runs over the steps that remain.
        num_training_steps (`int`):
            Optimizer steps in all.

    Returns:
        [`~torch.optim.lr_scheduler.LambdaLR`]: The scheduler.
    """
    factor = partial(_factor, schedule=schedule, warmup=num_warmup_steps, total=num_training_steps)
    return LambdaLR(optimizer, factor)
