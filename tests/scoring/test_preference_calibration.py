"""Probabilities of reward differences: planted parameters come back, and what can't be fitted is refused."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from scipy.special import expit
from transformers import AutoModelForSequenceClassification

from tests.evaluation.doc_examples import failed_examples
from tests.tiny import tiny_config, tiny_tokenizer
from trl_ext.evaluation import preference_calibration_change
from trl_ext.scoring import (
    LengthCurve,
    PreferenceCurve,
    RewardCalibration,
    fit_length_calibration,
    fit_preference_calibration,
    save_calibration,
)
from trl_ext.scoring.calibrated import PREFERENCE_METHODS
from trl_ext.trainer.head_fingerprint import head_fingerprint


CURVES = (
    PreferenceCurve("temperature", temperature=2.5),
    PreferenceCurve("platt", temperature=0.5),
    PreferenceCurve("lapse", temperature=1.0, eta=0.6),
    PreferenceCurve("isotonic", differences=(0.5, 1.0, 3.0), probabilities=(0.5, 0.7, 0.9)),
)


def world(n=4000, temperature=2.5, eta=1.0, seed=0, intercept=0.0):
    """Differences of rewards and labels of a model with these parameters."""
    generator = np.random.default_rng(seed)
    d = generator.normal(0, 3, n)
    q = eta * expit(d / temperature + intercept) + (1 - eta) / 2
    return d, (generator.random(n) < q).astype(float)


def fit(d, y=None, **options):
    return fit_preference_calibration(d, np.zeros_like(d), y, **options)


def parameters(found):
    return found.provenance["preference"]["parameters"]


class TestCurve:
    def test_examples(self):
        examples = (PreferenceCurve, RewardCalibration.preference_probability, fit_preference_calibration)
        assert [failed_examples(example) for example in examples] == [0, 0, 0]

    def test_lapse_by_hand(self):
        # 0.6 * sigma(2) + 0.2 = 0.6 * 0.880797 + 0.2
        curve = CURVES[2]
        assert curve([2.0])[0] == pytest.approx(0.728478, abs=1e-6)
        assert curve.probability_of_better([2.0])[0] == pytest.approx(0.880797, abs=1e-6)
        assert curve.losses([2.0], [0.0])[0] == pytest.approx(-np.log(1 - 0.728478), abs=1e-5)

    @given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20), st.sampled_from(CURVES))
    def test_antisymmetric_and_rising(self, d, curve):
        d = np.sort(np.array(d))
        p = curve(d)
        np.testing.assert_allclose(p + curve(-d), 1.0, atol=1e-12)
        assert (np.diff(p) >= -1e-15).all() and ((p >= 0) & (p <= 1)).all()
        assert np.isfinite(curve.losses(d, np.zeros_like(d))).all()

    def test_isotonic_never_is_certain(self):
        assert CURVES[3]([1e9, -1e9]).tolist() == pytest.approx([0.9, 0.1])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"method": "beta"}, "`method` must be one of"),
            ({"method": "temperature"}, "`temperature` is missing"),
            ({"method": "temperature", "temperature": 0.0}, "must be above 0"),
            ({"method": "temperature", "temperature": 1.0, "eta": 0.5}, "`eta` is of method 'lapse'"),
            ({"method": "lapse", "temperature": 1.0, "eta": 0.0}, "`eta` must be above 0"),
            ({"method": "temperature", "temperature": 1.0, "intercept": 1.0}, "`intercept` is of method 'platt'"),
            ({"method": "isotonic", "temperature": 1.0}, "has no temperature"),
            ({"method": "isotonic"}, "needs `differences`"),
            ({"method": "isotonic", "differences": (1.0, 1.0), "probabilities": (0.6, 0.7)}, "must rise"),
            ({"method": "isotonic", "differences": (1.0, 2.0), "probabilities": (0.7, 0.6)}, "must not fall"),
            ({"method": "isotonic", "differences": (1.0,), "probabilities": (1.0,)}, "below 1"),
        ],
    )
    def test_refusals(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            PreferenceCurve(**arguments)


class TestStored:
    @pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.method)
    def test_json_round_trip(self, curve):
        whole = RewardCalibration(
            {"a": 1.0, "b": -1.0}, "sum_zero", LengthCurve((1, 2), (0, 1), "words"), {"x": 1}, curve
        )
        again = RewardCalibration.from_dict(json.loads(json.dumps(whole.to_dict())))
        assert again == whole and again.fingerprint == whole.fingerprint and whole.to_dict()["version"] == 2

    def test_version_1_is_read_and_written_without_probabilities(self):
        old = {
            **{"version": 1, "source_offsets": {"a": 0.5, "b": -0.5}, "gauge": "sum_zero"},
            **{"length_curve": None, "provenance": {}},
        }
        read = RewardCalibration.from_dict(old)
        assert read.preference is None and read.to_dict() == old
        with pytest.raises(ValueError, match="fit_preference_calibration"):
            read.preference_probability([1.0], [0.0])

    def test_only_a_temperature_divides_rewards(self):
        for curve in CURVES:
            scale = 2.5 if curve.method == "temperature" else 1.0
            found = RewardCalibration({"a": 1.0, "b": -1.0}, "sum_zero", preference=curve)
            rewards = found.apply([3.0, 1.0], ["a", "b"])
            np.testing.assert_allclose(rewards, np.array([4.0, 0.0]) / scale)
            # probabilities are those of the corrected difference, whatever became of the rewards
            assert found.preference_probability(rewards[:1], rewards[1:])[0] == pytest.approx(curve([4.0])[0])


class TestFit:
    def test_value_by_hand(self):
        # 3 of 4 right at d = 2: sigma(2 / T) = 3/4, T = 2 / log 3; Fisher: se(1/T) = 1 / sqrt(n p (1 - p) d^2)
        d = np.where(np.arange(400) < 300, 2.0, -2.0)
        estimate = parameters(fit(d))["temperature"]
        assert estimate["value"] == pytest.approx(2 / np.log(3), rel=1e-6)
        se = 1 / np.sqrt(400 * 0.1875 * 4) * (2 / np.log(3)) ** 2
        assert estimate["se"] == pytest.approx(se, rel=0.01)

    @given(st.floats(0.2, 20), st.integers(0, 10**6))
    @settings(max_examples=15, deadline=None)
    def test_temperature_comes_back(self, temperature, seed):
        generator = np.random.default_rng(seed)
        d = generator.normal(0, 2 * temperature, 4000)
        estimate = parameters(fit(d, (generator.random(4000) < expit(d / temperature)).astype(float)))["temperature"]
        assert abs(estimate["value"] - temperature) < 5 * estimate["se"]

    def test_intervals_cover(self):
        covered = 0
        for seed in range(200):
            estimate = parameters(fit(*world(200, seed=seed)))["temperature"]
            covered += float(estimate["ci_low"]) <= 2.5 <= float(estimate["ci_high"])
        assert 180 <= covered  # 95 % of 200, less three standard errors

    def test_clusters_widen_the_interval(self):
        d, y = world(300)
        copies = np.tile(np.arange(300), 4)
        alone = parameters(fit(np.tile(d, 4), np.tile(y, 4)))["temperature"]
        clustered = parameters(fit(np.tile(d, 4), np.tile(y, 4), clusters=copies))["temperature"]
        assert clustered["value"] == alone["value"] and clustered["se"] == pytest.approx(2 * alone["se"], rel=0.01)

    @given(st.integers(0, 10**6), st.sampled_from(PREFERENCE_METHODS))
    @settings(max_examples=12, deadline=None)
    def test_which_response_is_called_chosen_makes_no_difference(self, seed, method):
        generator = np.random.default_rng(seed)
        d, y = world(400, eta=0.8, seed=seed)
        turned = generator.random(400) < 0.5
        swapped = fit(np.where(turned, -d, d), np.where(turned, 1 - y, y), method=method)
        grid = np.linspace(-8, 8, 41)
        np.testing.assert_allclose(swapped.preference(grid), fit(d, y, method=method).preference(grid), atol=1e-4)

    def test_weights_are_copies(self):
        d, y = world(300)
        w = np.arange(300) % 3
        for method in PREFERENCE_METHODS:
            weighted, copied = (
                fit(d, y, weights=w, method=method),
                fit(np.repeat(d, w), np.repeat(y, w), method=method),
            )
            grid = np.linspace(-6, 6, 25)
            # the imaginary half pair of isotonic regression has the mean weight
            tolerance = 0.02 if method == "isotonic" else 1e-5
            np.testing.assert_allclose(weighted.preference(grid), copied.preference(grid), atol=tolerance)

    def test_soft_labels_are_shares(self):
        d = np.array([1.0, -2.0, 0.5, 3.0] * 5)
        soft = fit(d, np.array([0.75, 0.25, 0.5, 0.75] * 5))
        hard = fit(np.repeat(d, 4), np.array([1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0] * 5, dtype=float))
        assert soft.preference.temperature == pytest.approx(hard.preference.temperature, rel=1e-6)

    def test_lapse_finds_both(self):
        found = parameters(fit(*world(8000, 1.0, 0.7), method="lapse"))
        assert abs(found["eta"]["value"] - 0.7) < 4 * found["eta"]["se"]
        assert abs(found["temperature"]["value"] - 1.0) < 4 * found["temperature"]["se"]
        assert fit(*world(2000, 1.0, 0.7), method="lapse", eta=0.7).preference.eta == 0.7

    def test_lapse_with_an_outlier(self):
        d, y = world(300, 0.5, 0.8)
        found = fit(np.append(d, -400.0), np.append(y, 1.0), method="lapse").preference
        assert found.losses(d, y).sum() <= PreferenceCurve("lapse", temperature=0.5, eta=0.8).losses(d, y).sum() + 0.5

    def test_one_outlier_does_not_hide_the_direction(self):
        d = np.concatenate([np.linspace(0.5, 1.5, 98), [-500.0, -0.2]])
        assert fit(d, method="isotonic").preference([1.0])[0] > 0.9
        assert fit(d, method="lapse").preference([1.0])[0] > 0.9
        with pytest.raises(ValueError, match=r"agree with 98.0% of the labels .*largest difference: -500"):
            fit(d)

    def test_scale_makes_no_difference(self):
        d, y = world(200)
        for method in PREFERENCE_METHODS:
            small, large = (fit(d * scale, y, method=method).preference for scale in (1e-30, 1e30))
            np.testing.assert_allclose(small(d * 1e-30), large(d * 1e30), atol=1e-6)
        with pytest.raises(ValueError, match="Divide or multiply all rewards"):
            fit(d * 1e300, y)

    def test_lapse_of_signs_alone_is_refused(self):
        # as right at d = 0.002 as at d = 2: the best curve is a step, with T = 0
        d = np.where(np.arange(400) < 300, 2.0, -2.0) * np.where(np.arange(400) % 2, 1.0, 0.001)
        with pytest.raises(ValueError, match="the sign of the reward difference alone explains the labels"):
            fit(d, method="lapse")

    def test_platt_estimates_the_advantage_of_the_first_place_only_in_order(self):
        d, y = world(4000, intercept=0.5)
        ordered = fit(d, y, method="platt", presentation_order=True)
        assert ordered.preference.intercept == pytest.approx(0.5, abs=0.15)
        assert not ordered.preference.is_antisymmetric
        plain = fit(d, y, method="platt")
        assert plain.preference.intercept == 0 and "both orders" in plain.provenance["preference"]["labels"]

    def test_isotonic_follows_any_shape(self):
        d, _ = world(20000)
        q = 0.5 + np.sign(d) * np.minimum(np.abs(d), 1.5) * 0.2
        y = (np.random.default_rng(1).random(d.size) < q).astype(float)
        grid = np.array([-4.0, -1.0, 0.0, 1.0, 4.0])
        np.testing.assert_allclose(fit(d, y, method="isotonic").preference(grid), [0.2, 0.3, 0.5, 0.7, 0.8], atol=0.04)

    def test_isotonic_at_the_end_by_hand(self):
        # the 30 surest pairs are all right: 30 / 30.5; the half wrong pair is imaginary
        d = np.concatenate([np.full(30, 2.0), np.full(25, 1.0), np.full(15, -1.0)])
        curve = fit(d, method="isotonic").preference
        assert curve.differences == (1.0, 2.0) and curve.probabilities == pytest.approx((25 / 40, 30 / 30.5))

    def test_offsets_come_back(self):
        generator = np.random.default_rng(3)
        names, true = np.array(["a", "b", "c"]), np.array([1.0, -0.6, -0.4])
        i, j = generator.integers(0, 3, (2, 6000))
        d = generator.normal(0, 3, 6000)
        y = (generator.random(6000) < expit((d + true[i] - true[j]) / 2)).astype(float)
        found = fit(d, y, fit_offsets=True, sources_chosen=list(names[i]), sources_rejected=list(names[j]))
        assert found.gauge == "sum_zero" and found.preference.temperature == pytest.approx(2, rel=0.15)
        for name, value in zip(names, true, strict=True):
            estimate = parameters(found)["offsets"][name]
            assert abs(estimate["value"] - value) < 4 * estimate["se"]
        isotonic = fit(
            d, y, method="isotonic", fit_offsets=True, sources_chosen=list(names[i]), sources_rejected=list(names[j])
        )
        assert isotonic.source_offsets == pytest.approx(found.source_offsets)

    def test_after_a_curve_of_length(self):
        d, y = world(500)
        generator = np.random.default_rng(0)
        lengths = generator.integers(1, 200, (2, 500))
        rewards = generator.normal(0, 1, 500) + np.array([d, np.zeros(500)])
        biased = rewards + 0.03 * lengths
        base = fit_length_calibration(biased.ravel(), lengths.ravel(), unit="words", scale="linear")
        found = fit_preference_calibration(
            *biased, y, base=base, lengths_chosen=lengths[0], lengths_rejected=lengths[1]
        )
        assert found.length_curve == base.length_curve and {"length", "preference"} == set(found.provenance)
        assert found.preference.temperature == pytest.approx(fit(d, y).preference.temperature, rel=0.05)

    @pytest.mark.parametrize(
        ("d", "options", "message"),
        [
            (np.ones(9), {}, "needs at least 10 pairs"),
            (np.ones(49), {"method": "isotonic"}, "needs at least 50 pairs"),
            (np.zeros(20), {}, "all 20 pairs are ties"),
            (np.ones(20), {}, "order all 20 pairs as they are labelled"),
            (np.ones(20), {"method": "lapse"}, "order all 20 pairs as they are labelled"),
            (-np.ones(20), {}, "no better than chance on these 20 pairs"),
            (np.array([1.0, -1.0] * 10), {}, "no better than chance"),
            (np.array([1.0, -1.0] * 30), {"method": "isotonic"}, "no better than chance"),
            (np.array([np.nan] * 20), {}, "`rewards` has 20 values that are not finite"),
            (np.ones(20), {"method": "beta"}, "`method` must be one of"),
            (np.ones(20), {"eta": 0.5}, "`eta` is for method"),
            (np.ones(20), {"presentation_order": True}, "needs `labels`"),
            (np.ones(20), {"weights": -np.ones(20)}, "`weights` must be at least 0; 20 values are not, first: row 0"),
            (np.ones(20), {"weights": np.zeros(20)}, "with weight above 0"),
            (np.ones(20), {"fit_offsets": True}, "needs `sources_chosen`"),
            (
                np.ones(20),
                {"fit_offsets": True, "sources_chosen": ["a"] * 3, "sources_rejected": ["b"] * 3},
                "`sources_chosen` must have one entry for each of the 20 pairs",
            ),
            (np.ones(20), {"clusters": [1]}, "`clusters` must have one entry"),
            (
                np.ones(20),
                {
                    "fit_offsets": True,
                    "sources_chosen": ["a"] * 10 + ["b"] * 10,
                    "sources_rejected": ["c"] * 10 + ["d"] * 10,
                },
                "no pair connects",
            ),
        ],
    )
    def test_refusals(self, d, options, message):
        with pytest.raises(ValueError, match=message):
            fit(d, **options)

    def test_labels_out_of_range(self):
        with pytest.raises(ValueError, match=r"`labels` must be in \[0, 1\]; 1 values are not, first: row 1, value 2"):
            fit(np.ones(3), [1.0, 2.0, 0.0])


class TestChange:
    @pytest.mark.parametrize("method", PREFERENCE_METHODS)
    def test_held_out_ece_is_lower(self, method):
        d, y = world(800, temperature=4.0, eta=0.9)
        new, labels = world(800, temperature=4.0, eta=0.9, seed=1)
        found = fit(d, y, method=method)
        change = preference_calibration_change(new, found.preference(new), labels, resamples=200)
        assert change.raw.ece.value > 0.1 > 0.07 > change.calibrated.ece.value
        assert change.verdict == {"by": "log_loss_change", "found": "better"}
        assert change.ece_change.ci_high < 0 and change.log_loss_change.ci_high < 0 and change.brier_change.ci_high < 0
        assert change.ece_change.value == pytest.approx(change.calibrated.ece.value - change.raw.ece.value)

    @given(st.integers(0, 10**6))
    @settings(max_examples=10, deadline=None)
    def test_which_response_is_called_chosen_makes_no_difference(self, seed):
        d, y = world(200, seed=seed)
        turned = np.random.default_rng(seed).random(200) < 0.5
        p = expit(d / 2)
        one = preference_calibration_change(d, p, y, resamples=50)
        other = preference_calibration_change(
            np.where(turned, -d, d), np.where(turned, 1 - p, p), np.where(turned, 1 - y, y), resamples=50
        )
        for name in ("ece_change", "brier_change", "log_loss_change"):
            ours, theirs = (dataclasses.asdict(getattr(found, name)) for found in (one, other))
            assert ours.pop("method") == theirs.pop("method") and ours == pytest.approx(theirs, abs=1e-12)

    def test_the_interval_covers_the_change_of_unlimited_data(self):
        # Of a raw model that was calibrated, the worst case found: 83 % of samples, where a basic interval covers two thirds
        generator = np.random.default_rng(0)
        many = generator.normal(0, 2, 10**5)
        q = expit(many)

        def ece(p):
            confidence, agreement = np.maximum(p, 1 - p), np.where(p > 0.5, q, 1 - q)
            return np.abs(np.bincount((confidence * 20).astype(int), confidence - agreement)).sum() / many.size

        truth = ece(expit(1.3 * many)) - ece(q)
        covered = wrong = 0
        for _ in range(60):
            d = generator.normal(0, 2, 100)
            y = (generator.random(100) < expit(d)).astype(float)
            found = preference_calibration_change(d, expit(1.3 * d), y, resamples=200).ece_change
            covered += found.ci_low <= truth <= found.ci_high
            wrong += found.ci_high < 0
        assert covered >= 45 and wrong <= 1 and "measured coverage" in found.method

    def test_a_tie_has_the_error_of_a_guess(self):
        change = preference_calibration_change([1.0, 2.0], [0.5, 0.5])
        assert change.calibrated.brier.value == 0.25 and change.calibrated.ece.value == 0
        assert change.brier_change.value == pytest.approx(change.calibrated.brier.value - change.raw.brier.value)

    def test_a_raw_model_that_is_far_too_sure_has_a_finite_loss(self):
        change = preference_calibration_change([1000.0, -1000.0, 5.0], [0.6, 0.4, 0.5])
        assert change.raw.log_loss.value == pytest.approx((1000 + np.log1p(np.exp(-5))) / 3)


def test_the_head_of_an_adapter_is_remembered(tmp_path):
    model = AutoModelForSequenceClassification.from_config(tiny_config(tiny_tokenizer()))
    adapted = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"]))
    adapted.save_pretrained(tmp_path)
    save_calibration(tmp_path, RewardCalibration(preference=CURVES[0]))
    stored = json.loads((tmp_path / "reward_calibration.json").read_text())
    assert stored["head_sha256"] == head_fingerprint(adapted) is not None
