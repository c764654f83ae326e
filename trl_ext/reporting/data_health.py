"""What preference pairs are like, before anybody trains on them: how many, how long, repeated, labelled by whom."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from ..evaluation import Estimate, mean_estimate, proportion_estimate


# Columns that say how far to believe a pair, or how it was labelled
_NUMBERS = ("reliability", "label", "eta", "weight", "margin")
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_BINS = 20


def data_health(dataset: Dataset) -> dict[str, Any]:
    """
    Facts about preference pairs that a reader wants before believing what was learned from them.

    Two rows are the same pair if they have the same texts, whichever was chosen.

    Args:
        dataset ([`~datasets.Dataset`]):
            Rows with `chosen`, `rejected`, and perhaps `prompt`, `annotator_id` and the numbers of a preference row.

    Returns:
        `dict[str, Any]`: For JSON.
        - `rows`, `distinct_pairs`
        - `repeated_rows`: rows that repeat an earlier one, with the same choice
        - `contradicted_pairs`: pairs of which either response was chosen by somebody
        - `lengths`: by text, `mean` and `quantiles` of the number of words, with a histogram (`edges`, `counts`)
        - `longer_chosen`: estimate of the share of rows whose chosen response is longer, of those that differ in length;
      rows of one question, or of one annotator, are no independent evidence
        - `columns`: by number (`reliability`, …) `n`, `missing`, `mean`, `min`, `max`, and a histogram
        - `annotators`: `None`, or their `count`, `rows` by annotator, and how many pairs have 1, 2, … annotators

    Example:
        ```python
        >>> rows = {"prompt": ["q", "q"], "chosen": ["a b", "c"], "rejected": ["c", "a b"], "annotator_id": ["ann", "bob"]}
        >>> health = data_health(Dataset.from_dict(rows))
        >>> health["distinct_pairs"], health["contradicted_pairs"], health["annotators"]["labels_per_pair"]
        (1, 1, {'2': 1})
        ```
    """
    table = dataset.to_pandas()
    texts = {
        name: [_text(value) for value in table[name]] for name in ("prompt", "chosen", "rejected") if name in table
    }
    prompts = texts.get("prompt", [""] * len(table))
    ordered = list(zip(prompts, texts["chosen"], texts["rejected"], strict=True))
    pairs = [(prompt, *sorted((chosen, rejected))) for prompt, chosen, rejected in ordered]
    sides: dict[tuple[str, ...], set[str]] = {}
    for pair, (_, chosen, _) in zip(pairs, ordered, strict=True):
        sides.setdefault(pair, set()).add(chosen)
    words = {name: np.array([len(text.split()) for text in column], dtype=int) for name, column in texts.items()}
    return {
        "rows": len(table),
        "distinct_pairs": len(sides),
        "repeated_rows": len(table) - len(set(ordered)),
        "contradicted_pairs": sum(len(chosen) > 1 for chosen in sides.values()),
        "lengths": {"unit": "words", **{name: _distribution(counts) for name, counts in words.items()}},
        "longer_chosen": _longer_chosen(table, words, prompts),
        "columns": {name: _numbers(table[name]) for name in _NUMBERS if name in table},
        "annotators": _annotators(table, pairs) if "annotator_id" in table else None,
    }


def _longer_chosen(table: pd.DataFrame, words: dict[str, np.ndarray], prompts: list[str]) -> dict[str, Any] | None:
    differ = words["chosen"] != words["rejected"]
    if not differ.any():
        return None
    longer = (words["chosen"] > words["rejected"])[differ].astype(float)
    name = next((column for column in ("question_id", "prompt_id") if column in table), None)
    questions = (table[name].astype(str).to_numpy() if name else np.array(prompts, dtype=object))[differ]
    if "prompt" not in table and name is None:
        questions = np.arange(len(longer))
    people = table["annotator_id"].astype(str).to_numpy()[differ] if "annotator_id" in table else None
    if people is None or len(set(people)) < 2 or len(set(questions)) < 2 or len(set(longer)) < 2:
        return proportion_estimate(longer, questions).to_dict()
    both: Estimate = mean_estimate(longer, np.column_stack([questions.astype(str), people]))
    return both.to_dict()


def _text(value: Any) -> str:
    """A text, or the contents of messages."""
    if isinstance(value, str):
        return value
    return "\n".join(str(message.get("content") or "") for message in value) if value is not None else ""


def _distribution(values: np.ndarray) -> dict[str, Any]:
    if not len(values):
        return {"mean": None, "quantiles": {}, "edges": [], "counts": []}
    counts, edges = np.histogram(values, min(_BINS, max(1, len(np.unique(values)))))
    quantiles = np.quantile(values, _QUANTILES)
    return {
        "mean": float(values.mean()),
        "quantiles": {f"{level:g}": float(value) for level, value in zip(_QUANTILES, quantiles, strict=True)},
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }


def _numbers(column: pd.Series) -> dict[str, Any]:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    known = values[np.isfinite(values)]
    found = {"n": len(known), "missing": len(values) - len(known)}
    if not len(known):
        return found | {"min": None, "max": None, "mean": None, "quantiles": {}, "edges": [], "counts": []}
    return found | {"min": float(known.min()), "max": float(known.max())} | _distribution(known)


def _annotators(table: pd.DataFrame, pairs: list[tuple[str, ...]]) -> dict[str, Any]:
    ids = [str(name) for name in table["annotator_id"]]
    of_pair: dict[tuple[str, ...], set[str]] = {}
    for pair, name in zip(pairs, ids, strict=True):
        of_pair.setdefault(pair, set()).add(name)
    labels = Counter(len(names) for names in of_pair.values())
    rows = Counter(ids)
    return {
        "count": len(rows),
        "rows": dict(sorted(rows.items())),
        "labels_per_pair": {str(number): labels[number] for number in sorted(labels)},
    }
