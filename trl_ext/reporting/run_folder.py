"""Everything that is known of a run: what training, calibration, audits and evaluations have written into its folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..evaluation import Estimate, ModelResult, collect_results
from .run_checks import (
    check_calibration,
    check_calibration_history,
    check_health,
    check_log,
    check_mislabels,
    check_monitoring,
    check_numbers,
    check_results,
)
from .run_files import DamagedEvidence, as_estimate, is_estimate, read_csv, read_list, read_object


# Part of the evidence -> the command that writes it where it is read; RUN stands for the folder of the run
COMMANDS = {
    "results": "trl-ext train output_dir=RUN",
    "log_history": "trl-ext train output_dir=RUN",
    "data_health": "trl-ext train output_dir=RUN",
    "calibration": "trl-ext calibrate model=RUN data=demo method=temperature",
    "calibration_history": "trl-ext train output_dir=RUN calibrate=temperature",
    "mislabels": "trl-ext audit labels train_data_path=demo output_dir=RUN",
    "evaluations": "trl-ext evaluate model=RUN dataset=demo output_dir=RUN/evaluation",
    "probes": "trl-ext evaluate lie model=RUN data=CLONE output_dir=RUN/evaluation/lie",
    "rate": "trl-ext audit attribute model=RUN attribute=length output_dir=RUN/rate",
    "mismatch": "trl-ext audit models model=RUN responses=RESPONSES ratings=RATINGS.csv output_dir=RUN/mismatch",
    "monitoring": "trl-ext monitor labels_path=LABELS output_dir=RUN/monitoring",
}


@dataclass(frozen=True)
class MislabelEvidence:
    """
    What the mislabel finder found.

    Args:
        summary (`dict[str, Any]`): Figures, settings and provenance.
        pairs (`pandas.DataFrame`): Pairs, the most suspicious first.
        annotators (`pandas.DataFrame` or `None`): A row per annotator.
    """

    summary: dict[str, Any]
    pairs: pd.DataFrame
    annotators: pd.DataFrame | None


@dataclass(frozen=True)
class RateEvidence:
    """
    Effects of attributes on rewards, of [`~trl_ext.rate.RateReport`].

    Args:
        effects (`pandas.DataFrame`): Effects with intervals.
        sentences (`tuple[str, ...]`): The effects in words.
        notes (`tuple[str, ...]`): What a reader must know.
        settings (`dict[str, Any]`): Level, correction and so on.
        provenance (`dict[str, Any]`): Command, versions, hashes.
    """

    effects: pd.DataFrame
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    settings: dict[str, Any]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class MismatchEvidence:
    """
    Mismatch degrees of a reward model with published ratings.

    Args:
        name (`str`): Of the comparison.
        tables (`dict[str, pandas.DataFrame]`): Of [`~trl_ext.arena.mismatch_table`]: `before`, `after`, or `now`.
        headline (`list[dict]`): Figures before and after with the change and its interval; empty of a single table.
        provenance (`dict[str, Any]`): Command, versions, hashes.
    """

    name: str
    tables: dict[str, pd.DataFrame]
    headline: list[dict[str, Any]]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class MonitoringEvidence:
    """
    How good annotators are, of [`~trl_ext.annotators.MonitoringReport`].

    Args:
        summary (`dict[str, Any]`): All but the table.
        table (`pandas.DataFrame`): A row per annotator.
    """

    summary: dict[str, Any]
    table: pd.DataFrame


@dataclass(frozen=True)
class RunEvidence:
    """
    The evidence about a trained reward model. What nobody has measured is `None`, or empty, and listed in `missing`.

    Args:
        name (`str`): Name of the run: that of its folder.
        folder (`pathlib.Path`): The folder.
        results (`dict` or `None`): `results.json`: figures before and after, weights or annotators, provenance.
        figures (`dict[str, Estimate]`): The figures of `results`: `before_…`, `after_…`.
        test_rewards (`pandas.DataFrame` or `None`): Scored test pairs, with `agrees_with_label` and `agrees_with_truth`.
        log_history (`list[dict]` or `None`): The Trainer's rows.
        data_health (`dict` or `None`): Of [`~trl_ext.reporting.data_health.data_health`].
        calibration (`dict` or `None`): `calibration/calibration.json`.
        calibration_history (`list[dict]` or `None`): `calibration/training.json`: calibration at evaluations in training.
        mislabels ([`MislabelEvidence`] or `None`): Suspected mislabels.
        evaluations (`list[ModelResult]`): Benchmarks: RewardBench, RM-Bench and pairs of the user's own.
        probes (`dict[str, dict]`): Figures of `lie`, `true`, `rm_bench`, `attribute_bias`, by set.
        rate ([`RateEvidence`] or `None`): Effects of attributes.
        mismatch (`list[MismatchEvidence]`): Mismatch with ratings.
        monitoring ([`MonitoringEvidence`] or `None`): Monitored annotators.
        missing (`dict[str, str]`): Part -> the command that would produce it.
    """

    name: str
    folder: Path
    results: dict[str, Any] | None = None
    figures: dict[str, Estimate] = field(default_factory=dict)
    test_rewards: pd.DataFrame | None = None
    log_history: list[dict[str, Any]] | None = None
    data_health: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    calibration_history: list[dict[str, Any]] | None = None
    mislabels: MislabelEvidence | None = None
    evaluations: list[ModelResult] = field(default_factory=list)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    rate: RateEvidence | None = None
    mismatch: list[MismatchEvidence] = field(default_factory=list)
    monitoring: MonitoringEvidence | None = None
    missing: dict[str, str] = field(default_factory=dict)


def read_run(
    folder: str | Path,
    *,
    evaluation: str | Path | None = None,
    rate: str | Path | None = None,
    mismatch: str | Path | None = None,
    monitoring: str | Path | None = None,
    mislabels: str | Path | None = None,
) -> RunEvidence:
    """
    Read whatever evidence there is of a run.

    Args:
        folder (`str` or `pathlib.Path`):
            The `output_dir` of `tasks/train.py`, or any folder with some of its files.
        evaluation (`str` or `pathlib.Path`, *optional*):
            Folder with results of benchmarks, if not `folder/evaluation`. Likewise:
        rate (`str` or `pathlib.Path`, *optional*):
            Output of `trl-ext audit attribute`, or of `tasks/rate/effects.py`.
        mismatch (`str` or `pathlib.Path`, *optional*):
            Output of `trl-ext audit models`, or of `tasks/charm/evaluate.py` or `calibrate.py`.
        monitoring (`str` or `pathlib.Path`, *optional*):
            Output of `tasks/annotators/monitor.py`.
        mislabels (`str` or `pathlib.Path`, *optional*):
            The folder `mislabels` of `trl-ext audit labels`.

    Returns:
        [`RunEvidence`]

    Raises:
        FileNotFoundError: There is no such folder, or one that was named has no such evidence.
        DamagedEvidence: A file is not as its script writes it; the message names it.

    Example:
        ```python
        >>> import json, pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp(), "my-run")
        >>> folder.mkdir()
        >>> _ = (folder / "training_log.json").write_text(json.dumps({"log_history": [{"loss": 0.7, "step": 1}]}))
        >>> run = read_run(folder)
        >>> run.name, len(run.log_history), "calibration" in run.missing
        ('my-run', 1, True)
        ```
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder '{folder}' of a run")
    named = {
        "evaluation": evaluation,
        "rate": rate,
        "mismatch": mismatch,
        "monitoring": monitoring,
        "mislabels": mislabels,
    }
    places = {}
    for part, place in named.items():
        places[part] = folder / part if place is None else Path(place).expanduser()
        if place is not None and not places[part].is_dir():
            raise FileNotFoundError(f"there is no folder '{places[part]}' with {part}")
    results = _optional(folder / "results.json", lambda path: check_results(read_object(path, ("figures",)), path))
    found: dict[str, Any] = {
        "results": results,
        "log_history": _optional(folder / "training_log.json", _read_log),
        "data_health": _optional(
            folder / "data_health.json", lambda path: check_health(read_object(path, _HEALTH), path)
        ),
        "calibration": _optional(folder / "calibration" / "calibration.json", _read_calibration),
        "calibration_history": _optional(
            folder / "calibration" / "training.json", lambda path: check_calibration_history(read_list(path), path)
        ),
        "mislabels": _read_mislabels(places["mislabels"]),
        "evaluations": _read_benchmarks(places["evaluation"]),
        "probes": _read_probes(places["evaluation"]),
        "rate": _read_rate(places["rate"]),
        "mismatch": _read_mismatch(places["mismatch"]),
        "monitoring": _read_monitoring(places["monitoring"]),
    }
    for part, place in named.items():
        kinds = ("evaluations", "probes") if part == "evaluation" else (part,)
        if place is not None and not any(found[kind] for kind in kinds):
            raise FileNotFoundError(
                f"folder '{places[part]}' has no {part} results; expected what `{COMMANDS[kinds[0]]}` writes"
            )
    return RunEvidence(
        name=folder.resolve().name,
        folder=folder,
        figures={} if results is None else _figures(results["figures"], folder / "results.json"),
        test_rewards=_optional(
            folder / "test_rewards.csv", lambda path: read_csv(path, ("reward_chosen", "reward_rejected"), ("id",))
        ),
        missing={part: command for part, command in COMMANDS.items() if not found[part]},
        **found,
    )


_HEALTH = (
    "rows", "distinct_pairs", "repeated_rows", "contradicted_pairs", "lengths", "longer_chosen", "columns", "annotators",
)  # fmt: skip


def _optional(path: Path, read) -> Any:
    return read(path) if path.is_file() else None


def _figures(figures: Any, path: Path) -> dict[str, Estimate]:
    if not isinstance(figures, dict):
        raise DamagedEvidence(f"{path}: 'figures' must be an object")
    return {name: as_estimate(figure, path) for name, figure in figures.items() if is_estimate(figure)}


def _read_log(path: Path) -> list[dict[str, Any]]:
    rows = read_object(path, ("log_history",))["log_history"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "step" in row for row in rows):
        raise DamagedEvidence(f"{path}: 'log_history' must be a list of rows with a step")
    return check_log(rows, path)


def _read_calibration(path: Path) -> dict[str, Any]:
    content = read_object(path, ("raw", "calibrated"))
    for side in ("raw", "calibrated"):
        if not isinstance(content[side], dict) or not {"ece", "brier", "diagram"} <= set(content[side]):
            raise DamagedEvidence(f"{path}: '{side}' must be a calibration report with 'ece', 'brier' and 'diagram'")
    return check_calibration(content, path)


def _read_mislabels(folder: Path) -> MislabelEvidence | None:
    path, pairs = folder / "mislabels.json", folder / "mislabels.csv"
    if not path.is_file():
        return None
    if not pairs.is_file():
        raise DamagedEvidence(f"{pairs}: is not there, though {path.name} is")
    names = ("id", "annotator_id")
    annotators = _optional(folder / "annotators.csv", lambda file: read_csv(file, ("annotator_id",), names))
    return MislabelEvidence(check_mislabels(read_object(path), path), read_csv(pairs, (), names), annotators)


def _result_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("results.json")) if folder.is_dir() else []


def _read_benchmarks(folder: Path) -> list[ModelResult]:
    own = [path for path in _result_files(folder) if {"benchmark", "model", "figures"} <= set(read_object(path))]
    try:
        return collect_results([path.parent for path in own]) if own else []
    except ValueError as error:  # names the file
        raise DamagedEvidence(str(error)) from error


def _read_probes(folder: Path) -> dict[str, dict[str, Any]]:
    probes: dict[str, dict[str, Any]] = {}
    for path in _result_files(folder):
        sets = read_object(path).get("sets")
        if sets is None:
            continue
        if not isinstance(sets, dict) or not all(isinstance(one, dict) and "figures" in one for one in sets.values()):
            raise DamagedEvidence(f"{path}: 'sets' must hold figures by set")
        for name, content in sets.items():
            if name in probes:
                raise DamagedEvidence(f"{path}: figures of {name!r} are also in another results.json below {folder}")
            probes[name] = content["figures"]
    return probes


def _read_rate(folder: Path) -> RateEvidence | None:
    path = next(
        (file for file in (folder / "effects.json", folder / "effects" / "effects.json") if file.is_file()), None
    )
    if path is None:
        return None
    content = read_object(path, ("effects", "sentences"))
    try:
        effects = pd.DataFrame(content["effects"])
        numbers = [
            name for name in effects if name.removeprefix("normalised_") in ("value", "se", "ci_low", "ci_high")
        ]
        effects = effects.astype(
            {name: float for name in (*numbers, "normalised", "mde", "mde_normalised") if name in effects}
        )
    except (ValueError, TypeError) as error:
        raise DamagedEvidence(f"{path}: 'effects' are no rows of numbers: {error}") from error
    missing = [
        name
        for name in ("dataset", "attribute", "reward_model", "estimator", "estimand", "value")
        if name not in effects
    ]
    if missing:
        raise DamagedEvidence(f"{path}: 'effects' have no {', '.join(missing)}")
    return RateEvidence(
        effects,
        tuple(map(str, content["sentences"])),
        tuple(map(str, content.get("notes") or ())),
        content.get("settings") or {},
        content.get("provenance") or {},
    )


_MISMATCH = ("model", "reference", "mismatch", "ci_low", "ci_high", "p_value")


def _mismatch_table(path: Path) -> pd.DataFrame:
    return check_numbers(read_csv(path, _MISMATCH, _MISMATCH[:2]), _MISMATCH[2:], path)


def _read_mismatch(folder: Path) -> list[MismatchEvidence]:
    """Evaluations, with a table before and one after; else single tables, or reports of calibrations that have one."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.rglob("mismatch_after.csv")):
        record = _optional(path.with_name("results.json"), read_object) or {}
        tables = {}
        for when in ("before", "after"):
            table = _optional(path.with_name(f"mismatch_{when}.csv"), _mismatch_table)
            if table is not None:
                tables[when] = table
        name = str(record.get("name", path.parent.name))
        found.append(MismatchEvidence(name, tables, record.get("headline") or [], record.get("provenance") or {}))
    if found:
        return found
    for path in sorted(folder.rglob("mismatch.csv")):
        record = _optional(path.with_name("report.json"), read_object) or {}
        tables = {"now": _mismatch_table(path)}
        found.append(MismatchEvidence(path.parent.name, tables, [], record.get("provenance") or {}))
    if found:
        return found
    for path in sorted(folder.rglob("report.json")):
        record = read_object(path)
        if "mismatch" in record:
            table = pd.DataFrame(record["mismatch"])
            missing = [name for name in _MISMATCH if name not in table]
            if missing:
                raise DamagedEvidence(f"{path}: rows of 'mismatch' have no {', '.join(missing)}")
            numbers = dict.fromkeys(_MISMATCH[2:], float)
            found.append(
                MismatchEvidence(path.parent.name, {"now": table.astype(numbers)}, [], record.get("provenance") or {})
            )
    return found


def _read_monitoring(folder: Path) -> MonitoringEvidence | None:
    path = folder / "annotators.csv"
    if not path.is_file():
        return None
    summary = _optional(
        folder / "results.json", lambda file: check_monitoring(read_object(file, ("pooled_eta",)), file)
    )
    numbers = ("eta", "ci_low", "ci_high")
    table = check_numbers(read_csv(path, ("annotator_id", *numbers), ("annotator_id",)), numbers, path)
    return MonitoringEvidence(summary or {}, table)
