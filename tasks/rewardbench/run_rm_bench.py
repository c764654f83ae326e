#!/usr/bin/env python
"""
Evaluate a reward model on RM-Bench: right answers against wrong ones, in three styles each.

    python tasks/rewardbench/run_rm_bench.py --model Skywork/Skywork-Reward-V2-Qwen3-0.6B --dataset RM-Bench/data
    accelerate launch tasks/rewardbench/run_rm_bench.py with model=MODEL dataset=RM-Bench/data/chat_filtered.json
    python tasks/rewardbench/run_rm_bench.py print_config

See tasks/rewardbench/README.md.
"""

import functools
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import make_experiment
from tasks.rewardbench.configs import RM_BENCH_KEYS, check_config
from tasks.rewardbench.experiment import run_command_line


def run(config, sacred_run):
    from tasks.rewardbench.evaluation import MODEL_TYPES, make_benchmark, make_reward_scorer, run_evaluation

    return run_evaluation(
        config,
        sacred_run,
        script="tasks/rewardbench/run_rm_bench.py",
        benchmark=make_benchmark("rm_bench", config),
        make_scorer=make_reward_scorer,
        model_type=MODEL_TYPES["sequence"],
    )


ex = make_experiment(
    "rewardbench_run_rm_bench", RM_BENCH_KEYS, functools.partial(check_config, keys=RM_BENCH_KEYS), run
)

if __name__ == "__main__":
    run_command_line(ex, RM_BENCH_KEYS)
