#!/usr/bin/env python
"""
Evaluate a language model as a judge on RewardBench, RewardBench 2, or pairs of your own.

    python tasks/rewardbench/run_generative.py --model Qwen/Qwen3-4B-Instruct-2507 --torch_dtype bfloat16
    python tasks/rewardbench/run_generative.py with model=NAME backend=openai base_url=http://localhost:8000/v1
    python tasks/rewardbench/run_generative.py with model=NAME benchmark=rewardbench2 score_w_ratings=True
    python tasks/rewardbench/run_generative.py print_config

Answers are stored as they come, and the same command asks only for what is missing. See docs/judges.md.
"""

import functools
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import make_experiment
from tasks.rewardbench.configs import GENERATIVE_KEYS, check_generative_config
from tasks.rewardbench.experiment import run_command_line


def run(config, sacred_run):
    from tasks.rewardbench.evaluation import MODEL_TYPES, make_benchmark, preference_benchmark, run_evaluation
    from tasks.rewardbench.judges import make_judge

    if config["benchmark"] == "rewardbench2":
        benchmark = make_benchmark("rewardbench2", config)
    else:
        benchmark = preference_benchmark(config)
    return run_evaluation(
        config,
        sacred_run,
        script="tasks/rewardbench/run_generative.py",
        benchmark=benchmark,
        make_scorer=functools.partial(make_judge, benchmark=benchmark.name),
        model_type=MODEL_TYPES["generative"],
    )


ex = make_experiment("rewardbench_run_generative", GENERATIVE_KEYS, check_generative_config, run)

if __name__ == "__main__":
    run_command_line(ex, GENERATIVE_KEYS)
