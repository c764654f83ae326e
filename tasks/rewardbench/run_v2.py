#!/usr/bin/env python
"""
Evaluate a reward model on RewardBench 2: best of four, and Ties.

    python tasks/rewardbench/run_v2.py --model Skywork/Skywork-Reward-V2-Qwen3-0.6B --torch_dtype bfloat16
    python tasks/rewardbench/run_v2.py with model=MODEL dataset=reward-bench-2.jsonl ties_variant=0.1.4
    python tasks/rewardbench/run_v2.py print_config

See tasks/rewardbench/README.md.
"""

import functools
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import make_experiment
from tasks.rewardbench.configs import V2_KEYS, check_config
from tasks.rewardbench.experiment import run_command_line


def run(config, sacred_run):
    from tasks.rewardbench.evaluation import MODEL_TYPES, make_benchmark, make_reward_scorer, run_evaluation

    return run_evaluation(
        config,
        sacred_run,
        script="tasks/rewardbench/run_v2.py",
        benchmark=make_benchmark("rewardbench2", config, ties_variant=config["ties_variant"]),
        make_scorer=make_reward_scorer,
        model_type=MODEL_TYPES["sequence"],
        debug_rows=40,
    )


ex = make_experiment("rewardbench_run_v2", V2_KEYS, functools.partial(check_config, keys=V2_KEYS), run)

if __name__ == "__main__":
    run_command_line(ex, V2_KEYS)
