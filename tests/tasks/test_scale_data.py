from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.rapl.scale_data import (
    load_scale_lie_split,
    load_scale_true_split,
    normalize_scale_decision_time,
    read_scale_lie_table,
)
from tasks.rapl.true_data import prompt_response_group
from trl_ext.reliability.arms import get_arm


@pytest.fixture(scope="session")
def scale_root(shared_dir) -> Path:
    path = shared_dir / "data" / "rapl"
    if not (path / "scale_LIE" / "folds").is_dir():
        pytest.skip(f"no scale_LIE data files at {path}")
    return path


def make_items(kinds=("correct", "incorrect"), n=4) -> pd.DataFrame:
    """Items in the columns of the original, with texts of our own."""
    rows = []
    for number in range(n):
        voted = number % 2
        rows.append(
            {
                "prompt": f"Human: What is {number}?",
                "choice1": "It is so.",
                "choice2": "It is not so.",
                "choice1_type": kinds[0],
                "choice2_type": kinds[1],
                "chosen_type": kinds[voted],
                "rejected_type": kinds[1 - voted],
                "vote": f"choice{voted + 1}",
                "correct_chosen": int(voted == 0),
                "IDs": number,
                "confidence_scores": (2 * number + 1) / 7,
                "raw_decision_time": 10.0 + number,
                "decision_time": number / 3,
                "accuracy": 2 / 3,
            }
        )
    return pd.DataFrame(rows)


class TestScaleTrue:
    @pytest.fixture
    def root(self, tmp_path):
        folder = tmp_path / "scale_TRUE" / "no_repeats"
        folder.mkdir(parents=True)
        make_items().to_csv(folder / "scale_train_single_0.csv", index=False)
        return tmp_path

    def test_gives_the_columns_of_true_and_the_soft_label(self, root):
        frame = load_scale_true_split(root)
        assert frame["chosen_response"].tolist() == ["a", "b", "a", "b"]
        assert frame["prompt_response_group"][0] == prompt_response_group(
            "Human: What is 0?", "It is so.", "It is not so."
        )
        assert frame["accuracy"].tolist() == [2 / 3] * 4
        assert "number_of_clicks" not in frame

    def test_both_orders(self, root):
        frame = load_scale_true_split(root, repeated_orders=True)
        assert frame["ordering"].tolist() == [1] * 4 + [2] * 4
        assert frame["response_a"].tolist() == ["It is so."] * 4 + ["It is not so."] * 4


class TestScaleLie:
    @pytest.mark.parametrize(
        ("column", "value", "message"),
        [
            ("vote", "choice3", "allowed are choice1 and choice2"),
            ("vote", "choice2", "column 'chosen_type'.*type of the voted choice"),
            ("confidence_scores", 1 / 3, "allowed are 1/7, 3/7, 5/7 and 1"),
            ("choice1_type", "correct", "allowed are"),
            ("raw_decision_time", -1.0, "at least 0"),
        ],
    )
    def test_refuses(self, tmp_path, column, value, message):
        items = make_items(("correct_concise", "incorrect_detailed"))
        extra = ("prompt_response_group_1", "prompt_response_group_2")
        calibrated = ("TRUE_calibrated_confidence", "TRUE_calibrated_decision_time")
        items = items.assign(**dict.fromkeys(extra, "text"), **dict.fromkeys(calibrated, 0.5))
        items.to_csv(tmp_path / "pairs.csv", index=False)
        assert len(read_scale_lie_table(tmp_path / "pairs.csv")) == 4
        items.loc[2, column] = value
        items.to_csv(tmp_path / "pairs.csv", index=False)
        with pytest.raises(ValueError, match=message):
            read_scale_lie_table(tmp_path / "pairs.csv")

    def test_refuses_a_calibration_split(self, tmp_path):
        with pytest.raises(ValueError, match="'train' or 'val', got 'cal'"):
            load_scale_lie_split(tmp_path, "cal")


class TestRealData:
    @pytest.fixture(scope="class")
    def splits(self, scale_root):
        return load_scale_lie_split(scale_root, "train"), load_scale_lie_split(scale_root, "val")

    def test_decision_time_from_the_raw_column(self, splits):
        for ours, split in zip(normalize_scale_decision_time(*splits), splits, strict=True):
            np.testing.assert_allclose(ours, split["decision_time"], rtol=0, atol=1e-9)

    def test_its_range_is_that_of_all_pairs_not_of_the_training_split(self, splits):
        (alone,) = normalize_scale_decision_time(splits[0])
        assert np.abs(alone - splits[0]["decision_time"]).max() > 1e-4

    def test_high_is_slow_as_the_metadata_says(self, splits):
        assert not get_arm("scale_LIE/decision_time").high_is_reliable
        assert np.corrcoef(splits[0]["decision_time"], splits[0]["raw_decision_time"])[0, 1] > 0.999

    def test_of_equally_correct_answers_the_concise_one_counts_as_correct(self, splits):
        frame = pd.concat(splits)
        same = frame["type_pair"].isin(
            ["correct_concise | correct_detailed", "incorrect_concise | incorrect_detailed"]
        )
        concise = frame["response_a"].where(frame["chosen_response"] == "a", frame["response_b"])
        other = frame["response_b"].where(frame["chosen_response"] == "a", frame["response_a"])
        shorter = concise.str.len() < other.str.len()
        assert same.sum() == 221
        assert (shorter[same] == frame["correct_chosen"][same]).mean() > 0.95
        assert set(np.round(frame["confidence_scores"] * 7)) == {1, 3, 5, 7}
