"""Results of models found on disk: our folders of results, and files in RewardBench's layout."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..benchmarks.run import INPUT, PER_ROW, RESULTS, REWARDS
from ..rewardbench_layout.paths import VERSION_2_FOLDER, model_name
from ..statistics import Estimate
from .layout_figures import layout_results
from .model_result import ModelResult
from .prior_sets import with_prior_sets
from .shown_names import shown_names


logger = logging.getLogger(__name__)

_LAYOUT_FOLDERS = ("eval-set", "eval-set-scores", "pref-sets", "pref-sets-scores")


def collect_results(paths: Iterable[str | Path]) -> list[ModelResult]:
    """
    Results of models on benchmarks, from files.

    Args:
        paths (`Iterable[str | Path]`):
            Folders that an evaluation wrote (`results.json`, `per_row.csv`, …), folders of such folders, the top of a
            layout of RewardBench (with `eval-set/` or `pref-sets/`), or single `.json` files of either kind.

    Returns:
        `list[ModelResult]`: in the order of the paths; a model once per benchmark. Of a model that is an absolute path the
        name is its last part, or as many as tell it from others. Results on RewardBench have the section Prior Sets and
        count it in their overall figure, if the same model's preference test sets are there, too.

    Raises:
        ValueError: a path has no results, a file is not as it must be, or a model has two results on a benchmark; the
            paths are named.

    Example:
        ```python
        >>> import json, pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp(), "eval-set")
        >>> folder.mkdir()
        >>> _ = (folder / "rm.json").write_text(json.dumps({"model": "rm", "mt-bench-easy": 0.75, "mt-bench-med": 0.5}))
        >>> [result] = collect_results([folder.parent])
        >>> result.model, round(result.sections["Chat"].value, 4)  # (28 * 0.75 + 40 * 0.5) / 68
        ('rm', 0.6029)
        ```
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    results = []
    for path in (Path(path).expanduser() for path in paths):
        of_path = _results_of(path)
        if not of_path:
            raise ValueError(
                f"{path} has no results: expected {RESULTS} of an evaluation, folders with such files, or RewardBench's "
                f"{', '.join(_LAYOUT_FOLDERS)}"
            )
        results += of_path
    names = shown_names(result.model for result in results)
    found: dict[tuple[str, str], ModelResult] = {}
    for result in (replace(result, model=names[result.model]) for result in results):
        key = (result.benchmark, result.model)
        if key in found and found[key].source != result.source:
            raise ValueError(
                f"model {result.model!r} has two results on {result.benchmark}: {found[key].source} and "
                f"{result.source}. Give one of them"
            )
        found[key] = result
    return with_prior_sets(list(found.values()))


def _results_of(path: Path) -> list[ModelResult]:
    if not path.exists():
        raise ValueError(f"there is no {path}")
    if path.is_file():
        content = _read_json(path) if path.suffix == ".json" else None
        return [_own_result(path, content)] if _is_own(content) else layout_results([path])
    contents = {file: _read_json(file) for file in sorted(path.rglob(RESULTS))}
    others = [str(file) for file, content in contents.items() if not _is_own(content)]
    if others:
        logger.info("not results of a benchmark: %s", ", ".join(others))
    own = [_own_result(file, content) for file, content in contents.items() if _is_own(content)]
    # An evaluation writes both: ours tell more
    known = {(result.benchmark, model_name(result.model)) for result in own}
    layouts = [result for top in (path, path / VERSION_2_FOLDER) for result in layout_results(_layout_files(top), top)]
    return own + [result for result in layouts if (result.benchmark, result.model) not in known]


def _layout_files(top: Path) -> list[Path]:
    """Files of accuracies and scores; else those of the command line, which lie at the top."""
    files = [file for name in _LAYOUT_FOLDERS for file in sorted((top / name).rglob("*.json"))]
    # Pairs of a user's own: beside our results, which tell more
    return files or sorted(file for file in top.rglob("*_outputs.jsonl") if not _is_beside_results(file, top))


def _is_beside_results(file: Path, top: Path) -> bool:
    """Whether a file, perhaps in a folder of its model's name, lies in the folder of an evaluation below `top`."""
    folders = [folder for folder in file.parents if folder.is_relative_to(top)]
    return any((folder / RESULTS).exists() for folder in folders)


def _is_own(content: Any) -> bool:
    return isinstance(content, dict) and {"benchmark", "model", "figures"} <= set(content)


def _own_result(path: Path, content: Mapping[str, Any]) -> ModelResult:
    figures = content["figures"]
    rows = _rows(path.parent)
    try:
        overall = figures["overall"]
        sections, subsets = (
            {name: _estimate(value) for name, value in figures[key].items()} for key in ("sections", "subsets")
        )
        return ModelResult(
            model=_model_of(content["model"]),
            benchmark=str(content["benchmark"]),
            overall=None if overall is None else _estimate(overall),
            sections=sections,
            subsets=subsets,
            rows=rows,
            source=str(path),
            data_hash=(content.get("data") or {}).get("sha256"),
            details={key: value for key, value in figures.items() if key not in ("overall", "sections", "subsets")},
            record={key: value for key, value in content.items() if key not in ("benchmark", "model", "figures")},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: its figures are not as an evaluation writes them: {error!r}") from error


def _model_of(model: Any) -> str:
    return str(model["name"] if isinstance(model, Mapping) else model)


def _estimate(content: Mapping[str, Any]) -> Estimate:
    # JSON has no NaN: it is written as text
    numbers = {name: float(content[name]) for name in ("value", "se", "ci_low", "ci_high")}
    return Estimate(**numbers, n=int(content["n"]), method=str(content["method"]))


def _rows(folder: Path) -> pd.DataFrame | None:
    """`per_row.csv`, with rewards and a hash of the texts of each row where they are known."""
    path = folder / PER_ROW
    if not path.is_file():
        return None
    try:
        rows = pd.read_csv(path, dtype={"id": str, "subset": str, "section": str, "cluster": str}, keep_default_na=False,
                           na_values={"score": [""], "margin": [""]})  # fmt: skip
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a table: {error}") from error
    missing = {"id", "subset", "score"}.difference(rows.columns)
    if missing:
        raise ValueError(f"{path} has no column {', '.join(sorted(missing))}: it has {', '.join(rows.columns)}")
    scores = pd.to_numeric(rows["score"], errors="coerce")
    bad = np.flatnonzero((scores.isna() & rows["score"].notna()) | (scores < 0) | (scores > 1))
    if bad.size:
        raise ValueError(
            f"{path}, row {bad[0]} (subset {rows['subset'].iloc[bad[0]]!r}): score {rows['score'].tolist()[bad[0]]!r} is not "
            "a number in [0, 1]" + (" (per cent? divide by 100)" if 1 < scores.iloc[bad[0]] <= 100 else "")
        )
    rows["score"] = scores
    if rows["id"].duplicated().any():
        raise ValueError(f"{path}: id {rows.loc[rows['id'].duplicated(), 'id'].iloc[0]!r} is there twice")
    if (folder / INPUT).is_file():
        rows = rows.merge(_inputs(folder), on="id", how="left", validate="one_to_one")
    return rows


def _inputs(folder: Path) -> pd.DataFrame:
    """A hash of prompt and responses, lengths, number of right responses and rewards, by id."""
    rewards: dict[str, list[float]] = {}
    if (folder / REWARDS).is_file():
        for line in _lines(folder / REWARDS, ("prompt_id", "reward")):
            rewards.setdefault(str(line["prompt_id"]), []).append(float(line["reward"]))
    records = []
    for line in _lines(folder / INPUT, ("id", "prompt", "responses", "num_correct")):
        texts = json.dumps([line["prompt"], line["responses"]], ensure_ascii=False, sort_keys=True)
        records.append(
            {
                "id": str(line["id"]),
                "texts_hash": hashlib.sha256(texts.encode()).hexdigest()[:16],
                "num_correct": int(line["num_correct"]),
                "lengths": [len(str(response)) for response in line["responses"]],
                "rewards": rewards.get(str(line["id"])),
            }
        )
    return pd.DataFrame(records, columns=["id", "texts_hash", "num_correct", "lengths", "rewards"])


def _lines(path: Path, keys: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    content = json.loads(line)
                except json.JSONDecodeError as error:
                    raise ValueError(f"{path}, line {number}: not JSON: {error}") from error
                missing = [key for key in keys if not isinstance(content, dict) or key not in content]
                if missing:
                    raise ValueError(f"{path}, line {number}: expected an object with {', '.join(missing)}")
                yield content


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
