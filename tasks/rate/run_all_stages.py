"""The stages of tasks/rate/run_all.py, one after another in this process."""

import time
from collections.abc import Mapping
from typing import Any

from tasks.charm.train_run import train_once
from tasks.json_files import write_json
from tasks.rate import create_dataset, effects, plot, score
from tasks.rate.local_server import serve_model
from tasks.rate.run_all_config import STAGES, Plan


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
