#!/usr/bin/env python
"""
Can your rewriter be trusted? Rewards with a known effect of an attribute are planted, and RATE has to find it.

    python tasks/rate/self_test.py                                # rules, offline, in seconds: PASS
    python tasks/rate/self_test.py with faulty                    # the same with a fault: FAIL
    python tasks/rate/self_test.py with rewriter=openai model=MODEL base_url=http://localhost:8000/v1 api_key_env=
    python tasks/rate/self_test.py print_config

Exit status: 0 PASS, 3 DOUBTFUL, 4 FAIL, 1 on an error. See docs/rewrite_quality.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose modules would hide others of their names
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.experiment import make_experiment, run_experiment
from tasks.rate.self_test_config import NAMED_CONFIGS, SELF_TEST_KEYS, check_self_test_config


EXIT_STATUS = {"PASS": 0, "DOUBTFUL": 3, "FAIL": 4}


def run(config, sacred_run):
    from tasks.rate.self_test_run import run_self_test

    return run_self_test(config, sacred_run)


ex = make_experiment("rate_self_test", SELF_TEST_KEYS, check_self_test_config, run, NAMED_CONFIGS)

if __name__ == "__main__":
    run_experiment(ex)
    result = ex.current_run.result if ex.current_run is not None else None
    sys.exit(EXIT_STATUS[result["verdict"]] if result else 0)
