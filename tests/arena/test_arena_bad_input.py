"""Wrong ratings, names and files are refused by messages that say what is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext.arena import (
    RatingTable,
    ResponseTable,
    ScoreTable,
    calibrated_pairs,
    charm_ratings,
    read_leaderboard,
    solve_joint_offsets,
)
from trl_ext.arena.ratings.rated_models import scored_name
from trl_ext.arena.responses.original_folders import scores_folder


RATINGS = RatingTable.from_ratings({"a": 1000.0, "b": 1010.0})
SCORES = ScoreTable.from_columns({"a": [1.0, 2.0], "b": [0.0, 3.0]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"covariance": [[1.0, np.nan], [np.nan, 1.0]]}, "2 values that are not finite; first: models 'a' and 'b'"),
        ({"covariance": [[1.0, 0.0], [0.0, -2.0]]}, "variance of model 'b' in `covariance` is -2.0"),
        ({"covariance": [[1.0, 2.0], [2.0, 1.0]]}, "not positive semi-definite: its smallest eigenvalue is -1"),
        ({"covariance": [[1.0, 0.5], [0.0, 1.0]]}, "not symmetric: models 'a' and 'b' have 0.5 and 0.0"),
        ({"covariance": np.eye(3)}, "must have shape"),
        ({"level": 1.5}, "`level` must lie strictly between 0 and 1, got 1.5"),
        ({"level": "0.9"}, "`level` must lie strictly between 0 and 1, got '0.9'"),
        ({"table": RATINGS.table.assign(rating_high=[1001.0, np.inf])}, "rating_high are infinite; first: model 'b'"),
    ],
)
def test_rating_tables(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(RATINGS, **changes)


def test_a_singular_covariance_is_one():
    assert replace(RATINGS, covariance=np.array([[1.0, -1.0], [-1.0, 1.0]])).standard_errors(["a"])[0] == 1.0


def test_names_are_texts():
    for make in (
        lambda: RatingTable.from_ratings({1: 1000.0, 2: 1010.0}),
        lambda: ScoreTable.from_columns({1: [1.0], 2: [2.0]}),
        lambda: ResponseTable(("p",), ("Hi",), (1, 2), (("x", "y"),)),
    ):
        with pytest.raises(TypeError, match=r"names of models must be texts, got 1 \(int\) at position 0"):
            make()


def test_ratings_are_a_table():
    given = {"a": 1000.0, "b": 1010.0}
    responses = ResponseTable(SCORES.prompt_ids, ("Hi", "Bye"), ("a", "b"), (("x", "y"), ("v", "w")))
    with pytest.raises(TypeError, match="`ratings` must be a RatingTable, got dict"):
        solve_joint_offsets(SCORES, given)
    with pytest.raises(TypeError, match="`ratings` must be a RatingTable, got dict"):
        calibrated_pairs(responses, SCORES, {"a": 0.0, "b": 0.0}, given)


def test_gauge_by_another_name():
    scores = ScoreTable.from_columns({"gpt-4o-mini": [1.0, 2.0, 4.0], "google/gemma-2-9b-it": [0.0, 3.0, 1.0]})
    joint = solve_joint_offsets(scores, charm_ratings(), gauge="GPT-4o-mini-2024-07-18")
    assert joint.offsets["gpt-4o-mini"] == 0.0 != joint.offsets["google/gemma-2-9b-it"]


def test_encoding(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_bytes("model,rating\nmod\xe8le,1000\n".encode("latin-1"))
    with pytest.raises(ValueError, match="ratings.csv is not UTF-8"):
        read_leaderboard(path)


@pytest.mark.parametrize("documented", [scored_name, scores_folder])
def test_examples(documented):
    assert failed_examples(documented) == 0
