"""From the configuration of `tasks/train.py` to a trainer class and its arguments."""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import AutoConfig

from tasks.train_config import TRAINER_FIELDS, check_trainer_fields
from tasks.train_data import TrainingData
from trl_ext import (
    AnnotatorAwareRewardConfig,
    AnnotatorAwareRewardTrainer,
    CalibrationRewardConfig,
    CalibrationRewardTrainer,
    NoiseAwareRewardConfig,
    NoiseAwareRewardTrainer,
    PairwiseRewardConfig,
    PairwiseRewardTrainer,
    ReliabilityRewardConfig,
    ReliabilityRewardTrainer,
)


PROJECT = "trl_ext"  # under which trackers list the runs


def method_name(config: dict[str, Any]) -> str:
    """
    What the run is called after: `calibration-<calibration_method>`, `noise-<noise_method>`, or the `rapl_method` that has
    an effect.
    """
    if config["calibration_method"] is not None:
        return f"calibration-{config['calibration_method']}"
    if config["noise_method"] is not None:
        return f"noise-{config['noise_method']}"
    method = config["rapl_method"]
    if method != "joint" and config["rapl_col_id"] is None and config["constant_reliability"] is None:
        return "none"
    return method


def trainer_classes(method: str) -> tuple[type[PairwiseRewardConfig], type[PairwiseRewardTrainer]]:
    """Training arguments and trainer for a [`method_name`]."""
    if method.startswith("calibration-"):
        return CalibrationRewardConfig, CalibrationRewardTrainer
    if method.startswith("noise-"):
        return NoiseAwareRewardConfig, NoiseAwareRewardTrainer
    if method == "joint":
        return AnnotatorAwareRewardConfig, AnnotatorAwareRewardTrainer
    return ReliabilityRewardConfig, ReliabilityRewardTrainer


def training_arguments(config: dict[str, Any], data: TrainingData, method: str) -> PairwiseRewardConfig:
    """Build the training arguments from flat keys and the nested `trainer` dictionary."""
    config_class, _ = trainer_classes(method)
    known = {field.name for field in fields(config_class)}
    values = {
        field: config[key] for key, field in TRAINER_FIELDS.items() if key != "group_by_length" and field in known
    }
    on_gpu = torch.accelerator.is_available()
    if values["bf16"] is None:
        values["bf16"] = on_gpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    if data.evaluation is None:
        values["eval_strategy"] = "no"
    if values["data_seed"] is None:
        values["data_seed"] = values["seed"]
    tag = f"-{config['experiment_tag']}" if config["experiment_tag"] else ""
    values["output_dir"] = config["output_dir"] or f"outputs/{data.name}-{method}{tag}"
    if config["calibration_method"] is not None:
        columns = {"label": config["label_col_name"]}
    elif method == "joint":
        columns = {"annotator_id": config["annotator_col_name"]}
    elif config["noise_method"] is not None:
        columns = {"label": config["label_col_name"], "eta": config["eta_col_name"]}
        if config["annotator_eta_path"] is not None:
            columns["annotator_id"] = config["annotator_col_name"]
    else:
        values["rapl_method"] = method
        values["reliability_kind"] = "probability" if config["is_rapl_score_correctness_prob"] else "raw"
        columns = {} if config["rapl_col_id"] is None else {"reliability": config["rapl_col_id"]}
    if renamed := {ours: theirs for ours, theirs in columns.items() if ours != theirs}:
        values["columns"] = renamed
    values |= {"use_cpu": not on_gpu, "logging_steps": 5}
    if config["group_by_length"]:
        values["train_sampling_strategy"] = "group_by_length"
    if config["frozen_cache_dir"] is not None:
        values["shared_prefix"] = False  # hidden states are kept by sequence
    values |= {"run_name": Path(values["output_dir"]).name, "project": PROJECT}
    check_trainer_fields(config["trainer"], known)
    args = config_class(**(values | config["trainer"]))
    for variable, value in tracker_environment(args.project).items():
        os.environ.setdefault(variable, value)
    return args


def tracker_environment(project: str) -> dict[str, str]:
    """Settings of trackers that the training arguments can't make. What the user has set in the environment holds."""
    return {
        "WANDB_PROJECT": project,
        "MLFLOW_EXPERIMENT_NAME": project,
        # The command line and the console have paths in them. Sacred records both without the home directory.
        "WANDB_CONSOLE": "off",
        "WANDB__DISABLE_META": "true",
    }


def lora_config(config: dict[str, Any], model_path: str) -> LoraConfig | None:
    """LoRA on `lora_target_modules` (all linear layers if empty), of the last layers only if `lora_last_layers` is set."""
    if not config["use_peft"]:
        return None
    layers = None
    if config["lora_last_layers"] is not None:
        count = AutoConfig.from_pretrained(model_path).get_text_config().num_hidden_layers
        layers = list(range(max(count - config["lora_last_layers"], 0), count))
    return LoraConfig(
        task_type="SEQ_CLS",
        r=config["lora_rank"],
        lora_alpha=config["lora_alpha"],
        lora_dropout=config["lora_dropout"],
        target_modules=config["lora_target_modules"] or "all-linear",
        layers_to_transform=layers,
    )
