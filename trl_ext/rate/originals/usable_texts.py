"""Which texts of a data set can be originals: without a problem, each once, with labels that are known."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..attributes.attribute import Attribute
from ..attributes.classifiers import classify_texts
from .prompt_clusters import prompt_key
from .source_layouts import Candidate


def usable_candidates(found: Sequence[Candidate]) -> tuple[list[Candidate], Counter]:
    """Candidates without a problem, and counts of the others by reason."""
    left_out: Counter = Counter()
    usable: list[Candidate] = []
    ids: dict[str, int] = {}
    for row, candidate in enumerate(found):
        if candidate.id in ids:
            raise ValueError(
                f"id {candidate.id!r} of text {row} is that of text {ids[candidate.id]} already: give each row its own, or "
                "remove the column"
            )
        ids[candidate.id] = row
        checked = candidate.checked()
        if checked.problem is not None:
            left_out[checked.problem] += 1
        else:
            usable.append(checked)
    return usable, left_out


def text_key(candidate: Candidate) -> tuple[str, str]:
    """What is equal for equal prompts with equal texts."""
    return prompt_key(candidate.prompt), candidate.text


def row_of(candidate: Candidate) -> dict[str, Any]:
    """The other columns of a text, as classifiers see them."""
    return {"prompt": candidate.prompt} | candidate.metadata


def without_copies(usable: Sequence[Candidate], decider: Attribute, left_out: Counter) -> list[Candidate]:
    """
    Each prompt and text once. Of copies on both sides, as the two answers of a pair that are the same, none: which side
    the text is on is not known, and to keep the first one would favour the side that is read first.
    """
    copies: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in usable:
        copies.setdefault(text_key(candidate), []).append(candidate)
    kept: dict[str, Candidate] = {}
    for same in copies.values():
        sides = [None] * len(same)
        # What looks at texts alone, a batch at once, says the same of equal ones
        if len(same) > 1 and not hasattr(decider.classifier, "classify_batch"):
            sides = classify_texts(decider, [c.text for c in same], [row_of(c) for c in same])
        known = [side for side in sides if side is not None]
        if len(set(known)) > 1:
            left_out["contradictory"] += len(same)
            continue
        left_out["duplicate"] += len(same) - 1
        # A copy of which something can be said, if there is one
        chosen = same[sides.index(known[0]) if known else 0]
        kept[chosen.id] = chosen
    left_out += Counter()  # without reasons that did not occur
    return [candidate for candidate in usable if candidate.id in kept]


def check_labels(
    classifier: Mapping[str, Any], unlabelled: Sequence[Any], candidates: Sequence[Candidate], where: str
) -> None:
    """
    Refuse labels that the layout does not know: they may be of another scale, where 1 of 1 and 2, say, is the worse side.

    Raises:
        ValueError: Names the first row with such a label.
    """
    column, treated, untreated = (classifier[key] for key in ("column", "treated", "untreated"))
    for candidate in candidates:
        value = candidate.metadata.get(column)
        if value is not None and value not in (*treated, *untreated, *unlabelled):
            raise ValueError(
                f"{where}, row with id {candidate.id!r}: column {column!r} must be one of {_listed(treated)} (with the "
                f"attribute), {_listed(untreated)} (without) or {_listed(unlabelled)} (not known), got {value!r}. Name the "
                f"values of these data in an attribute's classifier {{kind: metadata, column: {column}, treated: [...], "
                "untreated: [...]}"
            )


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(repr, values))
