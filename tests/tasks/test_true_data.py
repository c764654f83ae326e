import doctest
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.rapl import true_data
from tasks.rapl.true_data import (
    NORMALIZED_ARMS,
    SPLITS,
    double_order,
    load_full_true,
    load_true_sanity_check,
    load_true_split,
    prompt_response_group,
    read_true_table,
    true_split_path,
)
from trl_ext.reliability.arms import get_arm
from trl_ext.reliability.normalizers import NORMALIZERS


@pytest.fixture(scope="session")
def true_root(shared_dir) -> Path:
    path = shared_dir / "data" / "rapl"
    if not (path / "TRUE" / "no_repeats").is_dir():
        pytest.skip(f"no TRUE data files at {path}")
    return path


def make_items(n=6) -> pd.DataFrame:
    """Items in the columns of the original, with texts of our own."""
    rows = []
    for number in range(n):
        prompt = f"Human: What is {number // 2}?"
        choices = [("It is so.", "correct"), (f"It is not {number}.", "incorrect")][:: 1 if number % 2 else -1]
        chosen = number % 3 > 0
        rows.append(
            {
                "prompt": prompt,
                "choice1": choices[0][0],
                "choice2": choices[1][0],
                "choice1_type": choices[0][1],
                "choice2_type": choices[1][1],
                "chosen_type": "correct" if chosen else "incorrect",
                "rejected_type": "incorrect" if chosen else "correct",
                "correct_chosen": chosen,
                "prompt_response_group": prompt_response_group(prompt, choices[0][0], choices[1][0]),
                "IDs": 100 + number,
                "confidence_scores": number % 4 / 3,
                "decision_time": 0.5,
                "number_of_clicks": 0.5,
                "raw_decision_time": 1.5 + number,
                "raw_number_of_clicks": 1.0 + number,
                "source": "ours",
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture
def small_root(tmp_path) -> Path:
    folder = tmp_path / "clone" / "RAPL" / "datasets" / "TRUE" / "no_repeats"
    folder.mkdir(parents=True)
    make_items().to_csv(folder / "train_single_0.csv", index=False)
    make_items(4).to_csv(folder / "single_full_dataset_cal.csv", index=False)
    pd.DataFrame(
        {
            "question": ["Why?"],
            "correct": ["So."],
            "incorrect": ["No."],
            "source": ["ARC-Easy"],
            "prompt_response_group": [prompt_response_group("Human: Why?", "So.", "No.")],
        }
    ).to_csv(folder.parent / "sanity_check_dataset.csv", index=False)
    return tmp_path / "clone"


class TestLoad:
    @pytest.mark.parametrize("folder", [".", "RAPL/datasets", "RAPL/datasets/TRUE"])
    def test_columns_and_clusters(self, small_root, folder):
        frame = load_true_split(small_root / folder)
        assert frame["id"].tolist() == [100, 101, 102, 103, 104, 105]
        assert frame["question_id"].nunique() == 3
        assert frame["correct_chosen"].tolist() == [False, True, True] * 2
        assert frame["response_a"].tolist()[:2] == ["It is not 0.", "It is so."]
        # item 1 shows the correct answer first and it was chosen; item 2 second
        assert frame["chosen_response"].tolist()[1:3] == ["a", "b"]
        assert set(frame["ordering"]) == {1}

    def test_both_orders(self, small_root):
        frame = load_true_split(small_root, repeated_orders=True)
        first, second = frame.iloc[:6].reset_index(drop=True), frame.iloc[6:].reset_index(drop=True)
        assert frame["ordering"].tolist() == [1] * 6 + [2] * 6
        assert first["response_a"].tolist() == second["response_b"].tolist()
        assert second["prompt_response_group"][0] == prompt_response_group(
            second["prompt"][0], second["response_a"][0], second["response_b"][0]
        )
        assert (first["chosen_response"] != second["chosen_response"]).all()
        same = ["id", "question_id", "correct_chosen", "confidence_scores", "raw_decision_time"]
        pd.testing.assert_frame_equal(first[same], second[same])

    def test_the_full_split(self, small_root):
        assert len(load_true_split(small_root, "cal", "full")) == 4

    def test_sanity_check(self, small_root):
        frame = load_true_sanity_check(small_root)
        assert frame["source"].tolist() == ["ARC-Easy"]
        assert {"id", "question_id", "correct", "incorrect"} <= set(frame)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("test", 0), "split must be one of .*'cal'.*got 'test'"),
            (("train", 5), 'fold must be from 0 to 4 or "full", got 5'),
            (("val", "full"), "full split has no 'val' part"),
        ],
    )
    def test_refuses(self, small_root, arguments, message):
        with pytest.raises(ValueError, match=message):
            load_true_split(small_root, *arguments)

    def test_says_where_it_looked(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no TRUE files under.*looked for.*no_repeats.*clone of"):
            load_true_split(tmp_path)


class TestSchema:
    @pytest.mark.parametrize(
        ("column", "value", "message"),
        [
            ("choice1_type", "right", r"first: row 2 \(IDs 102\), value 'right'; allowed are"),
            ("rejected_type", "correct", "differ from chosen_type"),
            (
                "correct_chosen",
                False,
                "column 'correct_chosen' has 1 bad values; first: row 2.*contradicts chosen_type",
            ),
            ("confidence_scores", 0.4, "value .*0.4.*; allowed are 0, 1/3, 2/3 and 1"),
            ("raw_decision_time", -1.0, "finite number of at least 0"),
            ("raw_number_of_clicks", None, "finite number of at least 0"),
            ("IDs", 100, "ids must be unique"),
            ("prompt_response_group", "Human: other", "must be the prompt, 'Response A: '"),
            ("choice2", " ", "column 'choice2' has 1 empty texts; first: row 2"),
        ],
    )
    def test_names_file_column_row_and_value(self, tmp_path, column, value, message):
        items = make_items()
        items.loc[2, column] = value
        items.to_csv(tmp_path / "items.csv", index=False)
        with pytest.raises(ValueError, match=message) as caught:
            read_true_table(tmp_path / "items.csv")
        assert "items.csv" in str(caught.value)

    def test_names_missing_columns(self, tmp_path):
        make_items().drop(columns=["choice1", "IDs"]).to_csv(tmp_path / "items.csv", index=False)
        with pytest.raises(ValueError, match=r"lacks the columns \['choice1', 'IDs'\]"):
            read_true_table(tmp_path / "items.csv")

    def test_does_not_double_twice(self):
        with pytest.raises(ValueError, match="already"):
            double_order(double_order(make_items()))


class TestRealData:
    @pytest.mark.parametrize("split", SPLITS)
    def test_the_shipped_double_files_are_the_single_ones_in_both_orders(self, true_root, split):
        shipped = read_true_table(true_root / "TRUE" / "repeated_orders" / f"{split}_double_0.csv")
        built = double_order(read_true_table(true_split_path(true_root, split, 0)))
        pd.testing.assert_frame_equal(built, shipped)

    def test_splits_of_a_fold_are_disjoint_and_complete(self, true_root):
        everything = set(load_full_true(true_root)["id"])
        for fold in range(5):
            ids = [set(load_true_split(true_root, split, fold)["id"]) for split in SPLITS]
            assert [len(part) for part in ids] == [690, 230, 230]
            assert set.union(*ids) == everything

    def test_calibration_split_is_the_validation_split_of_the_next_fold(self, true_root):
        for fold in range(5):
            cal, val = load_true_split(true_root, "cal", fold), load_true_split(true_root, "val", (fold + 1) % 5)
            assert set(cal["id"]) == set(val["id"])

    @pytest.mark.parametrize("fold", range(5))
    def test_normalised_columns_from_the_raw_ones(self, true_root, fold):
        train = load_true_split(true_root, "train", fold)
        for column, raw in NORMALIZED_ARMS.items():
            arm = get_arm(f"TRUE/{column}")
            normalizer = NORMALIZERS[arm.normalization].fit(train[raw], high_is_reliable=False)
            assert normalizer.output_high_is_reliable == arm.high_is_reliable
            for split in SPLITS:
                frame = load_true_split(true_root, split, fold)
                np.testing.assert_allclose(normalizer.transform(frame[raw]), frame[column], rtol=0, atol=1e-9)

    def test_normalised_columns_of_the_full_file(self, true_root):
        frame = load_full_true(true_root)
        for column, raw in NORMALIZED_ARMS.items():
            normalizer = NORMALIZERS["log_min_max"].fit(frame[raw])
            np.testing.assert_allclose(normalizer.transform(frame[raw]), frame[column], rtol=0, atol=1e-9)

    def test_known_figures(self, true_root):
        frame = load_full_true(true_root)
        assert frame["correct_chosen"].mean() == pytest.approx(0.7035, abs=5e-5)
        accuracy = frame.groupby("confidence_scores")["correct_chosen"].mean()
        assert accuracy.tolist() == pytest.approx([0.515, 0.635, 0.636, 0.756], abs=5e-4)
        assert frame["raw_decision_time"].agg(["min", "max"]).tolist() == pytest.approx([0.36, 225.9], abs=0.05)
        assert frame["difficulty"].notna().sum() == 50


def test_the_docstring_example_runs():
    code = prompt_response_group.__doc__.split("```python\n")[1].split("```")[0]
    test = doctest.DocTestParser().get_doctest(code, vars(true_data).copy(), "group", None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
