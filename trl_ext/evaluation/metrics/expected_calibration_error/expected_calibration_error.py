"""Expected calibration error, for `evaluate.load`."""

import datasets
import evaluate

from trl_ext.evaluation.calibration.scores import expected_calibration_error


_DESCRIPTION = "Mean distance of predicted probabilities and labels over bins of the prediction, with a bootstrap interval. Biased upwards."

_KWARGS_DESCRIPTION = """
Args:
    predictions: probabilities of the positive class, in [0, 1]
    references: labels, 0 or 1, or soft labels between
    n_bins: number of bins, 10 by default
    strategy: bins of equal width, "uniform" (default), or of equal mass, "quantile"
    resamples, seed: of the bootstrap, 2000 and 0 by default
    clusters: label of the cluster of every row, where rows aren't independent
    level: confidence level, 0.95 by default
Returns:
    expected_calibration_error, se, ci_low, ci_high, n
Example:
    >>> import evaluate
    >>> from trl_ext.evaluation.metrics import metric_path
    >>> metric = evaluate.load(metric_path("expected_calibration_error"))
    >>> round(metric.compute(predictions=[0.25, 0.25, 0.9], references=[0, 1, 1])["expected_calibration_error"], 6)
    0.2
"""

_CITATION = """@inproceedings{naeini2015obtaining,
  title     = {Obtaining Well Calibrated Probabilities Using Bayesian Binning},
  author    = {Naeini, Mahdi Pakdaman and Cooper, Gregory F. and Hauskrecht, Milos},
  booktitle = {AAAI Conference on Artificial Intelligence},
  year      = {2015}
}"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class ExpectedCalibrationError(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(
        self, predictions, references, n_bins=10, strategy="uniform", clusters=None, level=0.95, resamples=2000, seed=0
    ) -> dict[str, float]:
        estimate = expected_calibration_error(
            predictions,
            references,
            n_bins=n_bins,
            strategy=strategy,
            clusters=clusters,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        return {
            **{"expected_calibration_error": estimate.value, "se": estimate.se},
            **{"ci_low": estimate.ci_low, "ci_high": estimate.ci_high, "n": estimate.n},
        }
