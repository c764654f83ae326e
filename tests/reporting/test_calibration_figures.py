"""Plots of a calibration: files, the pairs that are shown, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from trl_ext.arena import RatingTable, ScoreTable, compare_mismatch, reward_drift
from trl_ext.reporting import plot_mismatch_change, plot_reward_drift


pytest.importorskip("matplotlib")


def tables(count: int) -> tuple[ScoreTable, ScoreTable, RatingTable]:
    rng = np.random.default_rng(0)
    models = tuple(f"organisation/model-{i}" for i in range(count))
    shape = (40, count)
    before, after = (ScoreTable(tuple(map(str, range(40))), models, rng.normal(size=shape)) for _ in range(2))
    return before, after, RatingTable.from_ratings(dict.fromkeys(models, 1000.0))


def test_mismatch_change_shows_a_pair_once_and_writes_all(tmp_path, monkeypatch):
    before, after, ratings = tables(9)
    found = compare_mismatch(before, after, ratings, calibrated=[before.models[:2]], draws=50)
    shown = {}

    def keep(figure, numbers, path):
        shown["labels"] = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        shown["axis"] = figure.axes[0].get_xlabel()
        return save(figure, numbers, path)

    from trl_ext.reporting import calibration_figures

    save = calibration_figures.save_figure
    monkeypatch.setattr(calibration_figures, "save_figure", keep)
    png, csv = plot_mismatch_change(found.pairs, tmp_path / "change.png")
    assert png.stat().st_size > 5000
    pd.testing.assert_frame_equal(pd.read_csv(csv), found.pairs)
    assert len(shown["labels"]) == 30 and shown["axis"] == "mismatch degree (30 of 36 pairs)"
    pairs = [frozenset(label.split(" over ")) for label in shown["labels"]]
    assert len(set(pairs)) == 30


def test_reward_drift(tmp_path):
    before, after, _ = tables(3)
    features = {name: np.random.default_rng(i).normal(size=(40, 3)) for i, name in enumerate(("words", "code_blocks"))}
    drift = reward_drift(before, after, features, resamples=20)
    png, csv = plot_reward_drift(drift.features, tmp_path / "drift.png", title="a title")
    assert png.stat().st_size > 5000 and len(pd.read_csv(csv)) == 6


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(ValueError, match="mismatch_before"):
        plot_mismatch_change(pd.DataFrame({"model": ["a"], "reference": ["b"], "group": ["all"]}), tmp_path / "x.png")
