"""The curve of length: what it removes, what it leaves, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from tests.tiny import tiny_tokenizer
from trl_ext.scoring import LengthCurve, RewardCalibration, fit_length_calibration, response_lengths


RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, 400, 300)
NOISE = RNG.normal(size=300)


@pytest.mark.parametrize("function", [LengthCurve, fit_length_calibration, response_lengths, RewardCalibration])
def test_the_examples(function):
    assert failed_examples(function) == 0


class TestWhatIsRemoved:
    @pytest.mark.parametrize(("scale", "transform"), [("linear", lambda x: x / 100), ("log", np.log1p)])
    # Chosen values: on a line without any noise, LOWESS's robustness now and then takes rounding for outliers
    @pytest.mark.parametrize("slope", [-4.7, -1.3, 0.6, 3.1])
    @pytest.mark.parametrize("fraction", [0.3, 0.7])
    def test_a_linear_bias_goes_exactly(self, scale, transform, slope, fraction):
        biased = 2.0 + slope * transform(LENGTHS)
        calibration = fit_length_calibration(biased, LENGTHS, unit="words", scale=scale, fraction=fraction)
        calibrated = calibration.apply(biased, lengths=LENGTHS)
        np.testing.assert_allclose(calibrated, biased.mean(), atol=1e-9)

    def test_prompts_that_ask_for_length_keep_their_rewards(self):
        # Reward 1 per prompt-level unit of length, 0.5 within a prompt: only the latter is the curve's
        prompts = np.repeat(np.arange(60), 5)
        level = np.repeat(RNG.uniform(50, 300, 60), 5)
        lengths = level + np.tile([-20.0, -10.0, 0.0, 10.0, 20.0], 60)
        rewards = level + 0.5 * (lengths - level)
        calibration = fit_length_calibration(rewards, lengths, unit="words", scale="linear", prompts=prompts)
        calibrated = calibration.apply(rewards, lengths=lengths)
        assert calibration.provenance["length"]["converged"] and calibration.provenance["length"]["prompts"] == 60
        # r - 0.5 length = 0.5 level: equal within every prompt
        assert np.ptp(calibrated.reshape(60, 5), axis=1).max() < 1e-8
        assert np.polyfit(level, calibrated, 1)[0] == pytest.approx(0.5, abs=1e-8)

    def test_a_bent_bias_goes_within_prompts(self):
        prompts = np.repeat(np.arange(100), 3)
        rewards = np.sin(LENGTHS / 80) + np.repeat(RNG.normal(size=100) * 5, 3)
        calibration = fit_length_calibration(
            rewards, LENGTHS, unit="words", scale="linear", prompts=prompts, fraction=0.1, iterations=0
        )
        within = calibration.apply(rewards, lengths=LENGTHS).reshape(100, 3)
        raw = rewards.reshape(100, 3)
        assert within.std(axis=1).mean() < 0.1 * raw.std(axis=1).mean()

    def test_single_responses_to_a_prompt_are_counted(self, caplog):
        prompts = ["a"] * 150 + ["b"] * 148 + ["c", "d"]
        calibration = fit_length_calibration(NOISE, LENGTHS, unit="words", prompts=prompts)
        assert calibration.provenance["length"]["left_out"] == 2 and "2 of 300" in caplog.text

    def test_outliers_count_less_with_robust_iterations(self):
        rewards = 0.01 * LENGTHS.astype(float)
        outlying = rewards.copy()
        outlying[::20] += 100
        errors = [
            np.abs(
                np.diff(
                    fit_length_calibration(outlying, LENGTHS, unit="words", scale="linear", iterations=n).apply(
                        rewards, lengths=LENGTHS
                    )[np.argsort(LENGTHS)]
                )
            ).sum()
            for n in (0, 3)
        ]
        assert errors[1] < 1e-6 < 0.1 < errors[0]


class TestWhatStays:
    @given(seed=st.integers(0, 2**31), shift=st.floats(-10, 10), factor=st.floats(0.1, 10), within=st.booleans())
    @settings(max_examples=15, deadline=None)
    def test_mean_equal_lengths_shift_factor_and_order_of_rows(self, seed, shift, factor, within):
        rng = np.random.default_rng(seed)
        lengths, rewards = rng.integers(1, 60, 80), rng.normal(size=80)
        options = {"unit": "words", "prompts": np.repeat(np.arange(20), 4) if within else None}
        calibrated = fit_length_calibration(rewards, lengths, **options).apply(rewards, lengths=lengths)
        assert calibrated.mean() == pytest.approx(rewards.mean(), abs=1e-9)
        for length in np.unique(lengths):
            rows = lengths == length
            np.testing.assert_allclose(np.diff(calibrated[rows]), np.diff(rewards[rows]), atol=1e-9)
        moved = shift + factor * rewards
        again = fit_length_calibration(moved, lengths, **options).apply(moved, lengths=lengths)
        np.testing.assert_allclose(again, shift + factor * calibrated, atol=1e-3 * factor)
        if not within:
            order = rng.permutation(80)
            other = fit_length_calibration(rewards[order], lengths[order], **options)
            np.testing.assert_allclose(other.apply(rewards, lengths=lengths), calibrated, atol=1e-6)

    def test_beyond_the_fitted_lengths_it_is_constant_and_counted(self, caplog):
        calibration = fit_length_calibration(NOISE + LENGTHS / 50, LENGTHS, unit="words")
        low, high = LENGTHS.min(), LENGTHS.max()
        added = calibration.apply(np.zeros(4), lengths=[0, low, high, 10 * high])
        assert added[0] == added[1] != added[2] == added[3]
        assert calibration.beyond(4, lengths=[0, low, high, 10 * high]) == {"shorter": 1, "longer": 1}
        assert "1 of 4 responses are shorter, and 1 longer" in caplog.text

    def test_the_same_data_gives_the_same_fingerprint(self):
        first, second = (fit_length_calibration(NOISE, LENGTHS, unit="words") for _ in range(2))
        other = fit_length_calibration(NOISE, LENGTHS, unit="characters")
        assert first.fingerprint == second.fingerprint != other.fingerprint
        assert first.provenance["length"]["data_sha256"] == second.provenance["length"]["data_sha256"]


class TestLengths:
    def test_units(self):
        tokenizer = tiny_tokenizer()
        responses = ["It is Paris.", "", [{"role": "assistant", "content": [{"type": "text", "text": "ä ö"}]}]]
        assert response_lengths(responses, "characters").tolist() == [12, 0, 3]
        assert response_lengths(responses, "words").tolist() == [3, 0, 2]
        expected = [
            len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("It is Paris.", "", "ä ö")
        ]
        assert response_lengths(responses, "tokens", tokenizer).tolist() == expected
        assert response_lengths([], "tokens", tokenizer).shape == (0,)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [((["a"], "bytes"), "unit of lengths must be one of"), ((["a"], "tokens"), "give `processing_class`")],
    )
    def test_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            response_lengths(*arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": [np.nan, *NOISE[1:]]}, r"`rewards` has 1 values that are not finite; first: row 0, value nan"),
        ({"lengths": [*LENGTHS[:-1], -3]}, r"`lengths` has 1 values below 0; first: row 299, value -3"),
        ({"lengths": LENGTHS[:-1]}, "one value per response, got 300 and 299"),
        ({"lengths": LENGTHS[:, None]}, r"must have shape \(N,\), got \(300, 1\)"),
        ({"lengths": np.full(300, 7)}, "all responses have the same length"),
        ({"lengths": [7] * 250 + [*range(50)]}, "250 of 300 responses|251 of 300 responses"),
        ({"fraction": 0.005}, "is 1; a local regression needs at least 3"),
        ({"fraction": 1.5}, "`fraction` must be above 0 and at most 1"),
        ({"iterations": -1}, "`iterations` must be a whole number"),
        ({"unit": "lines"}, "unit of lengths"),
        ({"scale": "sqrt"}, "`scale` must be one of"),
        ({"prompts": range(300)}, "no prompt has two responses"),
        ({"prompts": range(3)}, "one entry for each of the 300"),
        ({"prompts": [*range(150)] * 2, "lengths": [*range(150)] * 2}, "same prompt have the same length"),
    ],
)
def test_data_that_cannot_be_fitted(changes, message):
    with pytest.raises(ValueError, match=message):
        fit_length_calibration(**({"rewards": NOISE, "lengths": LENGTHS, "unit": "words"} | changes))
