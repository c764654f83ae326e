"""What the search for wrong labels has found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..atomic_files import atomic_path
from ..evaluation import Estimate


COUNT_NOTE = (
    "Numbers of wrong labels take labels to err independently of one another: mistakes that annotators share, such as a liking for "
    "length, are not counted, so that the numbers can be far too low. 95 % intervals: in simulations of the model 95 to 100 % contained "
    "the number; on demo data with planted errors @TOTAL@ for all labels together, @EACH@ for single annotators."
)
FLAG_NOTE = (
    "The level fdr of `flagged` is nominal: at fdr = 0.1, @FDR@ of the flagged labels were right on demo data with planted "
    "errors. The probability `p_wrong` is calibrated as far as the margins are."
)
SCALE_NOTE = (
    "These labels hardly determine the scale of the margins: `p_wrong` ranks, but its level and the numbers of wrong labels rest on "
    "the prior."
)


@dataclass(frozen=True)
class MislabelReport:
    """
    Labels by evidence that they are wrong, as returned by [`~trl_ext.mislabels.find_mislabels`].

    Args:
        table (`pandas.DataFrame`):
            One row per pair, the most suspicious first: `rank` (from 1), `row` (of the dataset, from 0), `id`,
            `annotator_id` (missing without annotators), `margin` (cross-fitted reward difference, chosen minus rejected),
            `left_out_margin` (without the label itself), `influence`, `self_influence` (both missing in a search from margins
            alone), `eta` (of the annotator), `p_wrong`, `evidence` (the value that ranks, higher being more suspicious),
            `flagged` (at a nominal level), `wrong` where the truth is known, and the texts `prompt`, `chosen`, `rejected`.
        annotators (`pandas.DataFrame`):
            One row per annotator: `n`, `eta` with `se`, `ci_low`, `ci_high`, `adversarial` and `better_than_chance`
            (after Holm's correction), `expected_wrong` with `wrong_low`, `wrong_high`, `flagged`, `share_flagged`, and
            `wrong` where the truth is known.
        figures (`dict[str, Estimate]`):
            `wrong_labels` (estimated number in all: the sum over annotators), `eta` (of all labels together), `scale`
            (factor that calibrates the margins), `accuracy` (share of labels that the cross-fitted margins agree with,
            ties counting half); with the truth also `true_wrong_share` (base rate) and `precision` at `share` of the
            labels.
        comparison (`pandas.DataFrame`, *optional*):
            With the truth: each kind of evidence against it, see [`~trl_ext.mislabels.ranking.compare_evidence`].
        curve (`pandas.DataFrame`, *optional*):
            With the truth: precision at several numbers of labels.
        settings (`dict`):
            Evidence, folds, penalty, seed and so on, as used.
        notes (`tuple[str, ...]`):
            How far the numbers can be believed, to be shown beside them.
    """

    table: pd.DataFrame
    annotators: pd.DataFrame
    figures: dict[str, Estimate]
    comparison: pd.DataFrame | None
    curve: pd.DataFrame | None
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def reliability(self) -> np.ndarray:
        """Probability `(N,)` that the label is right, in the order of the dataset: the column of the same name."""
        ordered = self.table.sort_values("row")
        return 1 - ordered["p_wrong"].to_numpy()

    def to_dict(self) -> dict[str, Any]:
        """Figures, settings and notes in plain Python types, for JSON; what is missing is `None`."""
        comparison = None
        if self.comparison is not None:
            comparison = self.comparison.astype(object).where(self.comparison.notna(), None).to_dict("records")
        return {
            "figures": {name: estimate.to_dict() for name, estimate in self.figures.items()},
            "comparison": comparison,
            "settings": self.settings,
            "notes": list(self.notes),
        }

    def save(self, folder: str | Path) -> None:
        """
        Write `mislabels.csv` and `annotators.csv`, each complete or absent. Both are about people, and the first holds the
        texts of the pairs.

        Args:
            folder (`str` or `Path`): Made if need be.
        """
        for name, table in (("mislabels.csv", self.table), ("annotators.csv", self.annotators)):
            with atomic_path(Path(folder, name)) as temporary:
                table.to_csv(temporary, index=False)
