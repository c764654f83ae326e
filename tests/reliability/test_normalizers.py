import json
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trl_ext.reliability.normalizers import ArmNormalizer, confidence_from_scale, count_outside


raw_values = arrays(float, st.integers(1, 20), elements=st.floats(0, 1e4))


class TestArmNormalizer:
    def test_by_hand(self):
        # log2(1 + t) of 0, 1, 3, 15 is 0, 1, 2, 4: the base cancels
        normalizer = ArmNormalizer.fit([0.0, 15.0])
        assert normalizer.transform([0.0, 1.0, 3.0, 15.0]) == pytest.approx([1.0, 0.75, 0.5, 0.0])

    @given(raw_values)
    def test_training_values_fill_the_unit_interval_and_reverse_the_order(self, values):
        values = np.concatenate([values, [0.0, 2e4]])
        scores = ArmNormalizer.fit(values).transform(values)
        assert scores.min() == 0
        assert scores.max() == 1
        assert (np.diff(scores[np.argsort(values)]) <= 0).all()

    def test_keeps_and_counts_values_outside_the_training_range(self, caplog):
        normalizer = ArmNormalizer.fit([1.0, 15.0], name="decision_time")
        with caplog.at_level(logging.WARNING):
            scores = normalizer.transform([0.0, 1.0, 31.0])
        # (log2(1 + t) - 1) / 3 is -1/3, 0, 4/3
        assert scores == pytest.approx([4 / 3, 1.0, -1 / 3])
        assert count_outside(scores) == 2
        assert "decision_time: 2 of 3 normalised values lie outside [0, 1]" in caplog.text

    def test_says_nothing_inside_the_range(self, caplog):
        ArmNormalizer.fit([1.0, 15.0]).transform([2.0, 3.0])
        assert not caplog.records

    def test_round_trip_through_json(self):
        normalizer = ArmNormalizer.fit([0.3, 204.0], name="decision_time")
        assert ArmNormalizer.from_dict(json.loads(json.dumps(normalizer.to_dict()))) == normalizer

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([1.0, -0.5], "row 1, value -0.5.*raw"),
            ([float("nan"), 1.0], "row 0, value nan"),
            ([], r"shape \(N,\) with N > 0"),
            ([3.0, 3.0], "same for every training annotator"),
        ],
    )
    def test_refuses(self, values, message):
        with pytest.raises(ValueError, match=message):
            ArmNormalizer.fit(values)


class TestConfidenceFromScale:
    def test_all_eight_answers(self):
        assert confidence_from_scale(range(1, 9)) == pytest.approx([1, 2 / 3, 1 / 3, 0, 0, 1 / 3, 2 / 3, 1])

    @pytest.mark.parametrize("scale", [[0], [9], [4.5], [float("nan")]])
    def test_refuses(self, scale):
        with pytest.raises(ValueError, match="integers from 1 to 8; first: row 0"):
            confidence_from_scale(scale)
