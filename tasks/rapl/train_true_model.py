#!/usr/bin/env python
"""
Train the TRUE model: P(annotator correct) from the prompt and the two responses, calibrated on rows of its own.

    python tasks/rapl/train_true_model.py
    python tasks/rapl/train_true_model.py with true true_data_dir=CLONE fold=0
    python tasks/rapl/train_true_model.py with next_token true_data_dir=CLONE few_shot=4 fine_tune=False
    python tasks/rapl/train_true_model.py print_config

The same command goes on with a run that was interrupted or killed.

Nothing but Sacred is imported at the top, so that `help` and `print_config` answer at once.
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
from tasks.rapl.correctness_config import check_training
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("train_true_model", save_git_info=False))


@ex.config
def default():
    # Model
    model_name = "bundled:all-minilm-l6-v2"  # Hub id, local directory, or a bundled model; encoder or decoder
    method = "value_head"  # value_head: a classifier; next_token: a language model that is asked
    max_length = 256  # longer comparisons lose the beginning of their prompt
    weight_scale = 1.0  # factor on the initial weights of the fresh head
    template = None  # other text than the default, with {prompt}, {response_a}, {response_b}

    # Data; without any of the paths the built-in demo
    true_data_dir = None  # a clone of the RAPL data: TRUE, split as published
    fold = 0
    train_data_path = None  # a table with prompt, response_a, response_b (or chosen, rejected) and correct
    val_data_path = None  # figures are reported on it
    cal_data_path = None  # the calibrator is fitted on it
    columns = {}  # our name -> name in the table, e.g. columns.correct=is_right
    val_share = 0.2  # without val_data_path and cal_data_path: split off by question
    cal_share = 0.2
    context_columns = []  # numeric columns whose AUC, alone and with the model, is reported beside the model's
    demo_seed = 0

    # Training
    repeated_orders = True  # both orders of the responses; False: one, drawn at random
    selection_share = 0.15  # of the training questions, held out to choose the epoch; 0: keep the last
    patience = None  # stop after so many epochs without a lower loss on them
    fine_tune = True  # False: next_token without training
    few_shot = 0  # solved examples from the training split, for fine_tune=False
    learning_rate = 1e-4
    num_train_epochs = 5
    per_device_train_batch_size = 16
    per_device_eval_batch_size = 32
    gradient_accumulation_steps = 1
    lr_scheduler_type = "linear"
    lr_warmup_ratio = 0.05
    weight_decay = 0.01
    seed = 42
    bf16 = None  # None: where the GPU has it
    cpu_threads = None
    trainer = {}  # any other field of the training arguments

    # Calibration
    calibrator = "platt"  # platt (L2 penalty on the slope), isotonic or temperature
    standardize = (
        True  # Platt on standardised scores; False: on the logits, as the original, flattened if they are small
    )

    # LoRA
    use_peft = False
    lora_rank = 16
    lora_alpha = 32
    lora_dropout = 0.0
    lora_target_modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora_last_layers = None

    # Output
    output_dir = None  # default: outputs/true-<data>-<method>[-<experiment_tag>]
    resume = True  # the same command goes on from the last checkpoint; False: removes it and starts over
    save_steps = 200  # steps from one checkpoint to the next; there is one at the end of every epoch, too
    keep_checkpoints = False  # by default they are removed when the run is complete
    experiment_tag = None
    resamples = 2000  # bootstrap resamples of questions for the intervals of AUC and calibration error


# Splits as published, figures beside those of the annotators' own confidence
ex.add_named_config("true", {"context_columns": ["confidence_scores"]})
# A small language model, adapted in its last layers in one pass
ex.add_named_config(
    "smollm2",
    {
        "model_name": "bundled:smollm2-135m-instruct",
        "use_peft": True,
        "lora_last_layers": 10,
        "learning_rate": 3e-4,
        "num_train_epochs": 1,
        "selection_share": 0.0,
    },
)
ex.add_named_config(
    "next_token", {"model_name": "bundled:smollm2-135m-instruct", "method": "next_token", "learning_rate": 5e-5}
)


@ex.config_hook
def check(config, command_name, logger):
    # A hook runs before any observer has recorded anything: a refused credential leaves no trace
    check_training(config, _DEFAULTS)
    return {}


_DEFAULTS = dict(ex.configurations[0]())


@ex.main
def main(_config, _run, trainer, columns):  # `trainer` and `columns` declare that new keys below them are used
    raise_on_sigterm()
    from tasks.rapl.correctness_run import run

    return run(copy.deepcopy(_config), _run)


if __name__ == "__main__":
    run_experiment(ex)
