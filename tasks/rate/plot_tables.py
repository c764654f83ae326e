"""Tables to draw, read from the files of the other scripts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.rate.effects_inputs import data_set_of
from trl_ext.json_lines import read_lines


# what a reader of a figure would call it
DRIFTS = ("to_1", "to_0", "asymmetry")
_ENDS = ("value", "ci_low", "ci_high")


def read_json(path: Path) -> dict[str, Any]:
    """
    Read a JSON file with an object.

    Raises:
        ValueError: It is no JSON, or holds no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object, got {type(content).__name__}")
    return content


def effect_tables(path: Path) -> dict[str, pd.DataFrame]:
    """
    The tables `effects` and `contrasts` of `effects.json`, with infinities as numbers.

    Args:
        path (`Path`): The file.

    Raises:
        ValueError: The file is another one, or has no effects.
    """
    content = read_json(path)
    tables = {}
    for name in ("effects", "contrasts"):
        if not isinstance(content.get(name), list):
            raise ValueError(f"{path} has no list {name!r}: was it written by tasks/rate/effects.py?")
        table = pd.DataFrame(content[name])
        for column in table.columns:
            if column.startswith(("value", "ci_", "normalised_ci")):
                table[column] = pd.to_numeric(table[column]).astype(float)
        tables[name] = table
    if tables["effects"].empty:
        raise ValueError(f"{path} has no effects: there is nothing to draw. Run tasks/rate/effects.py again")
    return tables


def drift_table(folders: Sequence[Path]) -> pd.DataFrame | None:
    """
    Drift of the features that an attribute is not meant to change, in their standard deviations, from `quality.json`.

    Args:
        folders (`Sequence[Path]`): Folders of data sets; those without the file are passed over.

    Raises:
        ValueError: A file is not of rewrite quality.
    """
    rows = []
    for folder in folders:
        path = folder / "quality.json"
        if not path.is_file():
            continue
        try:
            rows.extend(_drifts(folder.name, read_json(path)))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not of the quality of rewrites: {error!r}") from error
    return pd.DataFrame(rows) if rows else None


def _drifts(folder: str, quality: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    attribute = quality["attribute"]
    for part in quality.get("drift", []):
        if part["on_target"] or not part["sd"] or part["sd"] != part["sd"]:
            continue
        for direction in DRIFTS:
            estimate = part.get(direction)
            if estimate is None:
                continue
            head = {"dataset": data_set_of(folder, attribute), "attribute": attribute}
            figures = {end: _scaled(estimate[end], part["sd"]) for end in _ENDS}
            yield {**head, "feature": part["feature"], "direction": direction, **figures, "n": estimate["n"]}


def _scaled(value: Any, sd: float) -> float | None:
    return None if value is None or value == "nan" else float(value) / sd


def audit_table(paths: Sequence[Path]) -> pd.DataFrame:
    """
    RATE's ATE in standard deviations of reward by step, from files that [`~trl_ext.rate.RateAuditCallback`] wrote.

    Args:
        paths (`Sequence[Path]`): A file for each training; it is called by the file's folder.
    """
    names = [path.resolve().parent.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    rows = []
    for name, path in zip(names, paths, strict=True):
        for number, row in read_lines(path):
            try:
                if isinstance(row["step"], bool) or not isinstance(row["step"], int | float):
                    raise TypeError(f"step {row['step']!r}")
                estimate = row["normalised"]["ATE_rewritten_rewrite"] or dict.fromkeys(_ENDS)
                head = {"run": name, "step": row["step"], "attribute": row["name"]}
                rows.append({**head, **{end: estimate[end] for end in _ENDS}})
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}, line {number} is not of a RateAuditCallback: {error!r} is not as it must be"
                ) from error
    return pd.DataFrame(rows)


def sweeps_of(path: Path) -> dict[str, dict[str, Any]]:
    """
    Sweeps that `tasks/rate/synthetic.py` wrote: arguments of [`~trl_ext.reporting.plot_sweep`] by experiment.

    Args:
        path (`Path`): Its `synthetic.json`.

    Raises:
        ValueError: The file is another one.
    """
    content = read_json(path)
    try:
        normalised = content["normalised"]
        return {
            name: {
                **_sweep(experiment["reward_models"]),
                "axis": experiment["axis"],
                # of rewards as they are
                "truth": None if normalised else experiment["truth"],
                "unit": "sd of reward" if normalised else "reward",
                "title": name.replace("_", " "),
            }
            for name, experiment in content["experiments"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not of tasks/rate/synthetic.py: {error!r}") from error


def _sweep(models: Mapping[str, Mapping[str, Any]]) -> dict[str, pd.DataFrame]:
    tables, slopes = [], []
    for model, part in models.items():
        head = {"reward_model": model} if len(models) > 1 else {}
        known = {name: slope or dict.fromkeys(_ENDS) for name, slope in part["slopes"].items()}
        levels = pd.DataFrame(part["levels"]).assign(**head)
        tables.append(levels[levels["estimator"].isin(list(known))])
        for name, slope in known.items():
            ends = {"ci_low": slope["ci_low"], "ci_high": slope["ci_high"]}
            slopes.append({**head, "estimator": name, "slope": slope["value"], **ends})
    return {"table": pd.concat(tables, ignore_index=True), "slopes": pd.DataFrame(slopes)}
