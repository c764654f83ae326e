"""Figures of what reward models learn from bought labels."""

import numpy as np
import pandas as pd
import pytest


pytest.importorskip("matplotlib")

from trl_ext.reporting import downstream_figures
from trl_ext.reporting.downstream_figures import plot_budget_curve, plot_scenarios


@pytest.fixture
def drawn(monkeypatch):
    figures, save = [], downstream_figures.save_figure
    monkeypatch.setattr(
        downstream_figures, "save_figure", lambda figure, *rest: figures.append(figure) or save(figure, *rest)
    )
    return figures


@pytest.fixture
def table():
    rows = [
        {"dataset": "pku", "condition": condition, "name": name, "reason": "", "method": method, "figure": figure}
        | {"value": 0.6, "ci_low": 0.5, "ci_high": 0.7, "wage": wage, "effort": wage * 4}
        for condition, name, wage in (
            *(("contract", "linear", 0.2), ("clean", "clean", np.nan)),
            *(("budget", f"budget {wage}", wage) for wage in (0.0, 0.005, 0.1, 0.2, 0.201)),
        )
        for method in ("plain", "forward")
        for figure in ("cross_entropy", "accuracy")
    ]
    refused = {"dataset": "pku", "condition": "contract", "name": "binary", "reason": "none is feasible"}
    return pd.DataFrame([*rows, refused])


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_only_scenarios_with_a_reason_have_no_contract(table, drawn, tmp_path):
    plot_scenarios(table.fillna({"reason": ""}), {"pku": 0.5}, tmp_path / "scenarios.png")
    table.to_csv(tmp_path / "table.csv", index=False)
    plot_scenarios(pd.read_csv(tmp_path / "table.csv"), {"pku": 0.5}, tmp_path / "again.png")
    for figure in drawn:
        assert texts(figure) == ["no contract"] * 2  # of one scenario, in two panels


def test_a_dataset_without_a_finished_training(table, drawn, tmp_path):
    waiting = {"dataset": "sky", "condition": "contract", "name": "linear", "reason": ""}
    png, csv = plot_scenarios(pd.concat([pd.DataFrame([waiting]), table]), {"pku": 0.5}, tmp_path / "scenarios.png")
    assert png.exists() and "sky" in set(pd.read_csv(csv)["dataset"])
    entries = {text.get_text() for text in drawn[0].legends[0].get_texts()}
    assert entries == {"entropy of the oracle", "plain", "noise-aware"}
    assert texts(drawn[0]).count("no training has finished") == 2
    plot_budget_curve(table, {}, tmp_path / "budget.png")


def test_intervals_of_methods_do_not_hide_each_other(table, drawn, tmp_path):
    _, csv = plot_budget_curve(table, {"pku": 0.5}, tmp_path / "budget.png")
    plain, forward = (np.asarray(bar.lines[0].get_xdata(), dtype=float) for bar in drawn[0].axes[0].containers)
    assert (plain < forward).all()
    np.testing.assert_allclose((plain + forward) / 2, [0.0, 0.005, 0.1, 0.2, 0.201])
    assert set(pd.read_csv(csv)["wage"].dropna()) == {0.0, 0.005, 0.1, 0.2, 0.201}  # not shifted


def test_labels_of_effort_do_not_overlap(table, drawn, tmp_path):
    plot_budget_curve(table, {"pku": 0.5}, tmp_path / "budget.png")
    (figure,) = drawn
    figure.draw_without_rendering()
    (top,) = figure.axes[0].child_axes
    labels = top.get_xticklabels()
    assert len(labels) == 3 and labels[-1].get_text() == "0.80"
    boxes = [label.get_window_extent() for label in labels]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


def test_a_single_wage(table, tmp_path):
    one = table[(table["condition"] == "budget") & (table["wage"] == 0.1)]
    assert plot_budget_curve(one, {"pku": 0.5}, tmp_path / "budget.png")[0].exists()
