"""Offsets of several models at once."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tests.evaluation.doc_examples import failed_examples
from trl_ext.arena import RatingTable, ScoreTable, solve_joint_offsets, solve_offset, unpaired_objective


RATINGS = {"a": 1100.0, "b": 1050.0, "c": 1000.0, "d": 900.0}


@pytest.fixture(scope="module")
def ratings():
    return RatingTable.from_ratings(RATINGS)


@pytest.fixture(scope="module")
def scores():
    """Correlated scores whose order of models is not that of the ratings."""
    generator = np.random.default_rng(0)
    common = generator.normal(size=400)
    means = {"a": 0.0, "b": 1.5, "c": 0.3, "d": 2.0}
    return ScoreTable.from_columns({m: common + generator.normal(size=400) + mean for m, mean in means.items()})


def test_golden_least_squares(shared_dir):
    cases = json.loads((shared_dir / "golden" / "charm.json").read_text())["multi"]
    for case in cases:
        names = [f"model{i}" for i in range(len(case["elo"]))]
        scores = ScoreTable.from_columns(dict(zip(names, case["scores"], strict=True)))
        ratings = RatingTable.from_ratings(dict(zip(names, case["elo"], strict=True)))
        joint = solve_joint_offsets(scores, ratings, method="reference", gauge="last")
        known = case["derived"]
        np.testing.assert_allclose(list(joint.offsets.values()), known["least_squares_offsets_last_zero"], atol=1e-4)
        assert joint.objective == pytest.approx(known["objective"], rel=1e-6)
        for trained in case["original"]["nn_calibration"]:
            assert joint.objective <= trained["objective"] + 1e-9
        assert joint.objective == pytest.approx(
            unpaired_objective(scores.scores, list(joint.offsets.values()), case["elo"]), abs=1e-12
        )


@pytest.mark.parametrize("method", ["soft", "hard", "reference", "normal"])
class TestEveryMethod:
    def test_win_rates_come_nearer(self, scores, ratings, method):
        joint = solve_joint_offsets(scores, ratings, method=method)
        assert joint.objective < 0.05 * joint.objective_before
        assert joint.table["mismatch_after"].abs().max() < 0.15 < joint.table["mismatch_before"].abs().max()

    def test_gauge(self, scores, ratings, method):
        offsets = {g: solve_joint_offsets(scores, ratings, method=method, gauge=g) for g in ("sum", "last", "b")}
        assert sum(offsets["sum"].offsets.values()) == pytest.approx(0, abs=1e-12)
        assert offsets["last"].offsets["d"] == offsets["b"].offsets["b"] == 0
        for other in ("last", "b"):
            assert offsets[other].difference("a", "c") == pytest.approx(offsets["sum"].difference("a", "c"), abs=1e-9)
            assert offsets[other].objective == pytest.approx(offsets["sum"].objective, rel=1e-9)

    def test_the_scale_of_the_scores_does_not_matter(self, scores, ratings, method):
        large = ScoreTable(scores.prompt_ids, scores.models, scores.scores * 1e4 + 7)
        temperature = {"temperature": 1000.0} if method == "reference" else {}
        joint = solve_joint_offsets(scores, ratings, method=method)
        of_large = solve_joint_offsets(large, ratings, method=method, **temperature)
        for model in scores.models:
            assert of_large.offsets[model] == pytest.approx(1e4 * joint.offsets[model], rel=1e-5, abs=1e-2)


@settings(max_examples=40)
@given(
    values=st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=2, max_size=25),
    difference=st.integers(-300, 300),
)
def test_hard_offsets_of_two_models_are_the_exact_ones(values, difference):
    first, second = np.array(values, dtype=float).T
    scores = ScoreTable.from_columns({"a": first, "b": second})
    ratings = RatingTable.from_ratings({"a": 1000 + difference, "b": 1000})
    joint = solve_joint_offsets(scores, ratings, method="hard")
    expected = ratings.win_probability("a", "b")
    solution = solve_offset(first, second, expected)
    assert joint.difference("a", "b") == solution.offset
    assert joint.table["win_rate_after"][0] == solution.win_rate_after


def test_no_single_hard_offset_can_be_improved(scores, ratings):
    joint = solve_joint_offsets(scores, ratings, method="hard", weights="uniform")
    expected = ratings.win_probabilities(scores.models)
    first, second = np.triu_indices(4, k=1)

    def objective(offsets):
        moved = scores.scores + offsets
        won = [(moved[:, i] > moved[:, j]).mean() for i, j in zip(first, second, strict=True)]
        return np.mean((won - expected[first, second]) ** 2)

    found = np.array(list(joint.offsets.values()))
    best = objective(found)
    assert best == pytest.approx(joint.objective, rel=1e-9)
    generator = np.random.default_rng(0)
    for model in range(4):
        for step in generator.normal(scale=0.2, size=50):
            moved = found.copy()
            moved[model] += step
            assert objective(moved) >= best * (1 - 1e-9)


def test_hard_offsets_are_in_the_middle_of_their_intervals():
    """Of scores on a grid too, where a start may lie at thresholds and tie many prompts."""
    generator = np.random.default_rng(0)
    for _ in range(10):
        values = generator.integers(-12, 13, (60, 3)) / 4
        joint = solve_joint_offsets(
            ScoreTable.from_columns(dict(zip("abc", values.T, strict=True))),
            RatingTable.from_ratings({"a": 1000, "b": 1050, "c": 1000}),
            method="hard",
        )
        moved = values + np.array(list(joint.offsets.values()))
        for model in range(3):
            distances = np.delete(moved, model, axis=1) - moved[:, [model]]
            assert not (distances == 0).any()
            assert distances[distances > 0].min() == pytest.approx(-distances[distances < 0].max(), rel=1e-5)


def test_reference_offsets_where_the_objective_is_nearly_a_staircase(caplog):
    values = 1000 * (np.random.default_rng(5).normal(size=(20, 3)) + [1, 0, -0.5])
    ratings = {"a": 1216.0, "b": 1273.0, "c": 1248.0}
    with caplog.at_level(logging.WARNING):
        joint = solve_joint_offsets(
            ScoreTable.from_columns(dict(zip("abc", values.T, strict=True))),
            RatingTable.from_ratings(ratings),
            method="reference",
        )
    assert "win rates are nearly steps" in caplog.text
    assert joint.objective < 1e-4


def test_smooth_objectives_are_no_reason_for_a_warning(scores, ratings, caplog):
    with caplog.at_level(logging.WARNING, logger="trl_ext.arena.offsets.joint_offsets"):
        for method in ("soft", "reference"):
            solve_joint_offsets(scores, ratings, method=method)
    assert "nearly steps" not in caplog.text


def test_soft_offsets_are_a_minimum_of_their_objective(scores, ratings):
    joint = solve_joint_offsets(scores, ratings, method="soft", temperature=0.5, weights="uniform")
    expected = ratings.win_probabilities(scores.models)
    first, second = np.triu_indices(4, k=1)

    def objective(offsets):
        moved = scores.scores + offsets
        soft = 1 / (1 + np.exp(-(moved[:, first] - moved[:, second]) / 0.5))
        return np.mean((soft.mean(axis=0) - expected[first, second]) ** 2)

    found = np.array(list(joint.offsets.values()))
    assert objective(found) == pytest.approx(joint.objective, rel=1e-9)
    for model in range(4):
        for step in (-1e-3, 1e-3):
            moved = found.copy()
            moved[model] += step
            assert objective(moved) > joint.objective


def test_closed_form_by_hand():
    # variances 1 and 4: the means must differ by z(P) * sqrt(5)
    scores = ScoreTable.from_columns({"a": [2.0, 4.0], "b": [-1.0, 3.0]})
    ratings = RatingTable.from_ratings({"a": 1100, "b": 1000})
    joint = solve_joint_offsets(scores, ratings, method="normal")
    wanted = norm.ppf(1 / (1 + 10**-0.25)) * np.sqrt(5)
    assert (3.0 - 1.0) + joint.difference("a", "b") == pytest.approx(wanted, abs=1e-12)
    # the original's own numbers: the corrected mean of the last model is 0
    original = solve_joint_offsets(scores, ratings, method="normal", gauge="original").offsets
    assert original == pytest.approx({"a": wanted - 3.0, "b": -1.0}, abs=1e-12)


class TestWeights:
    @staticmethod
    def widths(**half_widths):
        table = pd.DataFrame({"model": list(RATINGS), "rating": list(RATINGS.values())})
        half = np.array([half_widths.get(model, np.nan) for model in RATINGS])
        return RatingTable(table.assign(rating_low=table["rating"] - half, rating_high=table["rating"] + half))

    def test_by_the_delta_method(self, scores):
        joint = solve_joint_offsets(scores, self.widths(a=20, b=10, c=10, d=10))
        expected, half = joint.table["expected_win_rate"][0], 1.959964
        variance = (20**2 + 10**2) / half**2 * (expected * (1 - expected) * np.log(10) / 400) ** 2
        assert joint.table["weight"][0] == pytest.approx(1 / (variance + expected * (1 - expected) / 400), rel=1e-6)

    def test_pairs_of_uncertain_ratings_give_way(self, scores):
        sure = solve_joint_offsets(scores, self.widths(a=5, b=5, c=5, d=5))
        unsure = solve_joint_offsets(scores, self.widths(a=5, b=5, c=5, d=400))
        misfit = [
            ((joint.table["fitted_after"] - joint.table["expected_win_rate"]) ** 2)[
                joint.table["reference"] != "d"
            ].sum()
            for joint in (sure, unsure)
        ]
        assert misfit[1] < 0.5 * misfit[0]

    def test_ratings_without_interval_are_told(self, scores, caplog):
        with caplog.at_level(logging.WARNING):
            solve_joint_offsets(scores, self.widths(a=5, b=5, c=5))
        assert "1 of 4 ratings have no interval and count as exact; first: model 'd'" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "paired"}, "'soft', 'hard', 'reference', 'normal', got 'paired'"),
        ({"weights": "votes"}, "`weights` must be one of 'rating', 'uniform'"),
        ({"gauge": "original"}, "`gauge='original'` is of the method 'normal', got method='soft'"),
        ({"gauge": "first"}, "`gauge` must be 'sum', 'last', 'original' or one of the models 'a', 'b', 'c', 'd'"),
        ({"method": "hard", "temperature": 1.0}, "'hard' has none"),
        ({"temperature": -1.0}, "`temperature` must be positive"),
        ({"method": "reference", "block_size": 0}, "`block_size` must be at least 1"),
    ],
)
def test_bad_options(scores, ratings, options, message):
    with pytest.raises(ValueError, match=message):
        solve_joint_offsets(scores, ratings, **options)


def test_rating_missing(scores):
    with pytest.raises(ValueError, match="there is no rating of model 'd'"):
        solve_joint_offsets(scores, RatingTable.from_ratings({"a": 1, "b": 2, "c": 3}))


def test_difference_of_an_unknown_model(scores, ratings):
    with pytest.raises(ValueError, match="there is no offset of model 'e'; there are 'a', 'b', 'c', 'd'"):
        solve_joint_offsets(scores, ratings).difference("a", "e")


def test_differences_without_spread():
    scores = ScoreTable.from_columns({"a": [1.0, 2.0], "b": [0.0, 1.0]})
    ratings = RatingTable.from_ratings({"a": 1, "b": 2})
    with pytest.raises(ValueError, match="all paired differences are equal"):
        solve_joint_offsets(scores, ratings)
    assert np.isfinite(solve_joint_offsets(scores, ratings, method="hard").difference("a", "b"))


def test_docstring():
    assert failed_examples(solve_joint_offsets) == 0
