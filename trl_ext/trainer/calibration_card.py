"""How a reward model was calibrated to win rates, for its model card."""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .calibration_trainer import CalibrationRewardTrainer


def calibration_rows(trainer: "CalibrationRewardTrainer") -> dict[str, Any]:
    """Method, settings and models of [`CalibrationRewardTrainer`]."""
    args = trainer.args
    rows: dict[str, Any] = {"method": args.calibration_method, "coefficient": args.calibration_coefficient}
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
    return rows


def _temperature(trainer: "CalibrationRewardTrainer") -> str:
    if trainer.temperature is not None:
        return f"{trainer.temperature:.4g}"
    if trainer.args.calibration_method == "soft":
        low, high = trainer._columns.label_temperatures
        return f"{low:.4g} to {high:.4g}, that of each label"
    return "a quarter of the standard deviation of reward differences before training"
