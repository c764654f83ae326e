"""Preference pairs by calibrated scores, and what is left out of them."""

import json
import math

import numpy as np
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext.arena import (
    RatingTable,
    ResponseTable,
    ScoreTable,
    calibrated_pairs,
    calibrated_pairs_with_report,
    solve_joint_offsets,
    solve_offset,
)
from trl_ext.data import PREFERENCE_COLUMNS, validate_preferences


RATINGS = RatingTable.from_ratings({"O": 1216.0, "R": 1273.0, "S": 1250.0})
P = RATINGS.win_probability("O", "R")


def tables(scores, responses=None, prompts=None):
    """Tables of prompts p0, p1, …; `scores` by model."""
    scores = ScoreTable.from_columns(scores, [f"p{i}" for i in range(len(next(iter(scores.values()))))])
    texts = responses or [[f"{model} answers {prompt}" for model in scores.models] for prompt in scores.prompt_ids]
    prompts = prompts or [f"Question {prompt}?" for prompt in scores.prompt_ids]
    return ResponseTable(scores.prompt_ids, prompts, scores.models, texts), scores


@pytest.fixture(scope="module")
def two_models():
    return tables({"O": [3.0, 2.0, 4.0, 1.0], "R": [1.0, 1.5, 2.5, 2.0]})


class TestGolden:
    """Which response the original chooses, with fixed offsets and with those that it trained."""

    @pytest.fixture(scope="class")
    def cases(self, shared_dir):
        golden = json.loads((shared_dir / "golden" / "charm.json").read_text())
        two = [{**case, "scores": [case["scores_overvalued"], case["scores_reference"]]} for case in golden["cases"]]
        return two + golden["multi"]

    def test_choices(self, cases):
        for case in cases:
            names = [f"m{i}" for i in range(len(case["scores"]))]
            responses, scores = tables(dict(zip(names, case["scores"], strict=True)))
            ratings = RatingTable.from_ratings(dict(zip(names, case["elo"], strict=True)))
            for known in case["original"]["pairs"]:
                offsets = dict(zip(names, known["offsets"], strict=True))
                rows, report = calibrated_pairs_with_report(responses, scores, offsets, ratings, pairs="extremes")
                degenerate = [f"p{row}" for row in known["degenerate"]]
                assert report["degenerate"] == degenerate and report["left_out"]["tied"] == len(degenerate)
                assert report["flipped"] == known["n_flipped"] == sum(rows["flipped"])
                expected = {
                    f"p{row}": f"m{model}"
                    for row, model in enumerate(known["chosen_model"])
                    if f"p{row}" not in degenerate
                }
                assert {row["id"].split(":")[0]: row["source_chosen"] for row in rows} == expected
                assert [row["id"].split(":")[0] for row in rows] == list(expected)  # in the order of the prompts
                assert report["rows"] + len(degenerate) == known["n_kept"]

    def test_a_pair_of_models_by_its_offset(self, cases):
        for case in (case for case in cases if len(case["scores"]) == 2):
            known = case["derived"]["at_unpaired_T0.1"]
            responses, scores = tables(dict(zip("OR", case["scores"], strict=True)))
            ratings = RatingTable.from_ratings(dict(zip("OR", case["elo"], strict=True)))
            offset = case["derived"]["roots"]["unpaired_T0.1"]
            rows, report = calibrated_pairs_with_report(responses, scores, {("O", "R"): offset}, ratings)
            assert [report["chosen_per_model"][model] for model in "OR"] == known["n_chosen_per_model"]
            assert [int(row["id"].split(":")[0][1:]) for row in rows if row["flipped"]] == known["flipped"]
            assert rows["mismatch_after"][0] == pytest.approx(known["md_after"], abs=1e-9)
            assert rows["mismatch_before"][0] == pytest.approx(case["original"]["md_before"], abs=1e-9)


class TestLabels:
    def test_hard(self, two_models):
        rows = calibrated_pairs(*two_models, {"O": -1.25, "R": 0.0}, RATINGS)
        assert rows["source_chosen"][:] == ["O", "R", "O", "R"]
        assert rows["source_rejected"][:] == ["R", "O", "R", "O"]
        assert rows["chosen"][1] == "R answers p1" and rows["rejected"][1] == "O answers p1"
        assert rows["score_chosen"][:] == [3.0, 1.5, 4.0, 2.0] and rows["score_rejected"][:] == [1.0, 2.0, 2.5, 1.0]
        assert rows["offset"][:] == [-1.25, 1.25, -1.25, 1.25]
        assert rows["label"][:] == [1.0] * 4
        assert rows["flipped"][:] == [False, True, False, False]
        assert rows["target_win_rate"][:] == pytest.approx([P, 1 - P, P, 1 - P])
        assert rows["mismatch_before"][0] == pytest.approx((0.75 - P) / (1 - P))
        assert rows["mismatch_after"][0] == pytest.approx((0.5 - P) / (1 - P))

    def test_soft(self, two_models):
        rows = calibrated_pairs(*two_models, {"O": -1.25, "R": 0.0}, RATINGS, labels="soft", temperature=0.5)
        # margins after the offset: 0.75, -0.75, 0.25, -2.25
        expected = [1 / (1 + math.exp(-margin / 0.5)) for margin in (0.75, 0.75, 0.25, 2.25)]
        assert rows["label"][:] == pytest.approx(expected)
        assert rows["label_temperature"][:] == [0.5] * 4
        scale = np.std([2.0, 0.5, 1.5, -1.0])
        rows = calibrated_pairs(*two_models, {"O": -1.25, "R": 0.0}, RATINGS, labels="soft", temperature="std")
        assert rows["label"][0] == pytest.approx(1 / (1 + math.exp(-0.75 / scale)))
        assert rows["label_temperature"][:] == pytest.approx([scale] * 4)

    def test_soft_labels_keep_the_information_of_rows(self, two_models):
        for row in calibrated_pairs(*two_models, {"O": -1.25, "R": 0.0}, RATINGS, labels="soft"):
            margin = row["score_chosen"] - row["score_rejected"] + row["offset"]
            assert row["label"] == pytest.approx(1 / (1 + math.exp(-margin)))

    def test_none_means_no_preference(self, two_models):
        rows = calibrated_pairs(*two_models, {"O": -1.0, "R": 0.0}, RATINGS, labels="none", min_margin=9.0)
        assert rows["source_chosen"][:] == ["O"] * 4 and not {"label", "label_temperature"} & set(rows.column_names)
        assert rows["target_win_rate"][:] == pytest.approx([P] * 4)

    def test_none_flips_nothing_and_chooses_the_first(self, two_models):
        rows, report = calibrated_pairs_with_report(*two_models, {"O": -1.25, "R": 0.0}, RATINGS, labels="none")
        assert report["chosen_per_model"] == report["pairs"][0]["chosen_per_model"] == {"O": 4, "R": 0}
        assert report["flipped"] == report["pairs"][0]["flipped"] == sum(rows["flipped"]) == 0

    def test_rows_are_preference_data(self, two_models):
        validate_preferences(
            calibrated_pairs(*two_models, {"O": -1.25, "R": 0.0}, RATINGS, labels="soft"),
            numeric_columns={"label": PREFERENCE_COLUMNS["label"]},
        )

    def test_messages_are_answered_by_messages(self):
        prompts = [
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"{i}?"}] for i in range(2)
        ]
        responses, scores = tables({"O": [1.0, 2.0], "R": [2.0, 1.0]}, prompts=prompts)
        rows = calibrated_pairs(responses, scores, {"O": 0.0, "R": 0.0}, RATINGS)
        assert rows["prompt"][0] == prompts[0]
        assert rows["chosen"][0] == [{"role": "assistant", "content": "R answers p0"}]
        validate_preferences(rows)


class TestLeftOut:
    def test_ties_identical_empty_and_small_margins_are_counted(self):
        texts = [["a", "b"], ["same", "same"], ["c", "d"], [" ", "e"], ["f", "g"]]
        responses, scores = tables({"O": [2.0, 5.0, 1.0, 9.0, 1.1], "R": [1.0, 5.0, 1.0, 1.0, 1.0]}, texts)
        options = {"offsets": {"O": 0.0, "R": 0.0}, "ratings": RATINGS}
        rows, report = calibrated_pairs_with_report(responses, scores, **options, min_margin=0.5)
        assert report["left_out"] == {"empty": 1, "identical": 1, "tied": 1, "below_margin": 1}
        assert rows["chosen"][:] == ["a"] and report["rows"] == 1 and report["pairs"][0]["ties_after"] == 2
        rows = calibrated_pairs(responses, scores, **options, ties="soft")
        assert rows["label"][:] == [1.0, 0.5, 1.0]
        soft = calibrated_pairs(responses, scores, **options, labels="soft", ties="soft")
        assert soft["label"][1] == 0.5

    def test_soft_ties_of_extremes_are_kept(self):
        responses, scores = tables({"O": [1.0, 3.0], "R": [1.0, 2.0], "S": [1.0, 0.0]})
        offsets = {"O": 0.0, "R": 0.0, "S": 0.0}
        rows, report = calibrated_pairs_with_report(responses, scores, offsets, RATINGS, pairs="extremes", ties="soft")
        assert rows["label"][:] == [0.5, 1.0] and report["degenerate"] == ["p0"] and report["left_out"]["tied"] == 0
        assert len({rows["source_chosen"][0], rows["source_rejected"][0]}) == 2
        assert len(calibrated_pairs(responses, scores, offsets, RATINGS, pairs="extremes")) == 1

    def test_nothing_left(self):
        responses, scores = tables({"O": [1.0, 2.0], "R": [1.0, 2.0]})
        with pytest.raises(ValueError, match="no pair is left: 0 empty, 0 identical, 2 tied, 0 below_margin"):
            calibrated_pairs(responses, scores, {"O": 0.0, "R": 0.0}, RATINGS)


class TestSeveralModels:
    @pytest.fixture(scope="class")
    def three(self):
        generator = np.random.default_rng(0)
        return tables(
            {model: generator.normal(size=50) + mean for model, mean in (("O", 2.0), ("R", 0.0), ("S", 0.5))}
        )

    def test_all_pairs_by_joint_offsets(self, three):
        joint = solve_joint_offsets(three[1], RATINGS)
        rows, report = calibrated_pairs_with_report(*three, joint, RATINGS)
        assert len(rows) == 150 == len(set(rows["id"]))
        assert report["offsets"] == joint.offsets
        assert [(pair["model"], pair["reference"]) for pair in report["pairs"]] == [("O", "R"), ("O", "S"), ("R", "S")]
        for row in rows:
            expected = joint.difference(row["source_chosen"], row["source_rejected"])
            assert row["offset"] == pytest.approx(expected)
            assert row["score_chosen"] - row["score_rejected"] + expected > 0

    def test_solutions_by_pair(self, three):
        scores = three[1]
        pairs = [("O", "R"), ("S", "R")]
        solutions = {(o, r): solve_offset(scores.of(o), scores.of(r), RATINGS.win_probability(o, r)) for o, r in pairs}
        rows, report = calibrated_pairs_with_report(*three, solutions, RATINGS)
        assert len(rows) == 100
        for pair, told in zip(pairs, report["pairs"], strict=True):
            assert told["mismatch_after"] == solutions[pair].mismatch_after
            assert told["flipped"] == solutions[pair].flipped
            assert told["solution"]["attainable"] is True
            assert abs(told["mismatch_after"]) <= 1 / 50
            interval = told["mismatch_before_interval"]
            assert interval["ci_low"] < told["mismatch_before"] < interval["ci_high"]

    def test_chosen_pairs_of_joint_offsets(self, three):
        joint = solve_joint_offsets(three[1], RATINGS)
        rows = calibrated_pairs(*three, joint, RATINGS, pairs=[("S", "O")])
        assert len(rows) == 50 and {*rows["source_chosen"]} <= {"S", "O"}

    def test_order_of_prompts_does_not_matter(self, three):
        responses, scores = three
        back = scores.select(prompt_ids=scores.prompt_ids[::-1])
        offsets = {"O": -1.0, "R": 0.0, "S": 0.0}
        assert (
            calibrated_pairs(responses, back, offsets, RATINGS).to_dict()
            == calibrated_pairs(responses, scores, offsets, RATINGS).to_dict()
        )


@pytest.mark.parametrize(
    ("offsets", "options", "message"),
    [
        ({"O": 0.0, "R": 0.0}, {"labels": "firm"}, "`labels` must be one of 'hard', 'soft', 'none', got 'firm'"),
        ({"O": 0.0, "R": 0.0}, {"ties": "keep"}, "`ties` must be one of 'drop', 'soft'"),
        ({"O": 0.0, "R": 0.0}, {"min_margin": -1.0}, "`min_margin` must be a finite number of at least 0"),
        ({"O": 0.0, "R": 0.0}, {"mismatch_ties": "win"}, "'loss', 'half', got 'win'"),
        ({"O": 0.0, "R": 0.0}, {"labels": "soft", "temperature": 0.0}, "`temperature` must be positive"),
        ({"O": 0.0, "R": 0.0}, {"pairs": "every"}, '`pairs` must be "extremes" or a list'),
        ({"O": 0.0, "R": 0.0}, {"pairs": [("O", "O")]}, "two different models each"),
        ({"O": 0.0, "R": 0.0}, {"pairs": [("O", "R"), ("R", "O")]}, "more than once"),
        ({"O": 0.0, "R": 0.0}, {"pairs": [("O", "X")]}, "there is no offset of model 'X'; there are 'O', 'R'"),
        ({"O": 0.0, "R": 0.0}, {"pairs": "extremes", "labels": "none"}, "needs all prompts of a pair"),
        ({("O", "R"): 0.0}, {"pairs": "extremes"}, "needs an offset per model"),
        ({("O", "R"): 0.0}, {"pairs": [("R", "O")]}, r"no offset of the pair \('R', 'O'\)"),
        ({"O": 0.0}, {}, "there are no pairs of models"),
        ({"O": 0.0}, {"pairs": "extremes"}, "there is no offset of model 'R'"),
        ({"O": math.nan, "R": 0.0}, {}, "the offset of model 'O' must be finite, got nan"),
        ({"O": "low", "R": 0.0}, {}, "the offset of model 'O' must be a number, got 'low'"),
        ({"O": 0.0, "X": 0.0}, {}, "there are no scores of model 'X'; there are 'O', 'R'"),
        (0.5, {}, "`offsets` must be JointOffsets or a mapping"),
        ({}, {}, "`offsets` must be JointOffsets or a mapping"),
    ],
)
def test_bad_options(two_models, offsets, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        calibrated_pairs(*two_models, offsets, RATINGS, **options)


def test_bad_tables(two_models):
    responses, scores = two_models
    offsets = {"O": 0.0, "R": 0.0}
    with pytest.raises(ValueError, match="1 of 4 have responses but no scores; first: 'p3'"):
        calibrated_pairs(responses, scores.select(prompt_ids=["p0", "p1", "p2"]), offsets, RATINGS)
    with pytest.raises(ValueError, match="1 of 4 have scores but no responses; first: 'p0'"):
        calibrated_pairs(responses.select(["p1", "p2", "p3"]), scores, offsets, RATINGS)
    with pytest.raises(ValueError, match="there is no rating of model 'R'"):
        calibrated_pairs(responses, scores, offsets, RatingTable.from_ratings({"O": 1000}))
    only_r = ResponseTable(responses.prompt_ids, responses.prompts, ("R",), [[text] for text in responses.of("R")])
    with pytest.raises(ValueError, match="there are no responses of model 'O'"):
        calibrated_pairs(only_r, scores, offsets, RATINGS)


def test_report_is_json(two_models):
    solution = solve_offset(two_models[1].of("O"), two_models[1].of("R"), P)
    _, report = calibrated_pairs_with_report(*two_models, {("O", "R"): solution}, RATINGS)
    json.dumps(report, allow_nan=False)
    assert report["ratings"] == [{"model": "O", "rating": 1216.0}, {"model": "R", "rating": 1273.0}]


@pytest.mark.parametrize("function", [calibrated_pairs, calibrated_pairs_with_report])
def test_docstring(function):
    assert failed_examples(function) == 0
