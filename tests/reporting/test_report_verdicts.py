"""Verdicts of the report: each rule of docs/report.md, with a case for every outcome."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.reporting.report_runs import HOSTILE
from trl_ext.evaluation import Estimate, ModelResult
from trl_ext.reporting import RunEvidence
from trl_ext.reporting.html_report.same_evidence import is_of_test_pairs, own_effects
from trl_ext.reporting.html_report.summary import findings
from trl_ext.reporting.run_folder import MislabelEvidence, MismatchEvidence, MonitoringEvidence, RateEvidence


def estimate(low: float, high: float, value: float | None = None, n: int = 100) -> Estimate:
    return Estimate((low + high) / 2 if value is None else value, (high - low) / 4, low, high, n, "made up")


def answer(question: str, **evidence):
    """The only answer to a question that has these words."""
    [row] = [
        one
        for one in findings(RunEvidence("run", Path("outputs/run"), **evidence), "run").rows
        if question in one.question
    ]
    return row  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.6, 0.7, "good"), (0.3, 0.4, "bad"), (0.48, 0.71, "open"), (np.nan, np.nan, "open")]
)
def test_accuracy_is_compared_with_one_half(low, high, verdict):
    assert answer("prefer", figures={"after_accuracy_to_truth": estimate(low, high)}).verdict == verdict


def test_what_is_not_measured_is_not_open():
    rows = findings(RunEvidence("run", Path("run")), "run")
    assert {row.verdict for row in rows.rows} == {"none"} and "9 not measured" in rows.lead
    measured = findings(
        RunEvidence("run", Path("run"), figures={"after_accuracy_to_truth": estimate(0.4, 0.6)}), "run"
    )
    assert measured.lead.startswith("Of 1 measured figures with a rule, 0 in favour, 0 against, 1 open; 8 not")


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (-0.05, 0.15, "good", "hardly"),
        (0.01, 0.15, "good", "hardly"),  # told from 0, and small
        (0.1, 0.5, "bad", "it likes"),
        (-0.5, -0.1, "bad", "it dislikes"),
        (-0.3, 0.4, "open", "neither"),
        (np.nan, np.nan, "open", "neither"),
    ],
)
def test_length_has_to_be_small_to_be_in_favour(low, high, verdict, words):
    row = answer("length", figures={"after_length_weight_per_sd": estimate(low, high)})
    assert row.verdict == verdict and words in row.words


def calibration(
    ece: Estimate, perfect: Estimate | None = None, bias: Estimate | None = None, change: Estimate | None = None
):
    side = {"ece": ece.to_dict()}
    for name, one in (("ece_if_calibrated", perfect), ("bias", bias)):
        if one is not None:
            side[name] = one.to_dict()
    return {"raw": {"ece": estimate(0.2, 0.4).to_dict()}, "calibrated": side, "ece_change": (change or estimate(-0.2, -0.1)).to_dict()}  # fmt: skip


PERFECT = estimate(0.03, 0.15, 0.08)


@pytest.mark.parametrize(
    ("ece", "perfect", "bias", "verdict"),
    [
        (estimate(0.0, 0.04), PERFECT, None, "good"),
        (estimate(0.155, 0.304, 0.251), PERFECT, None, "bad"),
        (estimate(0.07, 0.23, 0.161), PERFECT, estimate(-0.25, -0.05), "bad"),  # the mean error agrees
        (estimate(0.07, 0.23, 0.161), PERFECT, estimate(-0.2, 0.1), "open"),  # rows hang together: it need not be
        (estimate(0.05, 0.15, 0.1), PERFECT, estimate(-0.25, -0.05), "open"),
        (estimate(0.155, 0.304), None, None, "open"),
        (estimate(np.nan, np.nan), PERFECT, None, "open"),
    ],
)
def test_calibration_is_judged_by_its_error_not_by_its_change(ece, perfect, bias, verdict):
    for change in (estimate(-0.2, -0.1), estimate(0.1, 0.2), estimate(-0.1, 0.1)):
        row = answer("probabilities", calibration=calibration(ece, perfect, bias, change))
        assert row.verdict == verdict
    assert "the data do not tell the change from none" in row.words


def test_calibration_of_the_training_is_measured():
    history = [{"step": 10, "ece": estimate(0.1, 0.2).to_dict()}, {"step": 30, "ece": estimate(0.0, 0.2).to_dict()}]
    row = answer("probabilities", calibration_history=history)
    assert (row.verdict, row.figure) == ("open", "0.100") and "step 30" in row.words


def audit(models: dict[str, tuple[float, float]], p_adjusted: float = 0.001) -> RateEvidence:
    rows = [{"dataset": "demo", "attribute": "length", "reward_model": name, "estimator": "rate", "estimand": "ATE", "value": low,
             "ci_low": low, "ci_high": high, "n": 40, "normalised": (low + high) / 2, "normalised_ci_low": low,
             "normalised_ci_high": high, "p_adjusted": p_adjusted} for name, (low, high) in models.items()]  # fmt: skip
    return RateEvidence(pd.DataFrame(rows), (), (), {"level": 0.95}, {})


def test_effects_of_other_models_are_not_of_this_run():
    row = answer("attributes", rate=audit({"outputs__run": (0.05, 0.35), "lexical": (0.4, 2.9)}))
    assert (
        (row.verdict, row.figure) == ("told", "0.20") and "only attribute" in row.words and "outputs__run" in row.words
    )
    row = answer("attributes", rate=audit({"lexical": (0.4, 2.9)}))
    assert row.verdict == "none" and "lexical" in row.words


def test_an_effect_is_told_from_0_by_the_corrected_p_value():
    assert "not told from 0" in answer("attributes", rate=audit({"run": (0.05, 0.35)}, p_adjusted=0.2)).words
    assert "not told from 0" not in answer("attributes", rate=audit({"run": (0.05, 0.35)}, p_adjusted=0.01)).words


@pytest.mark.parametrize(
    ("models", "own"),
    [(["a__run", "b__run"], []), (["outputs__run", "other__run"], ["outputs__run"]), (["org/run", "rm"], ["org/run"])],
)
def test_whose_effects_they_are(models, own):
    found = own_effects(pd.DataFrame({"reward_model": models}), RunEvidence("run", Path("outputs/run")))
    assert found["reward_model"].tolist() == own


def monitoring(pooled: Estimate, names=("ada", "ben"), eta0: float | None = 0.5) -> MonitoringEvidence:
    table = pd.DataFrame({"annotator_id": list(names), "eta": 0.8, "ci_low": 0.7, "ci_high": 0.9})
    config = {} if eta0 is None else {"eta0": eta0}
    decisions = {"above": 1, "below": 1}
    return MonitoringEvidence({"pooled_eta": pooled.to_dict(), "decisions": decisions, "provenance": {"config": config}}, table)  # fmt: skip


def people(*names):
    return {
        "annotators": {"count": len(names), "rows": dict.fromkeys(names, 10), "labels_per_pair": {}},
        "contradicted_pairs": 0,
    }


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.59, 0.66, "good"), (0.1, 0.4, "bad"), (0.12, 0.84, "open"), (np.nan, np.nan, "open")],
)
def test_annotators_are_judged_by_the_interval_that_is_shown(low, high, verdict):
    row = answer("annotators", monitoring=monitoring(estimate(low, high)), data_health=people("ada", "ben"))
    assert row.verdict == verdict and "1 below" in row.words


def test_annotators_of_other_data_have_no_verdict():
    row = answer("annotators", monitoring=monitoring(estimate(0.1, 0.2)), data_health=people("annotator-01"))
    assert row.verdict == "none" and "none labelled the training pairs" in row.words and not row.figure
    few = monitoring(estimate(0.1, 0.2), ("ada", "x", "y"))
    assert "only 1" in answer("annotators", monitoring=few, data_health=people("ada")).words
    assert "not recorded" in answer("annotators", monitoring=few).words
    standardless = monitoring(estimate(0.1, 0.2), eta0=None)
    assert answer("annotators", monitoring=standardless, data_health=people("ada", "ben")).verdict == "told"


def mislabels(**figures) -> MislabelEvidence:
    return MislabelEvidence({"figures": {name: one.to_dict() for name, one in figures.items()}}, pd.DataFrame({"id": [1]}), None)  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(1.0, 4.0, "good"), (800.0, 1200.0, "open"), (2000.0, 2500.0, "bad")]
)
def test_one_wrong_label_of_many_is_not_against(low, high, verdict):
    assert answer("labels", mislabels=mislabels(wrong_labels=estimate(low, high, n=10_000))).verdict == verdict


def test_the_truth_about_labels_comes_first():
    found = mislabels(wrong_labels=estimate(80.0, 122.0, n=480), true_wrong_share=estimate(0.25, 0.35, n=480))
    row = answer("labels", mislabels=found)
    assert row.verdict == "bad" and "(144)" in row.words and "which misses it" in row.words
    assert row.figure == "30 %"
    assert answer("labels", mislabels=mislabels()).verdict == "none"


def mismatch(*rows) -> list[MismatchEvidence]:
    table = pd.DataFrame(rows, columns=["model", "reference", "mismatch", "ci_low", "ci_high", "significant"])
    return [MismatchEvidence("hard", {"after": table.assign(p_value=0.5)}, [], {})]


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([("a", "b", 0.02, -0.05, 0.09, False)], "good"),
        ([("a", "b", 0.3, 0.2, 0.4, True), ("a", "c", 0.5, -0.1, 1.0, False)], "bad"),
        ([("a", "b", 0.1, -0.1, 0.3, False)], "open"),
        ([("a", "b", np.nan, np.nan, np.nan, False)], "none"),
    ],
)
def test_mismatch_has_the_interval_of_the_pair_that_decides(rows, verdict):
    row = answer("over-value", mismatch=mismatch(*rows))
    assert row.verdict == verdict
    if verdict == "bad":
        assert (row.figure, row.interval) == ("0.30", "[0.20, 0.40]")


@pytest.mark.parametrize(("difference", "verdict"), [(1e-6, "good"), (1e-3, "bad")])
def test_the_saved_model_gives_the_same_rewards(difference, verdict):
    trip = {"rows": 8, "max_difference": difference, "tolerance": 1e-5}
    assert answer("saved", results={"round_trip": trip}).verdict == verdict


def benchmark(ids, clusters=None, low=0.7, high=0.9) -> ModelResult:
    rows = pd.DataFrame({"id": ids, "subset": "x", "section": "x", "score": 1.0, "margin": 0.5})
    rows = rows if clusters is None else rows.assign(cluster=clusters)
    return ModelResult(model=HOSTILE, benchmark="preferences-demo", overall=estimate(low, high), sections={}, subsets={}, rows=rows,
                       source="test")  # fmt: skip


TEST = pd.DataFrame({"id": ["t0", "t1"], "reward_chosen": [0.5, 0.0], "reward_rejected": [0.0, 0.5]})


@pytest.mark.parametrize(("low", "high", "verdict"), [(0.7, 0.9, "good"), (0.1, 0.4, "bad"), (0.4, 0.6, "open")])
def test_benchmarks_are_compared_with_one_half(low, high, verdict):
    assert (
        answer("benchmarks", evaluations=[benchmark(["r0"], low=low, high=high)], test_rewards=TEST).verdict == verdict
    )


def test_the_test_pairs_are_no_benchmark():
    row = answer("benchmarks", evaluations=[benchmark(["t0", "t1"])], test_rewards=TEST)
    assert row.verdict == "none" and "held-out pairs again" in row.words
    run = RunEvidence("run", Path("run"), test_rewards=TEST.assign(question_id=["q0", "q1"]))
    assert is_of_test_pairs(benchmark(["t0", "t1"], ["q0", "q1"]), run)
    assert not is_of_test_pairs(benchmark(["t0", "t1"], ["p", "p"]), run)  # ids that happen to be alike
    assert not is_of_test_pairs(benchmark(["t0", "x", "y"]), run)
