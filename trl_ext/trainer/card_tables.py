"""What a model card says about how far the labels were believed."""

from typing import TYPE_CHECKING, Any

import numpy as np


if TYPE_CHECKING:
    from .annotator_aware_trainer import AnnotatorAwareRewardTrainer
    from .noise_aware_trainer import NoiseAwareRewardTrainer
    from .reliability_trainer import ReliabilityRewardTrainer


def reliability_rows(trainer: "ReliabilityRewardTrainer") -> dict[str, Any]:
    """Method and weights of [`ReliabilityRewardTrainer`]."""
    args, weights = trainer.args, trainer.weight_statistics
    return {
        "method": f"rapl_method={args.rapl_method}",
        "labels with P(correct) below one half": args.on_below_half,
        "share of such labels": weights.share_below_half,
        "pairs below this reliability dropped": args.min_reliability,
        "one reliability for all": weights.constant_reliability,
        "pairs believed with exchanged responses": weights.flipped or None,
        "mean weight": weights.mean,
        "standard deviation of weights": weights.sd,
        "share of pairs with weight 0": weights.share_zero,
        "effective sample size": f"{weights.effective_sample_size:.1f} of {weights.n} pairs",
    }


def noise_rows(trainer: "NoiseAwareRewardTrainer") -> dict[str, Any]:
    """Method and η of [`NoiseAwareRewardTrainer`]."""
    rows: dict[str, Any] = {"method": f"noise_method={trainer.args.noise_method}"}
    summary = trainer.eta_summary
    if summary is not None:
        rows |= {
            "η of the labels from": summary.source,
            "annotators": summary.n_annotators,
            "mean η": summary.mean,
            "range of η": f"{summary.minimum:.4g} to {summary.maximum:.4g}",
            "pairs with η = 0": summary.n_zero,
        }
    return rows


def annotator_rows(trainer: "AnnotatorAwareRewardTrainer") -> dict[str, Any]:
    """η that [`AnnotatorAwareRewardTrainer`] has learned so far, without the names of the annotators."""
    rows: dict[str, Any] = {
        "method": "commitment η of every annotator, learned with the model",
        "annotators": len(trainer.annotators.eta),
    }
    if not np.isfinite(trainer.annotators.latest).any():
        return rows | {"η": "not learned yet"}
    table = trainer.annotator_report().table  # as in annotators.csv, not the η that the loss has used
    return rows | {
        "median η": float(table["eta"].median()),
        "range of η": f"{table['eta'].min():.3f} to {table['eta'].max():.3f}",
        "annotators found to be better than chance": int(table["better_than_chance"].sum()),
        "annotators found to be adversarial": int(table["adversarial"].sum()),
        "how far to trust η": "found with the differences of this training, which make it too high",
    }
