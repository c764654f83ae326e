"""The benchmark on RM-Bench: its sample, the calls of the loop, and a run on files of the published form."""

import json

import pytest

from benchmarks.score_rm_bench import loop_calls, main, sample
from tests.tiny import tiny_checkpoint
from trl_ext.evaluation.benchmarks.rm_bench_data import load_rm_bench


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rm_bench")
    for domain, count in (("chat", 3), ("code", 9)):
        rows = [
            {
                "id": i,
                "prompt": f"What is {i} and {i}?" * (1 + i % 3),
                "chosen": [f"{2 * i}.", f"It is {2 * i}.", f"**{2 * i}**" + " Yes." * (i % 7)],
                "rejected": [f"{i}.", f"It is {i}.", f"**{i}**" + " No." * (i % 5)],
            }
            for i in range(count)
        ]
        (folder / f"{domain}_filtered.json").write_text(json.dumps(rows))
    return folder


def test_sample_has_of_every_file_its_share_in_their_order(data):
    rows = load_rm_bench(data)
    drawn = sample(rows, 4, seed=1)
    assert drawn["domain"][:] == ["chat"] + ["code"] * 3
    order = rows["id"][:]
    assert [order.index(i) for i in drawn["id"]] == sorted(order.index(i) for i in drawn["id"])
    assert sample(rows, 4, seed=1)["id"][:] == drawn["id"][:] != sample(rows, 4, seed=3)["id"][:]


def test_calls_hold_chosen_and_rejected_apart_and_every_row_once():
    # two prompts of three pairs in batches of 4: answers 0 to 2 are chosen, 3 to 5 rejected
    first_chosen, first_rejected, chosen, rejected = loop_calls(2, 4, "prompt")
    assert first_chosen == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert first_rejected == [(0, 3), (0, 4), (0, 5), (1, 3)]
    assert chosen + rejected == [(1, 1), (1, 2), (1, 4), (1, 5)]
    assert loop_calls(2, 4, "style")[0] == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_run_reports_equal_rewards_and_all_tokens(data, tmp_path, capsys):
    file = tmp_path / "figures.json"
    model = tiny_checkpoint(tmp_path / "model")
    result = main(["--data", str(data), "--model", model, "--full", "--block", "4", "--json", str(file)])
    # The same prompts are counted and scored: with batches that blocks don't cut, the same tokens
    assert result["max_reward_difference"] < 1e-4
    whole = result["whole_data"]
    assert whole["prompts"] == result["prompts"] == 12
    assert whole["sequences"] == 72
    assert whole["ours"] <= whole["sequence_tokens"] <= min(loop["tokens"] for loop in whole["loops"].values())
    assert result["loop"]["tokens"] > result["ours"]["tokens"] >= whole["ours"]
    written = json.loads(file.read_text())
    assert written["ratio"] == result["ratio"]
    assert len(written["provenance"]["rows_sha256"]) == 64
    printed = capsys.readouterr().out
    assert "right / wrong" in printed and "largest difference of rewards" in printed


def test_absent_data_is_said(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path / "nothing")])
    assert "no RM-Bench at" in capsys.readouterr().err
