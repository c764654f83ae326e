"""The demo data: questions, and the simulation of annotators who are not always reliable."""

import importlib.resources
import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trl_ext.data.demo import (
    ANNOTATORS,
    KINDS,
    PAIR_KINDS,
    load_demo_preferences,
    load_demo_questions,
    split_questions,
)


@pytest.fixture(scope="module")
def questions():
    return pd.DataFrame(load_demo_questions())


@pytest.fixture(scope="module")
def data():
    return {name: split.to_pandas() for name, split in load_demo_preferences(train_pairs=4000).items()}


def words(texts: pd.Series) -> pd.Series:
    return texts.str.split().str.len()


class TestQuestions:
    def test_enough_questions_and_topics(self, questions):
        assert len(questions) >= 120 and questions["id"].is_unique and questions["question"].is_unique
        assert questions["topic"].nunique() >= 8

    def test_every_question_has_four_different_answers(self, questions):
        for kind in KINDS:
            assert questions[kind].str.strip().str.len().gt(0).all()
        assert all(len({row[kind] for kind in KINDS}) == 4 for _, row in questions.iterrows())

    @pytest.mark.parametrize("kind", ["concise", "detailed"])
    def test_good_and_bad_answers_have_the_same_length(self, questions, kind):
        good, bad = words(questions[f"correct_{kind}"]), words(questions[f"incorrect_{kind}"])
        assert abs(good.mean() - bad.mean()) / good.mean() < 0.01
        for _, group in questions.groupby("bad_sort"):
            good, bad = words(group[f"correct_{kind}"]), words(group[f"incorrect_{kind}"])
            assert abs(good.mean() - bad.mean()) / good.mean() < 0.03

    def test_detailed_answers_are_longer(self, questions):
        for state in ("correct", "incorrect"):
            assert (words(questions[f"{state}_detailed"]) > words(questions[f"{state}_concise"])).all()

    def test_both_sorts_of_bad_answers_occur_in_every_topic(self, questions):
        assert (questions.groupby("topic")["bad_sort"].nunique() == 2).all()
        assert set(questions["bad_sort"]) == {"factual", "relevance"}

    def test_an_answer_that_misses_its_question_is_the_good_answer_to_another(self, questions):
        missing = questions[questions["bad_sort"] == "relevance"]
        for kind in ("concise", "detailed"):
            topic_of = dict(zip(missing[f"correct_{kind}"], missing["topic"], strict=True))
            assert all(topic_of[row[f"incorrect_{kind}"]] != row["topic"] for _, row in missing.iterrows())

    def test_under_a_megabyte(self):
        folder = importlib.resources.files("trl_ext.data").joinpath("demo")
        assert sum(len(file.read_bytes()) for file in folder.iterdir() if file.is_file()) < 1_000_000


class TestSimulation:
    def test_at_least_twelve_annotators_of_different_commitment(self):
        assert len(ANNOTATORS) >= 12 and len({a.eta for a in ANNOTATORS}) == len(ANNOTATORS)

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_no_question_is_in_two_splits(self, seed):
        splits = split_questions(load_demo_questions(), seed)
        ids = {name: {q["id"] for q in part} for name, part in splits.items()}
        assert all(not ids[a] & ids[b] for a, b in itertools.combinations(ids, 2))
        assert sum(map(len, ids.values())) == len(load_demo_questions())
        rows = load_demo_preferences(seed=seed)
        for name, part in rows.items():
            assert set(part["question_id"]) <= ids[name]

    def test_the_same_seed_gives_the_same_rows(self):
        first, second, other = (load_demo_preferences(seed=s)["train"].to_pandas() for s in (3, 3, 4))
        pd.testing.assert_frame_equal(first, second)
        assert not first.equals(other)

    def test_annotators_commit_as_often_as_their_eta_says(self, data):
        for annotator in ANNOTATORS:
            rows = data["train"][data["train"]["annotator_id"] == annotator.annotator_id]
            test = stats.binomtest(int(rows["committed"].sum()), len(rows), annotator.eta)
            assert test.pvalue > 1e-4

    def test_skimming_annotators_take_the_longer_answer(self, data):
        train = data["train"]
        skimming = train[~train["committed"]]
        lengths = [skimming[f"{side}_type"].str.endswith("detailed").astype(int) for side in ("chosen", "rejected")]
        differ = lengths[0] != lengths[1]
        assert (lengths[0] > lengths[1])[differ].mean() > 0.75

    def test_chosen_is_the_better_answer_exactly_where_the_column_says(self, data):
        for part in data.values():
            assert (part["chosen_type"].str.startswith("correct") == (part["correct_chosen"] == 1)).all()

    @pytest.mark.parametrize("signal, sign", [("confidence", 1), ("decision_time", 1)])
    def test_signals_carry_information(self, data, signal, sign):
        result = stats.spearmanr(data["train"][signal], data["train"]["correct_chosen"])
        assert sign * result.statistic > 0.1 and result.pvalue < 1e-6

    def test_reliability_is_a_calibrated_probability_of_the_label_being_correct(self, data):
        table = data["train"].assign(bin=pd.qcut(data["train"]["reliability"], 5))
        bins = table.groupby("bin", observed=True).agg(said=("reliability", "mean"), was=("correct_chosen", "mean"))
        assert (bins["said"] - bins["was"]).abs().max() < 0.15
        assert bins["was"].iloc[-1] - bins["was"].iloc[0] > 0.3

    def test_pair_kinds_have_their_frequencies(self, data):
        train = data["train"]
        right = train["correct_chosen"] == 1
        good = np.where(right, train["chosen_type"], train["rejected_type"])
        bad = np.where(right, train["rejected_type"], train["chosen_type"])
        for (g, b), frequency in PAIR_KINDS.items():
            assert ((good == g) & (bad == b)).mean() == pytest.approx(frequency, abs=0.03)

    def test_the_test_split_has_every_pair_of_every_question(self, data):
        assert (data["test"].groupby("question_id").size() == 4).all()
