"""One run of `tasks/charm/evaluate.py`: read and check, score what is not scored yet, compare, write."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from tasks.charm.evaluate_benchmarks import change_table, compare_results
from tasks.charm.evaluate_config import SCORER_KEYS, SCORES, after_models
from tasks.charm.evaluate_data import EvaluationData, read_data
from tasks.charm.evaluate_report import Report, write_report
from tasks.charm.score_config import SCORE_KEYS
from tasks.charm.score_run import make_scorer
from tasks.config_keys import check_folder_name, defaults
from tasks.provenance import command, model_identity, package_versions
from tasks.rewardbench.evaluation import check_model, safe_name
from tasks.train_config import ConfigError
from trl_ext import RewardScorer
from trl_ext.arena import (
    RewardDrift,
    ScoreTable,
    compare_human_pairs,
    compare_mismatch,
    mismatch_table,
    rating_agreement,
    response_features,
    reward_drift,
    score_responses,
)
from trl_ext.arena.calibration.drift import NothingVaries
from trl_ext.data import resolve_model
from trl_ext.evaluation import BenchmarkResult, evaluate_benchmark
from trl_ext.privacy import hide_private
from trl_ext.scoring.processes import on_main_process, process_state


logger = logging.getLogger("tasks.charm.evaluate")


@dataclass(frozen=True)
class Scored:
    """
    All rewards of a reward model.

    Args:
        name (`str`): Name as configured.
        scores ([`~trl_ext.arena.ScoreTable`]): Of the policy models' responses.
        human (`np.ndarray` of shape `(N, 2)` or `None`): Of chosen and rejected of the human pairs.
        benchmarks (`dict[str, BenchmarkResult]`): Results by name.
        identity (`dict[str, Any]`): Which weights.
    """

    name: str
    scores: ScoreTable
    human: np.ndarray | None
    benchmarks: dict[str, BenchmarkResult]
    identity: dict[str, Any]


def run_evaluation(config: Mapping[str, Any], sacred_run: Any) -> dict[str, dict[str, float]]:
    """
    Evaluate calibrated reward models.

    Args:
        config (`Mapping`): Configuration of the script.
        sacred_run (`Run`): Sacred's record.

    Returns:
        `dict[str, dict[str, float]]`: For every calibrated model the changes of the headline figures.

    Raises:
        ConfigError: On a mistake in the configuration or the data.
    """
    transformers.utils.logging.set_verbosity_warning()
    logging.getLogger("trl_ext").setLevel(logging.INFO)
    logger.setLevel(logging.INFO)
    folder = Path(config["output_dir"]).expanduser() / "evaluation"
    found: dict[str, dict[str, float]] = {}
    try:
        labels = model_labels([config["before"], *after_models(config)])
        names = {model: config["name"] or labels[model] for model in after_models(config)}
        for name in names.values():
            check_folder_name(name, "name" if config["name"] else "after", reserved=(SCORES,))
        for model, label in labels.items():
            check_folder_name(label, "before" if model == config["before"] else "after")
            check_model({"model": model})
        data = read_data(config)
        before = score_model(config["before"], labels, data, config, folder / SCORES)
        for model in after_models(config):
            after = score_model(model, labels, data, config, folder / SCORES)
            report = compare(before, after, data, config)
            name = names[model]
            on_main_process(
                lambda name=name, report=report: write_report(folder / name, name, report, config["plots"])
            )
            found[name] = {row["figure"]: row["change"] for row in report.headline()}
            if process_state().is_main_process:
                sacred_run.info[name] = hide_private(found[name])
                print(
                    f"\n{name}\n{report.table().to_string(index=False)}\n\nAll figures: {folder / name / 'results.json'}"
                )
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error
    return found


def model_labels(models: list[str]) -> dict[str, str]:
    """
    Short names for folders: the last parts of paths.

    Raises:
        ValueError: A model is given twice, or two have the same short name.
    """
    labels: dict[str, str] = {}
    for model in models:
        if model in labels:
            raise ValueError(f"model {model!r} is given twice: a calibrated model is compared with the one before")
        label = safe_name(model.rstrip("/").rsplit("/", 1)[-1])
        if label in labels.values():
            other = next(name for name, known in labels.items() if known == label)
            raise ValueError(
                f"models {other!r} and {model!r} would have the same folder {label!r}: rename one of them"
            )
        labels[model] = label
    return labels


def score_model(
    model: str, labels: Mapping[str, str], data: EvaluationData, config: Mapping[str, Any], folder: Path
) -> Scored:
    """Rewards of a model; those that are there are used again, and an interrupted run is continued."""
    place = folder / labels[model]
    logger.info("Scoring with %s", model)
    scorer = scorer_of(model, config, config["encoding"] or "training")
    overwrite = config["overwrite"]
    scores = score_responses(scorer, data.responses, place / "responses", overwrite=overwrite)
    jobs = {name: (benchmark, rows) for name, (benchmark, rows) in data.benchmarks.items()}
    if data.human is not None:
        jobs["human_pairs"] = (data.human.benchmark, data.human.rows)
    results, human = {}, None
    for name, (benchmark, rows) in jobs.items():
        texts = isinstance(rows[0]["prompt"], str)
        scorer = scorer_of(model, config, config["encoding"] or ("training" if texts else "rewardbench"))
        result, rewards = evaluate_benchmark(
            benchmark, scorer, rows, place / name, model=model, name=name, overwrite=overwrite
        )
        if name == "human_pairs":
            human = np.stack(rewards)
        else:
            results[name] = result
    return Scored(model, scores, human, results, model_identity(model, resolve_model(model)))


def scorer_of(model: str, config: Mapping[str, Any], encoding: str) -> RewardScorer:
    """Scorer of a reward model, as score.py makes it."""
    settings = {key: config[key] for key in SCORER_KEYS}
    return make_scorer(defaults(SCORE_KEYS) | settings | {"model": model, "encoding": encoding})


def compare(before: Scored, after: Scored, data: EvaluationData, config: Mapping[str, Any]) -> Report:
    """All figures of a calibrated model beside those before."""
    level, draws, seed = config["level"], config["draws"], config["seed"]
    resampling = {"level": level, "resamples": draws, "seed": seed}
    benchmarks = {
        name: compare_results(before.benchmarks[name], after.benchmarks[name], **resampling)
        for name in data.benchmarks
    }
    human = None
    if data.human is not None:
        clusters = np.array(data.human.rows["cluster"][:], dtype=object)
        human = compare_human_pairs(
            *(before.human, after.human, clusters),
            correct=data.human.correct,
            margin=config["not_worse_than"],
            **resampling,
        )
    uncertain = config["rating_uncertainty"]
    drawing = {"rating_uncertainty": uncertain, "level": level, "bootstrap": draws, "seed": seed}
    try:
        drift: RewardDrift | str = reward_drift(
            before.scores, after.scores, response_features(data.responses), **resampling
        )
    except NothingVaries as error:
        drift = str(error)
        logger.warning("Drift is not measured: %s.", drift)
    tables = {"before": before.scores, "after": after.scores}
    return Report(
        before=before.name,
        after=after.name,
        mismatch=compare_mismatch(
            *(before.scores, after.scores, data.ratings),
            calibrated=data.calibrated,
            ties=config["ties"],
            rating_uncertainty=uncertain,
            **{"level": level, "draws": draws, "seed": seed},
        ),
        mismatch_tables={
            when: mismatch_table(scores, data.ratings, ties=config["ties"], **drawing)
            for when, scores in tables.items()
        },
        agreement={when: rating_agreement(scores, data.ratings, **drawing) for when, scores in tables.items()},
        drift=drift,
        human=human,
        benchmarks=benchmarks,
        benchmark_table={
            name: change_table(before.benchmarks[name], after.benchmarks[name], benchmarks[name])
            for name in data.benchmarks
        },
        data={
            "prompts": len(data.responses),
            "split": config["split"],
            "models": list(data.responses.models),
            "files_sha256": data.files,
        },
        provenance={
            "command": command("tasks/charm/evaluate.py"),
            "config": dict(config),
            "versions": package_versions(),
            "before": before.identity,
            "after": after.identity,
        },
    )
