"""Log-loss, for `evaluate.load`."""

import datasets
import evaluate

from trl_ext.evaluation.calibration.scores import log_loss


_DESCRIPTION = "Mean negative log-likelihood of the labels, in nats, with a t interval. Nothing is clipped."

_KWARGS_DESCRIPTION = """
Args:
    predictions: probabilities of the positive class, in [0, 1]
    references: labels, 0 or 1, or soft labels between
    clusters: label of the cluster of every row, where rows aren't independent
    level: confidence level, 0.95 by default
Returns:
    log_loss, se, ci_low, ci_high, n
Example:
    >>> import evaluate
    >>> from trl_ext.evaluation.metrics import metric_path
    >>> metric = evaluate.load(metric_path("log_loss"))
    >>> round(metric.compute(predictions=[0.5, 0.5], references=[1, 0])["log_loss"], 6)
    0.693147
"""

_CITATION = """@article{good1952rational,
  title   = {Rational Decisions},
  author  = {Good, I. J.},
  journal = {Journal of the Royal Statistical Society, Series B},
  volume  = {14},
  number  = {1},
  pages   = {107--114},
  year    = {1952}
}"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class LogLoss(evaluate.Metric):
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
        estimate = log_loss(predictions, references, clusters, level)
        return {
            **{"log_loss": estimate.value, "se": estimate.se},
            **{"ci_low": estimate.ci_low, "ci_high": estimate.ci_high, "n": estimate.n},
        }
