"""
Which labels are wrong: pairs ranked by evidence, annotators by the number of wrong labels, and checks of both.

Evidence comes from reward differences of models that have not seen the label, from the influence of a pair on others, and
from how far its annotator can be believed. `features` and `head` make it cheap: hidden states are computed once, and a
head on them is fitted and taken apart in closed form.
"""

import importlib


_EXPORTS = {
    "EVIDENCE": "finder",
    "MislabelReport": "report",
    "PairHead": "head",
    "WrongLabels": "wrong_labels",
    "average_precision": "ranking",
    "compare_evidence": "ranking",
    "cross_influence": "influence",
    "estimate_wrong_labels": "wrong_labels",
    "find_mislabels": "finder",
    "fit_head": "head",
    "flag_wrong_labels": "posterior",
    "leave_out_margins": "influence",
    "pair_features": "features",
    "pair_influence": "influence",
    "pair_rows": "rows",
    "plant_errors": "planting",
    "precision_at": "ranking",
    "self_influence": "influence",
    "wrong_label_probability": "posterior",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
