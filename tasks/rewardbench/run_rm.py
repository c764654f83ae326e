#!/usr/bin/env python
"""
Evaluate a reward model on RewardBench, the preference test sets, or pairs of your own.

    python tasks/rewardbench/run_rm.py --model Skywork/Skywork-Reward-V2-Qwen3-0.6B --torch_dtype bfloat16
    python tasks/rewardbench/run_rm.py with model=MODEL pref_sets=True
    accelerate launch tasks/rewardbench/run_rm.py with model=MODEL dataset=pairs.jsonl
    python tasks/rewardbench/run_rm.py print_config

See tasks/rewardbench/README.md.
"""

import functools
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import make_experiment
from tasks.rewardbench.configs import RM_KEYS, check_config
from tasks.rewardbench.experiment import run_command_line


def run(config, sacred_run):
    from tasks.rewardbench.evaluation import MODEL_TYPES, make_reward_scorer, preference_benchmark, run_evaluation

    return run_evaluation(
        config,
        sacred_run,
        script="tasks/rewardbench/run_rm.py",
        benchmark=preference_benchmark(config),
        make_scorer=make_reward_scorer,
        model_type=MODEL_TYPES["sequence"],
    )


ex = make_experiment("rewardbench_run_rm", RM_KEYS, functools.partial(check_config, keys=RM_KEYS), run)

if __name__ == "__main__":
    run_command_line(ex, RM_KEYS)
