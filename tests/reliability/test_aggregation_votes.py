import doctest
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.reliability import aggregation
from trl_ext.reliability.aggregation import (
    dawid_skene,
    krippendorff_alpha,
    majority_vote,
    read_votes,
    simulate_votes,
    to_preferences,
)


def votes(labels, items, annotators):
    return pd.DataFrame({"item_id": list(items), "annotator_id": list(annotators), "label": labels})


class TestReadVotes:
    @pytest.mark.parametrize("label", [2, -1, 0.5, math.inf])
    def test_other_labels_name_row_value_and_what_is_allowed(self, label):
        with pytest.raises(ValueError, match=r"'label' has 1 values other than 0 and 1; first: row 1.*Allowed are 1"):
            read_votes(votes([1, label], "pp", "ab"))

    @pytest.mark.parametrize("label", ["1", "first"])
    def test_text_is_not_a_label(self, label):
        with pytest.raises(ValueError, match=r"not numbers; first: row 1, value '"):
            read_votes(votes([1, label], "pp", "ab"))

    @pytest.mark.parametrize("missing", [None, math.nan])
    def test_missing_labels(self, missing):
        with pytest.raises(ValueError, match=r"'label' has 1 missing values; first: row 0"):
            read_votes(votes([missing, 1], "pp", "ab"))

    @pytest.mark.parametrize("missing", [None, math.nan, "", " "])
    def test_missing_annotators(self, missing):
        with pytest.raises(ValueError, match=r"'annotator_id' has 1 missing or empty values; first: row 1"):
            read_votes(votes([0, 1], "pp", ["a", missing]))

    def test_missing_column(self):
        with pytest.raises(ValueError, match="no column 'label'; columns are 'item_id'"):
            read_votes({"item_id": [1], "annotator_id": [2]})

    def test_no_rows(self):
        with pytest.raises(ValueError, match="no rows"):
            read_votes(votes([], [], []))

    def test_columns_of_different_length(self):
        with pytest.raises(ValueError, match="shape"):
            read_votes({"item_id": [1, 2], "annotator_id": ["a", "b"], "label": [1]})

    def test_booleans_and_floats_are_labels(self):
        assert read_votes(votes([True, False], "pq", "aa")).first.tolist() == [True, False]
        assert read_votes(votes([1.0, 0.0], "pq", "aa")).first.tolist() == [True, False]

    def test_an_index_does_not_matter(self):
        table = votes([1, 0], "pq", "ab").set_index(pd.Index([7, 7]))
        assert read_votes(table).first.tolist() == [True, False]

    def test_repeated_votes_are_refused_by_default(self):
        with pytest.raises(ValueError, match=r"1 votes repeat.*row 2, item 'p', annotator 'a'"):
            read_votes(votes([1, 1, 0], "pqp", "aaa"))

    @pytest.mark.parametrize(("duplicates", "kept"), [("first", [True, True]), ("last", [True, False])])
    def test_repeated_votes_are_counted(self, duplicates, kept, caplog):
        table = read_votes(votes([1, 1, 0], "pqp", "aaa"), duplicates=duplicates)
        assert sorted(table.first) == sorted(kept)
        assert "left out 1 repeated votes" in table.messages[0]
        assert "left out 1 repeated votes" in caplog.text

    def test_an_item_is_one_pair_in_one_order(self):
        table = votes([1, 0], "pp", "ab").assign(response_a=["x", "y"], response_b=["y", "x"])
        with pytest.raises(ValueError, match="'item_id' has 1 items whose responses differ.*row 1"):
            read_votes(table, responses=True)

    def test_a_response_is_not_compared_with_itself(self):
        table = votes([1], "p", "a").assign(response_a="x", response_b="x")
        with pytest.raises(ValueError, match="'response_b' has 1 values equal"):
            read_votes(table, responses=True)


class TestMajority:
    def test_by_hand(self):
        # p: 2 of 3, (2+1)/(3+2) = 0.6; q: a tie; r: 0 of 2, P(first) = 1/4
        table = votes([1, 1, 0, 1, 0, 0, 0], "pppqqrr", "abcabab")
        items = majority_vote(table).items
        assert items["label"].tolist() == [1.0, 0.5, 0.0]
        np.testing.assert_allclose(items["reliability"], [0.6, 0.5, 0.75])
        np.testing.assert_allclose(items["entropy"], [0.970951, 1.0, 0.811278], atol=1e-6)
        assert items["margin"].tolist() == [1, 0, -2]
        assert items["tie"].tolist() == [False, True, False]

    def test_ties_can_be_an_error(self):
        with pytest.raises(ValueError, match="1 of 1 items are ties; first: item 'p'"):
            majority_vote(votes([1, 0], "pp", "ab"), ties="error")

    def test_skill_is_agreement_with_the_majority_of_the_others(self):
        # a: the others (b, c) of p disagree: no majority. b: others a, c disagree. c: others a, b agree on 1, c says 0
        annotators = majority_vote(votes([1, 1, 0], "ppp", "abc")).annotators
        assert annotators["n_compared"].tolist() == [0, 0, 1]
        assert annotators["skill"].isna().tolist() == [True, True, False]
        assert annotators["skill"][2] == pytest.approx(1 / 3)

    @given(data=st.data())
    def test_flipping_all_labels_flips_the_items(self, data):
        table = data.draw(vote_tables())
        a, b = majority_vote(table).items, majority_vote(table.assign(label=1 - table["label"])).items
        np.testing.assert_allclose(a["label"], 1 - b["label"])
        np.testing.assert_allclose(a["reliability"], b["reliability"])


@st.composite
def vote_tables(draw):
    n_items, n_annotators = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    cells = [(i, a) for i in range(n_items) for a in range(n_annotators)]
    cells = draw(st.lists(st.sampled_from(cells), min_size=1, unique=True))
    labels = draw(st.lists(st.integers(0, 1), min_size=len(cells), max_size=len(cells)))
    return votes(labels, [i for i, _ in cells], [a for _, a in cells])


class TestKrippendorff:
    def test_published_example(self):
        # Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, part A: 0.095
        a = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
        b = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
        estimate = krippendorff_alpha(votes(a + b, [*range(10), *range(10)], "a" * 10 + "b" * 10), resamples=10)
        assert estimate.value == pytest.approx(0.095, abs=5e-4)
        assert estimate.n == 10

    def test_close_to_fleiss_kappa_on_a_full_table(self):
        from statsmodels.stats.inter_rater import fleiss_kappa

        table, _ = simulate_votes([0.9, 0.8, 0.7, 0.6], 3000, 4, seed=0)
        first = table.groupby("item_id")["label"].sum().to_numpy()
        # alpha = kappa + (1 - kappa)/n, n votes
        kappa = fleiss_kappa(np.stack([first, 4 - first], axis=1))
        assert krippendorff_alpha(table, resamples=10).value == pytest.approx(kappa + (1 - kappa) / 12000, abs=1e-9)

    def test_needs_items_with_two_votes(self):
        with pytest.raises(ValueError, match="two votes"):
            krippendorff_alpha(votes([1, 0], "pq", "ab"))


class TestToPreferences:
    @pytest.fixture
    def result(self):
        return majority_vote(votes([1, 1, 0, 0, 1, 0], "ppqqrr", "ababab"))  # p: first, q: second, r: tie

    @pytest.fixture
    def pairs(self):
        return pd.DataFrame(
            {
                "item_id": list("rqp"),
                "prompt": ["R", "Q", "P"],
                "response_a": ["1", "2", "3"],
                "response_b": list("456"),
            }
        )

    def test_chosen_is_what_the_label_prefers(self, result, pairs, caplog):
        rows = to_preferences(result, pairs)
        assert rows["id"][:] == ["q", "p"]
        assert rows["chosen"][:] == ["5", "3"]
        assert rows["rejected"][:] == ["2", "6"]
        assert rows["label"][:] == [1.0, 1.0]
        assert rows["reliability"][:] == [0.75, 0.75]
        assert rows["vote_margin"][:] == [2, 2]
        assert "left out 1 of 3 items that are ties" in caplog.text

    def test_soft_labels_are_of_the_chosen_response(self, result, pairs):
        rows = to_preferences(result, pairs, soft_labels=True, ties="keep")
        assert rows["label"][:] == [0.5, 0.75, 0.75]
        assert rows["reliability"][:] == [0.5, 0.75, 0.75]

    def test_rows_pass_the_validation_of_the_trainers(self, result, pairs):
        from trl_ext.data import PREFERENCE_COLUMNS, validate_preferences

        numeric = {name: PREFERENCE_COLUMNS[name] for name in ("label", "reliability")}
        assert len(validate_preferences(to_preferences(result, pairs), numeric_columns=numeric)) == 2

    def test_ties_can_be_an_error(self, result, pairs):
        with pytest.raises(ValueError, match="1 items are ties; first: item 'r'"):
            to_preferences(result, pairs, ties="error")

    def test_pairs_and_labels_must_match(self, result, pairs):
        with pytest.raises(ValueError, match="1 aggregated labels without a pair; first: item 'r'"):
            to_preferences(result, pairs[1:])
        with pytest.raises(ValueError, match="1 pairs without an aggregated label; first: item 's'"):
            to_preferences(result, pd.concat([pairs, pairs[:1].assign(item_id="s")]))
        with pytest.raises(ValueError, match="1 repeated values; first: row 3, value 'r'"):
            to_preferences(result, pd.concat([pairs, pairs[:1]]))

    def test_messages_stay_messages(self, result):
        answer = [{"role": "assistant", "content": "yes"}]
        other = [{"role": "assistant", "content": "no"}]
        pairs = pd.DataFrame({"item_id": list("pqr"), "response_a": [answer] * 3, "response_b": [other] * 3})
        rows = to_preferences(result, pairs)
        assert [row["chosen"][0]["content"] for row in rows] == ["yes", "no"]


@pytest.mark.parametrize(
    "name", sorted(set(aggregation.__all__) - {"Aggregation", "Votes"})
)  # both come from a method
def test_the_docstring_example_runs(name):
    text = getattr(aggregation, name).__doc__
    test = doctest.DocTestParser().get_doctest(text.split("```python\n")[1].split("```")[0], {}, name, None, None)
    assert test.examples
    flags = doctest.NORMALIZE_WHITESPACE
    assert doctest.DocTestRunner(optionflags=flags).run(test).failed == 0


def test_aggregation_imports_no_torch():
    check = "import sys, trl_ext.reliability.aggregation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


def test_summary_is_json():
    import json

    table, _ = simulate_votes([0.9, 0.8, 0.2], 50, 3)
    summary = dawid_skene(table).summary()
    assert json.loads(json.dumps(summary))["n_votes"] == 150
