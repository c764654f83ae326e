#!/usr/bin/env python
"""
Train a reward model on preferences of annotators who are not always reliable.

    accelerate launch tasks/train.py with rapl_method=beta
    accelerate launch tasks/train.py with noise_method=forward annotator_eta_path=eta.json train_data_path=PATH
    accelerate launch tasks/train.py with lie lie_data_dir=PATH rapl_col_id=TRUE_probability_correct rapl_method=p
    python tasks/train.py print_config

Nothing but Sacred is imported at the top, so that `help` and `print_config` answer at once.
"""

import copy
import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.train_config import check_config
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("train_reward_model", save_git_info=False))


@ex.config
def default():
    # Model
    model_name = "bundled:smollm2-135m-instruct"  # Hub id, local directory, or the bundled model
    tokenizer_name = None  # default: model_name
    weight_scale = 0.1  # factor on the initial weights of a fresh reward head

    # Data: "demo" is built in; else .csv/.json/.jsonl/.parquet, a save_to_disk directory, or a Hub id
    train_data_path = "demo"
    eval_data_path = None  # likewise; "demo" for the demo's validation and test pairs
    demo_seed = 0  # seed of the split and of the simulated annotators of the demo data
    train_dataset_size = 0  # 0: all rows
    eval_dataset_size = 0
    lie_data_dir = None  # a clone of the RAPL data: sets train, evaluation and test data of the LIE experiment
    lie_fold = 0
    lie_grouped_folds = False  # True: no question in both train and evaluation
    lie_test_path = None  # default: LIE_dataset_test.csv beside train_data_path
    prompt_col_name = "prompt"
    chosen_col_name = "chosen"
    rejected_col_name = "rejected"
    correctness_label_col_name = "correct_chosen"  # ground truth, where there is one: used in reports only
    oracle_col_name = "oracle_probability"  # true P(chosen is better), where it is known: used in reports only
    max_length = 1024
    max_length_policy = "drop"  # drop, truncate_prompt_left or error
    num_proc = None
    pad_to_multiple_of = None

    # Reliability
    rapl_col_id = "reliability"  # None: standard preference learning
    annotator_col_name = "annotator_id"  # who labelled the pair, for rapl_method=joint
    rapl_method = "beta"  # beta, p, margin; joint: learn the annotators too; baselines: smoothing, backward, none
    is_rapl_score_correctness_prob = True  # True: the column is P(annotator correct); False: used as it is
    on_below_half = "zero"  # pairs with P(correct) < 1/2: zero, flip or error
    constant_reliability = None  # one value for all pairs instead of the column; "mean": the mean of the column
    min_reliability = None  # drop pairs below this value
    normalize_beta = False  # divide beta by its mean over the training pairs

    # Label noise, instead of reliability: set noise_method to train with NoiseAwareRewardTrainer
    # forward, backward, soft_label, label_smoothing, hinge, ties, ordinal, focal, symmetric or none
    noise_method = None
    label_col_name = "label"  # reported P(chosen is better), hard or soft; 1 where there is no such column
    eta_col_name = "eta"  # commitment of the annotator of the pair, for forward and backward
    eta = None  # one value for all training pairs instead of the column
    annotator_eta_path = None  # .json or .csv of annotators and their eta, instead of the column

    # Calibration to win rates, instead of both: set calibration_method to train with CalibrationRewardTrainer on what
    # tasks/charm/calibrate.py writes; its coefficients go into `trainer`, as trainer.anchor_coefficient=0.02
    calibration_method = None  # hard, soft, matching or source_offset
    human_data_path = None  # pairs with human labels to mix in, as train_data_path; "demo": the demo's training pairs

    # Uncertainty: more outputs than one reward
    reward_head = "scalar"  # ensemble: several heads on one backbone; gaussian: a mean and a variance
    num_reward_heads = 8  # of an ensemble
    head_bootstrap = "poisson"  # how heads of an ensemble differ beside their initial values: poisson or none
    bootstrap_column = None  # draw pairs with equal values together, e.g. question_id; default: each pair for itself
    gaussian_anchor_coefficient = 1.0  # weight of the columns anchor_chosen and anchor_rejected; 0: do without them
    anchor_learning_rate = 0.01  # step size of the thresholds between the classes of anchors

    # Optimisation; any other field of the training arguments goes into `trainer`
    learning_rate = 3e-4  # for LoRA; less for all weights
    num_train_epochs = 1
    per_device_train_batch_size = 8
    per_device_eval_batch_size = 16
    # pairs of similar length in a batch: less padding. Not where a calibration composes batches
    group_by_length = True
    gradient_accumulation_steps = 2
    gradient_checkpointing = False
    lr_scheduler_type = "cosine"
    lr_warmup_ratio = 0.1
    weight_decay = 0.0
    optim = "adamw_torch"
    max_grad_norm = 1.0
    center_rewards_coefficient = None
    ema_decay = 0.0
    bf16 = None  # None: where the GPU has it
    eval_strategy = "epoch"
    seed = 42
    data_seed = None  # default: seed
    full_determinism = False
    cpu_threads = None  # None: all cores for a single process (accelerate launch would leave it one)
    trainer = {}

    # LoRA
    use_peft = True
    lora_rank = 16
    lora_alpha = 32
    lora_dropout = 0.0
    lora_target_modules = [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ]  # []: all linear
    lora_last_layers = 10  # adapt only the last layers (fast on a CPU); None: all
    merge_adapter = True  # save a full model, that loads without PEFT

    # Without LoRA: part of the layers
    train_last_layers = None  # train the last layers and the head only; None: the whole model
    frozen_cache_dir = None  # compute the frozen layers once per text and keep the hidden states there, for many runs

    # Checkpoints: the same command continues an interrupted run
    save_steps = 0.1  # optimizer steps from one checkpoint to the next; below 1: as a share of all
    save_total_limit = 2  # checkpoints to keep meanwhile; None: all
    keep_checkpoints = False  # True: also when the run is complete
    resume = True  # False: remove the checkpoints of an interrupted run and start over

    # Output and evaluation
    output_dir = None  # default: outputs/<data>-<method>[-<experiment_tag>]
    experiment_tag = None
    report_to = "none"  # tensorboard, trackio, wandb, mlflow, or a list of them, beside the Sacred record
    eval_on_lie_test = False
    eval_before_training = True
    calibrate = "temperature"  # or platt, isotonic, lapse, None: probabilities, cross-fitted; applied on request only
    verify_round_trip = True  # load what was saved and compare the rewards

    # RATE while training: what an attribute does to the rewards of held-out texts, which rules rewrite
    rate_audit = None  # length, sentiment, helpfulness, complexity, vowel_start, formatting, typos or confidence
    rate_audit_every_n_steps = None  # None: with every evaluation
    rate_audit_rows = 200  # texts at most, half of them with the attribute

    # Sharing
    push_to_hub = False  # when the run is complete; the token comes from HF_TOKEN or `hf auth login`
    hub_model_id = None  # default: the name of the output directory, in your namespace
    hub_private = None  # True or False; None: the Hub's default for a new repository


# Standard preference learning on LIE with the optimisation of the paper: full fine-tuning, 32 pairs a step
LIE = {
    "rapl_col_id": None,
    "is_rapl_score_correctness_prob": False,
    "learning_rate": 1e-5,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 16,
    "lr_warmup_ratio": 0.0,
    "group_by_length": False,
    "use_peft": False,
    "eval_on_lie_test": True,
}
# The same with the calibrated reliability that the TRUE model predicts
LIE_RAPL = LIE | {
    "rapl_col_id": "TRUE_probability_correct",
    "rapl_method": "p",
    "is_rapl_score_correctness_prob": True,
}
ex.add_named_config("demo", {"train_data_path": "demo"})
ex.add_named_config("lie", LIE)
ex.add_named_config("lie_rapl", LIE_RAPL)


@ex.config_hook
def check(config, command_name, logger):
    # A hook runs before any observer has recorded anything: a refused credential leaves no trace
    check_config(config, _DEFAULTS)
    return {}


_DEFAULTS = dict(ex.configurations[0]())


@ex.main
def main(_config, _run, trainer):  # `trainer` declares that new keys below it are used
    raise_on_sigterm()
    from tasks.train_run import run

    # A plain copy: Sacred's containers are read-only, and would be pickled with the training arguments
    return run(copy.deepcopy(_config), _run, _DEFAULTS)


if __name__ == "__main__":
    run_experiment(ex)
