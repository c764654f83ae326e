"""Brier score, for `evaluate.load`."""

import datasets
import evaluate

from trl_ext.evaluation.calibration.scores import brier_score


_DESCRIPTION = "Mean squared difference of predicted probabilities and labels, with a t interval."

_KWARGS_DESCRIPTION = """
Args:
    predictions: probabilities of the positive class, in [0, 1]
    references: labels, 0 or 1, or soft labels between
    clusters: label of the cluster of every row, where rows aren't independent
    level: confidence level, 0.95 by default
Returns:
    brier_score, se, ci_low, ci_high, n
Example:
    >>> import evaluate
    >>> from trl_ext.evaluation.metrics import metric_path
    >>> metric = evaluate.load(metric_path("brier_score"))
    >>> round(metric.compute(predictions=[0.9, 0.4], references=[1, 0])["brier_score"], 4)
    0.085
"""

_CITATION = """@article{brier1950verification,
  title   = {Verification of Forecasts Expressed in Terms of Probability},
  author  = {Brier, Glenn W.},
  journal = {Monthly Weather Review},
  volume  = {78},
  number  = {1},
  pages   = {1--3},
  year    = {1950}
}"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class BrierScore(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions, references, clusters=None, level=0.95) -> dict[str, float]:
        estimate = brier_score(predictions, references, clusters, level)
        return {
            **{"brier_score": estimate.value, "se": estimate.se},
            **{"ci_low": estimate.ci_low, "ci_high": estimate.ci_high, "n": estimate.n},
        }
