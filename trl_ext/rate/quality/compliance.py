"""Do rewrites have the value of the attribute they were asked for?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...evaluation.statistics import Estimate, proportion_estimate
from ..attributes.attribute import Attribute
from ..attributes.classifiers import classify_texts
from ..chains.steps import step_names
from ..chains.text_chains import TextChains
from ..estimators.effects import estimate_to_dict


@dataclass(frozen=True)
class Compliance:
    """
    Share of the texts of a step that have the value of the attribute they should have.

    Args:
        step (`str`): `original` (whose value is that of `w`), `rewrite`, `rewritten_rewrite`, ...
        target (`bool`, *optional*): The value they should have; `None`: of both directions.
        complied (`int`): Texts that have it.
        known (`int`): Texts of which the classifier says something.
        unknown (`int`): Texts of which it says nothing. They are in no share.
        share ([`Estimate`], *optional*): `complied / known` in [0, 1]; `None` if nothing is known.
    """

    step: str
    target: bool | None
    complied: int
    known: int
    unknown: int
    share: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        shown = {name: getattr(self, name) for name in ("step", "target", "complied", "known", "unknown")}
        return shown | {"share": estimate_to_dict(self.share)}


def observe_attribute(chains: TextChains, attribute: Attribute) -> np.ndarray:
    """
    What an attribute's classifier says of all texts.

    Args:
        chains ([`TextChains`]): N chains of K rewrites.
        attribute ([`Attribute`]): With a classifier. Of originals it is told the metadata and the prompt, of rewrites the
            prompt alone.

    Returns:
        `numpy.ndarray` of shape `(N, K + 1)`: 1 where a text has the attribute, 0 where not, `nan` where nothing is said or
        the text is missing.
    """
    observed = np.full((len(chains), chains.steps + 1), np.nan)
    for step in range(chains.steps + 1):
        there = [row for row, text in enumerate(chains.of(step)) if text is not None]
        rows = [{"prompt": chains.prompts[row]} | ({} if step else chains.metadata[row]) for row in there]
        said = classify_texts(attribute, [chains.texts[row][step] for row in there], rows)
        observed[there, step] = [np.nan if value is None else float(value) for value in said]
    return observed


def measure_compliance(
    chains: TextChains,
    observed: ArrayLike,
    rows: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> tuple[Compliance, ...]:
    """
    Compliance by step and direction.

    Args:
        chains ([`TextChains`]): N chains of K rewrites.
        observed (`array_like` of shape `(N, K + 1)`): See [`observe_attribute`].
        rows (`array_like` of shape `(N,)`, bool, *optional*): Rows that count. By default all.
        level (`float`, *optional*, defaults to `0.95`): Level of the intervals, which are Wilson's on the effective number
            of rows.

    Returns:
        `tuple[Compliance, ...]`: For every step, the originals first: both directions together, into the attribute, out of
        it. A direction without texts is left out.
    """
    observed = np.asarray(observed, dtype=np.float64)
    rows = np.ones(len(chains), dtype=bool) if rows is None else np.asarray(rows)
    clusters = None if chains.clusters is None else np.array(chains.clusters, dtype=object)
    there = np.array([[text is not None for text in row] for row in chains.texts])
    result = []
    for step, name in enumerate(step_names(chains.steps + 1)):
        targets = chains.targets(step)
        for target in (None, True, False):
            counted = rows & there[:, step] & (True if target is None else targets == target)
            known = counted & np.isfinite(observed[:, step])
            if not counted.any():
                continue
            hits = (observed[known, step] == targets[known]).astype(np.float64)
            groups = None if clusters is None else clusters[known]
            result.append(
                Compliance(
                    name,
                    target,
                    int(hits.sum()),
                    int(known.sum()),
                    int(counted.sum() - known.sum()),
                    proportion_estimate(hits, groups, level) if hits.size else None,
                )
            )
    return tuple(result)
