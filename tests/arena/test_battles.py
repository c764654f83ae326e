import json

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from scipy.special import expit

from trl_ext.arena import RatingTable, check_battles, fit_ratings, read_battles, simulate_battles
from trl_ext.arena.ratings.battles import style_features


ROWS = [
    {"model_a": "x", "model_b": "y", "winner": "tie (bothbad)", "style_a": [9, 1, 0, 2], "style_b": [4, 0, 0, 2]},
    {"model_a": "y", "model_b": "None", "winner": "model_a", "style_a": [4, 0, 3, 0], "style_b": [0, 0, 0, 0]},
]


class TestCheckBattles:
    @pytest.mark.parametrize("kind", [list, pd.DataFrame, Dataset.from_list])
    def test_any_table(self, kind):
        table = check_battles(kind(ROWS))
        assert table["winner"].tolist() == ["both_bad", "model_a"]
        assert table[["tokens_a", "headers_a", "lists_a", "bold_a"]].to_numpy().tolist() == [
            [9, 1, 0, 2],
            [4, 0, 3, 0],
        ]
        assert not {"style_a", "style_b"} & set(table)
        pd.testing.assert_frame_equal(check_battles(table), table)  # checked battles are valid

    def test_features_by_hand(self):
        # tokens: (9-4)/14 = .35714 and (4-0)/5 = .8: mean .57857, sd .22143, so -1 and 1; bold is alike in both: 0
        names, features = style_features(check_battles(ROWS).drop(columns=["bold_a", "bold_b"]))
        assert names == ("tokens", "headers", "lists")
        np.testing.assert_allclose(features, [[-1, 1, -1], [1, -1, 1]])

    def test_other_columns_and_the_caller_s_table_are_kept(self):
        table = pd.DataFrame(ROWS, index=[5, 9]).assign(judge=["j1", "j2"])
        before = table.copy(deep=True)
        assert check_battles(table)["judge"].tolist() == ["j1", "j2"]
        pd.testing.assert_frame_equal(table, before)


class TestReadBattles:
    @pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
    def test_files(self, tmp_path, suffix):
        path = tmp_path / f"battles.{suffix}"
        if suffix == "csv":
            pd.DataFrame(ROWS).to_csv(path, index=False)
        elif suffix == "parquet":
            pd.DataFrame(ROWS).to_parquet(path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        pd.testing.assert_frame_equal(read_battles(path), check_battles(ROWS), check_dtype=False)

    def test_torn_line(self, tmp_path):
        path = tmp_path / "battles.jsonl"
        path.write_text(json.dumps(ROWS[0]) + '\n{"model_a": "x", "mod')
        with pytest.raises(ValueError, match="line 2 of battles.jsonl is torn"):
            read_battles(path)
        with pytest.raises(ValueError, match=".csv, .parquet or .jsonl file, got 'b.xlsx'"):
            read_battles(tmp_path / "b.xlsx")


FLAT = {"model_a": "x", "model_b": "y", "winner": "tie", "tokens_a": 3, "tokens_b": 1}
BAD_BATTLES = {
    "none": ([], "there are no battles"),
    "no winner": ([{"model_a": "x", "model_b": "y"}], "no column 'winner'; their columns are model_a, model_b"),
    "winner": (
        [FLAT, FLAT | {"winner": "x"}],
        r"'winner' has 1 bad values in 2 battles; first: row 1, value 'x'.*both_bad",
    ),
    "winner empty": ([FLAT | {"winner": None}], "'winner'.*row 0, value None"),
    "name empty": ([FLAT | {"model_b": " "}], "'model_b'.*value ' '"),
    "name missing": ([FLAT | {"model_a": None}], "'model_a'.*value None"),
    "name number": ([FLAT | {"model_a": 3}], "'model_a'.*value 3"),
    "itself": ([FLAT | {"model_b": "x"}], "'model_b'.*value 'x'.*another model"),
    "one list": ([{**ROWS[0], "style_b": [1, 2, 3]}], "'style_b'.*a list of 4 counts"),
    "one side": ([{k: v for k, v in ROWS[0].items() if k != "style_b"}], "'style_a' but not that of the other side"),
    "one flat side": ([{k: v for k, v in FLAT.items() if k != "tokens_a"}], "'tokens_b' but not that of the other"),
    "twice": ([ROWS[0] | {"tokens_a": 1, "tokens_b": 1}], "style twice"),
    "negative": ([FLAT | {"tokens_a": -1}], "'tokens_a'.*value -1.*0 or more"),
    "count missing": ([FLAT | {"tokens_a": np.nan}], "'tokens_a'.*row 0, value nan"),
    "count text": ([FLAT | {"tokens_a": "many"}], "'tokens_a'.*value 'many'"),
}


@pytest.mark.parametrize("rows, message", BAD_BATTLES.values(), ids=BAD_BATTLES)
def test_bad_battles(rows, message):
    with pytest.raises(ValueError, match=message):
        check_battles(rows)


class TestSimulateBattles:
    TRUTH = {"a": 1150.0, "b": 1000.0, "c": 900.0}

    @pytest.mark.parametrize("tie_rate", [0.0, 0.3, 0.5])
    def test_ties_leave_the_expected_score(self, tie_rate):
        table = simulate_battles(self.TRUTH, 60_000, tie_rate=tie_rate, seed=2)
        score = table["winner"].map({"model_a": 1.0, "tie": 0.5, "model_b": 0.0})
        for (a, b), rows in table.groupby(["model_a", "model_b"]):
            p = expit((self.TRUTH[a] - self.TRUTH[b]) * np.log(10) / 400)
            scores = score[rows.index]
            assert scores.mean() == pytest.approx(p, abs=4 * scores.std() / np.sqrt(len(rows)))
            ties = 4 * tie_rate * p * (1 - p)
            assert (rows["winner"] == "tie").mean() == pytest.approx(ties, abs=4 * 0.5 / np.sqrt(len(rows)))

    def test_fit_finds_the_truth_within_its_errors(self):
        fitted = fit_ratings(simulate_battles(RatingTable.from_ratings(self.TRUTH), 20_000, tie_rate=0.3, seed=5))
        gaps = fitted.of(["a", "c"]) - fitted.of(["b"])
        errors = [np.sqrt(np.array([1, -1]) @ fitted.covariance_of([m, "b"]) @ [1, -1]) for m in ("a", "c")]
        assert (np.abs(gaps - [150, -100]) < 4 * np.array(errors)).all()

    def test_style_has_the_given_means_and_seed_decides(self):
        style = dict.fromkeys(self.TRUTH, (200.0, 1.5, 4.0, 0.0))
        table = simulate_battles(self.TRUTH, 20_000, style=style, style_effects={"lists": 1.0}, seed=1)
        means = table[["tokens_a", "headers_a", "lists_a", "bold_a"]].mean()
        np.testing.assert_allclose(means, [200, 1.5, 4.0, 0.0], rtol=0.02)
        again = simulate_battles(self.TRUTH, 20_000, style=style, style_effects={"lists": 1.0}, seed=1)
        pd.testing.assert_frame_equal(table, again)
        assert not table.equals(
            simulate_battles(self.TRUTH, 20_000, style=style, style_effects={"lists": 1.0}, seed=2)
        )
        longer = table[(table["lists_a"] > table["lists_b"])]
        assert (longer["winner"] == "model_a").mean() > 0.55

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"ratings": {"a": 1000}}, "needs two models, got ratings of 1"),
            ({"ratings": {"a": 1000, "b": np.nan}}, "not finite"),
            ({"n": 0}, "n must be a whole number of 1 or more"),
            ({"tie_rate": 0.6}, "tie_rate must lie between 0 and 0.5"),
            ({"style": {"a": (1, 1, 1, 1)}}, "model 'b' has no style"),
            ({"style": dict.fromkeys("abc", (1, 1, 1))}, "4 mean counts of 0 or more"),
            ({"style_effects": {"tokens": 1.0}}, "style_effects need `style`"),
            ({"style_effects": {"emoji": 1.0}}, "no style feature 'emoji'; there are 'tokens'"),
        ],
    )
    def test_bad_input(self, options, message):
        arguments = {"ratings": self.TRUTH, "n": 10} | options
        with pytest.raises(ValueError, match=message):
            simulate_battles(arguments.pop("ratings"), arguments.pop("n"), **arguments)
