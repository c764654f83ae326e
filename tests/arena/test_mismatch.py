"""Mismatch degrees: the original's numbers, ties, offsets, and every pair of a table."""

import json
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.evaluation.doc_examples import failed_examples
from trl_ext.arena import RatingTable, ScoreTable, elo_win_probability, mismatch_degree, mismatch_table
from trl_ext.arena.mismatch.pairwise_counts import count_pairs


COLUMNS = ("model", "reference", "n", "wins", "ties", "losses", "win_rate", "expected_win_rate", "mismatch", "se")
COLUMNS += ("ci_low", "ci_high", "p_value", "method")
RATINGS = {"a": 1250.0, "b": 1200.0, "c": 1180.0}


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "charm.json").read_text())


def rated(error=5.0, ratings=RATINGS, **options):
    table = RatingTable.from_ratings(ratings).table
    return RatingTable(
        table.assign(rating_low=table["rating"] - error, rating_high=table["rating"] + error), **options
    )


def drawn(n=60, seed=0, digits=1):
    rng = np.random.default_rng(seed)
    return ScoreTable.from_columns({name: np.round(rng.normal(shift, 1, n), digits) for name, shift in
                                    (("a", 0.0), ("b", 0.4), ("c", -0.2))})  # fmt: skip


class TestMismatchDegree:
    def test_by_hand(self):
        # 2 wins of 4, 1 tie: w = .5, or .625 with the tie half; P = .4
        first, second = [3.0, 1.0, 2.0, 5.0], [1.0, 2.0, 2.0, 4.0]
        assert mismatch_degree(first, second, 0.4) == pytest.approx(0.1 / 0.6, abs=1e-12)
        assert mismatch_degree(first, second, 0.4, ties="half") == pytest.approx(0.225 / 0.6, abs=1e-12)

    def test_golden(self, golden):
        for case in golden["cases"]:
            first, second = np.array(case["scores_overvalued"]), np.array(case["scores_reference"])
            original = case["original"]
            expected = elo_win_probability(*case["elo"])
            assert expected == pytest.approx(original["elo_winrate"], abs=1e-9)
            assert mismatch_degree(first, second, expected) == pytest.approx(original["md_before"], abs=1e-9)
            offsets = [(run["delta"], run["md_after"]) for run in original["nn_calibration"]]
            offsets += [(root, case["derived"][f"at_{name}"]["md_after"])
                        for name, root in case["derived"]["roots"].items()]  # fmt: skip
            for offset, after in offsets:
                assert mismatch_degree(first + offset, second, expected) == pytest.approx(after, abs=1e-9)

    def test_ends_of_the_range(self):
        assert mismatch_degree([1.0], [0.0], 0.3) == 1.0
        assert mismatch_degree([0.0], [1.0], 0.7) == -1.0

    def test_ties_that_rounding_makes_count_as_the_original_counts_them(self):
        # .1 + .2 is above .3 in binary, .1 + .3 is .4
        assert mismatch_degree(np.array([0.1]) + 0.2, [0.3], 0.5) == 1.0
        assert mismatch_degree(np.array([0.1]) + 0.3, [0.4], 0.5) == -1.0

    @pytest.mark.parametrize(
        ("first", "second", "expected", "ties", "message"),
        [
            ([1.0, np.nan], [0.0, 0.0], 0.5, "loss", "scores_overvalued.*row 1, value nan"),
            ([1.0], [np.inf], 0.5, "loss", "scores_reference.*row 0, value inf"),
            ([1.0, 2.0], [0.0], 0.5, "loss", "2 of the over-valued and 1 of the reference"),
            ([], [], 0.5, "loss", "empty"),
            ([[1.0]], [[0.0]], 0.5, "loss", r"shape \(N,\)"),
            ([1.0], [0.0], 1.5, "loss", r"\[0, 1\], got 1.5"),
            ([1.0], [0.0], np.nan, "loss", r"\[0, 1\], got nan"),
            ([1.0], [0.0], 0.5, "win", "'loss', 'half', got 'win'"),
        ],
    )
    def test_refuses(self, first, second, expected, ties, message):
        with pytest.raises(ValueError, match=message):
            mismatch_degree(first, second, expected, ties=ties)

    @given(scores=arrays(np.int8, (7, 2)), expected=st.floats(0.01, 0.99))
    def test_the_other_order_is_the_opposite_where_ties_count_half(self, scores, expected):
        first, second = scores.astype(float).T
        forward = mismatch_degree(first, second, expected, ties="half")
        assert forward == pytest.approx(-mismatch_degree(second, first, 1 - expected, ties="half"), abs=1e-12)
        assert mismatch_degree(first, second, expected) <= forward + 1e-12


class TestCountPairs:
    @given(scores=arrays(np.int8, (9, 4), elements=st.integers(0, 3)))
    def test_counts_every_pair(self, scores):
        counts = count_pairs(scores.astype(float))
        for i in range(4):
            for j in range(4):
                assert counts.wins[i, j] == (np.sum(scores[:, i] > scores[:, j]) if i != j else 0)
                assert counts.ties[i, j] == (np.sum(scores[:, i] == scores[:, j]) if i != j else 0)

    def test_blocks_add_up(self):
        scores = np.random.default_rng(0).integers(0, 5, (40_000, 3)).astype(float)
        counts = count_pairs(scores)
        assert counts.wins[0, 2] == np.sum(scores[:, 0] > scores[:, 2])
        assert counts.ties[2, 1] == np.sum(scores[:, 2] == scores[:, 1])


class TestMismatchTable:
    def test_every_ordered_pair(self):
        scores, ratings = drawn(), rated()
        table = mismatch_table(scores, ratings)
        assert tuple(table.columns) == COLUMNS
        assert len(table) == 6
        assert (table["wins"] + table["ties"] + table["losses"] == table["n"]).all()
        assert table["ties"].sum() > 0
        for row in table.to_dict("records"):
            own = mismatch_degree(
                scores.of(row["model"]), scores.of(row["reference"]),
                ratings.win_probability(row["model"], row["reference"]),
            )  # fmt: skip
            assert row["mismatch"] == pytest.approx(own, abs=1e-12)
            assert row["ci_low"] < row["mismatch"] < row["ci_high"]

    def test_golden_case_through_the_table(self, golden):
        for case in golden["cases"]:
            scores = ScoreTable.from_columns({"o": case["scores_overvalued"], "r": case["scores_reference"]})
            ratings = RatingTable.from_ratings(dict(zip("or", map(float, case["elo"]), strict=True)))
            row = mismatch_table(scores, ratings, bootstrap=100).iloc[0]
            assert row["mismatch"] == pytest.approx(case["original"]["md_before"], abs=1e-9)
            assert row["win_rate"] == pytest.approx(case["original"]["winrate_strict"], abs=1e-12)
            assert row["ties"] == case["original"]["n_ties"]

    def test_ties_half_make_both_orders_mirror_images(self):
        table = mismatch_table(drawn(), rated(), ties="half").set_index(["model", "reference"])
        for first, second in (("a", "b"), ("c", "a")):
            one, other = table.loc[(first, second)], table.loc[(second, first)]
            assert one["mismatch"] == pytest.approx(-other["mismatch"], abs=1e-12)
            assert [one["ci_low"], one["ci_high"]] == pytest.approx([-other["ci_high"], -other["ci_low"]], abs=1e-9)
            assert one["p_value"] == pytest.approx(other["p_value"], abs=1e-9)

    def test_same_seed_same_interval(self):
        first, again, other = (mismatch_table(drawn(), rated(), seed=seed)["ci_low"].tolist() for seed in (3, 3, 4))
        assert first == again != other

    def test_uncertain_ratings_widen_intervals(self):
        widths = []
        for options in ({"rating_uncertainty": False}, {}):
            table = mismatch_table(drawn(2000, digits=3), rated(30.0), **options)
            widths.append((table["ci_high"] - table["ci_low"]).mean())
            word = "ratings drawn" if not options else "taken as exact"
            assert table["method"].str.contains(word).all()
        assert widths[1] > 1.5 * widths[0]

    def test_a_common_error_of_the_ratings_cancels(self):
        covariance = np.full((3, 3), 400.0)
        common = mismatch_table(drawn(), RatingTable(rated().table, covariance))
        exact = mismatch_table(drawn(), rated(), rating_uncertainty=False)
        assert common[["ci_low", "p_value"]].to_numpy() == pytest.approx(
            exact[["ci_low", "p_value"]].to_numpy(), abs=1e-6
        )

    def test_says_which_ratings_have_no_interval(self, caplog):
        table = rated().table
        table.loc[0, ["rating_low", "rating_high"]] = np.nan
        with caplog.at_level(logging.WARNING, logger="trl_ext.arena.mismatch.degrees"):
            found = mismatch_table(drawn(), RatingTable(table)).set_index(["model", "reference"])["method"]
        assert "1 of 3 ratings have no interval and count as exact: a" in caplog.text
        assert "that of 'a' exact for want of an interval" in found[("a", "b")]
        assert "exact" not in found[("b", "c")]

    def test_aliases(self):
        ratings = rated(ratings={"A-v1": 1250.0, "b": 1200.0, "C": 1180.0}, aliases={"a": "A-v1"})
        plain = mismatch_table(drawn(), rated())
        assert mismatch_table(drawn(), ratings)["mismatch"].tolist() == plain["mismatch"].tolist()

    def test_p_value_is_that_of_the_score_test(self):
        # 60 of 100 against .5: z = .1 / sqrt(.25 / 100) = 2, p = .0455
        scores = ScoreTable.from_columns({"a": [1.0] * 60 + [0.0] * 40, "b": [0.5] * 99 + [0.4]})
        ratings = RatingTable.from_ratings({"a": 1200.0, "b": 1200.0})
        assert mismatch_table(scores, ratings)["p_value"].tolist() == pytest.approx([0.0455, 0.0455], abs=1e-4)

    def test_example(self):
        assert failed_examples(mismatch_degree) == failed_examples(mismatch_table) == 0


class TestBadInput:
    def test_unknown_models_are_counted_and_the_first_named(self):
        with pytest.raises(ValueError, match=r"2 of 3 scored models have no rating; first.*'b'.*Give an alias"):
            mismatch_table(drawn(), RatingTable.from_ratings({"a": 1200.0}))

    def test_two_names_of_one_rating(self):
        with pytest.raises(ValueError, match="'a' and 'b' have the same rating, that of 'a'"):
            mismatch_table(drawn(), rated(ratings={"a": 1.0, "c": 2.0}, aliases={"b": "a"}))

    def test_ratings_of_another_type(self):
        with pytest.raises(TypeError, match="from_ratings"):
            mismatch_table(drawn(), RATINGS)

    def test_all_ties(self):
        scores = ScoreTable.from_columns({"a": [1.0, 2.0, 3.0], "b": [0.0, 5.0, 1.0], "c": [1.0, 2.0, 3.0]})
        with pytest.raises(ValueError, match="'a' and 'c' have equal scores for all 3 prompts"):
            mismatch_table(scores, rated())

    def test_constant_scores(self):
        scores = ScoreTable.from_columns({"a": range(12), "b": [0.5] * 12})
        with pytest.raises(ValueError, match=r"model 'b' are 0.5 for all 12 prompts"):
            mismatch_table(scores, rated())

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"ties": "drop"}, "'loss', 'half', got 'drop'"),
            ({"level": 95}, "strictly between 0 and 1, got 95"),
            ({"bootstrap": 10}, "at least .* 40 draws, got 10"),
            ({"clusters": ["x"] * 59}, r"shape \(60,\), got \(59,\)"),
            ({"clusters": ["x"] * 59 + [None]}, "missing labels; first: row 59"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            mismatch_table(drawn(), rated(), **options)
