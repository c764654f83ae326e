"""Figures of contracts: files, numbers, and what they refuse."""

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext.annotators.contracts import PROFILES
from trl_ext.reporting import (
    payment_figures,
    plot_bonus_by_effort,
    plot_contract_gaps,
    plot_gaps_by_delta,
    plot_payments,
    plot_utility_profiles,
)


pytest.importorskip("matplotlib")


@pytest.fixture
def rows():
    cells = [
        {"dataset": dataset, "delta": delta, "monitor": monitor, "contract": contract, "n": n, "regime": regime}
        for dataset in ("pku", "sky")
        for delta in (0.0, 0.1)
        for monitor in ("self", "expert")
        for contract in ("linear", "binary")
        for n in (1, 11)
        for regime in ("FB", "SB_tilde", "SB")
    ]
    rows = pd.DataFrame(cells).assign(profile="paper_high", agent_utility=0.0, U_0=0.0, effort=0.9)
    rows["gap"] = (0.1 + rows["delta"]) / rows["n"]
    rows.loc[(rows["regime"] == "SB_tilde") & (rows["n"] == 1), "gap"] = np.nan
    return rows


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_gaps(rows, tmp_path):
    one = rows[rows["delta"] == 0.1]
    png, csv = plot_contract_gaps(one, tmp_path / "gaps.png", title="title")
    assert is_png(png) and len(pd.read_csv(csv)) == len(one)
    with pytest.raises(ValueError, match="several values of 'delta'"):
        plot_contract_gaps(rows, tmp_path / "both.png")
    with pytest.raises(ValueError, match="no column 'gap'"):
        plot_contract_gaps(one.drop(columns="gap"), tmp_path / "none.png")
    with pytest.raises(ValueError, match="nothing to plot"):
        plot_contract_gaps(one[:0], tmp_path / "none.png")


def test_gaps_by_delta_are_averages_over_n(rows, tmp_path):
    png, csv = plot_gaps_by_delta(rows, tmp_path / "delta.png")
    means = pd.read_csv(csv).set_index(["contract", "regime", "delta"])
    assert is_png(png) and len(means) == 8
    assert means.loc[("linear", "SB", 0.1), "mean_gap"] == pytest.approx((0.2 + 0.2 / 11) / 2)
    assert means.loc[("linear", "SB_tilde", 0.1), "n_infeasible"] == 1


def test_profiles(tmp_path):
    png, csv = plot_utility_profiles(PROFILES, tmp_path / "profiles.png")
    curves = pd.read_csv(csv)
    assert is_png(png) and set(curves["profile"]) == set(PROFILES)
    cost = curves[(curves["profile"] == "paper_high") & (curves["function"] == "cost") & (curves["x"] == 1)]
    assert cost["value"].item() == pytest.approx(0.18)


def test_payments(rows, tmp_path):
    table = rows.assign(expected_pay=0.2, pay_worst=-0.1, pay_best=0.4, first_best_pay=0.17)
    png, csv = plot_payments(table, tmp_path / "payments.png")
    assert is_png(png) and len(pd.read_csv(csv)) == len(table)


def test_bonus_by_effort(tmp_path):
    cells = [("pku", monitor, "original", 100, e, e) for monitor in ("self", "expert") for e in (0.0, 1.0)]
    names = ["dataset", "monitor", "convention", "n", "effort", "pass_probability"]
    cells += [(*cell[:2], "consistent", *cell[3:]) for cell in cells]
    png, _ = plot_bonus_by_effort(pd.DataFrame(cells, columns=names), tmp_path / "bonus.png")
    assert is_png(png)


def test_docstring_example():
    assert failed_examples(plot_contract_gaps) == 0


def test_payments_of_a_single_n_are_seen(rows, monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(payment_figures, "save_figure", lambda figure, *rest: figures.append(figure) or rest)
    table = rows[rows["n"] == 1].assign(expected_pay=0.2, pay_worst=-0.1, pay_best=0.4, first_best_pay=0.17)
    plot_payments(table, tmp_path / "payments.png")
    drawn = [
        line
        for axes in figures[0].axes
        for line in axes.lines
        if len(line.get_xdata()) and line.get_ydata()[0] != 0.17
    ]
    assert drawn and all(line.get_marker() not in (None, "None", "") for line in drawn)
