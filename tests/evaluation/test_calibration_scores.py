import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from trl_ext.evaluation import (
    area_under_curve,
    brier_score,
    calibration_report,
    ece_if_calibrated,
    expected_calibration_error,
    held_out_calibration_report,
    log_loss,
    reliability_diagram,
)
from trl_ext.evaluation.calibration import scores
from trl_ext.evaluation.statistics import auc
from trl_ext.reliability.calibrators import fit_calibrator


@st.composite
def predictions(draw, min_size=2):
    n = draw(st.integers(min_size, 30))
    # two decimals, so that there are ties
    p = np.array(draw(st.lists(st.integers(1, 99), min_size=n, max_size=n))) / 100
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    y[:2] = 0, 1
    return p, y


def simulate(n=400, seed=0, sharpness=1.0):
    """Labels drawn from logits; predictions are calibrated for sharpness 1, too sure above."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=n) * 1.5
    return expit(sharpness * logits), (rng.random(n) < expit(logits)).astype(int)


class TestBrierAndLogLoss:
    @given(predictions())
    def test_agree_with_scikit_learn(self, data):
        p, y = data
        assert brier_score(p, y).value == pytest.approx(brier_score_loss(y, p))
        assert log_loss(p, y).value == pytest.approx(sklearn_log_loss(y, p))

    def test_soft_labels_by_hand(self):
        # -(3/4 log 1/2 + 1/4 log 1/2) = log 2; (1/2 - 3/4)^2 = 1/16
        assert log_loss([0.5], [0.75]).value == pytest.approx(np.log(2))
        assert brier_score([0.5], [0.75]).value == pytest.approx(1 / 16)

    def test_certainty_that_is_right_costs_nothing(self):
        assert log_loss([0.0, 1.0], [0, 1]).value == 0

    def test_certainty_that_is_wrong_is_named(self):
        with pytest.raises(ValueError, match="infinite: 1 rows.*first: row 1, probability 1.0, label 0.0"):
            log_loss([0.5, 1.0], [0, 0])

    @pytest.mark.parametrize("figure", [brier_score, log_loss])
    def test_clusters_that_repeat_rows_leave_the_interval_alone(self, figure):
        p, y = simulate(60)
        once, twice = figure(p, y), figure(np.tile(p, 2), np.tile(y, 2), np.tile(np.arange(60), 2))
        assert twice.value == pytest.approx(once.value)
        assert twice.se == pytest.approx(once.se)
        assert "60 clusters" in twice.method


class TestECE:
    def test_by_hand(self):
        # bins of width 1/2: |0.3 - 0.5| * 2/4 + |0.8 - 0.5| * 2/4
        assert expected_calibration_error([0.2, 0.4, 0.7, 0.9], [0, 1, 0, 1], n_bins=2).value == pytest.approx(0.25)

    @given(predictions(), st.integers(1, 12), st.sampled_from(["uniform", "quantile"]))
    def test_is_between_the_gap_of_the_means_and_the_mean_gap(self, data, n_bins, strategy):
        p, y = data
        ece = expected_calibration_error(p, y, n_bins=n_bins, strategy=strategy, resamples=2).value
        assert abs(p.mean() - y.mean()) - 1e-12 <= ece <= np.abs(p - y).mean() + 1e-12

    def test_one_bin_is_the_gap_of_the_means(self):
        p, y = simulate()
        assert expected_calibration_error(p, y, n_bins=1).value == pytest.approx(abs(p.mean() - y.mean()))

    def test_agrees_with_the_bins_of_the_diagram(self):
        p, y = simulate()
        for strategy in ("uniform", "quantile"):
            bins = reliability_diagram(p, y, n_bins=7, strategy=strategy).to_frame()
            expected = (bins["n"] * (bins["mean_predicted"] - bins["observed"]).abs()).sum() / len(p)
            assert expected_calibration_error(p, y, n_bins=7, strategy=strategy).value == pytest.approx(expected)

    def test_calibrated_predictions_get_what_was_foretold(self):
        observed = [expected_calibration_error(*simulate(200, seed), resamples=2).value for seed in range(200)]
        foretold = np.mean([ece_if_calibrated(simulate(200, seed)[0], simulations=50).value for seed in range(200)])
        # the mean of 200 values has a standard error of 0.001
        assert np.mean(observed) == pytest.approx(foretold, abs=0.004)
        assert foretold > 0.04

    def test_predictions_that_are_too_sure_exceed_it(self):
        p, y = simulate(2000, sharpness=3.0)
        assert expected_calibration_error(p, y).value > ece_if_calibrated(p).ci_high
        p, y = simulate(2000)
        assert expected_calibration_error(p, y).value < ece_if_calibrated(p).ci_high

    @pytest.mark.slow
    def test_the_interval_covers_what_unlimited_data_would_give(self):
        p, _ = simulate(1_000_000, sharpness=3.0)
        # the logit of a prediction is three times the true one
        truth = expit((np.log(p) - np.log1p(-p)) / 3)
        bins = np.minimum((10 * p).astype(int), 9)
        expected = np.abs(np.bincount(bins, weights=p - truth)).sum() / p.size
        covered = 0
        for seed in range(300):
            estimate = expected_calibration_error(*simulate(200, seed, sharpness=3.0), resamples=400)
            covered += estimate.ci_low <= expected <= estimate.ci_high
        assert covered / 300 > 0.9

    def test_the_interval_takes_off_the_bias_of_small_samples(self):
        estimates = [expected_calibration_error(*simulate(200, seed), resamples=200) for seed in range(20)]
        # the truth is 0
        middle = np.mean([(estimate.ci_low + estimate.ci_high) / 2 for estimate in estimates])
        assert middle < 0.75 * np.mean([estimate.value for estimate in estimates])
        assert "basic interval" in estimates[0].method

    def test_a_single_cluster_has_no_interval(self):
        estimate = expected_calibration_error([0.2, 0.7], [0, 1], clusters=["a", "a"])
        assert np.isnan([estimate.se, estimate.ci_low, estimate.ci_high]).all()

    def test_clusters_widen_the_interval(self):
        p, y = simulate(50)
        rows = expected_calibration_error(np.tile(p, 4), np.tile(y, 4), seed=1)
        clusters = expected_calibration_error(np.tile(p, 4), np.tile(y, 4), seed=1, clusters=np.tile(np.arange(50), 4))
        assert rows.value == clusters.value
        assert clusters.se > 1.5 * rows.se

    def test_quantile_bins_have_equally_many_rows(self):
        p, y = simulate(400)
        assert reliability_diagram(p, y, n_bins=8, strategy="quantile").n.tolist() == [50] * 8

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ([0.5, 1.2], [0, 1]),
                r"probabilities has 1 values outside \[0, 1\]; first: row 1, value 1.2. Turn logits",
            ),
            (([0.5, 0.2], [0, 2]), r"labels has 1 values outside"),
            (([0.5], [0, 1]), "differ in length: 1 and 2"),
            (([[0.5]], [[1]]), r"shape \(N,\)"),
        ],
    )
    def test_refuses(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            expected_calibration_error(*arguments)

    def test_refuses_an_unknown_strategy(self):
        with pytest.raises(ValueError, match='"uniform" or "quantile", got \'mass\''):
            expected_calibration_error([0.5], [1], strategy="mass")


class TestAUC:
    @given(predictions())
    def test_agrees_with_scikit_learn(self, data):
        p, y = data
        assert area_under_curve(p, y).value == pytest.approx(roc_auc_score(y, p))
        assert area_under_curve(p, y, np.arange(len(p)), resamples=2).value == pytest.approx(roc_auc_score(y, p))

    @pytest.mark.parametrize("clusters", [None, range(40)])
    def test_a_constant_predictor_is_not_certain_of_a_half(self, clusters):
        area = area_under_curve([0.7] * 40, [0, 1] * 20, clusters, resamples=20)
        assert area.value == 0.5 and np.isnan([area.se, area.ci_low, area.ci_high]).all()

    def test_delong_by_hand(self):
        # positives 3, 1; negatives 2, 0: shares won 1, 1/2; shares lost to 1/2, 1 -> both variances 1/8, halved each
        estimate = area_under_curve([3.0, 1.0, 2.0, 0.0], [1, 1, 0, 0])
        assert estimate.value == 0.75
        assert estimate.se == pytest.approx(np.sqrt(1 / 8))

    def test_delong_and_bootstrap_agree_on_independent_rows(self):
        p, y = simulate(300)
        delong, bootstrap = area_under_curve(p, y), area_under_curve(p, y, np.arange(300))
        assert bootstrap.se == pytest.approx(delong.se, rel=0.1)
        assert bootstrap.ci_low == pytest.approx(delong.ci_low, abs=0.01)
        assert bootstrap.ci_high == pytest.approx(delong.ci_high, abs=0.01)

    @pytest.mark.slow
    def test_the_interval_covers_the_truth(self):
        # both logits normal with variance 1 at a distance of 1: area = Phi(1 / sqrt 2) = 0.76025
        rng = np.random.default_rng(0)
        labels = np.repeat([0, 1], 40)
        covered = 0
        for _ in range(1000):
            estimate = area_under_curve(rng.normal(size=80) + labels, labels)
            covered += estimate.ci_low <= 0.76025 <= estimate.ci_high
        assert 0.93 <= covered / 1000 <= 0.97

    def test_perfect_order_has_no_interval(self):
        estimate = area_under_curve([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1])
        assert estimate.value == 1
        assert np.isnan([estimate.se, estimate.ci_low, estimate.ci_high]).all()

    @pytest.mark.parametrize(
        ("scores", "labels", "message"),
        [
            ([0.1, 0.2], [1, 1], r"both 0 and 1, got only \[1.0\]"),
            ([0.1, 0.2], [0, 0.5], "labels must be 0 or 1; 1 are not, first: row 1, value 0.5"),
            ([0.1, float("nan")], [0, 1], "scores must be finite; 1 are not, first: row 1"),
            ([0.1], [0, 1], "same shape"),
        ],
    )
    def test_refuses(self, scores, labels, message):
        with pytest.raises(ValueError, match=message):
            area_under_curve(scores, labels)


class TestReliabilityDiagram:
    def test_by_hand(self):
        diagram = reliability_diagram([0.0, 0.24, 0.25, 1.0], [0, 1, 1, 1], n_bins=4)
        assert diagram.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert diagram.n.tolist() == [2, 1, 0, 1]
        np.testing.assert_allclose(diagram.mean_predicted, [0.12, 0.25, np.nan, 1])
        np.testing.assert_allclose(diagram.observed, [0.5, 1, np.nan, 1])
        # Wilson at 1 of 2, z = 1.96: centre 1/2, half width z sqrt(1/8 + z²/16)/(1 + z²/2)
        z = 1.959964
        half = z * np.sqrt(1 / 8 + z**2 / 16) / (1 + z**2 / 2)
        assert [diagram.ci_low[0], diagram.ci_high[0]] == pytest.approx([0.5 - half, 0.5 + half], abs=1e-6)

    def test_rows_of_a_cluster_count_once(self):
        p, y = simulate(100)
        once = reliability_diagram(p, y, clusters=np.arange(100), n_bins=3)
        twice = reliability_diagram(np.tile(p, 2), np.tile(y, 2), clusters=np.tile(np.arange(100), 2), n_bins=3)
        np.testing.assert_allclose(twice.ci_low, once.ci_low, rtol=1e-9)
        assert twice.n.tolist() == (2 * once.n).tolist()

    def test_refuses_too_few_clusters(self):
        with pytest.raises(ValueError, match="one label per row"):
            reliability_diagram([0.1, 0.2], [0, 1], clusters=["a"])


class TestReport:
    def test_holds_the_figures_of_its_parts(self):
        p, y = simulate(100)
        clusters = np.arange(100) // 2
        report = calibration_report(p, y, clusters, resamples=200)
        assert report.brier == brier_score(p, y, clusters)
        assert report.log_loss == log_loss(p, y, clusters)
        assert report.ece == expected_calibration_error(p, y, clusters=clusters, resamples=200)
        assert report.auc == area_under_curve(p, y, clusters, resamples=200)
        assert report.bias.value == pytest.approx(p.mean() - y.mean())
        assert [report.n_rows, report.n_clusters, report.notes] == [100, 50, ()]
        plain = report.to_dict()
        assert plain["ece"]["value"] == report.ece.value
        assert len(plain["diagram"]["bins"]) == 10

    def test_says_why_a_figure_is_missing(self):
        report = calibration_report([0.5, 1.0, 0.2], [0.3, 0.9, 0.2], resamples=10)
        assert report.log_loss is None
        assert report.auc is None
        assert report.notes == (
            "log_loss is infinite: 1 rows were predicted with certainty and are not so",
            "auc needs labels 0 and 1, both present",
        )


class TestHeldOutReport:
    @pytest.fixture
    def calibrator(self):
        return fit_calibrator("platt", *simulate(80, seed=1, sharpness=3.0), fitted_on="cal")

    def test_judges_the_calibrated_probabilities(self, calibrator):
        scores, labels = simulate(80, seed=2, sharpness=3.0)
        report = held_out_calibration_report(calibrator, scores, labels, split="val", resamples=50)
        assert report.brier == brier_score(calibrator.predict(scores), labels)

    def test_refuses_the_rows_fitted_on_in_any_order(self, calibrator):
        scores, labels = simulate(80, seed=1, sharpness=3.0)
        with pytest.raises(ValueError, match=r"exactly these 80 rows \(split 'cal'\)"):
            held_out_calibration_report(calibrator, scores[::-1], labels[::-1])

    def test_refuses_the_split_fitted_on(self, calibrator):
        with pytest.raises(ValueError, match="fitted on split 'cal': judge it on another"):
            held_out_calibration_report(calibrator, *simulate(80, seed=2), split="cal")


@pytest.mark.parametrize(
    "function",
    [brier_score, log_loss, expected_calibration_error, ece_if_calibrated, area_under_curve, reliability_diagram]
    + [calibration_report, held_out_calibration_report],
)
def test_the_docstring_example_runs(function):
    code = function.__doc__.split("```python\n")[1].split("```")[0]
    names = {**vars(auc), **vars(scores), **globals()}
    test = doctest.DocTestParser().get_doctest(code, names, function.__name__, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
