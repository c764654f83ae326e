import logging

import pytest

from trl_ext.reliability.arms import ARMS, DIFFICULTY_CRITERIA, check_same_definition, get_arm
from trl_ext.reliability.calibrators import PlattCalibrator, load_calibrator
from trl_ext.reliability.normalizers import NORMALIZERS


class TestRegistry:
    def test_time_points_the_other_way_in_the_scale_families(self):
        direction = {family: get_arm(f"{family}/decision_time").high_is_reliable for family in ("LIE", "TRUE")}
        assert direction == {"LIE": True, "TRUE": True}
        assert not get_arm("scale_LIE/decision_time").high_is_reliable
        assert not get_arm("scale_TRUE/decision_time").high_is_reliable

    def test_raw_times_and_clicks_speak_against_the_annotator(self):
        for family in ("LIE", "TRUE"):
            assert not get_arm(f"{family}/raw_decision_time").high_is_reliable
            assert not get_arm(f"{family}/raw_number_of_clicks").high_is_reliable

    def test_difficulty_speaks_against_the_annotator(self):
        assert len(DIFFICULTY_CRITERIA) == 7
        assert not any(get_arm(f"LLM/{name}").high_is_reliable for name in DIFFICULTY_CRITERIA)

    def test_normalised_columns_name_a_raw_column_and_a_normaliser(self):
        for arm in ARMS.values():
            assert (arm.raw_column is None) == (arm.normalization is None)
            if arm.raw_column:
                assert arm.normalization in NORMALIZERS
                assert get_arm(f"{arm.family}/{arm.raw_column}").definition == arm.definition

    def test_lists_what_it_knows(self):
        with pytest.raises(ValueError, match="'LIE/time'; known are .*LIE/decision_time"):
            get_arm("LIE/time")


class TestDefinitions:
    @pytest.mark.parametrize("column", ["confidence_scores", "number_of_clicks"])
    def test_same_in_lie_and_true(self, column):
        check_same_definition(get_arm(f"TRUE/{column}"), get_arm(f"LIE/{column}"))

    @pytest.mark.parametrize(
        ("fitted_on", "applied_to"),
        [
            ("TRUE/decision_time", "LIE/decision_time"),
            ("TRUE/raw_decision_time", "TRUE/decision_time"),
            ("scale_LIE/decision_time", "LIE/decision_time"),
            ("TRUE/confidence_scores", "scale_TRUE/confidence_scores"),
        ],
    )
    def test_others_are_refused(self, fitted_on, applied_to):
        with pytest.raises(ValueError, match=f"fitted on {fitted_on}, applied to {applied_to}: .*allow_definition_"):
            check_same_definition(get_arm(fitted_on), get_arm(applied_to))

    def test_the_message_says_what_differs(self):
        with pytest.raises(
            ValueError, match="'time from the first click.*submission; never 0' against 'time from.*last"
        ):
            check_same_definition(get_arm("TRUE/decision_time"), get_arm("LIE/decision_time"))

    def test_a_caller_who_knows_gets_a_warning(self, caplog):
        with caplog.at_level(logging.WARNING):
            check_same_definition(
                get_arm("TRUE/decision_time"), get_arm("LIE/decision_time"), allow_definition_mismatch=True
            )
        assert "fitted on TRUE/decision_time, applied to LIE/decision_time" in caplog.text


class TestCalibratorOfAnArm:
    @pytest.fixture
    def calibrator(self):
        return PlattCalibrator().fit(
            [0.1, 0.9, 0.4], [0, 1, 1], fitted_on="cal_single_0.csv", arm="TRUE/decision_time"
        )

    def test_refuses_the_time_of_lie(self, calibrator):
        with pytest.raises(ValueError, match="applied to LIE/decision_time"):
            calibrator.predict([0.5], arm="LIE/decision_time")

    def test_still_refuses_after_a_file(self, calibrator, tmp_path):
        calibrator.save(tmp_path / "calibrator.json")
        with pytest.raises(ValueError, match="applied to LIE/decision_time"):
            load_calibrator(tmp_path / "calibrator.json").predict([0.5], arm="LIE/decision_time")

    def test_applies_it_when_told_to(self, calibrator):
        told = calibrator.predict([0.5], arm="LIE/decision_time", allow_definition_mismatch=True)
        assert told == calibrator.predict([0.5], arm="TRUE/decision_time") == calibrator.predict([0.5])

    def test_refuses_to_be_fitted_on_an_unknown_metric(self):
        with pytest.raises(ValueError, match="no reliability metric 'TRUE/time'"):
            PlattCalibrator().fit([0.1, 0.9], [0, 1], arm="TRUE/time")
