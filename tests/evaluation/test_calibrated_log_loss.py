import doctest
import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit

from trl_ext.evaluation import held_out_calibrated_log_loss, held_out_true_metrics
from trl_ext.evaluation.calibration import calibrated_log_loss
from trl_ext.evaluation.calibration.calibrated_log_loss import (
    in_sample_calibrated_log_loss,
    original_true_metrics,
    pairwise_rows,
)
from trl_ext.reliability.calibrators import PlattCalibrator


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "rapl_evals.json").read_text())["true_compute_metrics"]


@pytest.fixture
def differences():
    return np.random.default_rng(0).normal(0.5, 1.0, size=120)


def true_rows(n, slope, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=n)
    return logits, (rng.random(n) < expit(slope * logits)).astype(float)


class TestInSample:
    def test_is_the_best_penalised_slope(self, differences):
        # 2N rows, both of a pair with the same loss: 2 sum log(1 + exp(-a d)) + a²/2
        best = minimize_scalar(lambda a: 2 * np.logaddexp(0, -a * differences).sum() + a**2 / 2, tol=1e-12)
        expected = np.logaddexp(0, -best.x * differences).mean()
        # scikit-learn stops when the gradient is below 1e-4
        assert in_sample_calibrated_log_loss(differences) == pytest.approx(expected, abs=1e-5)

    def test_has_no_intercept(self, differences):
        assert PlattCalibrator().fit(*pairwise_rows(differences)).intercept == pytest.approx(0, abs=1e-6)

    def test_is_never_above_log_2(self):
        # the wrong way round: a negative slope makes the loss good
        assert in_sample_calibrated_log_loss([-2.0, -1.0, -3.0]) < np.log(2)


class TestHeldOut:
    def test_fits_on_the_first_and_scores_the_second(self, differences):
        fit, held_out = differences[:80], 3 * differences[80:]
        slope = PlattCalibrator().fit(*pairwise_rows(fit)).coef
        estimate = held_out_calibrated_log_loss(fit, held_out)
        assert estimate.value == pytest.approx(np.logaddexp(0, -slope * held_out).mean(), abs=1e-6)
        assert estimate.n == 40

    def test_a_swap_gives_another_figure(self, differences):
        fit, held_out = differences[:80], 3 * differences[80:]
        right, swapped = held_out_calibrated_log_loss(fit, held_out), held_out_calibrated_log_loss(held_out, fit)
        assert abs(right.value - swapped.value) > 0.1
        assert [right.n, swapped.n] == [40, 80]

    def test_is_worse_than_in_sample_on_average(self):
        rng = np.random.default_rng(3)
        gaps = []
        for _ in range(50):
            fit, held_out = rng.normal(0.3, 1.0, size=(2, 30))
            gaps.append(held_out_calibrated_log_loss(fit, held_out).value - in_sample_calibrated_log_loss(held_out))
        assert np.mean(gaps) > 0

    def test_refuses_the_same_pairs(self, differences):
        with pytest.raises(ValueError, match="same pairs; in_sample_calibrated_log_loss"):
            held_out_calibrated_log_loss(differences, differences[::-1])


class TestTrueMetrics:
    def test_golden(self, golden):
        logits, labels = golden["input"]["logits_f32"], golden["input"]["labels"]
        assert [case["use_calibration"] for case in golden["outputs"]] == [False, True]
        for case in golden["outputs"]:
            metrics = original_true_metrics(logits, labels, use_calibration=case["use_calibration"])
            assert metrics.keys() == case["output"].keys()
            # the original computes in float32
            assert metrics == pytest.approx(case["output"], abs=2e-7)

    def test_the_original_fits_on_the_first_half_and_scores_the_second(self):
        first, second = true_rows(60, slope=3.0, seed=0), true_rows(60, slope=-1.0, seed=1)
        metrics = original_true_metrics(np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]]))
        assert metrics["calibration_scale"] == PlattCalibrator().fit(*first).coef
        assert metrics["accuracy"] == np.mean((second[0] > 0) == second[1])

    def test_ours_fits_on_the_calibration_split_and_scores_the_other(self):
        # the score means the opposite in the two splits, so a swap would show in the sign of the slope
        cal, val = true_rows(60, slope=3.0, seed=0), true_rows(40, slope=-3.0, seed=1)
        metrics, calibrator = held_out_true_metrics(*cal, *val)
        assert calibrator.coef > 0
        assert calibrator.fit_record.n == 60
        assert calibrator.fit_record.fitted_on == "calibration"
        assert metrics["loss"].n == metrics["calibrated_loss"].n == 40
        expected = -np.log(np.where(val[1] == 1, calibrator.predict(val[0]), 1 - calibrator.predict(val[0]))).mean()
        assert metrics["calibrated_loss"].value == pytest.approx(expected)
        assert metrics["loss"].value == pytest.approx(np.logaddexp(0, np.where(val[1] == 1, -val[0], val[0])).mean())

    def test_soft_labels_and_two_logits(self):
        rng = np.random.default_rng(0)
        logits, labels = rng.normal(size=(40, 2)), rng.integers(1, 3, 40) / 3
        metrics, calibrator = held_out_true_metrics(logits[:20], labels[:20], logits[20:], labels[20:])
        assert calibrator.kind == "isotonic"
        assert metrics["calibrated_loss"].n == 20

    def test_refuses_the_same_rows(self):
        rows = true_rows(60, slope=3.0, seed=0)
        with pytest.raises(ValueError, match="exactly the rows of the calibration split"):
            held_out_true_metrics(*rows, *rows)


@pytest.mark.parametrize("function", [in_sample_calibrated_log_loss, held_out_calibrated_log_loss])
def test_the_docstring_example_runs(function):
    code = function.__doc__.split("```python\n")[1].split("```")[0]
    names = vars(calibrated_log_loss).copy()
    test = doctest.DocTestParser().get_doctest(code, names, function.__name__, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
