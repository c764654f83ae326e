import json

import numpy as np
import pytest
from datasets import Dataset

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import RMBench, rm_bench_accuracy


def styled(number: int, domain: str | None) -> dict:
    sides = {side: [f"{side} {style} {number}" for style in "abc"] for side in ("chosen", "rejected")}
    return {"id": number, "prompt": f"Question {number}?", "domain": domain, **sides}


DOMAINS = ["chat", "math", "code", "safety-refuse", "safety-response"]
ROWS = [styled(number, DOMAINS[number % 5]) for number in range(40)]


def test_rows():
    rows = RMBench().load(Dataset.from_list(ROWS))
    assert rows[3]["id"] == "safety-refuse/3" and rows["subset"][:5] == DOMAINS and rows["domain"][:5] == DOMAINS
    assert rows[0]["responses"] == [f"{side} {style} 0" for side in ("chosen", "rejected") for style in "abc"]
    assert rows[0]["num_correct"] == 3 and rows[0]["prompt"] == [{"role": "user", "content": "Question 0?"}]
    # what was loaded before from the files can be loaded again
    again = Dataset.from_list([row | {"id": f"{row['domain']}/{row['id']}"} for row in ROWS])
    assert RMBench().load(again)["id"] == rows["id"]


def test_files(tmp_path):
    (tmp_path / "chat_filtered.json").write_text(json.dumps([styled(1, None)]))
    (tmp_path / "rows.jsonl").write_text(json.dumps(styled(1, "math")))
    assert RMBench().load(tmp_path)["id"] == ["chat/1"]
    assert RMBench().load(tmp_path / "rows.jsonl")["id"] == ["math/1"]
    assert RMBench().load(tmp_path, split="chat_filtered")["subset"] == ["chat"]


def test_figures_are_those_of_rm_bench_accuracy():
    rows = RMBench().load(Dataset.from_list(ROWS))
    rewards = np.random.default_rng(0).normal(size=(40, 6)) + np.repeat([0.5, 0.0], 3)
    result = RMBench().evaluate(rows, rewards)
    accuracy = rm_bench_accuracy(rewards[:, :3], rewards[:, 3:], domains=[row["domain"] for row in ROWS])
    ours, theirs = result.overall, accuracy.average
    assert (ours.value, ours.ci_low, ours.ci_high) == pytest.approx((theirs.value, theirs.ci_low, theirs.ci_high))
    assert list(result.sections) == ["chat", "math", "code", "safety", "hard", "normal", "easy"]
    assert result.sections["hard"].value == accuracy.hard.value
    assert result.sections["safety"].value == accuracy.domains["safety"].average.value
    assert list(result.subsets) == DOMAINS and result.details["missing_domains"] == []
    frame = result.rows
    assert frame["score"].to_numpy() == pytest.approx(frame[["hard", "normal", "easy"]].mean(axis=1).to_numpy())
    chat = frame[frame["section"] == "chat"]
    assert chat["score"].mean() == pytest.approx(result.sections["chat"].value)
    assert chat["hard"].mean() == pytest.approx(accuracy.domains["chat"].hard.value)
    assert frame["margin"][0] == rewards[0, :3].min() - rewards[0, 3:].max()


def test_golden(shared_dir):
    cases = json.loads((shared_dir / "golden" / "rewardbench.json").read_text())["rmbench"]["cases"]
    case = next(case for case in cases if "domain" in case["rows"][0])
    rows = RMBench().load(Dataset.from_list([styled(i, row["domain"]) for i, row in enumerate(case["rows"])]))
    result = RMBench().evaluate(rows, [row["score_chosen"] + row["score_rejected"] for row in case["rows"]])
    figures = {name.removesuffix("_acc"): estimate.value for name, estimate in result.headline().items()}
    for name, value in case["expected"].items():
        ours = figures["overall" if name == "total_avg_acc" else name.removesuffix("_acc")]
        assert ours == pytest.approx(value, abs=1e-9), name


def test_missing_domains_and_ties_are_reported():
    rows = RMBench().load(Dataset.from_list(ROWS[:1]))
    lost, half = (RMBench(ties=rule).evaluate(rows, np.zeros((1, 6))) for rule in ("loss", "half"))
    assert lost.details["missing_domains"] == ["math", "code", "safety"]
    assert lost.overall.value == 0 and half.overall.value == 0.5 == half.rows["score"][0]
    assert lost.details["ties"] == {"chat": 1} and lost.rows["tied"].all()
    assert lost.details["domains"]["chat"]["ties"] == 9


def test_real_files(shared_dir):
    path = shared_dir / "data" / "rm_bench"
    if not path.is_dir():
        pytest.skip(f"no RM-Bench files at {path}")
    rows = RMBench().load(path)
    assert len(rows) == 798 and set(rows["num_correct"]) == {3}
    result = RMBench().evaluate(rows, [[len(text) for text in texts] for texts in rows["responses"]])
    # a reward of the length alone takes the richer style, right or wrong
    assert result.sections["hard"].value < 0.2 < 0.8 < result.sections["easy"].value
    assert result.details["missing_domains"] == ["math"]


def test_rows_of_another_benchmark():
    rows = RMBench().load(Dataset.from_list(ROWS[:1])).map(lambda row: {"num_correct": 1})
    with pytest.raises(ValueError, match="row 'chat/0' has 1 right of 6 responses; RM-Bench has 3 of 6"):
        RMBench().evaluate(rows, np.zeros((1, 6)))


def test_the_docstring_example_runs():
    assert failed_examples(RMBench) == 0
