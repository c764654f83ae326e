"""Figures of a run in the Hub's metadata format (`model-index`): those on data that have a name for others."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub import EvalResult

from ..evaluation import BENCHMARKS, Estimate
from .run_files import as_estimate, is_estimate
from .run_folder import RunEvidence


_TASK = {"task_type": "preference_evaluation", "task_name": "preference evaluation"}
_PAIR_FIGURES = ("accuracy_", "oracle_")


def evaluation_results(evidence: RunEvidence) -> list[EvalResult]:
    """
    The figures after training, of benchmarks, and of the calibration.

    A value that is not finite can't be in metadata and is left out; the card's tables show it. So are figures on files of
    the user's own, whose name says nothing to others.

    Args:
        evidence ([`RunEvidence`]): What is known of the run.

    Returns:
        `list[EvalResult]`: for [`~huggingface_hub.ModelCardData`].
    """
    return [*_after_training(evidence), *_benchmarks(evidence), *_calibration(evidence)]


def data_of_figure(evidence: RunEvidence, name: str) -> dict[str, Any]:
    """`name` and `hub_id` of the data that a figure was measured on; empty where the run did not record them."""
    names = ((evidence.results or {}).get("provenance") or {}).get("data_names") or {}
    grid = None if name.startswith(_PAIR_FIGURES) else names.get("grid")
    return grid or names.get("test") or {}


def hub_name(data: dict[str, Any]) -> str | None:
    """By what others know these data: an id on the Hub or a public name; `None` for a file of the user's own."""
    return data.get("hub_id") or (data.get("name") if data.get("public") else None)


def figures_after(evidence: RunEvidence) -> dict[str, Estimate]:
    """Figures after training by their names without `after_`."""
    return {
        name.removeprefix("after_"): figure
        for name, figure in evidence.figures.items()
        if name.startswith("after_") and isinstance(figure, Estimate)
    }


def _after_training(evidence: RunEvidence) -> Iterator[EvalResult]:
    for name, figure in figures_after(evidence).items():
        data = data_of_figure(evidence, name)
        public = hub_name(data)
        if public is not None:
            kind = "accuracy" if name.startswith("accuracy") else name
            yield from _result(figure, public, data["name"], None, kind, name.replace("_", " "))


def _benchmarks(evidence: RunEvidence) -> Iterator[EvalResult]:
    for result in evidence.evaluations:
        benchmark = BENCHMARKS.get(result.benchmark)
        if benchmark is None:
            continue
        named = {} if result.overall is None else {"overall": result.overall}
        for name, figure in (named | result.sections).items():
            yield from _result(figure, benchmark.hub_id or result.benchmark, result.benchmark, name, "accuracy", name)


def _calibration(evidence: RunEvidence) -> Iterator[EvalResult]:
    content = evidence.calibration or {}
    data = content.get("measured_on") or {}
    part = str(data.get("data") or "")
    public = _calibration_data(evidence)
    if public is None:
        return
    for side in ("raw", "calibrated"):
        for key, kind in (("ece", "expected_calibration_error"), ("brier", "brier_score")):
            figure = (content.get(side) or {}).get(key)
            if is_estimate(figure):
                yield from _result(as_estimate(figure), public, public, part, kind, f"{key}, {side}")


def _calibration_data(evidence: RunEvidence) -> str | None:
    """The public name of the data that a calibration was measured on, as its script recorded them."""
    source = (evidence.calibration or {}).get("provenance")
    command, config = ((source or {}).get(key) for key in ("command", "config"))
    if not isinstance(command, list) or not command or not isinstance(config, Mapping):
        return None
    if str(command[0]).endswith("tasks/calibrate.py"):
        return "trl_ext demo" if config.get("data") == "demo" else None
    return hub_name(data_of_figure(evidence, "accuracy_to_labels"))


def _result(
    figure: Estimate, dataset: str, dataset_name: str, config: str | None, kind: str, name: str
) -> Iterator[EvalResult]:
    if not math.isfinite(figure.value):
        return
    numbers = {key: getattr(figure, key) for key in ("se", "ci_low", "ci_high")}
    uncertainty = {key: float(value) for key, value in numbers.items() if math.isfinite(value)}
    yield EvalResult(
        **_TASK,
        dataset_type=dataset,
        dataset_name=dataset_name,
        dataset_config=config,
        metric_type=kind,
        metric_name=name,
        metric_value=float(figure.value),
        metric_args={**uncertainty, "n": int(figure.n), "method": figure.method},
    )
