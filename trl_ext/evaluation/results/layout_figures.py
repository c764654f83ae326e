"""Figures of models from files in RewardBench's layout."""

import difflib
import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from ..benchmarks.preference_benchmark import PreferenceBenchmark
from ..benchmarks.preference_test_sets import PreferenceTestSets
from ..benchmarks.rewardbench import (
    EXAMPLE_COUNTS,
    PREFERENCE_SETS,
    SECTIONS,
    rewardbench_overall,
    rewardbench_prior_sets,
)
from ..benchmarks.rewardbench2 import SUBSETS as VERSION_2
from ..benchmarks.rewardbench2 import RewardBench2
from ..benchmarks.rewardbench2_ties import ties_id
from ..benchmarks.rewardbench_benchmark import RewardBench
from ..rewardbench_layout import LayoutFile, read_layout_file
from ..statistics import Estimate, proportion_estimate, weighted_average, wilson_interval
from .model_result import ModelResult


logger = logging.getLogger(__name__)

REWARDBENCH, REWARDBENCH2, OTHER_PAIRS = RewardBench.name, RewardBench2.name, PreferenceBenchmark.name
# Prompts of a subset; math-prm has fewer than its weight
_PROMPTS = EXAMPLE_COUNTS | {"math-prm": 447}
_UNKNOWN = "accuracy as stored; without the number of rows there is no interval"


def layout_results(paths: Sequence[Path], folder: Path | None = None) -> list[ModelResult]:
    """
    Results of the models in some files. Accuracies and scores of one model belong together.

    Args:
        paths (`Sequence[Path]`):
            Files of one layout.
        folder (`Path`, *optional*):
            Top of the layout. By default the files do not belong together.

    Returns:
        `list[ModelResult]`

    Raises:
        ValueError: a file is not of RewardBench, or holds nothing that figures can be made of.
    """
    files: dict[tuple[str, str], dict[str, tuple[Path, LayoutFile]]] = {}
    for path in paths:
        file = read_layout_file(path)
        inside = path.relative_to(folder) if folder else Path(path.name)
        target = "" if file.kind in ("summary", "outputs") else inside.parts[0].removesuffix("-scores")
        name = file.model or inside.as_posix().removesuffix(path.suffix).removesuffix("_outputs")
        files.setdefault((target, name), {})[file.kind] = (path, file)
    return [_result(name, found) for (_, name), found in files.items()]


def _result(model: str, files: dict[str, tuple[Path, LayoutFile]]) -> ModelResult:
    scores = next((files[kind] for kind in ("group scores", "pair scores", "outputs") if kind in files), None)
    stored = next((files[kind] for kind in ("results", "summary") if kind in files), None)
    if scores is None and stored is None:
        (path, file) = next(iter(files.values()))
        raise ValueError(f"{path}: figures can't be made of {file.kind}")
    path = str((stored or scores)[0])
    try:
        accuracies = {} if stored is None else stored[1].accuracies()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if scores is None:
        return _from_accuracies(model, accuracies, path)
    try:
        table = scores[1].scores()
        if scores[1].kind == "group scores":
            result = _from_groups(model, table, path)
        else:
            result = _from_pairs(model, table, path, scores[1].numbered)
    except ValueError as error:
        raise ValueError(f"{scores[0]}: {error}") from error
    _check_agreement(result, accuracies, path)
    return result


def _from_accuracies(model: str, accuracies: dict[str, float], path: str) -> ModelResult:
    if not accuracies:
        raise ValueError(f"{path} has no accuracies of subsets")
    if set(accuracies) <= set(EXAMPLE_COUNTS):
        return _version_1(model, _with_counts(accuracies, _PROMPTS), None, path)
    if set(accuracies) <= set(PREFERENCE_SETS):
        return _preferences(model, _with_counts(accuracies, PREFERENCE_SETS), None, path)
    subsets = {name: _bare(value) for name, value in accuracies.items()}
    if set(accuracies) <= set(VERSION_2):
        return _version_2(model, subsets, None, path)
    _check_spelling(accuracies, path)
    return _preferences(model, subsets, None, path)


def _check_spelling(subsets: Collection[str], path: str) -> None:
    """Raise a `ValueError` if most names are those of a benchmark, which the others would make another one's."""
    for known in (EXAMPLE_COUNTS, PREFERENCE_SETS, VERSION_2):
        unknown = [name for name in subsets if name not in known]
        if unknown and len(unknown) < len(subsets) / 2:
            close = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"{path}: {unknown[0]!r} is not a subset, but most of the others are of one benchmark{hint}"
            )


def _from_pairs(model: str, table: pd.DataFrame, path: str, numbered: bool) -> ModelResult:
    table, renumbered = _with_unique_ids(table.assign(score=table["result"]), path)
    numbered = numbered or renumbered
    scored = table["rewards"].notna()
    if scored.all():
        chosen, rejected = np.array(table["rewards"].tolist()).T
        table = table.assign(tied=chosen == rejected, margin=chosen - rejected)
        other = int(np.sum(table["score"] != (chosen > rejected)))
        if other:
            logger.warning("%s: %d of %d stored results are not what their scores say", path, other, len(table))
    names = list(dict.fromkeys(table["subset"]))
    subsets = {name: proportion_estimate(table.loc[table["subset"] == name, "score"]) for name in names}
    if set(names) <= set(EXAMPLE_COUNTS):
        result = _version_1(model, subsets, table, path)
    else:
        _check_spelling(names, path)
        result = _preferences(model, subsets, _slim(table), path)
    return replace(result, numbered=numbered)


def _preferences(model: str, subsets: dict[str, Estimate], table: pd.DataFrame | None, path: str) -> ModelResult:
    if set(subsets) <= set(PREFERENCE_SETS):
        overall = rewardbench_prior_sets(subsets)
        return ModelResult(model, PreferenceTestSets.name, overall, {}, subsets, table, path)
    overall = None if table is None else proportion_estimate(table["score"])
    return ModelResult(model, OTHER_PAIRS, overall, {}, subsets, table, path)


def _from_groups(model: str, table: pd.DataFrame, path: str) -> ModelResult:
    if table["rewards"].isna().any():
        raise ValueError("rows without scores")
    clusters: list[str] = []
    seen: dict[str, int] = {}
    for row, (name, subset) in enumerate(zip(table["id"], table["subset"], strict=True)):
        if subset not in VERSION_2:
            close = difflib.get_close_matches(subset, VERSION_2, n=1)
            raise ValueError(
                f"row {row}: {subset!r} is not a subset of RewardBench 2"
                + (f"; did you mean {close[0]!r}?" if close else f"; they are {', '.join(VERSION_2)}")
            )
        if seen.setdefault(name, row) != row:
            raise ValueError(f"rows {seen[name]} and {row} have the same id {name!r}; ids must be unique")
        try:
            clusters.append(f"Ties:{ties_id(name)[1]}" if subset == "Ties" else name)
        except ValueError as error:
            raise ValueError(f"row {row}: {error}") from error
    columns = {"id": list(table["id"]), "subset": list(table["subset"]), "num_correct": list(table["num_correct"])}
    # the prompts are in the texts
    texts = {"prompt": [[]] * len(table), "responses": list(table["texts"])}
    rows = Dataset.from_dict(columns | texts | {"cluster": clusters})
    figures = RewardBench2().evaluate(rows, [np.array(values) for values in table["rewards"]])
    frame = figures.rows.merge(_slim(table).drop(columns="subset"), on="id", validate="one_to_one")
    return ModelResult(model, REWARDBENCH2, figures.overall, figures.sections, figures.subsets, frame, path,
                       details=figures.details)  # fmt: skip


def _version_1(model: str, subsets: dict[str, Estimate], table: pd.DataFrame | None, path: str) -> ModelResult:
    sections = {}
    for section, members in SECTIONS.items():
        present = [name for name in members if name in subsets]
        if present:
            weights = [EXAMPLE_COUNTS[name] for name in present]
            sections[section] = weighted_average([subsets[name] for name in present], weights)
    if table is not None:
        of = {name: section for section, members in SECTIONS.items() for name in members}
        table = _slim(table.assign(section=table["subset"].map(of)))
    missing = [name for name in EXAMPLE_COUNTS if name not in subsets]
    overall = rewardbench_overall(sections) if len(sections) == len(SECTIONS) else None
    details = {"missing_subsets": missing}
    return ModelResult(model, REWARDBENCH, overall, sections, subsets, table, path, details=details)


def _version_2(model: str, subsets: dict[str, Estimate], table: pd.DataFrame | None, path: str) -> ModelResult:
    missing = [name for name in VERSION_2 if name not in subsets]
    overall = None if missing else weighted_average([subsets[name] for name in VERSION_2])
    return ModelResult(model, REWARDBENCH2, overall, {}, subsets, table, path, details={"missing_subsets": missing})


def _with_unique_ids(table: pd.DataFrame, path: str) -> tuple[pd.DataFrame, bool]:
    """Ids repeat across subsets, and then have the subset before them; whether rows had to be numbered."""
    if table["id"].duplicated().any():
        table = table.assign(id=table["subset"] + "/" + table["id"])
    numbered = bool(table["id"].duplicated().any())
    if numbered:
        twice = table.loc[table["id"].duplicated(), "id"]
        logger.warning(
            "%s: %d ids are there several times, such as %r: rows are numbered", path, len(twice), twice.iloc[0]
        )
        table = table.assign(id=[f"row {row}" for row in range(len(table))])
    return table, numbered


def _slim(table: pd.DataFrame) -> pd.DataFrame:
    # texts hold the prompts as well, in each model's template: they tell no lengths of responses
    hashes = [hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16] for texts in table["texts"]]
    return table.drop(columns=["texts", "result"]).assign(read_hash=hashes)


def _with_counts(accuracies: dict[str, float], counts: Mapping[str, int]) -> dict[str, Estimate]:
    """Accuracies with intervals, if all are possible with the benchmark's number of rows."""
    possible = all(_is_share(value, counts[name]) for name, value in accuracies.items())
    return {name: _published(value, counts[name]) if possible else _bare(value) for name, value in accuracies.items()}


def _published(value: float, n: int) -> Estimate:
    estimate = wilson_interval(value * n, n)
    return Estimate(value, estimate.se, estimate.ci_low, estimate.ci_high, n,
                    f"{estimate.method}, with the benchmark's number of rows")  # fmt: skip


def _bare(value: float) -> Estimate:
    return Estimate(value, np.nan, np.nan, np.nan, 0, _UNKNOWN)


def _is_share(value: float, n: int) -> bool:
    """Whether n rows, of which a judge may have called some equal, can have this accuracy."""
    return 0 <= value <= 1 and abs(2 * n * value - round(2 * n * value)) < 1e-6


def _check_agreement(result: ModelResult, accuracies: dict[str, float], path: str) -> None:
    apart = {
        name: (value, result.subsets[name].value)
        for name, value in accuracies.items()
        if name in result.subsets and abs(value - result.subsets[name].value) > 1e-9
    }
    if apart:
        name, (stored, computed) = next(iter(apart.items()))
        logger.warning(
            "%s: %d of %d stored accuracies differ from those of the stored scores, such as %s: %.4f and %.4f (math-prm and "
            "ties may count otherwise). Those of the scores are used",
            *(path, len(apart), len(accuracies), name, stored, computed),
        )
