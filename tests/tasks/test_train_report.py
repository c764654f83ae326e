"""The figures of the report, from scored pairs whose answers are known."""

import json

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from benchmarks.reliability_gain import compare
from tasks.train_report import format_table, grid_pairs, grid_rewards, mark_pairs, pair_figures
from tasks.train_run import write_json
from trl_ext.evaluation.biases.lie import RESPONSE_KINDS


@pytest.fixture
def scored():
    return pd.DataFrame(
        {
            "question_id": ["a", "a", "b", "b"],
            "chosen_type": ["correct_concise", "incorrect_detailed", "correct_detailed", "correct_concise"],
            "rejected_type": ["incorrect_detailed", "correct_detailed", "incorrect_concise", "correct_detailed"],
            "correct_chosen": [1, 0, 1, 1],
            "reward_chosen": [2.0, 1.0, 0.5, 3.0],
            "reward_rejected": [1.0, 2.0, 0.5, 1.0],
        }
    )


def test_agreement_with_labels_and_truth(scored):
    table = mark_pairs(scored, "correct_chosen")
    # row 1: the label is wrong and the model contradicts it; row 2 ties; row 3 has two correct answers and no truth
    assert table["agrees_with_label"].tolist() == [1, 0, 0, 1]
    assert table["agrees_with_truth"].tolist()[:3] == [1, 1, 0] and np.isnan(table["agrees_with_truth"][3])
    figures = pair_figures(table)
    assert figures["accuracy_to_labels"]["value"] == 0.5 and figures["accuracy_to_labels"]["n"] == 4
    assert figures["accuracy_to_truth"]["value"] == pytest.approx(2 / 3) and figures["accuracy_to_truth"]["n"] == 3


def test_without_a_truth_column_only_labels_are_reported(scored):
    assert set(pair_figures(mark_pairs(scored, "no_such_column"))) == {"accuracy_to_labels"}


def test_the_grid_is_scored_by_two_pairs_per_question_and_put_together_again():
    grid = Dataset.from_list(
        [
            {"question_id": q, "prompt": q, **{kind: f"{q} {kind} {i}" for kind in RESPONSE_KINDS}}
            for i, q in enumerate("aab")
        ]
    )
    pairs = grid_pairs(grid).to_pandas()
    assert len(pairs) == 6
    for side in ("chosen", "rejected"):  # a reward that spells out row and kind
        kinds = pairs[f"{side}_type"].map(RESPONSE_KINDS.index)
        pairs[f"reward_{side}"] = 10.0 * pairs["row"] + kinds
    rewards = grid_rewards(pairs)
    assert rewards["question_id"].tolist() == ["a", "a", "b"]
    np.testing.assert_array_equal(rewards[list(RESPONSE_KINDS)], 10.0 * np.arange(3)[:, None] + np.arange(4))


def test_pairs_that_do_not_name_their_kinds_have_no_grid(scored):
    assert grid_rewards(scored.drop(columns="chosen_type")) is None
    assert grid_rewards(scored.iloc[:1]) is None


def test_the_table_has_a_row_per_figure(scored):
    figures = pair_figures(mark_pairs(scored, "correct_chosen"))
    text = format_table({}, figures)
    assert "accuracy to the truth" in text and "0.667" in text and "95 %" in text


def test_a_table_of_figures_that_were_read_back(tmp_path):
    """Those before training, in a resumed run."""
    figure = {"value": 0.5, "ci_low": float("-inf"), "ci_high": float("inf")}
    write_json(tmp_path / "r.json", {"ratio": figure})
    before = json.loads((tmp_path / "r.json").read_text())
    assert format_table(before, {"ratio": figure | {"method": "Fieller"}}).count("0.500 [-inf, inf]") == 2


def test_unbounded_intervals_are_strict_json(tmp_path):
    write_json(tmp_path / "r.json", {"a": {"ci_low": float("-inf"), "value": float("nan"), "n": 3}})
    assert json.loads((tmp_path / "r.json").read_text()) == {"a": {"ci_low": "-inf", "value": "nan", "n": 3}}
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_the_benchmark_pairs_runs_by_seed_and_pair():
    def table(method, seed, right):
        ids = [f"{q}{i}" for q in "abcdef" for i in range(2)]
        return pd.DataFrame(
            {"method": method, "seed": seed, "id": ids, "question_id": [i[0] for i in ids], "agrees_with_truth": right}
        )

    generator = np.random.default_rng(0)
    base = [generator.integers(0, 2, 12) for _ in range(2)]
    better = [np.maximum(b, generator.integers(0, 2, 12)) for b in base]
    tables = [table(m, s, r[s]) for m, r in (("none", base), ("beta", better)) for s in range(2)]
    figures = compare(tables, "none")
    expected = np.concatenate(better).mean() - np.concatenate(base).mean()
    assert figures["beta - none"]["value"] == pytest.approx(expected)
    assert figures["beta - none"]["ci_low"] <= expected <= figures["beta - none"]["ci_high"]
