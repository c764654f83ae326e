#!/usr/bin/env python
"""
Add a column `reliability`, P(annotator correct) by a TRUE model, to any preference dataset.

    python tasks/rapl/score_reliability.py with model_path=outputs/true-demo-value_head
    python tasks/rapl/score_reliability.py with model_path=MODEL data_path=pairs.jsonl output_path=scored.parquet
    python tasks/rapl/score_reliability.py with model_path=MODEL data_path=OWNER/NAME split=train output_path=scored.csv

An interrupted run continues where it stopped. Nothing but Sacred is imported at the top.
"""

# Sacred reads the local variables of configuration functions; imports follow the path set-up
import copy
import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.rapl.correctness_config import check_scoring
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("score_reliability", save_git_info=False))


@ex.config
def default():
    model_path = "outputs/true-demo-value_head"  # what train_true_model.py saved; a list of them: their mean
    data_path = "demo"  # "demo" is built in; else a file, a save_to_disk directory, or a Hub id
    split = None  # where the data have several
    columns = {}  # our name -> name in the data: prompt, chosen, rejected (or response_a, response_b)
    column = "reliability"  # name of the new column
    output_path = None  # .parquet, .jsonl or .csv; default: outputs/reliability/<data>.parquet
    rows_per_part = 1000  # rows whose probabilities are written before the next are computed
    seed = 0  # of the demo data
    cpu_threads = None


@ex.config_hook
def check(config, command_name, logger):
    check_scoring(config, _DEFAULTS)
    return {}


_DEFAULTS = dict(ex.configurations[0]())


@ex.main
def main(_config, _run, columns):  # `columns` declares that new keys below it are used
    raise_on_sigterm()
    from tasks.rapl.score_run import run

    return run(copy.deepcopy(_config))


if __name__ == "__main__":
    run_experiment(ex)
