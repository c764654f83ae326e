#!/usr/bin/env python
"""
Generate the responses of policy models to prompts, one file per model.

    python tasks/charm/generate.py with demo
    python tasks/charm/generate.py with prompts=prompts.jsonl policies=policies.yaml
    python tasks/charm/generate.py with prompts=prompts.jsonl model=Qwen/Qwen3-0.6B temperature=0.7
    python tasks/charm/generate.py print_config

See docs/responses.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose evaluate.py would hide the package of that name
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.charm.generate_config import GENERATE_KEYS, NAMED_CONFIGS, check_generate_config
from tasks.experiment import make_experiment, run_experiment


def run(config, sacred_run):
    from tasks.charm.generate_run import run_generation

    return run_generation(config, sacred_run)


ex = make_experiment("charm_generate", GENERATE_KEYS, check_generate_config, run, NAMED_CONFIGS)

if __name__ == "__main__":
    run_experiment(ex)
