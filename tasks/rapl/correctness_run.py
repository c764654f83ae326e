"""One run of `train_true_model.py`: load, train, calibrate, report, save."""

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import TrainingArguments, set_seed
from trl import SFTConfig

from tasks import provenance
from tasks.json_files import write_json
from tasks.rapl.correctness_data import CorrectnessData, load_correctness_data
from tasks.rapl.correctness_report import figures_of, format_figures
from tasks.train_arguments import lora_config
from tasks.train_config import ConfigError, check_trainer_fields
from tasks.train_run import SacredCallback, find_model
from trl_ext.data.bundled import portable_name
from trl_ext.reliability.calibrators import CALIBRATORS
from trl_ext.reliability.correctness import (
    ComparisonFormat,
    Comparisons,
    CorrectnessModel,
    NextTokenScorer,
    ValueHeadScorer,
    few_shot_examples,
    train_next_token,
    train_value_head,
)
from trl_ext.reliability.correctness.next_token import NEXT_TOKEN_TEMPLATE
from trl_ext.reliability.correctness.text import DEFAULT_TEMPLATE


logger = logging.getLogger("tasks.train_true_model")

_FIELDS = (
    *("learning_rate", "num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size"),
    *("gradient_accumulation_steps", "lr_scheduler_type", "weight_decay", "seed"),
)


def run(config: dict[str, Any], sacred_run) -> dict[str, float]:
    """Train and report as configured; return the figures that Sacred records as the result."""
    if config["cpu_threads"] is not None:
        torch.set_num_threads(config["cpu_threads"])
    try:
        data = load_correctness_data(config)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
    path = find_model(config["model_name"])
    output = Path(config["output_dir"] or _default_output(config, data))
    set_seed(config["seed"])
    scorer = _build_scorer(config, path, data.train)
    started = time.perf_counter()
    history = _train(scorer, config, path, data, output, sacred_run) if config["fine_tune"] else []
    seconds = time.perf_counter() - started

    calibrator = CALIBRATORS[config["calibrator"]]()
    model = CorrectnessModel(scorer).calibrate(data.cal, calibrator=calibrator, fitted_on="cal", progress=True)
    figures = figures_of(model, data, config["resamples"], config["seed"])
    model.save(output)
    results = {
        "figures": {name: estimate.to_dict() for name, estimate in figures.items()},
        "calibrator": model.calibrator.to_dict(),
        "rows": {split: _counts(getattr(data, split)) for split in ("train", "val", "cal")},
        "training": {"seconds": seconds, "history": history},
        "provenance": {
            "command": provenance.command("tasks/rapl/train_true_model.py"),
            "versions": provenance.package_versions(),
            "model": provenance.model_identity(portable_name(config["model_name"]), path, scorer.model),
            "config": config,
            "sources": data.sources,
        },
    }
    write_json(output / "results.json", results)
    print(format_figures(figures))
    print(f"saved to {output}; apply it with tasks/rapl/score_reliability.py with model_path={output}")
    return {name: estimate.value for name, estimate in figures.items()}


def _default_output(config: dict[str, Any], data: CorrectnessData) -> str:
    tag = f"-{config['experiment_tag']}" if config["experiment_tag"] else ""
    return f"outputs/true-{data.name}-{config['method']}{tag}"


def _build_scorer(config: dict[str, Any], path: str, train: Comparisons) -> ValueHeadScorer | NextTokenScorer:
    try:
        if config["method"] == "value_head":
            return ValueHeadScorer.from_pretrained(
                path,
                ComparisonFormat(config["template"] or DEFAULT_TEMPLATE),
                config["max_length"],
                weight_scale=config["weight_scale"],
            )
        template = config["template"] or NEXT_TOKEN_TEMPLATE
        examples = few_shot_examples(train, config["few_shot"], config["seed"], template) if config["few_shot"] else ""
        return NextTokenScorer.from_pretrained(path, ComparisonFormat(template, examples), config["max_length"])
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _train(scorer, config: dict[str, Any], path: str, data: CorrectnessData, output: Path, sacred_run) -> list[dict]:
    train, selection = data.train, None
    if config["selection_share"]:
        train, selection = train.split_by_question(config["selection_share"], config["seed"])
    is_head = config["method"] == "value_head"
    args = _training_arguments(config, TrainingArguments if is_head else SFTConfig, output, selection is not None)
    peft_config = lora_config(config, path)
    if peft_config is not None and not is_head:
        peft_config.task_type = "CAUSAL_LM"
    options = {
        "selection": selection,
        "repeated_orders": config["repeated_orders"],
        "peft_config": peft_config,
        "callbacks": [SacredCallback(sacred_run)],
    }
    if is_head:
        trainer = train_value_head(scorer, train, args, patience=config["patience"], **options)
    else:
        trainer = train_next_token(scorer, train, args, patience=config["patience"], **options)
    return trainer.state.log_history


def _training_arguments(config: dict[str, Any], cls, output: Path, selects: bool):
    values = {name: config[name] for name in _FIELDS}
    on_gpu = torch.accelerator.is_available()
    if config["bf16"] is None:
        values["bf16"] = on_gpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    else:
        values["bf16"] = config["bf16"]
    values |= {"output_dir": str(output / "checkpoints"), "use_cpu": not on_gpu, "report_to": "none"}
    values |= {"warmup_steps": config["lr_warmup_ratio"], "logging_steps": 10, "save_strategy": "no"}
    values["train_sampling_strategy"] = "group_by_length"
    if selects:  # the epoch with the lowest loss on the rows held out for it is kept
        values |= {"eval_strategy": "epoch", "save_strategy": "epoch", "save_total_limit": 1, "save_only_model": True}
        values |= {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": False}
    check_trainer_fields(config["trainer"], {field.name for field in dataclasses.fields(cls)})
    return cls(**(values | config["trainer"]))


def _counts(comparisons: Comparisons) -> dict[str, Any]:
    frame = pd.DataFrame(
        {
            "prompt": comparisons.prompt,
            "a": comparisons.response_a,
            "b": comparisons.response_b,
            "y": comparisons.labels,
        }
    )
    return {
        "comparisons": len(comparisons),
        "questions": len(set(comparisons.clusters)),
        "share_correct": float(comparisons.labels.mean()),
        "sha256": provenance.hash_rows(frame, list(frame.columns)),
    }
