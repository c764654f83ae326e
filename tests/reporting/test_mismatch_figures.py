"""Plots of mismatch degrees and of reward against rating: their numbers, and nothing cropped for 2 or 20 models."""

import numpy as np
import pandas as pd
import pytest

from trl_ext.arena import RatingTable, ScoreTable, mismatch_table, rating_agreement
from trl_ext.reporting import mismatch_figures, plot_mismatch, plot_reward_against_rating


pytest.importorskip("matplotlib")
LONG = "organisation-with-a-name/" + "a-policy-model-of-very-many-parts-" * 2


def models(count):
    rng = np.random.default_rng(count)
    names = [f"{LONG}v{index}" for index in range(count)]
    ratings = RatingTable.from_ratings(dict(zip(names, rng.normal(1200, 50, count), strict=True)))
    table = ratings.table.assign(rating_low=lambda t: t["rating"] - 9, rating_high=lambda t: t["rating"] + 6)
    if count > 2:
        table.loc[1, ["rating_low", "rating_high"]] = np.nan
    scores = ScoreTable.from_columns({name: rng.normal(rng.normal(0, 0.5), 1, 80) for name in names})
    return scores, RatingTable(table)


@pytest.fixture(params=[2, 20])
def drawn(request, monkeypatch, tmp_path):
    """A plot of each kind, with the figure that was saved."""
    figures = []
    save = mismatch_figures.save_figure
    monkeypatch.setattr(
        mismatch_figures, "save_figure", lambda figure, *rest: figures.append(figure) or save(figure, *rest)
    )
    scores, ratings = models(request.param)
    table = mismatch_table(scores, ratings, bootstrap=100)
    agreement = rating_agreement(scores, ratings, bootstrap=100)
    files = [
        plot_mismatch(table, tmp_path / "mismatch.png", title="A title"),
        plot_reward_against_rating(agreement, tmp_path / "reward.png", title="A title"),
    ]
    return request.param, table, agreement, files, figures


def test_files_numbers_and_room(drawn):
    count, table, agreement, files, figures = drawn
    for (picture, _), figure in zip(files, figures, strict=True):
        assert picture.stat().st_size > 5000
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 > -0.05 and box.y0 > -0.05 and box.x1 < width + 0.05 and box.y1 < height + 0.05

    numbers = pd.read_csv(files[0][1])
    assert numbers["mismatch"].tolist() == pytest.approx(table["mismatch"].tolist())
    heat_map = figures[0].axes[0]
    bold = [text for text in heat_map.texts if text.get_fontweight() == "bold"]
    assert len(heat_map.texts) == count * (count - 1)
    assert len(bold) == len(heat_map.patches) == numbers["significant"].sum()

    numbers = pd.read_csv(files[1][1])
    assert sorted(numbers["mean_reward"]) == pytest.approx(sorted(agreement.table["mean_reward"]))
    title = figures[1].axes[0].get_title()
    if count == 2:
        assert "no rank correlation: a correlation needs 3 models" in title
    else:
        assert f"Spearman {agreement.spearman.value:.2f} [" in title


def test_most_overvalued_model_is_on_top(tmp_path, monkeypatch):
    rng, seen = np.random.default_rng(0), []
    scores = ScoreTable.from_columns(
        {name: rng.normal(shift, 1, 200) for name, shift in (("x", 0), ("y", 2), ("z", -2))}
    )
    monkeypatch.setattr(mismatch_figures, "save_figure", lambda figure, *rest: seen.append(figure))
    plot_mismatch(mismatch_table(scores, RatingTable.from_ratings(dict.fromkeys("xyz", 1200.0))), tmp_path / "m.png")
    assert [label.get_text() for label in seen[0].axes[0].get_yticklabels()] == ["y", "x", "z"]


def test_refuses_another_table(tmp_path):
    with pytest.raises(ValueError, match="no column"):
        plot_mismatch(pd.DataFrame({"model": ["a"]}), tmp_path / "m.png")
