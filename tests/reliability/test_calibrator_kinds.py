import doctest
import json
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit
from sklearn.exceptions import NotFittedError
from sklearn.isotonic import IsotonicRegression

from trl_ext.reliability import calibrators
from trl_ext.reliability.calibrators import (
    CALIBRATORS,
    BetaCalibrator,
    HistogramCalibrator,
    IsotonicCalibrator,
    TemperatureCalibrator,
    calibrator_from_dict,
    fit_calibrator,
    load_calibrator,
    logit_difference,
)


SOFT = ["isotonic", "temperature", "beta", "histogram"]
every_kind = pytest.mark.parametrize("kind", CALIBRATORS)


def log_loss(probabilities, labels):
    return -np.mean(labels * np.log(probabilities) + (1 - labels) * np.log1p(-probabilities))


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "rapl_evals.json").read_text())["calibration"]


@st.composite
def rows(draw):
    """Scores in (0, 1) and labels 0 and 1 that they do not separate."""
    n = draw(st.integers(4, 25))
    scores = np.array(draw(st.lists(st.integers(1, 99), min_size=n, max_size=n))) / 100
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), dtype=float)
    lowest, highest = np.argmin(scores), np.argmax(scores)
    labels[lowest], labels[highest] = 1, 0
    return (scores, labels) if lowest != highest else (np.append(scores, scores), np.append(labels, 1 - labels))


class TestGolden:
    def test_isotonic_for_soft_labels(self, golden):
        case = golden["soft"]
        calibrator = fit_calibrator("rapl", case["logits"], case["labels"])
        assert calibrator.kind == case["kind"] == "isotonic"
        assert calibrator.thresholds == pytest.approx(case["x_thresholds"], abs=1e-9)
        # the original casts its labels and probabilities to float32
        assert calibrator.probabilities == pytest.approx(case["y_thresholds"], abs=1e-7)
        assert calibrator.predict(case["apply_to"]) == pytest.approx(case["probs_f32"], abs=1e-7)

    def test_isotonic_of_labels_in_float32_to_the_last_digit(self, golden):
        case = golden["soft"]
        calibrator = IsotonicCalibrator().fit(case["logits"], case["labels"])
        again = IsotonicRegression(out_of_bounds="clip").fit(case["logits"], np.float32(case["labels"]))
        assert again.y_thresholds_.tolist() == pytest.approx(case["y_thresholds"], abs=1e-9)
        assert calibrator.probabilities == pytest.approx(again.y_thresholds_.tolist(), abs=1e-7)

    def test_two_logits(self, golden):
        case = golden["two_column"]
        calibrator = fit_calibrator("rapl", logit_difference(case["logits"]), case["labels"])
        assert calibrator.kind == "platt"
        assert [calibrator.coef, calibrator.intercept] == pytest.approx([case["coef"], case["intercept"]], abs=1e-9)


class TestTemperature:
    def test_by_hand(self):
        # 3 of 4 right at 3, 9 of 10 right at 6 would need T = 3/log 3 = 2.7307 at both: log 9 = 2 log 3
        logits, labels = [3.0] * 4 + [6.0] * 10, [1, 1, 1, 0] + [1] * 9 + [0]
        assert TemperatureCalibrator().fit(logits, labels).temperature == pytest.approx(3 / np.log(3), rel=1e-9)

    def test_minimises_the_log_loss_of_soft_labels(self):
        rng = np.random.default_rng(0)
        logits = rng.normal(size=200) * 3
        labels = np.clip(expit(logits / 2) + rng.normal(size=200) * 0.1, 0, 1)
        best = minimize_scalar(lambda t: log_loss(expit(logits / t), labels), bounds=(0.1, 10), method="bounded")
        assert TemperatureCalibrator().fit(logits, labels).temperature == pytest.approx(best.x, abs=1e-4)

    def test_probabilities_are_their_logits(self):
        p = np.array([0.2, 0.6, 0.9, 0.7, 0.3])
        labels = [0, 0, 1, 1, 1]
        of_logits = TemperatureCalibrator().fit(logit(p), labels)
        of_probabilities = TemperatureCalibrator("probabilities").fit(p, labels)
        assert of_probabilities.temperature == pytest.approx(of_logits.temperature)
        assert of_probabilities.predict(p) == pytest.approx(of_logits.predict(logit(p)))

    @pytest.mark.parametrize(
        ("logits", "temperature", "message"),
        [([-2.0, 1.0, 3.0], 1e-4, "separate the labels"), ([2.0, -1.0, -3.0], 1e4, "tell nothing")],
    )
    def test_says_when_there_is_no_minimum(self, logits, temperature, message, caplog):
        with caplog.at_level(logging.WARNING):
            assert TemperatureCalibrator().fit(logits, [0, 1, 1]).temperature == pytest.approx(temperature)
        assert message in caplog.text

    def test_counts_certain_probabilities(self, caplog):
        calibrator = TemperatureCalibrator("probabilities", temperature=1.0)
        with caplog.at_level(logging.WARNING):
            predicted = calibrator.predict([0.0, 0.5, 1.0])
        assert predicted == pytest.approx([1e-7, 0.5, 1 - 1e-7])
        assert "2 of 3 scores are 0 or 1" in caplog.text


class TestBeta:
    def test_minimises_the_log_loss(self):
        rng = np.random.default_rng(1)
        s = rng.uniform(0.02, 0.98, 500)
        labels = (rng.random(500) < expit(0.7 * np.log(s) - 1.6 * np.log1p(-s) - 0.3)).astype(float)

        def objective(parameters):
            z = parameters[0] * np.log(s) - parameters[1] * np.log1p(-s) + parameters[2]
            return np.mean(np.logaddexp(0, z) - labels * z)

        expected = minimize(objective, [1.0, 1.0, 0.0], tol=1e-12).x
        calibrator = BetaCalibrator().fit(s, labels)
        assert [calibrator.a, calibrator.b, calibrator.c] == pytest.approx(expected.tolist(), abs=1e-3)

    def test_a_negative_slope_becomes_zero_and_the_other_is_fitted_alone(self):
        rng = np.random.default_rng(2)
        s = rng.uniform(0.02, 0.98, 2000)
        labels = rng.random(2000) < expit(-0.8 * np.log(s) - 2.0 * np.log1p(-s) - 1.5)
        calibrator = BetaCalibrator().fit(s, labels)
        assert calibrator.a == 0
        # one slope and an intercept: mean of the score equation in both
        residual = calibrator.predict(s) - labels
        assert residual.mean() == pytest.approx(0, abs=1e-6)
        assert (residual * np.log1p(-s)).mean() == pytest.approx(0, abs=1e-5)

    def test_says_when_scores_speak_against_the_annotator(self, caplog):
        with caplog.at_level(logging.WARNING):
            calibrator = BetaCalibrator().fit([0.1, 0.2, 0.3, 0.8, 0.9], [1, 1, 1, 0, 0])
        assert calibrator.predict([0.1, 0.9]) == pytest.approx([0.6, 0.6])
        assert "a = b = 0" in caplog.text

    def test_refuses_labels_that_scores_separate(self):
        with pytest.raises(ValueError, match="no finite value; use platt"):
            BetaCalibrator().fit([0.1, 0.2, 0.8], [0, 0, 1])

    def test_refuses_logits(self):
        with pytest.raises(
            ValueError, match=r"beta takes scores in \[0, 1\]; 1 of 3 are not, first: row 2, value 1.5"
        ):
            BetaCalibrator().fit([0.1, 0.2, 1.5], [0, 1, 0])


class TestHistogram:
    def test_smoothing_by_hand(self):
        scores, labels = [0.1, 0.2, 0.3, 0.8, 0.9, 1.0], [0, 0, 1, 1, 1, 1]
        predicted = {
            smoothing: HistogramCalibrator(2, smoothing=smoothing).fit(scores, labels).predict([0.0, 2.0])
            for smoothing in (0.0, 1.0)
        }
        assert predicted[0.0] == pytest.approx([1 / 3, 1.0])
        assert predicted[1.0] == pytest.approx([2 / 5, 4 / 5])

    def test_bins_of_equal_mass_have_equally_many_rows(self):
        scores = np.random.default_rng(0).exponential(size=1000)
        calibrator = HistogramCalibrator(8).fit(scores, np.arange(1000) % 2)
        counts = np.bincount(np.searchsorted(calibrator.edges, scores, side="right"))
        assert counts.tolist() == [125] * 8

    def test_empty_bins_get_the_overall_share_and_are_counted(self, caplog):
        with caplog.at_level(logging.WARNING):
            calibrator = HistogramCalibrator(4, "uniform", smoothing=0.0).fit([0.0, 0.1, 0.2, 1.0], [0, 0, 1, 1])
        # [0, .25): 1 of 3; two bins without rows: 2 of 4; [.75, 1]: 1 of 1
        assert calibrator.predict([0.0, 0.3, 0.7, 0.9]) == pytest.approx([1 / 3, 0.5, 0.5, 1])
        assert "2 of 4 bins have no rows" in caplog.text

    def test_ties_leave_fewer_bins(self, caplog):
        with caplog.at_level(logging.WARNING):
            calibrator = HistogramCalibrator(4, smoothing=0.0).fit([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], [0, 0, 1, 1, 1, 1])
        assert calibrator.predict([0.0, 1.0]) == pytest.approx([1 / 3, 1])
        assert "ties leave 2 bins of the 4 asked for" in caplog.text


@every_kind
class TestEveryKind:
    @given(data=rows(), new=st.lists(st.floats(0, 1), min_size=1))
    def test_probabilities(self, kind, data, new):
        predicted = fit_calibrator(kind, *data).predict(new)
        assert predicted.dtype == np.float64
        assert predicted.shape == (len(new),)
        assert ((predicted >= 0) & (predicted <= 1)).all()

    @given(data=rows())
    def test_round_trip_through_json(self, kind, data):
        calibrator = fit_calibrator(kind, *data, fitted_on="cal")
        again = calibrator_from_dict(json.loads(json.dumps(calibrator.to_dict())))
        assert type(again) is type(calibrator)
        assert again.fit_record == calibrator.fit_record
        assert np.array_equal(again.predict(data[0]), calibrator.predict(data[0]))

    def test_round_trip_through_a_file(self, kind, tmp_path):
        calibrator = fit_calibrator(kind, [0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1], fitted_on="cal")
        calibrator.save(tmp_path / "folder" / "calibrator.json")
        again = load_calibrator(tmp_path / "folder" / "calibrator.json")
        assert np.array_equal(again.predict([0.1, 0.5]), calibrator.predict([0.1, 0.5]))
        assert [again.fit_record.fitted_on, again.fit_record.n] == ["cal", 4]

    def test_knows_its_rows_in_any_order(self, kind):
        scores, labels = np.array([0.2, 0.4, 0.6, 0.8]), np.array([0, 1, 0, 1])
        calibrator = fit_calibrator(kind, scores, labels)
        assert calibrator.was_fitted_on(scores[::-1], labels[::-1])
        assert not calibrator.was_fitted_on(scores, labels[::-1])
        assert not calibrator.was_fitted_on(scores[:3], labels[:3])

    @pytest.mark.parametrize(
        ("scores", "correct", "message"),
        [
            ([0.1, 0.2], [1, 1], "at least one 0 and one 1"),
            ([0.1, 0.2], [0, 0], "at least one 0 and one 1"),
            ([0.1, 0.2], [0.0, 1.5], "correct must be .*; 1 values are not, first: row 1, value 1.5"),
            ([0.1, float("nan")], [0, 1], "not finite; first: row 1"),
            ([0.1, 0.2, 0.3], [0, 1], r"same shape \(N,\), got \(3,\) and \(2,\)"),
            ([], [], "scores is empty"),
        ],
    )
    def test_refuses(self, kind, scores, correct, message):
        with pytest.raises(ValueError, match=message):
            fit_calibrator(kind, scores, correct)

    def test_refuses_to_predict_before_fit(self, kind):
        with pytest.raises(NotFittedError, match="fit"):
            CALIBRATORS[kind]().predict([0.5])

    def test_refuses_a_file_without_its_parameters(self, kind):
        with pytest.raises(ValueError, match=f"the {kind} calibrator lacks"):
            calibrator_from_dict({"kind": kind})

    def test_the_docstring_example_runs(self, kind):
        cls = CALIBRATORS[kind]
        code = cls.__doc__.split("```python\n")[1].split("```")[0]
        test = doctest.DocTestParser().get_doctest(code, vars(calibrators).copy(), kind, None, None)
        assert test.examples
        assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("kind", [kind for kind in CALIBRATORS if kind != "histogram"])
@given(data=rows(), new=st.lists(st.floats(0, 1), min_size=1))
def test_predictions_follow_the_order_of_the_scores(kind, data, new):
    calibrator = fit_calibrator(kind, *data)
    steps = np.diff(calibrator.predict(np.sort(new)))
    falls = kind in ("platt", "platt_histogram") and calibrator.coef < 0
    assert (steps <= 1e-12).all() if falls else (steps >= -1e-12).all()


@pytest.mark.parametrize("kind", SOFT)
def test_a_soft_label_is_a_mixture_of_both_labels(kind):
    # one row with label 1/4 counts as 1 correct and 3 incorrect rows, up to the weight of the row
    scores, labels = np.array([0.2, 0.4, 0.6, 0.8]), np.array([0.25, 0.5, 0.25, 0.75])
    settings = {"smoothing": 0.0, "n_bins": 2} if kind == "histogram" else {}
    soft = fit_calibrator(kind, scores, labels, **settings)
    hard_labels = (np.arange(4) < 4 * labels[:, None]).ravel().astype(float)
    hard = fit_calibrator(kind, np.repeat(scores, 4), hard_labels, **settings)
    assert soft.predict(scores) == pytest.approx(hard.predict(scores), abs=1e-6)


def test_an_unknown_kind_lists_the_known():
    with pytest.raises(ValueError, match="must be one of.*isotonic.*got 'spline'"):
        fit_calibrator("spline", [0.1, 0.2], [0, 1])


class TestLogitDifference:
    def test_one_or_two_columns(self):
        assert logit_difference([[1.0, 3.0], [2.0, -1.0]]).tolist() == [2.0, -3.0]
        assert logit_difference([[1.0], [2.0]]).tolist() == logit_difference([1.0, 2.0]).tolist() == [1.0, 2.0]

    def test_refuses_three(self):
        with pytest.raises(ValueError, match=r"\(N, 2\), got \(1, 3\)"):
            logit_difference([[1.0, 2.0, 3.0]])
