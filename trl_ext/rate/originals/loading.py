"""Original texts with and without an attribute, of a data set: read, recognised, drawn, and counted."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...data.checks import counted
from ...data.loading import load_rows, rename_columns, source_name
from ..attributes.attribute import Attribute
from ..attributes.classifiers import fit_attribute, make_classifier
from ..attributes.registry import attribute_names, get_attribute
from ..chains.text_chains import TextChains
from .prompt_clusters import prompt_clusters, short_hash
from .source_layouts import LAYOUTS, SIDES, TURNS, Candidate, LayoutOptions, find_layout
from .text_draw import Quota, draw_texts
from .usable_texts import check_labels, row_of, text_key, usable_candidates, without_copies


logger = logging.getLogger(__name__)

DEMO, SYNTHETIC, SYNTHETIC_ANSWERS = BUILT_IN = ("demo", "synthetic", "synthetic_answers")
SYNTHETIC_TEXTS, SYNTHETIC_PER_TEXT = 1000, 4


@dataclass(frozen=True)
class OriginalTexts:
    """
    Original texts, and how they were found.

    Args:
        chains ([`TextChains`]): The texts, with no rewrites.
        attribute ([`Attribute`]):
            The attribute, with a classifier that is fitted to the texts: to be used on rewrites.
        report (`dict`):
            For JSON: rows that were read, texts that were left out by reason, what decided on w and how often it could
            not, and how many texts were drawn.
    """

    chains: TextChains
    attribute: Attribute
    report: dict[str, Any] = field(default_factory=dict)


def read_originals(source: Any, attribute: Attribute | str, **options: Any) -> TextChains:
    """
    Original texts of a data set, with no rewrites; [`load_originals`] has the arguments, and says more of the result.

    Example:
        ```python
        >>> from trl_ext.rate import read_originals
        >>> chains = read_originals("demo", "length", per_side=3, seed=0)
        >>> len(chains), chains.steps, int(chains.w.sum())
        (6, 0, 3)

        ```
    """
    return load_originals(source, attribute, **options).chains


def load_originals(
    source: Any,
    attribute: Attribute | str,
    *,
    layout: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    prompt: str | None = None,
    sides: str = "both",
    turn: str = "last",
    classifier: Mapping[str, Any] | None = None,
    limit: int | None = None,
    balanced: bool = False,
    per_side: int | None = None,
    typos: float = 0.0,
    seed: int = 0,
) -> OriginalTexts:
    """
    Original texts of a data set, with what decided whether they have the attribute.

    Every text of the data can be drawn; rows are not taken from its top, where often all are of one kind. Texts of which
    nothing can be said, missing and empty ones, malformed dialogues, repetitions and texts that the data have on both
    sides are left out and counted.

    Args:
        source (`str`, `Path`, [`~datasets.Dataset`] or `pandas.DataFrame`):
            A file (.jsonl, .json, .csv, .parquet), a folder, a Hub id, rows in memory; `"demo"`, the answers of
            [`~trl_ext.data.load_demo_questions`]; or `"synthetic"` and `"synthetic_answers"`, texts of
            [`synthetic_reviews`] and [`synthetic_answers`].
        attribute ([`Attribute`] or `str`):
            The attribute. By its name, columns of the data decide where a layout has one for it (labels of IMDB, grades
            of HelpSteer, the side of HH-RLHF).
        layout (`str`, *optional*):
            `"imdb"`, `"helpsteer"`, `"hh_rlhf"`, `"eli5"`, `"preferences"` or `"plain"`. By default found by the columns.
        split (`str`, *optional*):
            Split of a data set that has several.
        columns (`Mapping[str, str]`, *optional*):
            Columns to rename: name in the layout -> name in the data.
        prompt (`str`, *optional*):
            Prompt of texts that have none.
        sides (`str`, *optional*, defaults to `"both"`):
            Of pairs, the answers to take: `"chosen"`, `"rejected"` or `"both"`. In the demo, the right answers are chosen.
        turn (`str`, *optional*, defaults to `"last"`):
            Of dialogues of HH-RLHF, the assistant's turn to take: `"last"` or `"first"`. What is before is the prompt.
        classifier (`Mapping`, *optional*):
            Settings of what decides on w, instead of the layout's column or the attribute's own.
        limit (`int`, *optional*):
            At most this many texts.
        balanced (`bool`, *optional*, defaults to `False`):
            As many texts with the attribute as without.
        per_side (`int`, *optional*):
            Exactly this many of either, instead of `limit` and `balanced`.
        typos (`float`, *optional*, defaults to `0.0`):
            Put typing mistakes into this share of the words of texts with the attribute: a confounder of known strength.
        seed (`int`, *optional*, defaults to `0`):
            Of the draw and the typing mistakes.

    Returns:
        [`OriginalTexts`]: In the order of the data. Texts of the same prompt are a cluster, unless all have the same one.

    Raises:
        ValueError: An argument is wrong, the data can't be read or lack a column, no text is left, or a side has less than
            `per_side`.

    Example:
        ```python
        >>> from trl_ext.rate import load_originals
        >>> originals = load_originals("demo", "length", sides="chosen", limit=10, balanced=True)
        >>> originals.report["kept"], originals.report["kept_treated"], originals.attribute.settings["fitted"]["texts"]
        (10, 5, 246)

        ```
    """
    _check_arguments(sides, turn, typos, seed)
    quota = Quota(limit, balanced, per_side)
    options = LayoutOptions(prompt, sides, turn)
    named = get_attribute(attribute) if isinstance(attribute, str) else attribute
    if isinstance(source, str) and source in BUILT_IN:
        if layout is not None or split is not None or columns:
            raise ValueError(f"the source {source!r} has no layout, split or columns: leave them out")
        name = source
        found = _demo(sides) if source == DEMO else _synthetic(source, named.name, limit, per_side, seed)
        read = len(found)
    else:
        rows = load_rows(source, split=split, columns=columns, what="texts")
        rows = rename_columns(rows, columns or {}, name=source_name(source))
        read = len(rows)
        name, found = _read(rows, layout, source_name(source), options)
    usable, left_out = usable_candidates(found)
    _check_some(usable, source, read, left_out)
    unlike = list({text_key(candidate): candidate.text for candidate in usable}.values())
    fitted = fit_attribute(named, unlike)
    decider = _decider(attribute, fitted, name, classifier, unlike, usable, _name(source))
    candidates = without_copies(usable, decider, left_out)
    _check_some(candidates, source, read, left_out)
    if left_out["contradictory"]:
        logger.warning(
            "%s: %s on both sides of %r, with the same prompt: left out.",
            _name(source),
            counted(left_out["contradictory"], "text"),
            fitted.name,
        )
    texts, rows = [c.text for c in candidates], [row_of(c) for c in candidates]
    drawn = draw_texts(texts, rows, decider, quota, seed, _name(source))
    chosen = [candidates[row] for row in drawn.sides]
    chains = TextChains(
        fitted.name,
        tuple(candidate.id for candidate in chosen),
        tuple(candidate.prompt for candidate in chosen),
        np.array(list(drawn.sides.values()), dtype=bool),
        tuple((candidate.text,) for candidate in chosen),
        clusters=prompt_clusters([candidate.prompt for candidate in chosen]),
        metadata=tuple(candidate.metadata for candidate in chosen),
    )
    if typos:
        chains = _with_typos(chains, typos, seed)
    report = {
        "source": str(source) if isinstance(source, str | Path) else _name(source),
        "layout": name,
        "split": split,
        "rows": read,
        "texts": len(found),
        "left_out": dict(left_out) | ({"unknown_attribute": drawn.unknown} if drawn.unknown else {}),
        "decided_by": dict(decider.settings),
        "classified": drawn.classified,
        "kept": len(chains),
        "kept_treated": int(chains.w.sum()),
        "kept_untreated": int((~chains.w).sum()),
        "typos": typos,
        "seed": seed,
    }
    if hasattr(decider.classifier, "report"):
        report["classifier_report"] = decider.classifier.report()
    logger.info("%s: %s", _name(source), report)
    return OriginalTexts(chains, fitted, report)


def _check_arguments(sides: str, turn: str, typos: float, seed: int) -> None:
    for name, value, allowed in (("sides", sides, SIDES), ("turn", turn, TURNS)):
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {value!r}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"`seed` must be a whole number of at least 0, got {seed!r}")
    if not 0 <= typos <= 1:
        raise ValueError(f"`typos` must be a share of words in [0, 1], got {typos!r}")


def _name(source: Any) -> str:
    if isinstance(source, str | Path):
        return str(source) if str(source) in BUILT_IN else source_name(source)
    return source_name(source)


def _read(rows: Any, layout: str | None, where: str, options: LayoutOptions) -> tuple[str, list[Candidate]]:
    name, known = find_layout(layout, rows, where)
    id_column = next((column for column in ("id", "q_id") if column in rows.column_names), None)
    found: list[Candidate] = []
    for number, row in enumerate(rows):
        row_id = str(number) if id_column is None else str(row[id_column])
        try:
            found += known.candidates(row, row_id, options)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{where}, row {number}: not as layout {name} has it: {error}") from error
    return name, found


def _demo(sides: str) -> list[Candidate]:
    from ...data.demo import KINDS, demo_prompt, load_demo_questions

    wanted = {"chosen": ("correct",), "rejected": ("incorrect",), "both": ("correct", "incorrect")}[sides]
    return [
        Candidate(
            f"{question['id']}-{kind}",
            demo_prompt(question["question"]),
            question[kind],
            {"kind": kind, "topic": question["topic"]},
        )
        for question in load_demo_questions()
        for kind in KINDS
        if kind.split("_")[0] in wanted
    ]


def _synthetic(source: str, attribute: str, limit: int | None, per_side: int | None, seed: int) -> list[Candidate]:
    from .. import rules

    make = {SYNTHETIC: rules.synthetic_reviews, SYNTHETIC_ANSWERS: rules.synthetic_answers}[source]
    # More than are drawn, since either side can be rare
    wanted = limit if per_side is None else 2 * per_side
    number = SYNTHETIC_TEXTS if wanted is None else SYNTHETIC_PER_TEXT * wanted
    # Some attributes are in the texts only if they are asked for
    chains = make(number, seed, **({"attribute": attribute} if attribute in attribute_names() else {}))
    return [
        Candidate(name, prompt, text, metadata)
        for name, prompt, (text,), metadata in zip(
            chains.ids, chains.prompts, chains.texts, chains.metadata, strict=True
        )
    ]


def _check_some(candidates: Sequence[Candidate], source: Any, read: int, left_out: Mapping[str, int]) -> None:
    if not candidates:
        raise ValueError(f"{_name(source)}: of {counted(read, 'row')} no text is left: {dict(left_out)}")


def _decider(
    attribute: Attribute | str,
    fitted: Attribute,
    layout: str,
    classifier: Mapping[str, Any] | None,
    texts: Sequence[str],
    candidates: Sequence[Candidate],
    where: str,
) -> Attribute:
    """The attribute with the classifier that decides on w."""
    if classifier is None and isinstance(attribute, str) and layout in LAYOUTS:
        classifier = LAYOUTS[layout].classifiers.get(fitted.name)
        if classifier is not None and LAYOUTS[layout].unlabelled:
            check_labels(classifier, LAYOUTS[layout].unlabelled, candidates, where)
    if classifier is None:
        if fitted.classifier is None:
            raise ValueError(
                f"attribute {fitted.name!r} has no classifier: give `classifier`, to know which texts have it"
            )
        return fitted
    made = make_classifier(classifier)
    decider = replace(fitted, classifier=made, settings=made.settings())
    return fit_attribute(decider, texts)


def _with_typos(chains: TextChains, share: float, seed: int) -> TextChains:
    from ..attributes.words import words_of
    from ..rules import add_typos

    # A text gets the same mistakes whichever others are drawn with it. Its first word stays, so that its first letter does
    texts = tuple(
        (
            add_typos(
                text, share, np.random.default_rng([seed, int(short_hash(name), 16)]), keep=set(words_of(text)[:1])
            )
            if w
            else text,
        )
        for name, (text,), w in zip(chains.ids, chains.texts, chains.w, strict=True)
    )
    return replace(chains, texts=texts)
