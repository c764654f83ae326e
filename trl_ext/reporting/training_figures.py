"""What training logged: loss, accuracy and calibration by step."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from .figures import COLOURS, add_legend, new_figure


if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = (("loss", "loss"), ("accuracy", "accuracy to the labels"), ("ece", "calibration error (ECE)"))


def training_table(
    log_history: Sequence[Mapping[str, Any]], calibration: Sequence[Mapping[str, Any]] = ()
) -> pd.DataFrame:
    """
    What training logged, as a long table.

    Args:
        log_history (`Sequence[Mapping]`):
            Rows of the Trainer: `step`, and `loss`, `accuracy`, `eval_loss`, …
        calibration (`Sequence[Mapping]`, *optional*):
            Rows with `step` and `ece`, an estimate.

    Returns:
        `pandas.DataFrame`: `figure` (`loss`, `accuracy`, `ece`), `when` (`training` or `evaluation`), `step`, `value`,
        `ci_low`, `ci_high`.

    Example:
        ```python
        >>> training_table([{"loss": 0.7, "step": 1}, {"eval_loss": 0.6, "step": 2}])[["figure", "when", "step", "value"]]
          figure        when  step  value
        0   loss    training     1    0.7
        1   loss  evaluation     2    0.6
        ```
    """
    rows = []
    estimated = {row["step"] for row in calibration if isinstance(row.get("ece"), Mapping)}
    for row in log_history:
        for figure, _ in _PANELS:
            for key, when in ((figure, "training"), (f"eval_{figure}", "evaluation")):
                if isinstance(row.get(key), int | float) and not (figure == "ece" and row["step"] in estimated):
                    rows.append((figure, when, row["step"], float(row[key]), None, None))
    for row in calibration:
        if row["step"] in estimated:
            ends = (float(row["ece"][name]) for name in ("value", "ci_low", "ci_high"))
            rows.append(("ece", "evaluation", row["step"], *ends))
    table = pd.DataFrame(rows, columns=["figure", "when", "step", "value", "ci_low", "ci_high"])
    return table.astype({"value": float, "ci_low": float, "ci_high": float})


def draw_training(table: pd.DataFrame, *, width: float) -> "Figure":
    """
    Curves of training, a panel for each figure; panels are beside one another, or below in a narrow figure.

    Args:
        table (`pandas.DataFrame`): Of [`training_table`].
        width (`float`): Inches.

    Returns:
        `matplotlib.figure.Figure`
    """
    panels = [(key, title) for key, title in _PANELS if (table["figure"] == key).any()]
    narrow = width < 5
    figure = new_figure(width, 1.9 * len(panels) + 0.4 if narrow else 2.7)
    grid = figure.subplots(*((len(panels), 1) if narrow else (1, len(panels))), squeeze=False).ravel()
    for axes, (key, title) in zip(grid, panels, strict=True):
        for when, colour, style in (("training", "#999999", "-"), ("evaluation", COLOURS[0], "-")):
            own = table[(table["figure"] == key) & (table["when"] == when)].sort_values("step")
            if own.empty:
                continue
            few = len(own) <= 25
            axes.plot(own["step"], own["value"], style, color=colour, linewidth=1.6 if when == "evaluation" else 1.2,
                      marker="o" if few else None, markersize=3.2, label=when)  # fmt: skip
            known = own.dropna(subset=["ci_low", "ci_high"])
            if len(known):
                axes.fill_between(
                    known["step"], known["ci_low"], known["ci_high"], color=colour, alpha=0.2, linewidth=0
                )
        axes.set_title(title)
        axes.grid(axis="y")
        axes.margins(x=0.03)
        axes.locator_params(axis="both", nbins=5)
        axes.set_xlabel("optimizer step" if not narrow or key == panels[-1][0] else "")
    add_legend(figure)
    return figure
