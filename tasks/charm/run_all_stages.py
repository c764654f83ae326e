"""The stages of tasks/charm/run_all.py, one after another in this process."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.charm import calibrate, evaluate, generate, score
from tasks.charm import train as charm_train
from tasks.charm.demo_ratings import write_demo_ratings
from tasks.charm.run_all_config import STAGES, Plan, is_demo
from tasks.json_files import write_json


def run_stages(config: Mapping[str, Any]) -> dict[str, float]:
    """
    Run all stages up to `stop_after`.

    Args:
        config (`Mapping`): Configuration of run_all.py.

    Returns:
        `dict[str, float]`: Seconds that each stage took in this run.
    """
    plan = Plan(config)
    seconds: dict[str, float] = {}
    for number, stage in enumerate(STAGES[: STAGES.index(config["stop_after"]) + 1], start=1):
        print(f"\n[{number}/{len(STAGES)}] {stage}", flush=True)
        start = time.monotonic()
        _RUN[stage](plan)
        seconds[stage] = round(time.monotonic() - start, 1)
    write_json(plan.root / "stages.json", {"seconds": seconds})
    print("\n" + "  ".join(f"{stage} {taken:.0f} s" for stage, taken in seconds.items()))
    return seconds


def _reward_model(plan: Plan) -> None:
    if not is_demo(plan.config):
        print(f"{plan.reward_model} is given.")
        return
    from tasks.charm.train_run import train_once

    train_once(plan.reward_model_training())


def _ratings(plan: Plan) -> None:
    if plan.config["ratings"] is None:
        write_demo_ratings(plan.root, plan.config["seed"])
    print(f"Ratings: {plan.ratings}")


def _calibrate(plan: Plan) -> None:
    for method in plan.config["methods"]:
        calibrate.ex.run(config_updates=plan.calibration(method))


def _train(plan: Plan) -> None:
    for method in plan.config["methods"]:
        print(f"\n{Path(plan.training(method)['output_dir'])}", flush=True)
        charm_train.ex.run(config_updates=plan.training(method))


_RUN = {
    "reward_model": _reward_model,
    "generate": lambda plan: generate.ex.run(config_updates=plan.generation()),
    "ratings": _ratings,
    "score": lambda plan: score.ex.run(config_updates=plan.scoring()),
    "calibrate": _calibrate,
    "train": _train,
    "evaluate": lambda plan: evaluate.ex.run(config_updates=plan.evaluation()),
}
