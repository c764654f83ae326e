"""Files and the printed table of a measured calibration."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.json_files import write_json
from tasks.pair_calibration import MeasuredCalibration
from trl_ext.evaluation import PreferenceCalibrationChange


FOLDER = "calibration"
FILE = "calibration.json"
DIAGRAMS = ("raw.png", "raw.csv", "calibrated.png", "calibrated.csv")
OF_THE_TRAINING = ("training.json", "training.png")
_FIGURES = ("ece", "brier", "log_loss")
_NAMES = {"log_loss_change": "log-loss", "brier_change": "Brier score"}
_VERDICTS = {
    "better": "better than the raw ones",
    "worse": "worse than the raw ones",
    "open": "not told apart from the raw ones by these pairs",
}


def remove_calibration_files(output_dir: str | Path, *, of_the_training: bool) -> None:
    """
    Remove what an earlier run has left in `calibration/` of an output directory: it is about other weights.

    Args:
        output_dir (`str` or `Path`): The directory.
        of_the_training (`bool`): The record of evaluations too; not where a run is resumed.
    """
    for name in (FILE, *DIAGRAMS, *(OF_THE_TRAINING if of_the_training else ())):
        Path(output_dir, FOLDER, name).unlink(missing_ok=True)


def write_calibration(folder: Path, measured: MeasuredCalibration, provenance: Mapping[str, Any]) -> None:
    """Write `calibration.json`, and reliability diagrams before and after with their numbers, into a folder."""
    write_json(folder / FILE, {**measured.to_dict(), "provenance": dict(provenance)})
    for name in ("raw", "calibrated"):
        diagram = getattr(measured.to_labels, name).diagram
        if find_spec("matplotlib") is None:
            diagram.to_frame().to_csv(folder / f"{name}.csv", index=False)
            continue
        from trl_ext.reporting import plot_reliability_diagram

        title = f"{name.capitalize()} rewards, {measured.measured_on['pairs']} held-out pairs"
        plot_reliability_diagram(diagram, folder / f"{name}.png", title=title, event="the label agrees with the model")


def format_calibration(measured: MeasuredCalibration) -> str:
    """The table that is printed: figures raw, calibrated, and their paired change."""
    parameters = measured.calibration.provenance["preference"]["parameters"]
    shown = {name: value for name, value in parameters.items() if isinstance(value, dict) and "value" in value}
    numbers = [f"{name} {_cell(value)}" for name, value in shown.items()]
    numbers += [f"{name} {value}" for name, value in parameters.items() if isinstance(value, int)]
    method = measured.calibration.provenance["preference"]["method"]
    where = f"{measured.measured_on['pairs']} others"
    if measured.cross_fit is not None:
        where = f"the same by cross-fitting in {measured.cross_fit['folds']} folds of questions"
    head = f"Calibration by {method}: {', '.join(numbers)}; fitted on {measured.fitted_on['pairs']} pairs, measured on {where}."
    return f"{head}\n{format_changes(measured.to_labels, measured.to_truth)}"


def format_changes(to_labels: PreferenceCalibrationChange, to_truth: PreferenceCalibrationChange | None) -> str:
    """Figures raw, calibrated and their change, against labels and truth, and the verdict."""
    lines = [f"{'':26}{'raw':24}{'calibrated':24}change"]
    for title, change in (("to the labels", to_labels), ("to the truth", to_truth)):
        for name in _FIGURES if change is not None else ():
            cells = [getattr(change.raw, name), getattr(change.calibrated, name), getattr(change, f"{name}_change")]
            texts = ["infinite" if cell is None else _cell(cell.to_dict()) for cell in cells]
            lines.append(f"{name.replace('_', '-') + ' ' + title:26}{texts[0]:24}{texts[1]:24}{texts[2]}")
    verdict = to_labels.verdict
    return "\n".join(
        [
            *lines,
            "(95 % confidence intervals, clustered by question; a change below 0 is better)",
            f"Probabilities to the labels: {_VERDICTS[verdict['found']]}, by the change of the {_NAMES[verdict['by']]}.",
        ]
    )


def _cell(figure: Mapping[str, Any]) -> str:
    value, low, high = (float(figure[key]) for key in ("value", "ci_low", "ci_high"))
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
