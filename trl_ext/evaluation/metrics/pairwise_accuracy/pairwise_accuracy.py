"""Pairwise accuracy of rewards, for `evaluate.load`."""

import datasets
import evaluate
import numpy as np

from trl_ext.evaluation.statistics import proportion_estimate


_DESCRIPTION = "Share of pairs of responses of which the preferred one has the higher reward, with Wilson's interval."

_KWARGS_DESCRIPTION = """
Args:
    predictions: rewards of both responses of every pair, shape (N, 2)
    references: which of the two is preferred, 0 or 1
    ties: what an equal reward is worth: "loss" nothing (default), "half" one half
    clusters: label of the prompt of every pair, where prompts repeat
    level: confidence level, 0.95 by default
Returns:
    pairwise_accuracy, se, ci_low, ci_high, n, and tie_rate: share of pairs of equal rewards
Example:
    >>> import evaluate
    >>> from trl_ext.evaluation.metrics import metric_path
    >>> metric = evaluate.load(metric_path("pairwise_accuracy"))
    >>> metric.compute(predictions=[[1.0, 0.0], [0.0, 2.0]], references=[0, 0])["pairwise_accuracy"]
    0.5
"""

_CITATION = ""

TIES = {"loss": 0.0, "half": 0.5}


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class PairwiseAccuracy(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {"predictions": datasets.Sequence(datasets.Value("float64")), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions, references, ties="loss", clusters=None, level=0.95) -> dict[str, float]:
        if ties not in TIES:
            raise ValueError(f"ties must be one of {', '.join(TIES)}, got {ties!r}")
        wrong = [row for row, rewards in enumerate(predictions) if len(rewards) != 2]
        if wrong:
            raise ValueError(
                f"predictions must hold two rewards per pair; row {wrong[0]} has {len(predictions[wrong[0]])}"
            )
        rewards, preferred = np.asarray(predictions, dtype=np.float64), np.asarray(references)
        bad = np.flatnonzero(~np.isfinite(rewards).all(axis=1))
        if bad.size:
            raise ValueError(
                f"predictions: {bad.size} rows are not finite; first: row {bad[0]}, {predictions[bad[0]]}"
            )
        bad = np.flatnonzero(~np.isin(preferred, (0, 1)))
        if bad.size:
            raise ValueError(f"references must be 0 or 1; first other: row {bad[0]}, {preferred[bad[0]]}")
        difference = (rewards[:, 0] - rewards[:, 1]) * (1 - 2 * preferred)
        tied = difference == 0
        estimate = proportion_estimate(np.where(tied, TIES[ties], difference > 0), clusters, level)
        return {
            **{"pairwise_accuracy": estimate.value, "se": estimate.se},
            **{"ci_low": estimate.ci_low, "ci_high": estimate.ci_high, "n": estimate.n},
            "tie_rate": float(tied.mean()),
        }
