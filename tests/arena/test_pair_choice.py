"""Which over-valued models and which reference are chosen, and when none is."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext.arena import RatingTable, ScoreTable, charm_ratings, choose_pairs, mismatch_table, significant_pairs


PAPER = {"GPT-4o-mini-2024-07-18": 1273.0, "gemma-2-27b-it": 1220.0, "gemma-2-9b-it-SimPO": 1216.0}
PAPER |= {"gemma-2-9b-it": 1191.0}


def table_of(shifts, n=400, seed=0, digits=6, ties="loss"):
    """Models whose scores follow their ratings, but for a shift each."""
    rng = np.random.default_rng(seed)
    # normal scores of a difference d win with Phi(d / sqrt 2); 1 / 242 of an Elo point is near enough to the logistic
    columns = {name: rng.normal((PAPER[name] - 1200) / 170 + shift, 1, n) for name, shift in shifts.items()}
    scores = ScoreTable.from_columns({name: np.round(column, digits) for name, column in columns.items()})
    return mismatch_table(scores, RatingTable.from_ratings(PAPER), ties=ties)


@pytest.fixture(scope="module")
def simpo():
    return table_of({name: 0.9 * ("SimPO" in name) for name in PAPER})


@pytest.fixture(scope="module")
def nothing():
    return table_of(dict.fromkeys(PAPER, 0.0), n=60)


class TestSignificantPairs:
    def test_family_is_every_pair_once(self, simpo):
        found = significant_pairs(simpo)
        assert (found["p_adjusted"] <= 1).all()
        rows = simpo.assign(**found).set_index(["model", "reference"])
        assert rows["significant"].sum() == 6  # SimPO against three, both orders
        weakest = simpo["p_value"].max()
        assert (
            found["p_adjusted"].max() == pytest.approx(min(1.0, 6 * simpo["p_value"].max()), abs=1) and weakest > 0.05
        )
        for first, second in rows.index:
            assert rows.loc[(first, second), "p_adjusted"] == rows.loc[(second, first), "p_adjusted"]

    def test_by_hand(self, simpo):
        table = simpo.head(3).assign(p_value=[0.01, 0.04, 0.03], ci_low=0.1, ci_high=0.2)
        found = significant_pairs(table)
        assert found["p_adjusted"].tolist() == pytest.approx([0.03, 0.06, 0.06])
        assert found["significant"].tolist() == [True, False, False]

    def test_an_interval_with_0_is_not_significant(self, simpo):
        table = simpo.head(1).assign(p_value=1e-9, ci_low=-0.01, ci_high=0.2)
        assert not significant_pairs(table)["significant"].any()

    @pytest.mark.slow
    def test_error_rate_of_the_family(self):
        # of 400 tables without mismatch, more than 30 with a false alarm have probability .01 at a rate of .05
        null = dict.fromkeys(PAPER, 0.0)
        alarms = [significant_pairs(table_of(null, 80, seed))["significant"].any() for seed in range(400)]
        assert sum(alarms) <= 30


class TestAutomatic:
    def test_finds_the_shifted_model_and_the_best_placed_reference(self, simpo):
        found = choose_pairs(simpo)
        assert [pair.overvalued for pair in found.pairs] == ["gemma-2-9b-it-SimPO"]
        assert found.best.reference == next(iter(found.placement))
        assert list(found.placement)[-1] == "gemma-2-9b-it-SimPO"
        assert found.best.significant and found.best.ci_low > 0
        assert "best placed" in found.reason
        json.dumps(found.to_dict())

    def test_reference_given(self, simpo):
        found = choose_pairs(simpo, reference="gemma-2-27b-it")
        assert (found.best.overvalued, found.best.reference) == ("gemma-2-9b-it-SimPO", "gemma-2-27b-it")
        assert "given" in found.reason

    def test_several_overvalued_models_largest_first(self):
        shifts = dict(zip(PAPER, (0.0, 0.7, 1.6, 0.0), strict=True))
        found = choose_pairs(table_of(shifts), reference="gemma-2-9b-it")
        assert [pair.overvalued for pair in found.pairs] == ["gemma-2-9b-it-SimPO", "gemma-2-27b-it"]

    def test_an_undervalued_model_is_no_reference(self):
        shifts = dict(zip(PAPER, (0.0, 0.0, 0.6, -1.2), strict=True))
        assert choose_pairs(table_of(shifts)).best.reference != "gemma-2-9b-it"

    def test_an_undervalued_model_is_raised_and_does_not_pull_others_down(self):
        # nothing is over-valued against the three fair models; against the under-valued one all are
        shifts = dict.fromkeys(PAPER, 0.0) | {"gemma-2-27b-it": -1.0}
        found = choose_pairs(table_of(shifts))
        assert [pair.overvalued for pair in found.pairs] == ["gemma-2-27b-it"]
        assert found.best.reference == next(iter(found.placement)) != "gemma-2-27b-it"
        assert found.best.mismatch < 0 and found.best.direction == "under-valued" and "positive offset" in found.reason

    @pytest.mark.parametrize("shift", [-1.0, 0.9])
    def test_the_misplaced_model_takes_the_offset(self, shift):
        shifts = dict.fromkeys(PAPER, 0.0) | {"gemma-2-27b-it": shift}
        found = [choose_pairs(table_of(shifts, seed=seed, n=300)) for seed in range(3)]
        assert all(choice.best.overvalued == "gemma-2-27b-it" for choice in found)

    def test_two_models(self):
        names = ["gemma-2-9b-it-SimPO", "GPT-4o-mini-2024-07-18"]
        found = choose_pairs(table_of(dict(zip(names, (0.9, 0.0), strict=True))))
        assert (found.best.overvalued, found.best.reference) == tuple(names)

    def test_nothing_significant(self, nothing):
        found = choose_pairs(nothing)
        assert found.pairs == () and found.best is None
        assert "no model is significantly over-valued: 6 pairs, Holm's correction" in found.reason

    def test_all_undervalued_by_ties_is_explained(self):
        found = choose_pairs(table_of(dict.fromkeys(PAPER, 0.0), n=2000, digits=0))
        assert found.best is None
        assert "ties='half'" in found.reason


class TestByName:
    def test_other_names_of_the_models(self):
        columns = {"princeton-nlp/gemma-2-9b-it-SimPO": [2.0, 3.0, 4.0, 1.0], "gpt-4o-mini": [1.0, 2.0, 5.0, 0.5]}
        table = mismatch_table(ScoreTable.from_columns(columns), charm_ratings())
        found = choose_pairs(table, choice="paper")
        assert (found.best.overvalued, found.best.reference) == tuple(columns)
        given = charm_ratings()
        given = replace(given, aliases={**given.aliases, "small": "GPT-4o-mini-2024-07-18"})
        assert choose_pairs(table, reference="small", ratings=given).reason
        with pytest.raises(ValueError, match="'small' is not in the table"):
            choose_pairs(table, reference="small")

    def test_the_choice_of_the_paper(self, simpo):
        found = choose_pairs(simpo, choice="paper")
        assert (found.best.overvalued, found.best.reference) == ("gemma-2-9b-it-SimPO", "GPT-4o-mini-2024-07-18")
        assert "the choice of the paper" in found.reason and "is over-valued" in found.reason

    def test_insignificant_pair_is_taken_and_said(self, nothing):
        found = choose_pairs(nothing, overvalued="GEMMA-2-9b-it", reference="gemma-2-27b-it")
        assert found.best.overvalued == "gemma-2-9b-it" and not found.best.significant
        assert "not significant" in found.reason

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"overvalued": "gemma-2-9b-it"}, "needs another model as `reference`, got None"),
            ({"overvalued": "gemma-2-9b-it", "reference": "gemma-2-9b-it"}, "needs another model"),
            ({"reference": "gpt-5"}, "'gpt-5' is not in the table; there are 'GPT-4o-mini"),
            ({"choice": "best"}, "'automatic', 'paper', got 'best'"),
            ({"choice": "paper", "reference": "gemma-2-9b-it"}, "names both models"),
            ({"level": 2}, "between 0 and 1"),
        ],
    )
    def test_refuses(self, simpo, options, message):
        with pytest.raises(ValueError, match=message):
            choose_pairs(simpo, **options)

    def test_refuses_other_tables(self, simpo):
        with pytest.raises(ValueError, match="no column p_value"):
            choose_pairs(simpo.drop(columns="p_value"))
        with pytest.raises(ValueError, match="no rows"):
            choose_pairs(simpo.head(0))
        with pytest.raises(ValueError, match="occurs more than once"):
            choose_pairs(simpo.iloc[[0, 0]])
        with pytest.raises(ValueError, match="'gemma-2-9b-it-SimPO' is not in the table"):
            choose_pairs(
                simpo[~simpo["model"].str.contains("SimPO") & ~simpo["reference"].str.contains("SimPO")],
                choice="paper",
            )

    def test_example(self):
        assert failed_examples(choose_pairs) == 0
