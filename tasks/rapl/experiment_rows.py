"""The rows of an experiment: what `tasks/train.py` is told for each, and what the paper reports for it."""

import math
from dataclasses import dataclass
from typing import Any


METHODS = ("beta", "p", "margin", "smoothing", "backward")

# short name -> column of LIE with P(annotator correct)
ARMS = {
    "confidence": "TRUE_calibrated_confidence_scores",
    "decision_time": "TRUE_calibrated_decision_time",
    "clicks": "TRUE_calibrated_number_of_clicks",
    "true": "TRUE_probability_correct",
}

# Table 1 of the ICLR 2025 submission, Llama-3-8B: (W_length, W_correct, ratio), each (mean, ±) over five folds
PUBLISHED: dict[str, tuple[tuple[float, float], ...]] = {
    "standard": ((0.95, 0.00), (0.30, 0.01), (0.32, 0.01)),
    "beta/confidence": ((0.78, 0.00), (0.26, 0.00), (0.33, 0.01)),
    "p/confidence": ((1.72, 0.15), (0.62, 0.07), (0.34, 0.01)),
    "beta/llm": ((1.18, 0.01), (0.30, 0.00), (0.25, 0.00)),
    "p/llm": ((3.25, 0.57), (0.60, 0.25), (0.20, 0.03)),
    "beta/true": ((2.26, 0.41), (0.33, 0.02), (0.16, 0.01)),
    "p/true": ((3.69, 1.14), (1.80, 0.78), (0.54, 0.08)),
    "p/true/mean": ((3.09, 0.26), (2.02, 0.17), (0.67, 0.04)),
    "p/confidence/mean": ((1.85, 0.06), (0.63, 0.05), (0.34, 0.01)),
    "p/0.9": ((1.04, 0.00), (0.30, 0.00), (0.29, 0.00)),
}

GRAMMAR = (
    "standard, METHOD/ARM, METHOD/ARM/mean (the mean of the column for all pairs), METHOD/NUMBER (that value of beta or p "
    "for all pairs) or filter/ARM/NUMBER (standard learning on the pairs of at least that reliability); METHOD is one of "
    f"{', '.join(METHODS)}; ARM is one of {', '.join(ARMS)}, or the name of a column with P(annotator correct)"
)


@dataclass(frozen=True)
class Row:
    """
    One row of the table.

    Args:
        name (`str`): As in [`GRAMMAR`].
        title (`str`): For readers.
        updates (`dict[str, Any]`): Keys of `tasks/train.py`.
    """

    name: str
    title: str
    updates: dict[str, Any]

    @property
    def folder(self) -> str:
        return self.name.replace("/", "-")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def parse_row(name: str) -> Row:
    """
    Read the name of a row.

    Raises:
        ValueError: If it follows none of the forms of [`GRAMMAR`].
    """
    parts = name.split("/")
    method, value = parts[0], _number(parts[-1])
    if value is not None and not math.isfinite(value):
        raise ValueError(f"row {name!r}: {parts[-1]} is no finite number. Allowed: {GRAMMAR}")
    if name == "standard":
        return Row(name, "standard", {"rapl_method": "none", "rapl_col_id": None})
    if method == "filter" and len(parts) == 3 and value is not None:
        updates = {
            "rapl_method": "none",
            "rapl_col_id": ARMS.get(parts[1], parts[1]),
            "is_rapl_score_correctness_prob": True,
            "min_reliability": value,
        }
        return Row(name, f"standard, pairs with {parts[1]} ≥ {value:g}", updates)
    if method in METHODS and len(parts) == 2 and value is not None:
        updates = {
            "rapl_method": method,
            "rapl_col_id": None,
            "is_rapl_score_correctness_prob": False,
            "constant_reliability": value,
        }
        return Row(name, f"{method}, constant {value:g}", updates)
    if method in METHODS and (len(parts) == 2 or len(parts) == 3 and parts[2] == "mean"):
        updates = {
            "rapl_method": method,
            "rapl_col_id": ARMS.get(parts[1], parts[1]),
            "is_rapl_score_correctness_prob": True,
        }
        if len(parts) == 3:
            return Row(name, f"{method}, constant mean of {parts[1]}", updates | {"constant_reliability": "mean"})
        return Row(name, f"{method}, {parts[1]}", updates)
    raise ValueError(f"row {name!r} is none of: {GRAMMAR}")
