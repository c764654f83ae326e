"""Metrics that `evaluate.load` finds in the package, without a network."""

from pathlib import Path

import evaluate
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import brier_score, expected_calibration_error, log_loss, proportion_estimate
from trl_ext.evaluation.metrics import METRICS, metric_path


PREDICTIONS, REFERENCES = [0.9, 0.4, 0.7, 0.2], [1, 0, 0.5, 0]
FUNCTIONS = {
    "brier_score": brier_score,
    "log_loss": log_loss,
    "expected_calibration_error": expected_calibration_error,
}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("evaluate"))
    return {name: evaluate.load(metric_path(name), cache_dir=cache) for name in METRICS}


def test_example():
    assert failed_examples(metric_path) == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_probabilities(metrics, name):
    result = metrics[name].compute(predictions=PREDICTIONS, references=REFERENCES, level=0.9)
    expected = FUNCTIONS[name](PREDICTIONS, REFERENCES, level=0.9)
    assert result == pytest.approx(
        {name: expected.value, **{key: expected.to_dict()[key] for key in ("se", "ci_low", "ci_high", "n")}}
    )


def test_options_of_the_calibration_error(metrics):
    options = {"n_bins": 2, "strategy": "quantile", "resamples": 50, "seed": 3}
    result = metrics["expected_calibration_error"].compute(predictions=PREDICTIONS, references=REFERENCES, **options)
    expected = expected_calibration_error(PREDICTIONS, REFERENCES, **options)
    assert result["expected_calibration_error"] == expected.value and result["ci_high"] == expected.ci_high


def test_batches(metrics):
    metric = metrics["brier_score"]
    metric.add_batch(predictions=PREDICTIONS[:2], references=REFERENCES[:2])
    metric.add_batch(predictions=PREDICTIONS[2:], references=REFERENCES[2:])
    assert metric.compute()["brier_score"] == pytest.approx(brier_score(PREDICTIONS, REFERENCES).value)


class TestPairwiseAccuracy:
    REWARDS = [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [3.0, 2.0]]

    @pytest.mark.parametrize(("ties", "wins"), [("loss", [1, 1, 0, 0]), ("half", [1, 1, 0.5, 0])])
    def test_value(self, metrics, ties, wins):
        result = metrics["pairwise_accuracy"].compute(predictions=self.REWARDS, references=[0, 1, 0, 1], ties=ties)
        expected = proportion_estimate(wins)
        assert (result["pairwise_accuracy"], result["ci_low"]) == pytest.approx((expected.value, expected.ci_low))
        assert result["tie_rate"] == 0.25 and result["n"] == 4

    @pytest.mark.parametrize(
        ("predictions", "references", "message"),
        [
            ([[1.0, 2.0, 3.0]], [0], "two rewards per pair; row 0 has 3"),
            ([[1.0, 2.0], [1.0, float("nan")]], [0, 1], "first: row 1"),
            ([[1.0, 2.0]], [2], "0 or 1; first other: row 0, 2"),
        ],
    )
    def test_refuses(self, metrics, predictions, references, message):
        with pytest.raises(ValueError, match=message):
            metrics["pairwise_accuracy"].compute(predictions=predictions, references=references)


def test_describe_themselves(metrics):
    for name, metric in metrics.items():
        assert metric.description and name in metric.inputs_description
        assert {"predictions", "references"} == set(metric.features)


def test_unknown_name():
    with pytest.raises(ValueError, match="pairwise_accuracy, expected_calibration_error"):
        metric_path("accuracy")


def test_every_folder_is_a_metric():
    folder = Path(metric_path("brier_score")).parent
    assert sorted(path.parent.name for path in folder.glob("*/*.py")) == sorted(METRICS)
