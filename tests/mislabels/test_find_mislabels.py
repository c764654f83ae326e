"""The search for wrong labels: planted errors in the demo data, simulated annotators, and awkward data."""

import json

import numpy as np
import pytest
from datasets import Dataset

from tasks.mislabels_config import DEFAULTS
from tasks.mislabels_data import load_pairs
from trl_ext.data.bundled import ENCODER
from trl_ext.evaluation import mean_estimate
from trl_ext.mislabels import EVIDENCE, find_mislabels, pair_features, pair_rows, plant_errors
from trl_ext.mislabels.head import fit_head, scale_features
from trl_ext.reliability import estimate_commitment


def simulated(n: int = 300, etas=(0.9, 0.5), seed: int = 0, d: int = 5):
    """Rows with features, labelled by annotators of known commitment, and whether each label is wrong."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, d))
    truth = generator.random(n) < 1 / (1 + np.exp(-3 * x.sum(axis=1)))
    who = np.arange(n) % len(etas)
    wrong = generator.random(n) < (1 - np.array(etas)[who]) / 2
    x[~(truth ^ wrong)] *= -1
    rows = {"prompt": [f"q{i // 2}" for i in range(n)], "chosen": [f"a{i}" for i in range(n)]}
    rows |= {"rejected": [f"b{i}" for i in range(n)], "annotator_id": [f"p{i}" for i in who]}
    return Dataset.from_dict(rows), x, wrong.astype(int)


@pytest.fixture(scope="module")
def planted_reports(tmp_path_factory):
    """Searches in true demo labels of which a tenth is exchanged."""
    cache = tmp_path_factory.mktemp("features")
    reports = []
    for seed in range(2):
        data, wrong = load_pairs({**DEFAULTS, "planted_errors": 0.1, "seed": seed})
        features = pair_features(data, ENCODER, cache_dir=cache, progress=False)
        reports.append(find_mislabels(data, features, wrong=wrong, seed=seed, resamples=50))
    return reports


class TestPlantedErrors:
    def test_precision_at_a_tenth_is_three_times_the_base_rate(self, planted_reports):
        # the acceptance criterion, with the lower ends of the intervals of each seed and of the mean over seeds
        for report in planted_reports:
            assert report.figures["true_wrong_share"].value == pytest.approx(0.1)
            assert report.figures["precision"].ci_low >= 0.3
        lifts = [r.figures["precision"].value / r.figures["true_wrong_share"].value for r in planted_reports]
        assert mean_estimate(lifts).ci_low >= 3

    def test_the_number_of_errors_is_estimated(self, planted_reports):
        for report in planted_reports:
            assert report.figures["wrong_labels"].value == pytest.approx(48, abs=20)

    def test_every_evidence_is_better_than_chance(self, planted_reports):
        for report in planted_reports:
            area = report.comparison[report.comparison["measure"] == "auroc"].set_index("evidence")["value"]
            assert set(EVIDENCE) <= set(area.index) and (area > 0.5).all()

    def test_flagged_labels_are_mostly_wrong(self, planted_reports):
        flagged = np.concatenate([r.table.loc[r.table["flagged"], "wrong"] for r in planted_reports])
        assert len(flagged) > 40 and flagged.mean() > 0.8

    def test_numbers_and_their_caveats(self, planted_reports):
        for report in planted_reports:
            total = report.figures["wrong_labels"]
            assert total.ci_low <= 48 <= total.ci_high
            assert report.annotators["expected_wrong"].sum() == pytest.approx(total.value)
            assert any("mistakes that annotators share" in note for note in report.notes)
            assert any("nominal" in note for note in report.notes) and report.to_dict()["notes"] == list(report.notes)
            assert None in [row["difference"] for row in report.to_dict()["comparison"]]
            assert "nan" not in json.dumps(report.to_dict(), default=float).lower()


class TestAnnotators:
    def test_figures_per_annotator(self):
        data, x, wrong = simulated(600, etas=(0.95, 0.4))
        report = find_mislabels(data, x, wrong=wrong, resamples=20)
        table = report.annotators.set_index("annotator_id")
        assert table.loc["p1", "expected_wrong"] > table.loc["p0", "expected_wrong"]
        assert ((table["wrong_low"] <= table["wrong"]) & (table["wrong"] <= table["wrong_high"])).all()
        total = report.figures["wrong_labels"]
        assert total.ci_low <= wrong.sum() <= total.ci_high
        assert table["flagged"].sum() == report.table["flagged"].sum()

    def test_one_whose_labels_are_all_wrong(self):
        data, x, wrong = simulated(600, etas=(0.95, 0.95, -1.0))
        report = find_mislabels(data, x, wrong=wrong, resamples=20)
        table = report.annotators.set_index("annotator_id")
        assert table.loc["p2", "adversarial"] and not table.loc["p0", "adversarial"]
        assert table.loc["p2", "eta"] < -0.5 and table.loc["p2", "share_flagged"] > 0.6
        right_by_chance = report.table[(report.table["annotator_id"] == "p2") & (report.table["left_out_margin"] > 0)]
        assert (right_by_chance["p_wrong"] > 0.5).any()  # the person weighs more than the pair

    def test_eta_of_margins_of_training_is_too_high(self):
        data, x, wrong = simulated(300, etas=(0.4,), d=60)
        scaled = scale_features(x)[0]
        in_sample = estimate_commitment(fit_head(scaled, 1e-3).margins(scaled), ["all"] * 300).table["eta"][0]
        held_out = find_mislabels(data, x, penalty=1e-3).figures["eta"]
        assert in_sample > held_out.value + 0.3  # the truth is 0.4

    def test_without_annotators_all_share_one(self):
        data, x, _ = simulated(100)
        report = find_mislabels(data.remove_columns("annotator_id"), x)
        assert report.table["annotator_id"].isna().all() and len(report.annotators) == 1
        assert report.settings["annotators"] is None
        one = find_mislabels(data.remove_columns("annotator_id").add_column("annotator_id", ["ann"] * 100), x)
        np.testing.assert_array_equal(report.table["p_wrong"], one.table["p_wrong"])


class TestRows:
    def test_the_table_is_ranked_and_reliability_is_in_the_order_of_the_data(self, tmp_path):
        data, x, _ = simulated(100)
        for evidence in EVIDENCE:
            report = find_mislabels(data, x, evidence=evidence)
            values = report.table["evidence"].to_numpy()
            assert (np.diff(values) <= 0).all() and sorted(report.table["row"]) == list(range(100))
        first = report.table.iloc[0]
        assert [first[name] for name in ("prompt", "chosen")] == [
            data[int(first["row"])][n] for n in ("prompt", "chosen")
        ]
        assert report.reliability[first["row"]] == pytest.approx(1 - first["p_wrong"])
        report.save(tmp_path / "mislabels")
        assert {path.name for path in (tmp_path / "mislabels").iterdir()} == {"mislabels.csv", "annotators.csv"}

    def test_the_same_seed_gives_the_same_table(self):
        data, x, _ = simulated(60)
        assert find_mislabels(data, x, seed=3).table.equals(find_mislabels(data, x, seed=3).table)

    def test_trusted_pairs_measure_influence(self):
        data, x, wrong = simulated(300)
        trusted = simulated(100, etas=(1.0,), seed=5)[1]
        report = find_mislabels(data, x, trusted=trusted, wrong=wrong, evidence="influence", resamples=20)
        area = report.comparison.query("evidence == 'influence' and measure == 'auroc'")["value"].iloc[0]
        assert area > 0.55 and report.settings["trusted_pairs"] == 100

    def test_margins_of_whole_models(self):
        data, x, wrong = simulated(300)
        margins = 3 * x.sum(axis=1)
        report = find_mislabels(data, margins=margins, wrong=wrong, resamples=20)
        assert report.table["influence"].isna().all() and report.settings["mode"] == "margins"
        assert report.figures["precision"].value > 2 * wrong.mean()

    @pytest.mark.parametrize("leave_out", ["annotator", "prompt", "row"])
    def test_two_prompts_are_enough_and_equal_pairs_tie(self, leave_out):
        data = Dataset.from_dict({"prompt": ["q", "q", "r", "r"], "chosen": list("aaac"), "rejected": list("bbdd")})
        x = np.array([[1.0, 0], [1, 0], [1, 1], [0, 1]])
        table = find_mislabels(data, x, leave_out=leave_out).table.set_index("row")
        assert table.loc[0, "p_wrong"] == pytest.approx(table.loc[1, "p_wrong"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": None}, "either features"),
        ({"margins": np.ones(20)}, "either features"),
        ({"features": np.ones((19, 5))}, r"features must have shape \(20, D\), got \(19, 5\)"),
        ({"features": np.full((20, 5), np.nan)}, "20 rows with values that are not finite; first: row 0"),
        ({"features": np.zeros((20, 5))}, "all features are 0"),
        ({"features": None, "margins": np.ones(20), "evidence": "influence"}, "influence needs features"),
        ({"trusted": np.ones((3, 4))}, "trusted must have 5 features"),
        ({"wrong": np.full(20, 2)}, "first: row 0, value 2"),
        ({"evidence": "vibes"}, "evidence must be one of"),
        ({"leave_out": "fold"}, "leave_out must be one of"),
        ({"annotator_column": "worker"}, "worker"),
        ({"share": 1.0}, "share"),
    ],
)
def test_bad_input(changes, message):
    data, x, _ = simulated(20)
    with pytest.raises(ValueError, match=message):
        find_mislabels(data, **{"features": x, **changes})


def test_bad_ids_are_named_by_column_and_row():
    data = simulated(20)[0].remove_columns("annotator_id")
    with pytest.raises(ValueError, match="column 'worker' has 1 missing ids .*; first: row 3"):
        pair_rows(data.add_column("worker", ["a"] * 3 + [None] + ["b"] * 16), "worker")
    with pytest.raises(
        TypeError, match="column 'annotator_id' must be all str or all int; first other: row 0, value 0.5"
    ):
        pair_rows(data.add_column("annotator_id", [0.5] * 20))
    with pytest.raises(ValueError, match="all rows have one value in 'topic'"):
        pair_rows(data.add_column("topic", ["x"] * 20), group_column="topic")


def test_one_prompt_is_too_few():
    data = Dataset.from_dict({"prompt": ["q"] * 3, "chosen": list("abc"), "rejected": list("def")})
    with pytest.raises(ValueError, match="all rows have one prompt"):
        find_mislabels(data, np.eye(3))


def test_planted_errors_exchange_all_that_belongs_to_a_response():
    rows = {
        "chosen": list("abcd"),
        "rejected": list("efgh"),
        "chosen_type": [1, 2, 3, 4],
        "rejected_type": [5, 6, 7, 8],
    }
    rows |= {"source_chosen": list("ijkl"), "source_rejected": list("mnop")}
    found = plant_errors(Dataset.from_dict(rows), 0.5, seed=0)
    assert sum(found["planted"]) == 2
    for row, was in zip(found, Dataset.from_dict(rows), strict=True):
        for chosen, rejected in (
            ("chosen", "rejected"),
            ("chosen_type", "rejected_type"),
            ("source_chosen", "source_rejected"),
        ):
            names = (rejected, chosen) if row["planted"] else (chosen, rejected)
            assert (row[chosen], row[rejected]) == tuple(was[name] for name in names)
    assert plant_errors(found.remove_columns("planted"), 0.5, 0)["chosen"][:] == rows["chosen"]
