"""The stages of tasks/rate/run_all.py, one after another in this process."""

import functools
from collections.abc import Mapping
from typing import Any

from tasks.rate import create_dataset, effects, plot, score
from tasks.rate.local_server import serve_model
from tasks.rate.run_all_config import STAGES, Plan
from tasks.stages import run_in_order
from tasks.train_once import train_once


def run_stages(config: Mapping[str, Any]) -> dict[str, float]:
    """
    Run all stages up to `stop_after`.

    Args:
        config (`Mapping`): Configuration of run_all.py.

    Returns:
        `dict[str, float]`: Seconds that each stage took in this run.
    """
    plan = Plan(config)
    stages = {name: functools.partial(_RUN[name], plan) for name in STAGES}
    return run_in_order(stages, config["stop_after"], plan.root)


def _reward_models(plan: Plan) -> None:
    for name, folder in plan.trained.items():
        print(f"\n{folder}", flush=True)
        train_once(plan.training(name))


def _rewrite(plan: Plan) -> None:
    for rewriter in plan.rewriters:
        print(f"\n{plan.chains_name(rewriter)}", flush=True)
        if rewriter == "server":
            log = plan.root / plan.chains_name(rewriter) / "server.log"
            with serve_model(plan.config["rewriter_model"], log) as server:
                create_dataset.ex.run(config_updates=plan.creation(rewriter, server))
        else:
            create_dataset.ex.run(config_updates=plan.creation(rewriter))


def _score(plan: Plan) -> None:
    for keys in plan.scorings():
        score.ex.run(config_updates=keys)


_RUN = {
    "reward_models": _reward_models,
    "rewrite": _rewrite,
    "score": _score,
    "effects": lambda plan: effects.ex.run(config_updates=plan.effects()),
    "plot": lambda plan: plot.ex.run(config_updates=plan.plotting()),
}
