"""One run of `train_true_model.py`: load, train, calibrate, report, save."""

import logging
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import set_seed

from tasks import provenance
from tasks.json_files import write_json
from tasks.rapl.correctness_data import CorrectnessData, load_correctness_data
from tasks.rapl.correctness_report import figures_of, format_figures
from tasks.rapl.correctness_training import complete, open_training_run, train
from tasks.train_config import ConfigError
from tasks.train_run import find_model
from trl_ext.data.bundled import portable_name
from trl_ext.reliability.calibrators import CALIBRATORS, Calibrator, PlattCalibrator
from trl_ext.reliability.correctness import (
    ComparisonFormat,
    Comparisons,
    CorrectnessModel,
    NextTokenScorer,
    ValueHeadScorer,
    few_shot_examples,
)
from trl_ext.reliability.correctness.next_token import NEXT_TOKEN_TEMPLATE
from trl_ext.reliability.correctness.text import DEFAULT_TEMPLATE


logger = logging.getLogger("tasks.train_true_model")


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
    rows = {split: _counts(getattr(data, split)) for split in ("train", "val", "cal")}
    set_seed(config["seed"])
    scorer = _build_scorer(config, path, data.train)
    started = time.perf_counter()
    training_run, history = None, []
    if config["fine_tune"]:
        training_run = open_training_run(config, output, rows["train"]["sha256"])
        history = train(scorer, config, path, data, training_run, sacred_run)
    seconds = time.perf_counter() - started

    calibrator = _calibrator(config)
    model = CorrectnessModel(scorer).calibrate(data.cal, calibrator=calibrator, fitted_on="cal", progress=True)
    figures = figures_of(model, data, config["resamples"], config["seed"])
    model.save(output)
    results = {
        "figures": {name: estimate.to_dict() for name, estimate in figures.items()},
        "calibrator": model.calibrator.to_dict(),
        "rows": rows,
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
    if training_run is not None:
        complete(training_run)
    print(format_figures(figures))
    print(f"saved to {output}; apply it with tasks/rapl/score_reliability.py with model_path={output}")
    return {name: estimate.value for name, estimate in figures.items()}


def _default_output(config: dict[str, Any], data: CorrectnessData) -> str:
    tag = f"-{config['experiment_tag']}" if config["experiment_tag"] else ""
    return f"outputs/true-{data.name}-{config['method']}{tag}"


def _calibrator(config: dict[str, Any]) -> Calibrator:
    if config["calibrator"] == "platt":
        return PlattCalibrator(standardize=config["standardize"])
    return CALIBRATORS[config["calibrator"]]()


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
