"""Calibrators and scores of the annotators' paper against the stored output of its program."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from trl_ext.evaluation import binary_scores, expected_calibration_error, rms_calibration_error
from trl_ext.reliability.calibrators import (
    HistogramCalibrator,
    PlattCalibrator,
    PlattHistogramCalibrator,
    calibrator_from_dict,
)


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "annotator.json").read_text())["calibration"]


@pytest.fixture(scope="module")
def rows(golden):
    return np.array(golden["y_prob"]), np.array(golden["y_true"])


class TestGolden:
    @pytest.mark.parametrize("n_bins", [5, 8])
    def test_histogram(self, golden, rows, n_bins):
        case = golden[f"hist_{n_bins}"]
        calibrator = HistogramCalibrator(n_bins, smoothing=0.0).fit(*rows)
        # the original keeps an upper edge, 1, after the inner ones
        assert [*calibrator.edges, 1.0] == pytest.approx(case["bins"], rel=1e-12)
        assert calibrator.probabilities == pytest.approx(case["scores"], rel=1e-12)
        assert calibrator.predict(golden["pred_inputs_hist"]) == pytest.approx(case["pred"], rel=1e-12)

    @pytest.mark.parametrize(("inputs", "name"), [("probabilities", "platt_logodds"), ("scores", "platt_raw")])
    def test_platt(self, golden, rows, inputs, name):
        case = golden[name]
        calibrator = PlattCalibrator(C=1e10, inputs=inputs).fit(*rows)
        assert [calibrator.coef, calibrator.intercept] == pytest.approx([*case["coef"], *case["intercept"]], rel=1e-9)
        assert calibrator.predict(golden["pred_inputs_platt"]) == pytest.approx(case["pred"], rel=1e-9)

    @pytest.mark.parametrize("n_bins", [5, 8])
    def test_platt_histogram(self, golden, rows, n_bins):
        case = golden[f"platthist_{n_bins}"]
        calibrator = PlattHistogramCalibrator(n_bins, inputs="probabilities").fit(*rows)
        assert [*calibrator.edges, 1.0] == pytest.approx([*case["bins"][:-1], 1.0], rel=1e-9)
        assert calibrator.probabilities == pytest.approx(case["scores"], rel=1e-9)
        assert calibrator.predict(golden["pred_inputs_platthist"]) == pytest.approx(case["pred"], rel=1e-9)

    @pytest.mark.parametrize("n_bins", [5, 8])
    def test_calibration_error(self, golden, rows, n_bins):
        error = rms_calibration_error(*rows, n_bins=n_bins, resamples=10)
        assert error.value == pytest.approx(golden[f"calibration_error_{n_bins}"], abs=1e-10)  # stored with 10 digits

    def test_summary(self, golden, rows):
        scores = binary_scores(*rows, threshold="best_f1", resamples=10)
        for name, value in golden["binary_score"].items():
            assert getattr(scores, name).value == pytest.approx(value, abs=1e-9), name


class TestBinsOfEqualMass:
    @given(st.integers(1, 60), st.integers(1, 12))
    def test_sizes_differ_by_one_at_most_and_the_first_are_the_larger(self, n, n_bins):
        scores = np.arange(n) / n
        calibrator = HistogramCalibrator(n_bins).fit(np.append(scores, [2.0, 3.0]), np.append(np.zeros(n), [0, 1]))
        counts = np.bincount(np.searchsorted(calibrator.edges, np.append(scores, [2.0, 3.0]), side="right"))
        expected = [part.size for part in np.array_split(np.arange(n + 2), n_bins) if part.size]
        assert counts.tolist() == expected


class TestPlattOptions:
    def test_log_odds_of_probabilities_are_scores(self):
        d = np.array([-3.0, -0.5, 0.2, 1.0, 4.0])
        labels = [0, 1, 0, 1, 1]
        of_scores = PlattCalibrator(C=1e10).fit(d, labels)
        of_probabilities = PlattCalibrator(C=1e10, inputs="probabilities").fit(expit(d), labels)
        assert of_probabilities.predict(expit(d)) == pytest.approx(of_scores.predict(d), rel=1e-9)

    def test_are_kept_and_absent_where_they_are_the_default(self):
        labels = [0, 1, 0, 1]
        plain = PlattCalibrator().fit([0.1, 0.4, 0.6, 0.9], labels).to_dict()
        assert not {"C", "inputs"} & plain.keys()
        calibrator = PlattCalibrator(C=7.0, inputs="probabilities").fit([0.1, 0.4, 0.6, 0.9], labels)
        again = calibrator_from_dict(json.loads(json.dumps(calibrator.to_dict())))
        assert (again.C, again.inputs) == (7.0, "probabilities")
        assert again.predict([0.3]) == calibrator.predict([0.3])

    @pytest.mark.parametrize(
        ("option", "message"), [({"C": 0}, "C must be positive"), ({"inputs": "x"}, "inputs must")]
    )
    def test_refuses(self, option, message):
        with pytest.raises(ValueError, match=message):
            PlattCalibrator(**option)


def test_platt_histogram_takes_the_mean_prediction_of_a_bin():
    d = np.random.default_rng(0).normal(size=100)
    labels = np.random.default_rng(1).random(100) < expit(d)
    platt = PlattCalibrator(C=1e10).fit(d, labels).predict(d)
    calibrator = PlattHistogramCalibrator(4).fit(d, labels)
    assert calibrator.probabilities == pytest.approx(np.sort(platt).reshape(4, 25).mean(axis=1), rel=1e-12)


class TestRMSCalibrationError:
    def test_is_never_below_the_expected_error_on_the_same_bins(self):
        rng = np.random.default_rng(0)
        p = rng.random(200)
        y = rng.random(200) < p**2
        for strategy in ("uniform", "quantile"):
            options = {"n_bins": 8, "strategy": strategy, "resamples": 200}
            assert rms_calibration_error(p, y, **options).value >= expected_calibration_error(p, y, **options).value

    def test_has_an_interval(self):
        rng = np.random.default_rng(0)
        p = rng.random(500)
        error = rms_calibration_error(p, rng.random(500) < p**2, resamples=300)
        assert 0 < error.ci_low < error.ci_high and error.se > 0


class TestBinaryScores:
    def test_by_hand(self):
        # predicted positive: 3 of which 2 are; 4 positives of which 2 are found
        scores = binary_scores([0.9, 0.8, 0.5, 0.4, 0.1], [1, 0, 1, 1, 1], resamples=10)
        assert (scores.precision.value, scores.recall.value) == pytest.approx((2 / 3, 2 / 4))
        assert scores.f1.value == pytest.approx(4 / 7)
        assert (scores.precision.n, scores.recall.n) == (3, 4)

    def test_precision_is_unknown_where_nothing_is_predicted(self):
        scores = binary_scores([0.1, 0.2], [0, 1], resamples=10)
        assert np.isnan(scores.precision.value) and scores.recall.value == 0

    def test_refuses_a_threshold_that_is_no_probability(self):
        with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\]"):
            binary_scores([0.1, 0.2], [0, 1], threshold=2)
