"""What is read of a run's folder: all that is there, what is missing with a command, and damage by its file."""

import json
import math
import shutil

import pytest

from tests.evaluation.doc_examples import failed_examples
from tests.reporting.report_runs import HOSTILE, whole_run, write
from trl_ext.reporting import DamagedEvidence, data_health, read_run, run_folder
from trl_ext.reporting.run_files import as_estimate, read_csv


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return whole_run(tmp_path_factory.mktemp("runs") / "demo-beta")


def test_everything_is_read(folder):
    run = read_run(folder)
    assert run.name == "demo-beta" and run.missing == {}
    assert run.figures["after_accuracy_to_truth"].value > 0.7
    assert not any(math.isnan(run.figures[f"{when}_ratio"].ci_high) for when in ("before", "after"))
    assert [result.benchmark for result in run.evaluations] == ["rewardbench"] and set(run.probes) == {"lie"}
    assert set(run.mismatch[0].tables) == {"before", "after"} and run.mismatch[0].headline
    assert HOSTILE in run.monitoring.table["annotator_id"].tolist()
    assert len(run.mislabels.pairs) == 40 and len(run.mislabels.annotators) == 2
    assert run.rate.effects["value"].dtype == float and len(run.rate.sentences) == 4


def test_parts_from_elsewhere(folder, tmp_path):
    run = read_run(tmp_path, rate=folder / "rate", monitoring=folder / "monitoring", evaluation=folder / "evaluation",
                   mismatch=folder / "mismatch", mislabels=folder / "mislabels")  # fmt: skip
    assert {"results", "log_history", "data_health", "calibration", "calibration_history"} == set(run.missing)
    with pytest.raises(FileNotFoundError, match="no rate results"):
        read_run(folder, rate=folder / "monitoring")
    with pytest.raises(FileNotFoundError, match="no folder"):
        read_run(folder, monitoring=tmp_path / "nowhere")


def test_an_empty_folder_lists_all_that_is_missing(tmp_path):
    run = read_run(tmp_path)
    assert set(run.missing) == set(run_folder.COMMANDS) and run.results is None and run.evaluations == []
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.json", '{"figures": {"after_x": {"value": 1', "not JSON"),
        ("results.json", "[]", "expected an object"),
        ("results.json", '{"provenance": {}}', "no 'figures'"),
        ("results.json", '{"figures": {"x": {"value": "a", "ci_low": 0, "ci_high": 1, "n": 3}}}', "not an estimate"),
        ("training_log.json", '{"log_history": [{"loss": 1}]}', "with a step"),
        ("calibration/calibration.json", '{"raw": {}, "calibrated": {}}', "calibration report"),
        ("calibration/training.json", '{"step": 1}', "list of objects"),
        ("rate/effects.json", '{"effects": [{"value": "x"}], "sentences": []}', "rows of numbers"),
        ("rate/effects/effects.json", '{"effects": [{"value": 1}], "sentences": []}', "no dataset, attribute"),
        ("mismatch/a/mismatch_after.csv", "model,reference\na,b\n", "no column 'mismatch'"),
        ("mismatch/report.json", '{"mismatch": [{"model": "a"}]}', "have no reference"),
        ("monitoring/annotators.csv", "annotator_id\nada\n", "no column 'eta'"),
        ("mislabels/mislabels.json", "{}", "mislabels.csv: is not there"),
        ("evaluation/x/results.json", '{"benchmark": "b", "model": "m", "figures": {}}', "figures are not as"),
        ("evaluation/lie/results.json", '{"sets": [1]}', "figures by set"),
        ("test_rewards.csv", "", "not a table"),
        ("results.json", "[" * 100_000, "not JSON"),
        ("results.json", '{"figures": {}, "provenance": [1]}', "'provenance' must be an object"),
        ("results.json", '{"figures": {}, "round_trip": {"rows": 8, "max_difference": 0}}', "no 'tolerance'"),
        ("results.json", '{"figures": {}, "annotators": {"table": []}}', "no 'method'"),
        ("training_log.json", '{"log_history": [{"step": 1, "train_runtime": null}]}', "train_runtime"),
        ("data_health.json", '{"rows": 3, "lengths": {}}', "no 'distinct_pairs'"),
        ("calibration/training.json", '[{"ece": 0.1}]', "has the step None"),
        ("calibration/training.json", '[{"step": 1, "ece": {"value": 1}}]', "no estimate"),
        ("monitoring/annotators.csv", "annotator_id,eta,ci_low,ci_high\nada,x,0,1\n", "'x' in row 1"),
        (
            "mismatch/a/mismatch_after.csv",
            "model,reference,mismatch,ci_low,ci_high,p_value\na,b,?,0,1,1\n",
            "'\\?' in row 1",
        ),
    ],
)
def test_damage_is_told_with_the_file(tmp_path, name, content, message):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DamagedEvidence, match=message) as error:
        read_run(tmp_path)
    assert name.rsplit("/", 1)[0] in str(error.value) and str(error.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("calibration/calibration.json", {"ece_change": {"value": 1}}, "'ece_change' is no estimate"),
        ("calibration/calibration.json", {"raw": {"ece": {}, "brier": {}, "diagram": {}}}, "no estimate"),
        ("data_health.json", {"columns": [1]}, "'columns' must be an object"),
        ("data_health.json", {"annotators": {"count": 3}}, "'annotators' has no 'rows'"),
        ("monitoring/results.json", {"pooled_eta": 3}, "'pooled_eta' is no estimate"),
        ("mislabels/mislabels.json", {"figures": [1]}, "'figures' must be an object"),
        ("mislabels/mislabels.json", {"comparison": [{"value": 1}]}, "list of rows with evidence"),
    ],
)
def test_what_a_part_lacks_is_told_with_its_file(folder, tmp_path, name, change, message):
    for part in ("annotators.csv", "mislabels.csv"):
        source = folder / name.split("/")[0] / part
        if source.is_file():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copy(source, (tmp_path / name).parent / part)
    write(tmp_path / name, json.loads((folder / name).read_text(encoding="utf-8")) | change)
    with pytest.raises(DamagedEvidence, match=message) as error:
        read_run(tmp_path)
    assert str(error.value).startswith(str(tmp_path / name))


def test_numbers_that_json_lacks_are_read():
    found = as_estimate({"value": "nan", "se": None, "ci_low": "-inf", "ci_high": "inf", "n": 3})
    assert math.isnan(found.value) and math.isnan(found.se) and found.ci_low == -math.inf


def test_names_stay_what_they_are(tmp_path):
    path = tmp_path / "annotators.csv"
    path.write_text("annotator_id,eta\n007,0.5\nNA,\n", encoding="utf-8")
    table = read_csv(path, ("annotator_id", "eta"), ("annotator_id",))
    assert table["annotator_id"].tolist() == ["007", "NA"] and math.isnan(table["eta"][1])


def test_calibrations_without_an_evaluation(tmp_path):
    row = {"model": "a", "reference": "b", "mismatch": 0.1, "ci_low": 0.0, "ci_high": 0.2, "p_value": 0.04}
    write(tmp_path / "mismatch" / "rm" / "report.json", {"mismatch": [row]})
    [evidence] = read_run(tmp_path).mismatch
    assert evidence.name == "rm" and list(evidence.tables) == ["now"]


def test_health_of_pairs():
    from datasets import Dataset

    rows = {
        "prompt": ["q", "q", "q", "r"],
        "chosen": ["a b", "c", "a b", [{"role": "assistant", "content": "x y z"}][0]["content"]],
        "rejected": ["c", "a b", "c", "w"],
        "annotator_id": ["1", "2", "1", "3"],
        "reliability": [0.5, None, 0.7, 0.9],
    }
    health = data_health(Dataset.from_dict(rows))
    assert (health["rows"], health["distinct_pairs"], health["repeated_rows"], health["contradicted_pairs"]) == (
        4,
        2,
        1,
        1,
    )
    assert health["longer_chosen"]["value"] == 0.75
    assert health["columns"]["reliability"]["missing"] == 1 and sum(health["columns"]["reliability"]["counts"]) == 3
    assert health["annotators"] == {"count": 3, "rows": {"1": 2, "2": 1, "3": 1}, "labels_per_pair": {"1": 1, "2": 1}}
    assert "two-way" in health["longer_chosen"]["method"]
    json.dumps(health, allow_nan=False)


def test_rows_of_a_question_are_no_independent_evidence_of_length():
    from datasets import Dataset

    once = {"prompt": list("abcdefghij"), "chosen": ["x y"] * 7 + ["x"] * 3, "rejected": ["z"] * 7 + ["z z"] * 3}
    alone, repeated = (
        data_health(Dataset.from_dict({name: values * times for name, values in once.items()}))["longer_chosen"]
        for times in (1, 12)
    )
    assert repeated["n"] == 120 and repeated["value"] == alone["value"] == 0.7
    width = alone["ci_high"] - alone["ci_low"]
    assert repeated["ci_high"] - repeated["ci_low"] == pytest.approx(width, rel=0.2)


def test_messages_have_lengths():
    from datasets import Dataset

    sides = {
        side: [[{"role": "assistant", "content": text}]] for side, text in (("chosen", "a b c"), ("rejected", "d"))
    }
    health = data_health(Dataset.from_dict({"prompt": [[{"role": "user", "content": "why"}]], **sides}))
    assert health["lengths"]["chosen"]["mean"] == 3 and health["annotators"] is None


def test_examples_run():
    from datasets import Dataset

    from trl_ext.reporting import write_report
    from trl_ext.reporting.html_report.svg import figure_to_svg, report_style
    from trl_ext.reporting.training_figures import training_table

    assert failed_examples(read_run) == 0
    assert failed_examples(data_health, {"Dataset": Dataset}) == 0
    assert failed_examples(training_table) == 0
    assert failed_examples(figure_to_svg, {"report_style": report_style}) == 0
    assert failed_examples(write_report) == 0
