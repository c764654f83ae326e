"""From tables of labels to commitments: which labels are compared, what is counted, what is decided."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from tasks.annotators.probability_sets import synthetic_probabilities
from trl_ext.annotators import (
    estimate_eta,
    estimate_eta_items,
    expert_c,
    expert_c_items,
    monitor_annotators,
    plan_sample_size,
)
from trl_ext.annotators.checks_table import expert_checks, self_checks
from trl_ext.annotators.item_estimation import item_test


def table(rows, columns=("item_id", "annotator_id", "label")):
    return pd.DataFrame(rows, columns=list(columns))


def duplicates(etas, n, seed=0, delta=0.04):
    """Annotators who are committed to a pair or not, for both of its labels."""
    rng = np.random.default_rng(seed)
    rows = []
    for annotator, eta in etas.items():
        committed, first = rng.random(n) < eta, rng.random(n) < 0.5
        again = np.where(committed, first ^ (rng.random(n) < delta), rng.random(n) < 0.5)
        rows += [(item, annotator, int(label)) for labels in (first, again) for item, label in enumerate(labels)]
    return table(rows)


ETAS = {"ann": 0.95, "bob": 0.7, "cy": 0.2}


class TestPairs:
    def test_labels_are_paired_in_order_and_none_twice(self):
        rows = [(1, "a", 0), (2, "a", 1), (1, "a", 0), (1, "b", 1), (1, "a", 1), (1, "a", 1), (1, "a", 0), (2, "a", 0)]
        found = self_checks(table(rows))
        # item 1 of a: (0, 0), (1, 1), and 0 is left; item 2: (1, 0)
        of_a = found.checks[found.checks["annotator_id"] == "a"]
        assert sorted(zip(of_a["item_id"], of_a["agree"], strict=True)) == [(1, True), (1, True), (2, False)]
        assert found.counts.loc["a"].tolist() == [7, 0, 1] and found.counts.loc["b"].tolist() == [1, 0, 1]

    @pytest.mark.parametrize("missing", [None, np.nan, pd.NA, " "])
    def test_missing_labels_are_counted_and_passed_over(self, missing):
        found = self_checks(table([(1, "a", "x"), (1, "a", missing), (1, "a", "x"), (2, "a", missing)]))
        assert found.checks["agree"].tolist() == [True] and found.counts.loc["a"].tolist() == [4, 2, 0]

    def test_true_is_one(self):
        assert self_checks(table([(1, "a", True), (1, "a", 1)])).checks["agree"].tolist() == [True]

    def test_labels_of_different_kinds_are_refused(self):
        with pytest.raises(TypeError, match="number and text, and would never agree"):
            self_checks(table([(1, "a", "1"), (1, "a", 1)]))

    def test_expert_labels_in_a_column_and_in_a_table_give_the_same(self):
        labels = table([(1, "a", 1), (2, "a", 0), (3, "a", 1), (1, "b", None), (2, "b", 0), (2, "b", 1)])
        expert = pd.DataFrame({"item_id": [2, 1], "expert_label": [0, 0]})
        apart = expert_checks(labels, expert)
        joined = expert_checks(labels.assign(expert_label=labels["item_id"].map({1: 0, 2: 0})))
        for found in (apart, joined):
            # b's second label of item 2 would meet the same expert label again
            assert found.checks["agree"].tolist() == [False, True, True]
            assert found.counts.loc["a"].tolist() == [3, 0, 1] and found.counts.loc["b"].tolist() == [3, 1, 1]


def test_estimates_are_those_of_the_counts():
    report = monitor_annotators(duplicates(ETAS, 300), delta=0.04, delta_convention="model")
    assert report.c == pytest.approx(0.92)
    for row, eta in zip(report.table.itertuples(), ETAS.values(), strict=True):
        alone = estimate_eta(row.agreements, 300, 0.92)
        assert (row.eta, row.ci_low, row.ci_high, row.se) == (alone.value, alone.ci_low, alone.ci_high, alone.se)
        assert row.ci_low <= eta <= row.ci_high
        assert row.p_above == pytest.approx(stats.binom.sf(row.agreements - 1, 300, (1 + 0.92 * 0.5) / 2))
    assert report.table["decision"].tolist() == ["above", "above", "below"]
    assert report.heterogeneity["p_value"] < 1e-6 and 0.2 < report.heterogeneity["sd_between"] < 0.6
    assert report.pooled.value == pytest.approx(report.table["eta_unclipped"].mean())
    assert report.pooled.ci_high - report.pooled.ci_low > 0.5  # three annotators that differ


def test_annotators_alike_are_found_alike():
    report = monitor_annotators(duplicates(dict.fromkeys("abcdefgh", 0.7), 200, seed=1), delta=0.04)
    assert report.heterogeneity["p_value"] > 0.01 and report.heterogeneity["sd_between"] < 0.08
    assert report.pooled.ci_high - report.pooled.ci_low < 0.15


def test_more_checks_are_those_that_are_missing():
    few = duplicates({"ann": 0.75, "bob": 0.7}, 30, seed=3)
    report = monitor_annotators(few, eta0=0.6, eta1=0.9, half_width=0.15)
    assert set(report.table["decision"]) == {"undecided"}
    plan = plan_sample_size(report.c, eta0=0.6, eta1=0.9, alpha=0.05 / 2, beta=0.1)  # two annotators
    assert (report.table["more_checks_decision"] == plan.n - 30).all() and report.checks_for_decision == plan.n
    for row in report.table.itertuples():
        needed = plan_sample_size(report.c, half_width=0.15, eta=np.floor(row.eta * 100) / 100).n
        assert row.more_checks_half_width == needed - 30


def test_what_cannot_be_forecast_is_infinite_and_the_estimates_stay():
    labels = duplicates({"ann": 0.9, "bob": 0.0}, 40)
    report = monitor_annotators(labels, c=0.001, half_width=1e-5, eta1=0.5001)
    assert np.isinf(report.table["more_checks_half_width"]).all() and np.isinf(report.checks_for_decision)
    undecided = report.table["decision"] == "undecided"
    assert undecided.any() and np.isinf(report.table["more_checks_decision"][undecided]).all()
    assert report.table["agreements"].tolist() == monitor_annotators(labels).table["agreements"].tolist()
    assert np.isfinite(report.table["eta"]).all()
    messages = " ".join(report.messages)
    assert "more_checks_decision is infinite: more than 10,000,000 checks" in messages
    assert "more_checks_half_width is infinite for 2 annotators" in messages
    assert np.isinf(report.summary()["more_checks_half_width"])


def test_the_report_says_which_test_decides():
    method = monitor_annotators(duplicates({"ann": 0.9}, 20)).method
    assert "mid-p interval" in method and method.endswith("decisions by the exact binomial test of the agreements")


def test_the_flag_is_kept_at_its_family_wise_level():
    # all annotators at the standard: anyone called above is wrong
    wrong = 0
    for seed in range(25):
        labels = duplicates(dict.fromkeys(range(10), 0.5), 60, seed=seed, delta=0.0)
        report = monitor_annotators(labels, delta=0.0, eta0=0.5, eta1=0.9, half_width=0.5)
        wrong += (report.table["decision"] == "above").any()
    assert wrong <= 5  # 1.25 expected at most; 6 or more has probability .001


def test_annotators_without_checks_stay_in_the_table():
    labels = pd.concat([duplicates({"ann": 0.9}, 50), table([(1, "zed", 1), (2, "zed", 0)])])
    report = monitor_annotators(labels)
    row = report.table.iloc[1]
    assert row["decision"] == "no checks" and np.isnan(row["eta"]) and row["more_checks_decision"] > 0
    assert "1 annotators have no checks: 'zed'" in report.messages
    with pytest.raises(ValueError, match="1 annotators have no checks; first: 'zed'"):
        report.to_mapping()
    assert report.to_mapping(report.pooled.value)["zed"] == report.pooled.value


class TestExpert:
    def labels(self, n=400):
        rng = np.random.default_rng(5)
        p = expit(2 * rng.standard_normal(n))
        rows = []
        for annotator, eta in {"ann": 0.9, "bob": 0.4, "eve": -0.6}.items():
            label = rng.random(n) < eta * p + (1 - eta) / 2
            rows += [(i, annotator, int(label[i])) for i in range(n)]
        expert = pd.DataFrame({"item_id": np.arange(n), "expert_label": (p > 0.5).astype(int), "p": p})
        return table(rows), expert

    def test_items_of_known_probability(self):
        labels, expert = self.labels()
        report = monitor_annotators(labels, "expert", expert_table=expert, allow_negative=True)
        merged = labels[labels["annotator_id"] == "bob"].merge(expert)
        alone = estimate_eta_items(
            merged["label"] == merged["expert_label"], expert_c_items(merged["p"]), allow_negative=True
        )
        row = report.table.set_index("annotator_id").loc["bob"]
        assert (row["eta"], row["ci_low"], row["ci_high"]) == (alone.value, alone.ci_low, alone.ci_high)
        for row, eta in zip(report.table.itertuples(), (0.9, 0.4, -0.6), strict=True):
            assert row.ci_low <= eta <= row.ci_high
        assert report.table["decision"].tolist() == ["above", "undecided", "below"]
        assert report.items_known and report.c == pytest.approx(expert_c(expert["p"]))

    @staticmethod
    def enumerate_items(c, eta0):
        """Both p-values of every sequence of agreements `(2^N, 2)`, and the probability of each as a function of η."""
        sequences = np.array(list(itertools.product([0, 1], repeat=c.size)))

        def probability(eta):
            return np.prod(np.where(sequences, 1 + c * eta, 1 - c * eta) / 2, axis=1)

        return sequences, np.array([item_test(sequence, c, eta0) for sequence in sequences]), probability

    @pytest.mark.parametrize("informative", [[0.1, 0.5, 0.9, 1.0], [0.1, 0.0, -0.5, 0.9, 0.0, 1.0]])
    def test_decisions_with_items_are_exact(self, informative):
        _, found, probability = self.enumerate_items(np.array(informative), 0.7)
        for side, other in ((0, 0.4), (1, 0.95)):  # another η of the same hypothesis
            for level in found[:, side]:
                rejected = found[:, side] <= level * (1 + 1e-12)
                assert probability(0.7)[rejected].sum() == pytest.approx(level, rel=1e-12)
                assert probability(other)[rejected].sum() <= level * (1 + 1e-12)

    def test_clear_items_count_more_than_vague_ones(self):
        c = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1])
        sequences, found, probability = self.enumerate_items(c, 0.2)
        counts, null = sequences.sum(axis=1), probability(0.2)
        tails = np.array([null[counts >= count].sum() for count in counts])
        power, power_of_counts = (probability(0.95)[p <= 0.05].sum() for p in (found[:, 0], tails))
        assert power > power_of_counts + 0.2

    def test_equal_items_are_decided_as_counts(self):
        found = item_test([1] * 70 + [0] * 30, [0.6] * 100, 0.5)
        expected = stats.binom.sf(69, 100, 0.65), stats.binom.cdf(70, 100, 0.65)
        assert found == pytest.approx(expected, rel=1e-10)

    def test_the_flag_is_kept_at_its_family_wise_level_with_few_checks_of_known_items(self):
        # 10 annotators exactly at the standard .9, 20 checks each: whoever is called above or below is wrongly called
        families, checks, everybody = 80, 20, range(10)
        rng = np.random.default_rng(0)
        all_p = synthetic_probabilities("sky", 1000)
        wrong = {"above": 0, "below": 0}
        for _ in range(families):
            p = rng.choice(all_p, checks)
            labels = rng.random((len(everybody), checks)) < 0.9 * p + 0.05
            rows = [(item, who, int(labels[who, item])) for who in everybody for item in range(checks)]
            expert = pd.DataFrame({"item_id": range(checks), "expert_label": (p > 0.5).astype(int), "p": p})
            options = {"eta0": 0.9, "eta1": 1.0, "half_width": 0.5}
            report = monitor_annotators(table(rows), "expert", expert_table=expert, **options)
            for decision in wrong:
                wrong[decision] += (report.table["decision"] == decision).any()
        assert max(wrong.values()) <= 11  # 4 expected at most; 12 or more has probability .001
        assert report.method.endswith("decisions by the exact test of the weighted agreements")

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [([7, 8, 9], ["7", "8", "x"]), (["7", "8", "x"], [7, 8, 9]), ([7.0, 8.0, 9.0], ["7", "8", "x"])],
    )
    def test_ids_that_are_text_in_one_table_only_are_the_same_ids(self, ours, theirs, caplog):
        labels = pd.DataFrame({"item_id": ours, "annotator_id": "a", "label": [1, 0, 1]})
        expert = pd.DataFrame({"item_id": theirs, "expert_label": [1, 1, 1]})
        report = monitor_annotators(labels, "expert", expert_table=expert, c=0.9)
        assert report.table["n_checks"].tolist() == [2] and report.table["agreements"].tolist() == [1]
        assert "compared as text, 2 of 3 items found" in caplog.text

    def test_two_ids_that_are_the_same_text_are_repeated(self):
        expert = pd.DataFrame({"item_id": [1, "1"], "expert_label": [1, 0]})
        with pytest.raises(ValueError, match="has 1 repeated items; first: row 1, value '1'"):
            expert_checks(table([(1, "a", 1)]), expert)

    def test_trusted_annotators_say_what_c_is(self):
        labels, expert = self.labels()
        expert = expert.drop(columns="p")
        report = monitor_annotators(labels, "expert", expert_table=expert, trusted=["ann"], trusted_eta=0.9)
        truth = expert_c(self.labels()[1]["p"])
        assert report.c_estimate.ci_low <= truth <= report.c_estimate.ci_high and report.c == report.c_estimate.value
        assert report.table["eta"][0] == pytest.approx(0.9)
        scaled = report.sensitivity(c_values=[report.c, min(1.0, report.c * 1.2)])
        of_bob = scaled[scaled["annotator_id"] == "bob"]["eta"].tolist()
        assert of_bob[0] == pytest.approx(report.table["eta"][1]) and of_bob[1] == pytest.approx(of_bob[0] / 1.2)

        assert report.table["decision"][0] == "trusted" and np.isnan(report.table["p_above"][0])
        assert np.isfinite(report.table["p_above"][1])

    def test_coin_flips_tell_nothing(self):
        labels, expert = self.labels(50)
        flips = pd.DataFrame({"item_id": [90, 91], "expert_label": [1, 0], "p": 0.5})
        labels = pd.concat([labels, table([(90, "zed", 1), (91, "zed", 1)])])
        report = monitor_annotators(labels, "expert", expert_table=pd.concat([expert, flips]))
        assert report.table["decision"].tolist()[-1] == "no checks" and np.isnan(report.table["eta"].iloc[-1])
        assert "2 checks on items of probability 0.5 only" in report.messages[-1]

    def test_a_c_is_needed(self):
        labels, expert = self.labels(20)
        with pytest.raises(ValueError, match="give c .* a column 'p' .* or trusted annotators"):
            monitor_annotators(labels, "expert", expert_table=expert.drop(columns="p"))


def test_commitment_that_changes_from_label_to_label_shows_as_its_square():
    rng = np.random.default_rng(8)
    n, eta = 4000, 0.7
    labels = np.where(rng.random((2, n)) < eta, 1, rng.integers(0, 2, (2, n)))  # all pairs have 1 as the truth
    report = monitor_annotators(table([(i, "a", int(row[i])) for row in labels for i in range(n)]), c=1.0)
    assert np.sqrt(report.table["ci_low"][0]) < eta < np.sqrt(report.table["ci_high"][0])


def test_what_speaks_against_the_model_is_said_once(caplog):
    labels = table([(i, "a", x) for i in range(60) for x in (0, 1)] + [(i, "b", 1) for i in range(60) for _ in "12"])
    report = monitor_annotators(labels, c=0.5)
    assert any("'a': labels agree less than eta = 0" in message for message in report.messages)
    assert any("'b': labels agree more than eta = 1" in message for message in report.messages)
    assert len(caplog.records) == len(report.messages)


def test_three_labels_change_what_guesses_do():
    rng = np.random.default_rng(9)
    first, again = rng.integers(0, 3, (2, 3000))
    labels = table([(i, "a", "xyz"[v]) for values in (first, again) for i, v in enumerate(values)])
    report = monitor_annotators(labels)
    assert report.chance == pytest.approx(1 / 3) and report.table["ci_low"][0] == 0 < 0.05 > report.table["eta"][0]
    assert monitor_annotators(labels, n_categories=4).table["eta"][0] > 0.05


def test_sensitivity_to_delta():
    report = monitor_annotators(duplicates(ETAS, 300), delta=0.02)
    frame = report.sensitivity([0.0, 0.02, 0.1], delta_convention="model")
    assert frame["c"].unique() == pytest.approx([1.0, 0.96, 0.8])
    again = monitor_annotators(duplicates(ETAS, 300), delta=0.1, delta_convention="model")
    scaled = frame[(frame["delta"] == 0.1) & frame["annotator_id"].notna()]
    for column in ("eta", "ci_low", "ci_high"):
        np.testing.assert_allclose(scaled[column].astype(float), again.table[column], rtol=1e-9)
    (pooled,) = frame[(frame["delta"] == 0.1) & frame["annotator_id"].isna()]["eta"]
    assert pooled == pytest.approx(again.pooled.value)


def test_files(tmp_path):
    report = monitor_annotators(duplicates({1: 0.9, 2: 0.3}, 50))
    report.save(tmp_path / "new" / "eta.json")
    assert json.loads((tmp_path / "new" / "eta.json").read_text()) == {
        "1": report.to_mapping()[1],
        "2": report.to_mapping()[2],
    }
    report.save(tmp_path / "eta.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "eta.csv"), report.table, check_dtype=False)
    with pytest.raises(ValueError, match="must end with .json or .csv"):
        report.save(tmp_path / "eta.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"monitor": "other"}, "monitor must be one of self, expert"),
        ({"eta0": 0.9}, "0 <= eta0 < eta1 <= 1"),
        ({"half_width": 0}, "half_width must lie strictly"),
        ({"monitor": "expert"}, "the table has no column 'expert_label'; columns are 'item_id'"),
        ({"expert_table": pd.DataFrame()}, 'expert_table is not used with monitor="self"'),
        ({"trusted": ["zed"]}, r"not in the table: \['zed'\]"),
        ({"trusted": "ann"}, "trusted must be a list"),
        ({"c": 1.5}, r"c must be a number in \(0, 1\]"),
        ({"n_categories": 1}, "n_categories must be at least 2"),
        ({"n_categories": 2.5}, "n_categories must be whole numbers of at least 1, got 2.5"),
        ({"c": 0.5, "trusted": ["zzz"]}, "c and trusted all say what c is: give one"),
        ({"c": 0.5, "delta": 0.1}, "c and delta all say what c is: give one"),
        ({"monitor": "expert", "delta": 0.1}, 'delta is not used with monitor="expert"'),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        monitor_annotators(duplicates({"ann": 0.9}, 20), **options)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the table has no rows"),
        ([(1, "a", 1), (2, None, 1)], "column 'annotator_id' of the table has 1 missing values; first: row 1"),
        ([(1, "a", 1), (2, "a", 1)], "no annotator labelled an item twice"),
    ],
)
def test_bad_tables_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        monitor_annotators(table(rows))


def test_bad_expert_tables_are_refused():
    labels = table([(1, "a", 1)])
    with pytest.raises(ValueError, match="has 1 repeated items; first: row 1, value 1"):
        monitor_annotators(labels, "expert", expert_table=pd.DataFrame({"item_id": [1, 1], "expert_label": [0, 1]}))
    with pytest.raises(ValueError, match=r"column 'p' has 1 values outside \[0, 1\].*value 1.5"):
        monitor_annotators(labels.assign(expert_label=1, p=1.5), "expert")
