import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.exceptions import NotFittedError

from trl_ext.reliability.calibrators import PlattCalibrator, load_calibrator


class TestPlattCalibrator:
    def test_minimises_the_penalised_log_loss(self):
        rng = np.random.default_rng(0)
        scores = rng.normal(size=300)
        correct = rng.random(300) < 1 / (1 + np.exp(-(1.5 * scores + 0.5)))

        def objective(parameters):
            logits = parameters[0] * scores + parameters[1]
            return np.logaddexp(0, np.where(correct, -logits, logits)).sum() + parameters[0] ** 2 / 2

        expected = minimize(objective, [0.0, 0.0], tol=1e-10).x
        calibrator = PlattCalibrator().fit(scores, correct)
        assert [calibrator.coef, calibrator.intercept] == pytest.approx(expected.tolist(), abs=1e-4)

    def test_golden_binary(self, shared_dir):
        case = json.loads((shared_dir / "golden" / "rapl_evals.json").read_text())["calibration"]["binary"]
        calibrator = PlattCalibrator().fit(case["logits"], case["labels"])
        assert calibrator.coef == pytest.approx(case["coef"], abs=1e-9)
        assert calibrator.intercept == pytest.approx(case["intercept"], abs=1e-9)
        # the original casts its probabilities to float32
        assert calibrator.predict(case["apply_to"]) == pytest.approx(case["probs_f32"], abs=1e-7)

    @given(st.floats(-5, 5), st.floats(-5, 5), st.lists(st.floats(-1e3, 1e3), min_size=1))
    def test_predictions_are_probabilities_in_the_order_of_the_slope(self, coef, intercept, scores):
        predicted = PlattCalibrator(coef, intercept).predict(np.sort(scores))
        assert ((predicted >= 0) & (predicted <= 1)).all()
        assert (np.diff(predicted) * np.sign(coef) >= 0).all()

    def test_round_trip_through_json(self):
        calibrator = PlattCalibrator().fit([0.1, 0.4, 0.6, 0.9], [False, True, False, True])
        again = PlattCalibrator.from_dict(json.loads(json.dumps(calibrator.to_dict())))
        assert np.array_equal(again.predict([0.2, 0.7]), calibrator.predict([0.2, 0.7]))

    @pytest.mark.parametrize(
        ("scores", "correct", "message"),
        [
            ([0.1, 0.2], [1, 1], "at least one 0 and one 1"),
            ([0.1, 0.2], [0.0, 0.7], "must be 0 or 1; 1 values are not, first: row 1, value 0.7"),
            ([0.1, float("nan")], [0, 1], "not finite; first: row 1"),
            ([0.1, 0.2, 0.3], [0, 1], r"same shape \(N,\), got \(3,\) and \(2,\)"),
            ([[0.1], [0.2]], [0, 1], r"shape \(N,\), got \(2, 1\)"),
        ],
    )
    def test_refuses(self, scores, correct, message):
        with pytest.raises(ValueError, match=message):
            PlattCalibrator().fit(scores, correct)

    def test_refuses_to_predict_before_fit(self):
        with pytest.raises(NotFittedError, match="fit"):
            PlattCalibrator().predict([0.5])

    def test_refuses_another_kind(self):
        with pytest.raises(ValueError, match="'platt', got 'isotonic'"):
            PlattCalibrator.from_dict({"kind": "isotonic"})


class TestStandardizedPlatt:
    scores = np.random.default_rng(0).normal(size=300)
    labels = (np.random.default_rng(1).random(300) < 1 / (1 + np.exp(-scores))).astype(float)

    @pytest.mark.parametrize("scale, shift", [(1e-3, 0.0), (100.0, -7.0)])
    def test_the_scale_of_the_scores_does_not_matter(self, scale, shift):
        def predictions(scores, **options):
            return PlattCalibrator(**options).fit(scores, self.labels).predict(scores)

        moved = self.scores * scale + shift
        expected = predictions(self.scores, standardize=True)
        np.testing.assert_allclose(predictions(moved, standardize=True), expected, atol=1e-4)
        if scale < 1:
            assert expected.std() > 0.1 > 0.01 > predictions(moved).std()

    def test_mean_and_sd_are_saved(self, tmp_path):
        calibrator = PlattCalibrator(standardize=True).fit(self.scores + 3, self.labels, fitted_on="cal")
        assert calibrator.to_dict()["mean"] == pytest.approx((self.scores + 3).mean())
        calibrator.save(tmp_path / "c.json")
        again = load_calibrator(tmp_path / "c.json")
        assert again.to_dict() == calibrator.to_dict()
        np.testing.assert_array_equal(again.predict(self.scores), calibrator.predict(self.scores))
        with pytest.raises(ValueError, match=r"lacks \['sd'\]"):
            PlattCalibrator.from_dict({k: v for k, v in calibrator.to_dict().items() if k != "sd"})

    def test_without_it_nothing_new_is_written_or_needed(self):
        content = PlattCalibrator().fit(self.scores, self.labels).to_dict()
        assert set(content) == {"kind", "coef", "intercept", "fit_record"}

    def test_scores_without_spread_predict_the_share(self):
        calibrator = PlattCalibrator(standardize=True).fit(np.full(300, 0.1), self.labels)
        assert calibrator.predict([0.1])[0] == pytest.approx(self.labels.mean(), abs=1e-4)
