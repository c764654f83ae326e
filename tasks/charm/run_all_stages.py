"""The stages of tasks/charm/run_all.py, one after another in this process."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.charm import calibrate, evaluate, generate, score
from tasks.charm import train as charm_train
from tasks.charm.demo_ratings import write_demo_ratings
from tasks.charm.run_all_config import STAGES, Plan, is_demo
from tasks.stages import run_in_order
from tasks.train_config import ConfigError
from trl_ext.data.readers import FILE_TYPES


def run_stages(config: Mapping[str, Any]) -> dict[str, float]:
    """
    Run all stages up to `stop_after`.

    Args:
        config (`Mapping`): Configuration of run_all.py.

    Returns:
        `dict[str, float]`: Seconds that each stage took in this run.
    """
    plan = Plan(config)
    _check_inputs(plan)
    stages = {name: functools.partial(_RUN[name], plan) for name in STAGES}
    return run_in_order(stages, config["stop_after"], plan.root)


def _check_inputs(plan: Plan) -> None:
    """Read what later stages need, so that a mistake is not found after hours of generation."""
    from tasks.charm.generate_run import load_policies
    from trl_ext.arena import read_leaderboard

    for key in ("prompts", "human_data", "human_pairs", "rm_bench", "rewardbench"):
        given = plan.config[key]
        if given and Path(given).suffix in FILE_TYPES and not Path(given).expanduser().is_file():
            raise ConfigError(f"{key}={given!r}: there is no such file")
    try:
        names = [policy.name for policy in load_policies(plan.generation())]
        for key in ("overvalued", "reference"):
            if plan.config[key] is not None and plan.config[key] not in names:
                raise ValueError(f"{key}={plan.config[key]!r} is not a policy; there are {', '.join(names)}")
        if plan.config["ratings"] is not None:
            keys = plan.calibration(plan.config["methods"][0])
            shared = {key: keys[key] for key in ("style_control", "category", "snapshot")}
            read_leaderboard(plan.ratings, **shared).index(names)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error


def _reward_model(plan: Plan) -> None:
    if not is_demo(plan.config):
        print(f"{plan.reward_model} is given.")
        return
    from tasks.train_once import train_once

    train_once(plan.reward_model_training())


def _ratings(plan: Plan) -> None:
    if plan.config["ratings"] is None:
        write_demo_ratings(plan.root)
    print(f"Ratings: {plan.ratings}")


def _calibrate(plan: Plan) -> None:
    for method in plan.config["methods"]:
        calibrate.ex.run(config_updates=plan.calibration(method))


def _train(plan: Plan) -> None:
    for method in plan.config["methods"]:
        print(f"\n{Path(plan.training(method)['output_dir'])}", flush=True)
        charm_train.ex.run(config_updates=plan.training(method))


def _evaluate(plan: Plan) -> None:
    for method in plan.config["methods"]:
        evaluate.ex.run(config_updates=plan.evaluation(method))


_RUN = {
    "reward_model": _reward_model,
    "generate": lambda plan: generate.ex.run(config_updates=plan.generation()),
    "ratings": _ratings,
    "score": lambda plan: score.ex.run(config_updates=plan.scoring()),
    "calibrate": _calibrate,
    "train": _train,
    "evaluate": _evaluate,
}
