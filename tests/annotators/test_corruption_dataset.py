"""Preference datasets with the labels of annotators of known commitment."""

import json
import logging

import numpy as np
import pytest
from datasets import Dataset

from trl_ext.annotators import corrupt_labels, corrupt_preferences
from trl_ext.data import PREFERENCE_COLUMNS, validate_preferences
from trl_ext.evaluation.statistics import wilson_interval


N = 400
ETAS = {"careful": 1.0, "average": 0.6, "guessing": 0.0}


def pairs(n=N, **columns):
    p = np.random.default_rng(0).random(n)
    rows = {
        "id": list(range(n)),
        "chosen": [f"first {row}" for row in range(n)],
        "rejected": [f"second {row}" for row in range(n)],
        "p": p.tolist(),
    }
    return Dataset.from_dict(rows | columns)


def column(dataset, name):
    return np.array(dataset[name][:])


class TestLabels:
    @pytest.mark.parametrize("kind", ["hard", "soft", "ordinal3", "ordinal5"])
    def test_satisfy_the_data_contract(self, kind):
        labelled, report = corrupt_preferences(pairs(), "p", 0.7, kind=kind)
        ranges = {name: PREFERENCE_COLUMNS[name] for name in ("label", "eta")} | {"oracle_probability": (0.0, 1.0)}
        validate_preferences(labelled, numeric_columns=ranges)
        assert labelled.column_names == [
            "id", "chosen", "rejected", "label", "eta", "is_corrupted", "oracle_probability"
        ]  # fmt: skip
        assert report.rows == report.corrupted == N and report.left_out == report.swapped == 0
        assert set(labelled["eta"][:]) == {0.7} and all(labelled["is_corrupted"][:])

    def test_without_corruption_are_those_of_a_committed_annotator(self):
        labelled, report = corrupt_preferences(pairs(), "p", 0.0, clean_ratio=1.0, kind="soft")
        np.testing.assert_array_equal(column(labelled, "label"), column(pairs(), "p"))
        assert set(labelled["eta"][:]) == {1.0} and report.corrupted == 0 and report.against_oracle == 0

    def test_of_guesses_are_coin_flips(self):
        n = 4000
        labelled, report = corrupt_preferences(pairs(n), "p", 0.0)
        assert abs(column(labelled, "label").mean() - 0.5) < 4 * np.sqrt(0.25 / n)
        assert abs(report.share_against_oracle.value - 0.5) < 4 * np.sqrt(0.25 / n)

    def test_have_the_mean_of_the_annotator_model(self):
        n = 10_000
        labelled, _ = corrupt_preferences(pairs(n), "p", ETAS, kind="ordinal5", seed=4)
        p, eta = column(labelled, "oracle_probability"), column(labelled, "eta")
        error = column(labelled, "label") - (eta * p + (1 - eta) / 2)
        for annotator in ETAS:
            theirs = error[column(labelled, "annotator_id") == annotator]
            assert abs(theirs.mean()) < 4 * theirs.std() / np.sqrt(theirs.size)


class TestSelection:
    def test_only_selected_pairs_have_the_annotators_eta(self):
        labelled, report = corrupt_preferences(pairs(), "p", 0.2, clean_ratio=0.25)
        is_corrupted, eta = column(labelled, "is_corrupted"), column(labelled, "eta")
        assert report.corrupted == is_corrupted.sum() == 300
        assert set(eta[is_corrupted]) == {0.2} and set(eta[~is_corrupted]) == {1.0}

    def test_ambiguous_pairs_are_those_near_one_half(self):
        labelled, _ = corrupt_preferences(pairs(), "p", 0.2, clean_ratio=0.5, selection="ambiguous")
        distance = np.abs(column(labelled, "oracle_probability") - 0.5)
        is_corrupted = column(labelled, "is_corrupted")
        assert distance[is_corrupted].max() <= distance[~is_corrupted].min()

    def test_coin_flips_among_the_closest_of_the_given_pairs(self):
        # what the original does to data without an oracle: clean pairs keep their order, the others flip a coin
        gaps = np.random.default_rng(3).normal(size=N)
        data = pairs(score_gap=gaps, certain=[1.0] * N)
        settings = {"selection": "ambiguous", "gap_column": "score_gap"}
        labelled, _ = corrupt_preferences(data, "certain", 0.0, clean_ratio=0.75, **settings)
        is_corrupted, label = column(labelled, "is_corrupted"), column(labelled, "label")
        assert (
            is_corrupted.sum() == 100 and set(label[~is_corrupted]) == {1.0} and set(label[is_corrupted]) == {0.0, 1.0}
        )
        assert np.abs(gaps[is_corrupted]).max() < np.abs(gaps[~is_corrupted]).min()

    def test_gaps_are_for_ambiguous_pairs(self):
        with pytest.raises(ValueError, match="`gap_column` is for selection='ambiguous', got selection='uniform'"):
            corrupt_preferences(pairs(), "p", 0.5, gap_column="id")
        with pytest.raises(ValueError, match="'gap' has 1 value.*row 1"):
            data = pairs(2, gap=[0.5, float("nan")])
            corrupt_preferences(data, "p", 0.5, selection="ambiguous", gap_column="gap")

    def test_a_fixed_size_leaves_rows_out_and_counts_them(self):
        labelled, report = corrupt_preferences(pairs(), "p", 0.2, clean_ratio=0.5, selection="fixed_size")
        assert (report.rows, report.corrupted, report.left_out) == (300, 100, 100)
        ids = labelled["id"][:]
        assert len(labelled) == 300 and ids == sorted(ids)
        np.testing.assert_array_equal(column(labelled, "oracle_probability"), column(pairs(), "p")[ids])


class TestAnnotators:
    def test_get_shares_and_their_eta(self):
        shares = {"careful": 0.5, "average": 0.25, "guessing": 0.25}
        labelled, report = corrupt_preferences(pairs(), "p", ETAS, shares=shares)
        ids = column(labelled, "annotator_id")
        assert [(ids == annotator).sum() for annotator in ETAS] == [200, 100, 100]
        assert labelled["eta"][:] == [ETAS[annotator] for annotator in ids]
        assert {row["annotator_id"]: row["rows"] for row in report.annotators} == {
            "careful": 200, "average": 100, "guessing": 100
        }  # fmt: skip

    def test_may_be_those_of_the_data(self):
        who = [7 if row % 4 else 3 for row in range(N)]
        labelled, _ = corrupt_preferences(pairs(worker=who), "p", {7: 0.9, 3: 0.1}, annotator_column="worker")
        assert labelled["annotator_id"][:] == who and "worker" not in labelled.column_names
        assert labelled["eta"][:] == [0.9 if annotator == 7 else 0.1 for annotator in who]
        kept, _ = corrupt_preferences(pairs(annotator_id=who), "p", {7: 0.9, 3: 0.1}, annotator_column="annotator_id")
        assert kept["annotator_id"][:] == who

    def test_without_an_eta_are_refused(self):
        with pytest.raises(ValueError, match=r"'worker' has 1 annotators without an eta; first: row 1, value 'b'"):
            corrupt_preferences(pairs(2, worker=["a", "b"]), "p", {"a": 0.5}, annotator_column="worker")
        with pytest.raises(ValueError, match="need an eta for each annotator"):
            corrupt_preferences(pairs(2, worker=["a", "b"]), "p", 0.5, annotator_column="worker")
        with pytest.raises(ValueError, match="give one of them"):
            corrupt_preferences(pairs(1, worker=["a"]), "p", {"a": 0.5}, annotator_column="worker", shares={"a": 1.0})
        with pytest.raises(ValueError, match="no column 'wroker'"):
            corrupt_preferences(pairs(1, worker=["a"]), "p", {"a": 0.5}, annotator_column="wroker")


class TestAsChosen:
    def test_what_the_annotator_reported_is_chosen(self):
        plain, _ = corrupt_preferences(pairs(), "p", 0.5, seed=9)
        labelled, report = corrupt_preferences(pairs(), "p", 0.5, seed=9, as_chosen=True)
        second = column(plain, "label") == 0
        np.testing.assert_array_equal(column(labelled, "is_swapped"), second)
        assert report.swapped == second.sum() and 0 < report.swapped < N
        assert set(labelled["label"][:]) == {1.0}
        for row, swapped in enumerate(second):
            texts = (f"second {row}", f"first {row}") if swapped else (f"first {row}", f"second {row}")
            assert (labelled[row]["chosen"], labelled[row]["rejected"]) == texts
        p = column(pairs(), "p")
        np.testing.assert_allclose(column(labelled, "oracle_probability"), np.where(second, 1 - p, p), rtol=1e-12)

    def test_columns_of_a_side_go_with_it(self):
        generator = np.random.default_rng(1)
        data = pairs(
            chosen_score=generator.normal(size=N), rejected_score=generator.normal(size=N),
            source_chosen=["A"] * N, source_rejected=["B"] * N,
            margin=generator.normal(size=N), preference_probability=generator.random(N), agrees=generator.random(N),
        )  # fmt: skip
        labelled, _ = corrupt_preferences(
            data, "p", 0.5, as_chosen=True, complement_columns=["agrees"], negate_columns=[]
        )
        swapped = column(labelled, "is_swapped")
        assert (np.where(swapped, "B", "A") == column(labelled, "source_chosen")).all()
        for name, other in (("chosen_score", "rejected_score"), ("rejected_score", "chosen_score")):
            np.testing.assert_array_equal(
                column(labelled, name), np.where(swapped, column(data, other), column(data, name))
            )
        for name, reverse in (
            ("margin", np.negative),
            ("preference_probability", lambda x: 1 - x),
            ("agrees", lambda x: 1 - x),
        ):
            values = column(data, name)
            np.testing.assert_array_equal(column(labelled, name), np.where(swapped, reverse(values), values))

    @pytest.mark.parametrize("kind", ["soft", "ordinal3", "ordinal5"])
    def test_graded_labels_are_at_least_one_half(self, kind):
        plain, _ = corrupt_preferences(pairs(), "p", 0.8, kind=kind)
        labelled, _ = corrupt_preferences(pairs(), "p", 0.8, kind=kind, as_chosen=True)
        label = column(plain, "label")
        np.testing.assert_allclose(column(labelled, "label"), np.maximum(label, 1 - label))

    def test_messages_are_swapped_whole(self):
        def messages(text):
            return [
                [{"role": "user", "content": "?"}, {"role": "assistant", "content": f"{text} {row}"}]
                for row in range(50)
            ]

        data = Dataset.from_dict({"chosen": messages("first"), "rejected": messages("second"), "p": [0.0] * 50})
        labelled, report = corrupt_preferences(data, "p", 1.0, as_chosen=True)
        assert report.swapped == 50 and report.against_oracle == 0
        assert labelled["chosen"][:] == messages("second") and labelled["rejected"][:] == messages("first")
        assert labelled.features["chosen"] == data.features["chosen"]

    def test_refuses_columns_it_cannot_swap(self):
        with pytest.raises(
            ValueError, match="'correct_chosen' speaks of one response but there is no 'correct_rejected'"
        ):
            corrupt_preferences(pairs(correct_chosen=[1] * N), "p", 0.5, as_chosen=True)
        corrupt_preferences(
            pairs(correct_chosen=[1] * N), "p", 0.5, as_chosen=True, complement_columns=["correct_chosen"]
        )
        with pytest.raises(TypeError, match="'chosen_score'.*'rejected_score'.*cast them to one type"):
            corrupt_preferences(pairs(chosen_score=[1.0] * N, rejected_score=[1] * N), "p", 0.5, as_chosen=True)
        with pytest.raises(ValueError, match="no column 'correct'"):
            corrupt_preferences(pairs(), "p", 0.5, as_chosen=True, complement_columns=["correct"])
        with pytest.raises(ValueError, match="can't become both"):
            corrupt_preferences(pairs(), "p", 0.5, as_chosen=True, complement_columns=["id"], negate_columns=["id"])

    def test_refuses_values_it_cannot_reverse(self):
        with pytest.raises(
            ValueError, match=r"'preference_score' has 1 value outside \[0, 1\]; first: row 1.*value 2.5"
        ):
            corrupt_preferences(pairs(2, preference_score=[0.5, 2.5]), "p", 0.5, as_chosen=True)
        with pytest.raises(ValueError, match="'margin' has 1 value missing"):
            corrupt_preferences(pairs(2, margin=[0.5, None]), "p", 0.5, as_chosen=True)
        with pytest.raises(ValueError, match="they need as_chosen=True"):
            corrupt_preferences(pairs(), "p", 0.5, complement_columns=["id"])

    def test_a_known_column_may_mean_something_else(self):
        data = pairs(margin=[0.25] * N)
        labelled, _ = corrupt_preferences(data, "p", 0.5, as_chosen=True, complement_columns=["margin"])
        assert set(labelled["margin"][:]) == {0.25, 0.75}

    def test_the_words_in_other_columns_mean_no_side(self):
        labelled, _ = corrupt_preferences(pairs(unchosen=[1] * N), "p", 0.5, as_chosen=True)
        assert labelled["unchosen"][:] == [1] * N


class TestReport:
    def test_counts_labels_against_the_oracle(self):
        data = pairs(6).remove_columns("p").add_column("p", [0.9, 0.9, 0.1, 0.5, 0.6, 0.2])
        labelled, report = corrupt_preferences(data, "p", 0.3, seed=2)
        label, p = column(labelled, "label"), column(labelled, "oracle_probability")
        decided = p != 0.5
        assert report.decided == 5
        assert report.against_oracle == ((label > 0.5) != (p > 0.5))[decided].sum()
        assert report.share_against_oracle == wilson_interval(report.against_oracle, 5)

    def test_swapping_changes_no_count(self):
        _, plain = corrupt_preferences(pairs(), "p", ETAS, seed=3)
        _, chosen = corrupt_preferences(pairs(), "p", ETAS, seed=3, as_chosen=True)
        assert plain.against_oracle == chosen.against_oracle and plain.annotators == chosen.annotators
        assert sum(row["against_oracle"] for row in plain.annotators) == plain.against_oracle

    def test_of_ties_alone_has_no_share(self):
        _, report = corrupt_preferences(pairs(3), "p", 0.0, kind="soft")
        assert report.decided == 0 and np.isnan(report.share_against_oracle.value)

    def test_is_logged_and_fits_into_json(self, caplog):
        with caplog.at_level(logging.INFO, logger="trl_ext.annotators"):
            _, report = corrupt_preferences(pairs(), "p", ETAS, name="helpsteer")
        assert f"helpsteer dataset: {report.describe()}" in caplog.text
        assert json.loads(json.dumps(report.to_dict()))["against_oracle"] == report.against_oracle


class TestSeeds:
    def test_the_seed_decides(self):
        settings = {"clean_ratio": 0.5, "kind": "ordinal3"}
        first, again, other = (corrupt_preferences(pairs(), "p", ETAS, seed=s, **settings)[0] for s in (1, 1, 2))
        assert first.to_dict() == again.to_dict() != other.to_dict()

    def test_streams_are_independent_of_each_other(self):
        labels = [
            column(corrupt_preferences(pairs(), "p", eta, seed=1, **settings)[0], "label")
            for eta, settings in ((0.5, {}), ({"only": 0.5}, {}), (0.5, {"selection": "ambiguous"}))
        ]
        assert np.array_equal(labels[0], labels[1]) and np.array_equal(labels[0], labels[2])

    def test_selection_does_not_follow_the_labels(self):
        labelled, _ = corrupt_preferences(pairs(4000), "p", 0.0, clean_ratio=0.5, seed=1)
        is_corrupted, label = column(labelled, "is_corrupted"), column(labelled, "label")
        assert abs(label[is_corrupted].mean() - 0.5) < 4 * np.sqrt(0.25 / 2000)

    def test_is_not_the_stream_of_the_bare_function(self):
        labelled, _ = corrupt_preferences(pairs(), "p", 0.5, seed=1)
        assert not np.array_equal(column(labelled, "label"), corrupt_labels(column(pairs(), "p"), 0.5, seed=1))


class TestBadInput:
    @pytest.mark.parametrize("value", [1.2, float("nan")])
    def test_probabilities(self, value):
        data = pairs(3).remove_columns("p").add_column("p", [0.5, value, 0.5])
        with pytest.raises(ValueError, match=rf"column 'p' has 1 value.*row 1 \(id 1\), value {value:g}"):
            corrupt_preferences(data, "p", 0.5)

    def test_columns(self):
        with pytest.raises(ValueError, match="no column 'q'"):
            corrupt_preferences(pairs(), "q", 0.5)
        with pytest.raises(ValueError, match="columns that are made here: 'label', 'eta'. Remove or rename"):
            corrupt_preferences(pairs(label=[1] * N, eta=[1.0] * N), "p", 0.5)
        with pytest.raises(ValueError, match="made here: 'oracle_probability'"):
            corrupt_preferences(pairs(oracle_probability=[0.5] * N), "p", 0.5)

    def test_the_probability_may_have_its_final_name(self):
        data = pairs().rename_column("p", "oracle_probability")
        labelled, _ = corrupt_preferences(data, "oracle_probability", 0.5)
        assert labelled["oracle_probability"][:] == data["oracle_probability"][:]

    def test_no_rows(self):
        with pytest.raises(ValueError, match="has no rows"):
            corrupt_preferences(pairs().select([]), "p", 0.5)

    @pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan"), {"a": 2.0}])
    def test_eta(self, eta):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            corrupt_preferences(pairs(), "p", eta)

    def test_types(self):
        with pytest.raises(TypeError, match="map annotators to numbers, got list"):
            corrupt_preferences(pairs(2), "p", [0.5, 0.5])
        with pytest.raises(TypeError, match="must be a datasets.Dataset"):
            corrupt_preferences({"chosen": ["a"]}, "p", 0.5)
        with pytest.raises(ValueError, match="kind must be one of"):
            corrupt_preferences(pairs(), "p", 0.5, kind="interpolated")
