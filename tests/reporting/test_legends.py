"""Legends lie inside their figures, however many datasets a figure shows."""

import sys

import numpy as np
import pandas as pd
import pytest


pytest.importorskip("matplotlib")

from tasks.annotators import monitor_report
from trl_ext import reporting
from trl_ext.annotators import monitor_annotators
from trl_ext.reporting import downstream_figures
from trl_ext.reporting.figures import add_legend, new_figure


NAMES = ("pku", "sky", "helpsteer", "ultra")
N = [10, 30]


def cells(**levels):
    return pd.MultiIndex.from_product(levels.values(), names=levels).to_frame(index=False)


def contract_rows(datasets):
    kinds = {"monitor": ["self", "expert"], "contract": ["linear", "binary"]}
    rows = cells(dataset=datasets, profile=["paper_high"], **kinds, n=N, regime=["FB", "SB_tilde", "SB"], delta=[0.1])
    values = {"gap": 0.1, "effort": 0.9, "agent_utility": 0.0, "U_0": 0.0, "expected_pay": 0.2, "pay_worst": -0.1}
    return rows.assign(**values, pay_best=0.4, first_best_pay=0.17)


def bonus_rows(datasets):
    rows = cells(
        dataset=datasets, monitor=["self", "expert"], convention=["original", "consistent"], n=[100, 500, 1000]
    )
    return rows.merge(pd.DataFrame({"effort": [0.0, 1.0], "pass_probability": [0.1, 0.9]}), how="cross")


def incentive_rows(datasets):
    etas = list(np.arange(1, 10) / 10)
    own = cells(monitor=["self"], dataset=[None], c=[1.0], eta=etas, n=N)
    return pd.concat([own, cells(monitor=["expert"], dataset=datasets, c=[0.2], eta=etas, n=N)]).assign(incentive=2.0)


def error_rows(datasets):
    hypotheses = {"eta0": [0.9, 0.8], "eta1": [1.0, 0.95], "n": N}
    own = cells(monitor=["self"], dataset=[None], delta=[0.0, 0.1, 0.2, 0.3], **hypotheses)
    bounds = cells(monitor=["expert bound"], dataset=datasets, delta=[np.nan], **hypotheses)
    return pd.concat([own, bounds]).assign(error_sum=0.5)


def training_rows(datasets, conditions):
    rows = cells(dataset=datasets, condition=conditions, method=["plain", "forward", "other"], wage=[0.1, 0.2])
    rows = rows.merge(pd.DataFrame({"figure": ["cross_entropy", "accuracy"]}), how="cross")
    return rows.assign(name=rows["condition"], reason="", value=0.6, ci_low=0.5, ci_high=0.7, effort=0.5)


def bounds(datasets):
    return cells(dataset=datasets, eta0=[0.95, 0.9, 0.8, 0.6], eta1=[1.0, 0.98, 0.96], n=N).assign(lower_bound=0.5)


def information(datasets):
    experts = ["certain", "80%", "random", "noisy"]
    return cells(dataset=datasets, separation=[0.05, 0.1], expert=experts, n=N).assign(bound=0.5)


def histogram(datasets):
    return cells(dataset=datasets, bin_low=[0.5]).assign(bin_high=1.0, density=2.0, mean=0.8)


ENTROPY = dict.fromkeys(NAMES, 0.5)
FIGURES = {
    "contract_gaps": lambda d, path: reporting.plot_contract_gaps(contract_rows(d), path),
    "gaps_by_delta": lambda d, path: reporting.plot_gaps_by_delta(contract_rows(d), path),
    "payments": lambda d, path: reporting.plot_payments(contract_rows(d), path),
    "bonus": lambda d, path: reporting.plot_bonus_by_effort(bonus_rows(d), path),
    "histograms": lambda d, path: reporting.plot_probability_histograms(histogram(d), path),
    "lower_bounds": lambda d, path: reporting.plot_error_lower_bounds(bounds(d), path),
    "monitor_errors": lambda d, path: reporting.plot_monitor_errors(error_rows(d), path),
    "incentives": lambda d, path: reporting.plot_incentives(incentive_rows(d), path),
    "information_bounds": lambda d, path: reporting.plot_information_bounds(information(d), path),
    "scenarios": lambda d, path: downstream_figures.plot_scenarios(training_rows(d, ["a", "clean"]), ENTROPY, path),
    "budget": lambda d, path: downstream_figures.plot_budget_curve(
        training_rows(d, ["budget", "clean"]), ENTROPY, path
    ),
}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would be saved."""
    figures = []

    def keep(figure, numbers, path):
        figures.append(figure)
        return path, path

    for name, module in list(sys.modules.items()):
        if name.startswith(("trl_ext.reporting.", "tasks.annotators.")) and hasattr(module, "save_figure"):
            monkeypatch.setattr(module, "save_figure", keep)
    return figures


def outside(figure):
    """By how many pixels the legend leaves the figure, and labels of panels do."""
    figure.draw_without_rendering()
    (legend,) = figure.legends
    artists = [legend, *legend.get_texts(), *figure.axes]
    boxes = [artist.get_tightbbox(figure.canvas.get_renderer()) for artist in artists]
    edges = [(-box.x0, -box.y0, box.x1 - figure.bbox.x1, box.y1 - figure.bbox.y1) for box in boxes if box is not None]
    return max(max(edge) for edge in edges)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("name", FIGURES)
def test_legends_lie_inside_the_figure(name, count, drawn, tmp_path):
    FIGURES[name](list(NAMES[:count]), tmp_path / "figure.png")
    (figure,) = drawn
    assert outside(figure) <= 1
    # what the legend takes is no loss of the panels
    heights = [axes.get_window_extent().height / figure.dpi for axes in figure.axes]
    assert min(heights) > 0.9


def test_monitored_annotators_with_long_ids(drawn, tmp_path):
    rng = np.random.default_rng(0)
    workers = [f"annotator.number.{i:02d}@university.example.org" for i in range(60)]
    labels = cells(annotator_id=workers, item_id=list(range(20)), repeat=[0, 1])
    careless = labels["annotator_id"].str.slice(17, 19).astype(int) / 90
    labels["label"] = np.where(rng.random(len(labels)) < careless, rng.integers(0, 2, len(labels)), 1)
    report = monitor_annotators(labels, "self", c=0.98)
    monitor_report.plot_intervals(report, tmp_path / "intervals.png")
    (figure,) = drawn
    assert outside(figure) <= 1
    (axes,), (legend,) = figure.axes, figure.legends
    gap = axes.get_tightbbox().y0 - legend.get_window_extent().y1
    assert 0 <= gap < 0.02 * figure.bbox.height


def test_columns_follow_the_width():
    columns = []
    for width in (2, 4, 12):
        figure = new_figure(width, 3)
        axes = figure.subplots()
        for index in range(6):
            axes.plot([0, 1], [0, index], label=f"entry number {index}")
        columns.append(add_legend(figure)._ncols)
    assert columns == sorted(columns) and columns[0] == 1 < columns[1] < columns[2] == 6


def test_no_row_is_nearly_empty():
    figure = new_figure(20, 3)
    axes = figure.subplots()
    for index in range(5):
        axes.plot([0, 1], [0, index], label=f"entry {index}")
    assert add_legend(figure, max_columns=4)._ncols == 3  # 3 and 2, not 4 and 1


def test_a_label_wider_than_the_figure_makes_it_wider():
    figure = new_figure(2, 3)
    figure.subplots().plot([0, 1], label="a label that is much longer than two inches of a figure")
    add_legend(figure)
    assert figure.get_figwidth() > 3
    assert outside(figure) <= 1
