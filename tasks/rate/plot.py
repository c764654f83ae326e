#!/usr/bin/env python
"""
Draw what the other scripts of tasks/rate found: effects, contrasts, rewards, drift, power, sweeps, audits, examples.

    python tasks/rate/plot.py                                               # of outputs/rate
    python tasks/rate/plot.py with output_dir=outputs/rate estimand=ATT
    python tasks/rate/plot.py with audits=standard/audit.jsonl,reliability/audit.jsonl
    python tasks/rate/plot.py print_config

See docs/rate_figures.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose modules would hide others of their names
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.experiment import make_experiment, run_experiment
from tasks.rate.plot_config import PLOT_KEYS, check_plot_config


def run(config, sacred_run):
    from tasks.rate.plot_run import run_plots

    return run_plots(config, sacred_run)


ex = make_experiment("rate_plot", PLOT_KEYS, check_plot_config, run)

if __name__ == "__main__":
    run_experiment(ex)
