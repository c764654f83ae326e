"""What monitoring found, and its ways out: a table, a mapping for training, files."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..evaluation.statistics import Estimate
from ..reliability.json_io import save_json, save_text
from .estimation import EtaEstimate
from .model import self_consistency_c


@dataclass(frozen=True)
class MonitoringReport:
    """
    Commitment of annotators, as returned by [`monitor_annotators`].

    Args:
        table (`pandas.DataFrame`):
            One row per annotator, in the order of first appearance:

            - `annotator_id`; `n_labels`, rows; `n_missing`, rows without a label; `n_unchecked`, labels in no check;
            - `n_checks`; `agreements`; `eta`, `se`, `ci_low`, `ci_high` as in [`EtaEstimate`]; `eta_unclipped`,
              `ci_low_unclipped`, `ci_high_unclipped`;
            - `p_above`: p-value of "η ≤ eta0", small if the annotator is better; `p_below`: of "η ≥ eta0"; both also
              corrected by Holm over annotators, `p_above_holm` and `p_below_holm`. Both are exact: of the number of
              agreements, which is binomial, and with known items of its weighted sum;
            - `decision`: `"above"` or `"below"` the standard eta0, `"undecided"`, `"trusted"` (not tested: c comes
              from them) or `"no checks"` (that tell anything);
            - `more_checks_decision`: checks still missing until an undecided annotator at eta1 would be found above eta0
              with probability 1 − beta. It is 0 where they were made, and η probably lies between eta0 and eta1;
            - `more_checks_half_width`: checks still missing for an interval of the wanted half width. Both are planned with
              the mean c, and are `inf` where more than ten million would be needed.
        pooled ([`EtaEstimate`]):
            Mean commitment over the checks, with annotators as clusters (`log_likelihood` is `nan`).
        heterogeneity (`dict[str, float]`):
            `chi2`, `degrees` and `p_value` of the test that all annotators agree alike; `sd_between`, standard deviation
            of η between annotators beyond that of sampling.
        monitor (`str`):
            `"self"` or `"expert"`.
        c (`float`):
            That turned agreement into commitment; with known items their mean.
        c_source (`str`):
            Where it came from.
        c_estimate ([`~trl_ext.evaluation.Estimate`], *optional*):
            c with its interval, if trusted annotators gave it. The intervals of η take c as known.
        items_known (`bool`):
            Whether every item had its own c.
        chance (`float`):
            Agreement of guesses.
        eta0 (`float`):
            Standard.
        eta1 (`float`):
            Commitment that is to be recognised as above it.
        alpha (`float`):
            Family-wise level of the decisions.
        beta (`float`):
            Chance of not recognising an annotator at eta1.
        half_width (`float`):
            Wanted half width.
        level (`float`):
            Confidence level.
        checks_for_decision (`int`):
            Checks per annotator that `more_checks_decision` counts up to; `inf` where that can't be planned.
        allow_negative (`bool`):
            Whether η could lie below 0.
        method (`str`):
            How estimates, intervals and decisions were obtained.
        messages (`tuple[str, ...]`):
            What was left out, and what speaks against the model.
    """

    table: pd.DataFrame
    pooled: EtaEstimate
    heterogeneity: dict[str, float]
    monitor: str
    c: float
    c_source: str
    c_estimate: Estimate | None
    items_known: bool
    chance: float
    eta0: float
    eta1: float
    alpha: float
    beta: float
    half_width: float
    level: float
    checks_for_decision: int | float
    allow_negative: bool
    method: str
    messages: tuple[str, ...]

    def to_mapping(self, without_checks: float | None = None) -> dict[Hashable, float]:
        """
        η of every annotator, for training.

        Args:
            without_checks (`float`, *optional*):
                η of annotators that were never checked. Needed if there are any; `report.pooled.value` takes them for
                average.

        Returns:
            `dict[Hashable, float]`

        Raises:
            ValueError: Annotators without checks, and no value for them.
        """
        mapping = dict(zip(self.table["annotator_id"].tolist(), self.table["eta"].tolist(), strict=True))
        unknown = [annotator for annotator, eta in mapping.items() if np.isnan(eta)]
        if unknown and without_checks is None:
            raise ValueError(
                f"{len(unknown)} annotators have no checks; first: {unknown[0]!r}. Give their eta: "
                "without_checks=report.pooled.value takes them for average."
            )
        return mapping | dict.fromkeys(unknown, without_checks)

    def save(self, path: str | Path, without_checks: float | None = None) -> None:
        """
        Write a file that is complete or absent.

        Args:
            path (`str` or `pathlib.Path`):
                With `.json`, the mapping of annotators (as text) to η; with `.csv`, the table.
            without_checks (`float`, *optional*):
                As in [`~MonitoringReport.to_mapping`]; not for CSV.
        """
        suffix = Path(path).suffix
        if suffix == ".json":
            save_json(path, {str(key): value for key, value in self.to_mapping(without_checks).items()})
        elif suffix == ".csv":
            save_text(path, self.table.to_csv(index=False))
        else:
            raise ValueError(f"path must end with .json or .csv, got '{path}'")

    def sensitivity(
        self,
        deltas: Sequence[float] = (0.0, 0.02, 0.05, 0.1, 0.2),
        *,
        c_values: Sequence[float] | None = None,
        delta_convention: str = "paper",
    ) -> pd.DataFrame:
        """
        The same agreements read with other δ, or other c: η is proportional to 1/c.

        Args:
            deltas (sequence of `float`, *optional*, defaults to `(0, 0.02, 0.05, 0.1, 0.2)`):
                Values of δ; self-consistency only.
            c_values (sequence of `float`, *optional*):
                Values of c in (0, 1] instead.
            delta_convention (`str`, *optional*, defaults to `"paper"`):
                See [`self_consistency_c`].

        Returns:
            `pandas.DataFrame`: `delta` (with `deltas`), `c`, `annotator_id` (missing for the pooled estimate), `eta`,
            `ci_low`, `ci_high`.

        Raises:
            ValueError: δ with an expert, or known items (vary `expert` there), or c out of range.
        """
        if self.items_known:
            raise ValueError("every item has its own c; run monitor_annotators with another `expert` instead")
        if c_values is None:
            if self.monitor != "self":
                raise ValueError("the expert monitor does not depend on delta; give c_values")
            settings = [{"delta": d, "c": self_consistency_c(d, delta_convention, self.chance)} for d in deltas]
        else:
            settings = [{"c": float(value)} for value in c_values]
        columns = {"eta_unclipped": "eta", "ci_low_unclipped": "ci_low", "ci_high_unclipped": "ci_high"}
        rows = self.table[["annotator_id", *columns]].rename(columns=columns).astype({"annotator_id": object})
        pooled = self.pooled.unclipped, self.pooled.unclipped_ci_low, self.pooled.unclipped_ci_high
        rows.loc[len(rows)] = [None, *pooled]
        frames = []
        for setting in settings:
            if not 0 < setting["c"] <= 1:
                raise ValueError(f"c must lie in (0, 1], got {setting['c']}")
            scaled = rows[["eta", "ci_low", "ci_high"]] * (self.c / setting["c"])
            scaled = scaled.clip(-1.0 if self.allow_negative else 0.0, 1.0)
            frames.append(pd.concat([rows[["annotator_id"]].assign(**setting), scaled], axis=1))
        frame = pd.concat(frames, ignore_index=True)
        return frame[[*settings[0], "annotator_id", "eta", "ci_low", "ci_high"]]

    def summary(self) -> dict[str, Any]:
        """All but the table, in plain types."""
        numbers = self.table[["n_labels", "n_missing", "n_unchecked", "n_checks", "agreements"]].sum()
        return {
            "monitor": self.monitor,
            "n_annotators": len(self.table),
            **{name: int(value) for name, value in numbers.items()},
            "pooled_eta": self.pooled.to_dict(),
            "heterogeneity": self.heterogeneity,
            "decisions": {str(key): int(value) for key, value in self.table["decision"].value_counts().items()},
            "checks_for_decision": self.checks_for_decision,
            **{
                column: _whole(self.table[column].sum())
                for column in ("more_checks_decision", "more_checks_half_width")
            },
            "c": self.c,
            "c_source": self.c_source,
            "c_estimate": None if self.c_estimate is None else self.c_estimate.to_dict(),
            "chance": self.chance,
            "method": self.method,
            "messages": list(self.messages),
        }


def _whole(number: float) -> int | float:
    return int(number) if np.isfinite(number) else float(number)
