"""By what names others know the data of `tasks/train.py`: never a path."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def data_names(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """
    Names of the data of a run.

    Args:
        config (`dict`): The configuration of `tasks/train.py`.

    Returns:
        `dict[str, dict]`: For `train`, `test`, `grid` and `human`, where there are any: `name`; `hub_id`, if it is a dataset on
        the Hub; `public`, whether others know the data by their name.
    """
    if config["lie_data_dir"] is not None:
        kind = "grouped fold" if config["lie_grouped_folds"] else "fold"
        fold = f"{kind} {config['lie_fold']}"
        found = {
            "train": _public(f"LIE, {fold}"),
            "test": _public(f"LIE, validation of {fold}"),
            "grid": _public("LIE, test"),
        }
    else:
        train, evaluation = config["train_data_path"], config["eval_data_path"]
        demo = evaluation in (None, "demo") and "demo" in (train, evaluation)
        test = _public("trl_ext demo, test") if demo else _named(evaluation)
        found = {"train": _named(train), "test": test}
        if config["eval_on_lie_test"]:
            found["grid"] = _public("LIE, test")
    found["human"] = _named(config["human_data_path"])
    return {part: data for part, data in found.items() if data is not None}


def _named(path: str | None) -> dict[str, Any] | None:
    if path is None:
        return None
    if path == "demo":
        return _public("trl_ext demo, train")
    place = Path(path).expanduser()
    hub_id = path if _HUB_ID.fullmatch(path) and not place.exists() else None
    return {"name": hub_id or place.name, "hub_id": hub_id, "public": hub_id is not None}


def _public(name: str) -> dict[str, Any]:
    return {"name": name, "hub_id": None, "public": True}
