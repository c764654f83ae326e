"""One run of `tasks/rapl/train_dpo.py`: load, train, report, save."""

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig

from tasks.json_files import write_json
from tasks.provenance import command, hash_pairs, hash_training_data, model_identity, package_versions, template_hash
from tasks.resume import open_run
from tasks.train_config import ConfigError, check_trainer_fields
from tasks.train_report import mark_pairs, pair_figures
from tasks.train_run import SacredCallback, find_model, set_cpu_threads
from trl_ext.data.demo import load_demo_preferences
from trl_ext.data.loading import load_preferences
from trl_ext.evaluation.statistics import mean_estimate
from trl_ext.trainer import ReliabilityDPOConfig, ReliabilityDPOTrainer
from trl_ext.trainer.saved_paths import hide_saved_paths


SCRIPT = "tasks/rapl/train_dpo.py"

# Keys that are fields of the training arguments
_FIELDS = (
    "max_length",
    "on_below_half",
    "constant_reliability",
    "min_reliability",
    "normalize_beta",
    "learning_rate",
    "num_train_epochs",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "bf16",
    "seed",
    "save_steps",
    "save_total_limit",
)


def load_data(config: dict[str, Any]) -> tuple[str, Dataset, Dataset | None]:
    """A short name, the training pairs, and the pairs of the report if there are any."""
    path, evaluation = config["train_data_path"], None
    if path == "demo":
        splits = load_demo_preferences(seed=config["demo_seed"])
        name, train, evaluation = "demo", splits["train"], splits["test"]
    else:
        name, train = Path(path).stem, load_preferences(path)
    if config["eval_data_path"] is not None:
        evaluation = load_preferences(config["eval_data_path"])
    if config["train_dataset_size"] > 0:
        train = train.shuffle(seed=config["seed"]).select(range(min(config["train_dataset_size"], len(train))))
    return name, train, evaluation


def training_arguments(config: dict[str, Any], data_name: str) -> ReliabilityDPOConfig:
    """Build the training arguments from flat keys and the nested `trainer` dictionary."""
    values = {field: config[field] for field in _FIELDS}
    on_gpu = torch.accelerator.is_available()
    if values["bf16"] is None:
        values["bf16"] = on_gpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    uses_reliability = config["rapl_col_id"] is not None or config["constant_reliability"] is not None
    method = config["rapl_method"] if uses_reliability else "none"
    if config["rapl_col_id"] not in (None, "reliability"):
        values["columns"] = {"reliability": config["rapl_col_id"]}
    values |= {
        "output_dir": config["output_dir"] or f"outputs/dpo-{data_name}-{method}",
        "rapl_method": method,
        "reliability_kind": "probability" if config["is_rapl_score_correctness_prob"] else "raw",
        "beta": config["dpo_beta"],
        "warmup_steps": config["lr_warmup_ratio"],
        "use_cpu": not on_gpu,
        "report_to": "none",
        "save_strategy": "steps",
        "logging_steps": 5,
    }
    check_trainer_fields(config["trainer"], {field.name for field in fields(ReliabilityDPOConfig)})
    return ReliabilityDPOConfig(**(values | config["trainer"]))


def lora_config(config: dict[str, Any]) -> LoraConfig | None:
    if not config["use_peft"]:
        return None
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=config["lora_rank"],
        lora_alpha=config["lora_alpha"],
        target_modules=config["lora_target_modules"] or "all-linear",
    )


def report(trainer: ReliabilityDPOTrainer, pairs: Dataset | None, truth_column: str) -> dict[str, dict]:
    """Accuracy of the implicit rewards to labels and truth, and their mean difference."""
    if pairs is None:
        return {}
    table = mark_pairs(trainer.predict_pairs(pairs).to_pandas(), truth_column)
    clusters = table["question_id"].to_numpy() if "question_id" in table.columns else None
    difference = (table["reward_chosen"] - table["reward_rejected"]).to_numpy(dtype="float64")
    return pair_figures(table) | {"implicit_reward_difference": mean_estimate(difference, clusters).to_dict()}


def save(trainer: ReliabilityDPOTrainer, use_peft: bool) -> None:
    """Save the policy, merged so that it loads without PEFT; as an adapter where its weights are divided."""
    divided = trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled
    if divided:
        trainer.save_model()
    elif trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model)
        model = model.merge_and_unload() if use_peft else model
        model.save_pretrained(trainer.args.output_dir)
        trainer.processing_class.save_pretrained(trainer.args.output_dir)
    if trainer.is_world_process_zero():
        hide_saved_paths(trainer.args.output_dir)


def run(config: dict[str, Any], sacred_run) -> dict[str, float]:
    """
    Train a policy as `tasks/rapl/train_dpo.py` configures it.

    Returns:
        `dict[str, float]`: The figures after training.
    """
    transformers.utils.logging.set_verbosity_warning()
    logging.getLogger("trl_ext").setLevel(logging.INFO)
    set_cpu_threads(config["cpu_threads"])
    try:
        model_path = find_model(config["model_name"])
        data_name, train, evaluation = load_data(config)
        args = training_arguments(config, data_name)
        trainer = ReliabilityDPOTrainer(
            model=model_path,
            args=args,
            train_dataset=train,
            peft_config=lora_config(config),
            callbacks=[SacredCallback(sacred_run)],
        )
    except (ValueError, TypeError, ModuleNotFoundError, FileNotFoundError) as error:
        raise ConfigError(str(error)) from error

    data_sha256 = hash_pairs(train)
    training_run, checkpoint = open_run(trainer, config, hash_training_data(train))
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except KeyboardInterrupt:
        if training_run is not None:
            training_run.interrupted()
        raise
    figures = report(trainer, evaluation, config["correctness_label_col_name"])
    save(trainer, config["use_peft"])
    if trainer.is_world_process_zero():
        results = {
            "figures": figures,
            "weights": trainer.weight_statistics.to_dict(),
            "training": [row for row in trainer.state.log_history if "loss" in row],
            "provenance": {
                "model": model_identity(config["model_name"], model_path, trainer.model),
                "chat_template_sha256": template_hash(trainer.processing_class),
                "command": command(SCRIPT),
                "config": config,
                "versions": package_versions(),
                "dtype": str(next(trainer.model.parameters()).dtype),
                "data_sha256": data_sha256,
            },
        }
        write_json(Path(args.output_dir, "results.json"), results)
        sacred_run.info["figures"] = figures
        for name, figure in figures.items():
            print(f"{name}: {figure['value']:.3f} [{figure['ci_low']:.3f}, {figure['ci_high']:.3f}]")
        print(f"The policy is in {args.output_dir} (figures: {Path(args.output_dir, 'results.json')}).")
    trainer.accelerator.wait_for_everyone()
    if training_run is not None:
        training_run.complete()
    return {name: figure["value"] for name, figure in figures.items()}
