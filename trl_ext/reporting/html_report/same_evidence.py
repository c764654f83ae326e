"""Whose evidence it is: effects of other models, monitored strangers, and the test pairs under another name."""

import re
from typing import Any

import numpy as np
import pandas as pd

from ...evaluation import ModelResult
from ..run_folder import RunEvidence


def own_effects(rows: pd.DataFrame, run: RunEvidence) -> pd.DataFrame:
    """
    The rows of an audit that are of the run.

    Audits call a model as the path that they were given, with `__` for a slash: `outputs__demo-beta`.

    Args:
        rows (`pandas.DataFrame`): With `reward_model`.
        run ([`RunEvidence`]): The run.
    """
    models = dict.fromkeys(map(str, rows["reward_model"]))
    folders = {run.name, run.folder.resolve().name}
    given = ((run.results or {}).get("provenance") or {}).get("config") or {}
    folders |= {_parts(str(given[key]))[-1] for key in ("output_dir", "hub_model_id") if given.get(key)}
    own = [model for model in models if _parts(model)[-1] in folders]
    if len(own) > 1:  # paths that end alike: the whole of it has to be that of the training
        whole = _parts(str(given.get("output_dir") or run.folder))
        own = [model for model in own if whole[-len(_parts(model)) :] == _parts(model)] if len(whole) > 1 else []
        own = [model for model in own if len(_parts(model)) == max(len(_parts(one)) for one in own)]
    return rows[rows["reward_model"].astype(str).isin(own)] if len(own) == 1 else rows.iloc[:0]


def _parts(path: str) -> list[str]:
    return [part for part in re.split(r"/|__", path) if part] or [path]


def annotators_of(run: RunEvidence) -> set[str] | None:
    """Who labelled the training pairs; `None` if that is not recorded."""
    health = (run.data_health or {}).get("annotators")
    if health:
        return set(map(str, health["rows"]))
    learned = ((run.results or {}).get("annotators") or {}).get("table")
    if learned:
        table = pd.DataFrame(learned)
        name = next((column for column in ("annotator_id", "annotator") if column in table), None)
        return None if name is None else set(table[name].astype(str))
    return None


def monitors_strangers(run: RunEvidence) -> str:
    """Why the monitored annotators are not taken for those of the run; `""` if they are."""
    if run.monitoring is None:
        return ""
    monitored, own = set(run.monitoring.table["annotator_id"].astype(str)), annotators_of(run)
    if own is None:
        return "whether the monitored annotators labelled the training pairs is not recorded"
    shared = len(monitored & own)
    if 2 * shared >= len(monitored) and shared:
        return ""
    count = "none" if not shared else f"only {shared}"
    return f"of the {len(monitored):,} monitored annotators {count} labelled the training pairs"


def is_of_test_pairs(result: ModelResult, run: RunEvidence) -> bool:
    """
    Whether the rows of a benchmark are the held-out test pairs of the run: the same ids, of the same questions or with the
    same rewards.
    """
    rows, test = result.rows, run.test_rewards
    if rows is None or test is None or "id" not in rows or "id" not in test or not len(rows):
        return False
    ours = test.assign(id=test["id"].astype(str)).drop_duplicates("id").set_index("id")
    shared = rows.assign(id=rows["id"].astype(str)).query("id in @ours.index")
    if len(shared) < 0.9 * len(rows):
        return False
    own = ours.loc[shared["id"]]
    for name in ("question_id", "prompt_id"):
        if name in own and "cluster" in shared:
            return _agree(own[name].astype(str).to_numpy() == shared["cluster"].astype(str).to_numpy())
    if "margin" not in shared:
        return False
    margin = (own["reward_chosen"] - own["reward_rejected"]).abs().to_numpy(dtype=float)
    return _agree(np.isclose(margin, shared["margin"].abs().to_numpy(dtype=float), rtol=1e-2, atol=1e-4))


def _agree(same: Any) -> bool:
    return bool(np.mean(same) > 0.9)
