"""How a reward model was calibrated, for its model card."""

from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from .calibration_trainer import CalibrationRewardTrainer

_CITATION = "\n## Citation"


def add_calibration_section(trainer: "CalibrationRewardTrainer") -> None:
    """Insert a section into the model card in the output directory of a trainer, before the citation."""
    path = Path(trainer.args.output_dir, "README.md")
    before, citation, after = path.read_text(encoding="utf-8").partition(_CITATION)
    path.write_text(f"{before}{_section(trainer)}{citation}{after}", encoding="utf-8")


def _section(trainer: "CalibrationRewardTrainer") -> str:
    args = trainer.args
    rows = {"method": f"`{args.calibration_method}`", "coefficient": args.calibration_coefficient}
    if args.calibration_method in ("soft", "matching"):
        rows["temperature"] = _temperature(trainer)
    pairs = trainer.model_pairs
    if pairs is not None:
        rows["anchor coefficient"] = args.anchor_coefficient
        if trainer.frozen_sd is not None:
            rows["anchor weight, the coefficient by variance"] = f"{trainer.anchor_weight:.4g} / reward²"
            rows["standard deviation of reward differences before"] = f"{trainer.frozen_sd:.4g}"
        rows["divergence of win rates"] = args.win_rate_divergence
        rows["pairs of models"] = len(pairs)
        rows["training pairs of each"] = f"{pairs.sizes.min()} to {pairs.sizes.max()}"
        rows["expected win rates"] = f"{pairs.targets.min():.3f} to {pairs.targets.max():.3f}"
    if trainer.num_human_pairs:
        rows["human pairs"] = f"{trainer.num_human_pairs}, coefficient {args.human_coefficient}"
    if args.calibration_method == "source_offset":
        offsets = ", ".join(f"{model}: {offset:+.3f}" for model, offset in trainer.source_offsets.items())
        rows["offsets of the sources, dropped"] = offsets
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    return f"\n## Calibration\n\n| | |\n|---|---|\n{table}"


def _temperature(trainer: "CalibrationRewardTrainer") -> str:
    if trainer.temperature is not None:
        return f"{trainer.temperature:.4g}"
    if trainer.args.calibration_method == "soft":
        low, high = trainer._columns.label_temperatures
        return f"{low:.4g} to {high:.4g}, that of each label"
    return "a quarter of the standard deviation of reward differences before training"
