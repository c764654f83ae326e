"""Several runs in one report: one family of tests, one direction, rows that count once."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trl_ext.evaluation import Estimate, ModelResult, compare_paired
from trl_ext.reporting import RunEvidence
from trl_ext.reporting.html_report import comparison
from trl_ext.reporting.html_report.comparison import comparison_blocks


def run_of(right: np.ndarray, benchmark: np.ndarray | None = None, ids: str = "b") -> RunEvidence:
    """A run whose test pairs, in clusters of four, it has right or wrong."""
    clusters = [f"q{index // 4}" for index in range(len(right))]
    test = pd.DataFrame({"id": [f"t{index}" for index in range(len(right))], "question_id": clusters, "reward_chosen": right,
                         "reward_rejected": 0.5, "agrees_with_truth": right, "agrees_with_label": right})  # fmt: skip
    evaluations = []
    if benchmark is not None:
        rows = pd.DataFrame({"id": [f"{ids}{index}" for index in range(len(benchmark))], "subset": "x", "section": "x", "score": benchmark,
                             "cluster": [f"q{index // 4}" for index in range(len(benchmark))]})  # fmt: skip
        overall = Estimate(float(benchmark.mean()), 0.1, 0.0, 1.0, len(benchmark), "")
        evaluations = [ModelResult("m", "own", overall, {}, {}, rows, "test")]
    return RunEvidence("run", Path("run"), test_rewards=test, evaluations=evaluations)


def compared(runs, names):
    """The table behind the chart of differences."""
    tables = []

    def chart(title, draw, *, caption="", table=None, alt=None):
        tables.append((pd.DataFrame(table.rows, columns=table.columns), caption))

    comparison_blocks(runs, names, chart)
    return tables[0]


def test_all_differences_are_one_family(monkeypatch):
    # 3 runs: 6 differences; one raw p-value of 0.03 is not enough
    raw = iter([0.03, 0.5, 0.5, 0.5, 0.5, 0.5])
    genuine = comparison.compare_paired

    def with_p(*args, **options):
        from dataclasses import replace

        return replace(genuine(*args, **options), p_value=next(raw))

    monkeypatch.setattr(comparison, "compare_paired", with_p)
    rng = np.random.default_rng(0)
    table, caption = compared([run_of((rng.random(40) < 0.7).astype(float)) for _ in range(3)], list("abc"))
    assert set(table["verdict"]) == {"not told apart"} and len(table) == 6
    assert table["p, corrected"].iloc[0] == "0.180" and "all 6 differences together" in caption


def test_equal_runs_are_seldom_told_apart():
    rng = np.random.default_rng(1)
    found, times = 0, 10
    for _ in range(times):
        base = rng.random((20, 1))
        right = [(rng.random((20, 4)) < 0.55 + 0.3 * base).astype(float).ravel() for _ in range(4)]
        differences = [
            {"figure": "f", "first": f"{a}", "second": f"{b}", "difference": p.difference.value, "p_value": p.p_value}
            for a, b in combinations(range(4), 2)
            for p in [compare_paired(right[a], right[b], clusters=np.repeat(np.arange(20), 4))]
        ]
        found += any(comparison._with_verdicts(pd.DataFrame(differences))["verdict"] != "not told apart")
    assert found <= 2


def test_a_better_run_is_found_and_all_differences_have_one_direction():
    rng = np.random.default_rng(2)
    good, bad = np.ones(80), (rng.random(80) < 0.4).astype(float)
    table, _ = compared([run_of(bad, bad), run_of(good, good)], ["bad", "good"])
    assert set(table["verdict"]) == {"good is better"} and set(table["pair"]) == {"bad − good"}
    assert len(table) == 3 and all(value.startswith("−") for value in table["difference"])


def test_test_pairs_under_the_name_of_a_benchmark_count_once():
    rng = np.random.default_rng(3)
    a, b = (rng.random((2, 40)) < 0.6).astype(float)
    table, _ = compared([run_of(a, a, ids="t"), run_of(b, b, ids="t")], ["a", "b"])
    assert set(table["figure"]) == {"test pairs, accuracy to the truth", "test pairs, accuracy to the labels"}


@pytest.mark.parametrize(
    ("names", "short"),
    [(["beta", "joint"], ["beta", "joint"]), ([f"run-{i}-of-an-experiment" for i in range(3)], ["1", "2", "3"])],
)
def test_long_names_are_numbers_beside_an_interval(names, short):
    assert list(comparison._short(names).values()) == short
