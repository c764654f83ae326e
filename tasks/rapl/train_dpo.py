#!/usr/bin/env python
"""
Train a policy by DPO on preferences of annotators who are not always reliable.

An extension: the RAPL papers weight reward models only.

    accelerate launch tasks/rapl/train_dpo.py with rapl_method=p
    accelerate launch tasks/rapl/train_dpo.py with train_data_path=PAIRS.csv rapl_col_id=p_correct normalize_beta=True
    python tasks/rapl/train_dpo.py print_config

The same command goes on with a run that was interrupted or killed.

Nothing but Sacred is imported at the top, so that `help` and `print_config` answer at once.
"""

import copy
import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.train_config import check_keys, check_reliability
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("train_dpo", save_git_info=False))


@ex.config
def default():
    model_name = "bundled:smollm2-135m-instruct"  # Hub id, local directory, or the bundled model

    # Data: "demo" is built in; else .csv/.json/.jsonl/.parquet, a save_to_disk directory, or a Hub id
    train_data_path = "demo"
    eval_data_path = None
    demo_seed = 0  # seed of the split and of the simulated annotators of the demo data
    train_dataset_size = 0  # 0: all rows
    correctness_label_col_name = "correct_chosen"  # ground truth, where there is one: used in the report only
    max_length = 1024

    # Reliability
    rapl_col_id = "reliability"
    rapl_method = "beta"  # beta, p, margin; baselines: smoothing, backward, none
    is_rapl_score_correctness_prob = True  # True: the column is P(annotator correct); False: used as it is
    on_below_half = "zero"  # pairs with P(correct) < 1/2: zero, flip or error
    constant_reliability = None  # one value for all pairs instead of the column; "mean": the mean of the column
    min_reliability = None  # drop pairs below this value
    normalize_beta = False  # divide the beta of reliability by its mean over the training pairs

    # Optimisation; any other field of the training arguments goes into `trainer`
    dpo_beta = 0.1  # strength of the penalty that keeps the policy near its reference
    learning_rate = 1e-4
    num_train_epochs = 1
    per_device_train_batch_size = 4
    per_device_eval_batch_size = 16
    gradient_accumulation_steps = 4
    gradient_checkpointing = False
    lr_warmup_ratio = 0.1
    bf16 = None  # None: where the GPU has it
    seed = 42
    cpu_threads = None  # None: all cores for a single process (accelerate launch would leave it one)
    trainer = {}

    # LoRA; the reference is the model without the adapter
    use_peft = True
    lora_rank = 16
    lora_alpha = 32
    lora_target_modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

    # Output and checkpoints
    output_dir = None  # default: outputs/dpo-<data>-<method>
    resume = True  # the same command goes on from the last checkpoint; False: removes it and starts over
    save_steps = 0.1  # steps from one checkpoint to the next; below 1: share of all steps
    save_total_limit = 2  # checkpoints to keep meanwhile
    keep_checkpoints = False  # by default they are removed when the run is complete


@ex.config_hook
def check(config, command_name, logger):
    # A hook runs before any observer has recorded anything: a refused credential leaves no trace
    check_keys(config, _DEFAULTS, "tasks/rapl/train_dpo.py")
    check_reliability(config)
    return {}


_DEFAULTS = dict(ex.configurations[0]())


@ex.main
def main(_config, _run, trainer):  # `trainer` declares that new keys below it are used
    raise_on_sigterm()
    from tasks.rapl.dpo_run import run

    return run(copy.deepcopy(_config), _run)


if __name__ == "__main__":
    run_experiment(ex)
