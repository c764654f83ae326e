#!/usr/bin/env python
# Sacred reads the local variables of configuration functions; imports follow the path set-up
"""
Ask a language model how hard each preference pair is to label, and make a reliability column of it.

    python tasks/rapl/llm_arms.py
    python tasks/rapl/llm_arms.py with data_path=pairs.jsonl backend=openai model=NAME base_url=http://localhost:8000/v1 dry_run=True
    python tasks/rapl/llm_arms.py with lie_data_dir=CLONE published_scores=all correctness_col_name=correct_chosen

The same command continues an interrupted run; no answer is asked for twice. See docs/llm_arms.md.
"""

import copy
import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.rapl.llm_arms_config import check_config
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("llm_arms", save_git_info=False))


@ex.config
def default():
    # Data: "demo" is built in; else .csv/.json/.jsonl/.parquet, a save_to_disk directory, or a Hub id
    data_path = "demo"
    demo_split = "validation"
    demo_seed = 0
    lie_data_dir = None  # a clone of the RAPL data, instead of data_path: all 1000 pairs
    prompt_col_name = "prompt"  # a column that is not there: no prompt
    chosen_col_name = "chosen"
    rejected_col_name = "rejected"
    id_col_name = "id"
    max_rows = None  # the first so many; None: all, but 4 of the demo data
    published_scores = None  # "all", or a list of score files of the clone: take these and ask nobody

    # Model
    backend = "local"  # local (transformers) or openai (any OpenAI-compatible server)
    model = "bundled:smollm2-135m-instruct"  # Hub id, local directory or the bundled model; or the name at the server
    base_url = None  # address of the server; None: that of the openai package
    api_key_env = "OPENAI_API_KEY"  # environment variable with the key; None: a server without keys
    concurrency = 8  # requests under way at once
    timeout = 600.0  # seconds for an answer
    max_retries = 6  # of a request, after transient errors
    max_tokens_field = "max_tokens"  # or max_completion_tokens
    batch_size = 4  # of a local model
    dtype = "auto"  # of a local model

    # Question and answer
    answer_style = (
        None  # form (local: fills in scores only), scores, or reasoning; None: form if local, else reasoning
    )
    order = "random"  # which response is shown first: random, or both (twice the requests; averaged)
    repetitions = 1  # answers to each question, averaged
    temperature = 0.0  # None: not sent
    top_p = None
    max_tokens = 1024  # longest answer; None: not sent
    sampling_seed = 0  # of sampling and of the random order; None: no seed is sent
    request_fields = {}  # further fields of the request, e.g. {'reasoning_effort': 'low'}
    parse_attempts = 3  # answers to ask for until one can be read
    max_failures = None  # stop when more questions than this have failed
    max_consecutive_errors = 10  # stop when so many in a row got no answer at all

    # Cost
    dry_run = False  # count requests and tokens, and send nothing
    prompt_price = None  # per million tokens
    completion_price = None

    # Reliability: P(correct) from the scores, by a logistic regression on rows whose correctness is known
    correctness_col_name = None  # 1: the better response is the chosen one; 0; or missing: not known
    criteria = ["overall_difficulty"]
    calibration_fraction = 0.5  # share of the rows with known correctness that it is fitted on
    calibration_seed = 0
    group_col_name = None  # groups (questions) stay on one side; default: question_id, where there is such a column
    calibration_split_col_name = None  # instead of a random share: a column ...
    calibration_split = None  # ... and its value in the rows to fit on
    on_missing = "error"  # rows without a score: error, or drop (from preferences.jsonl)

    output_dir = None  # default: outputs/llm-arms-<data>-<model>


@ex.config_hook
def check(config, command_name, logger):
    # A hook runs before any observer has recorded anything: a refused credential leaves no trace
    check_config(config, _DEFAULTS)
    return {}


_DEFAULTS = dict(ex.configurations[0]())


@ex.main
def main(_config, _run, request_fields):  # `request_fields` declares that new keys below it are used
    raise_on_sigterm()
    from tasks.rapl.llm_arms_run import run

    return run(copy.deepcopy(_config))


if __name__ == "__main__":
    run_experiment(ex)
