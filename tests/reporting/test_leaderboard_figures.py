"""Plots of leaderboards: complete numbers beside each, and nothing cropped, whatever the models are called."""

import sys

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext import reporting
from trl_ext.evaluation.benchmarks.rm_bench import STYLES
from trl_ext.reporting import leaderboard_figures, reward_figures, style_matrix
from trl_ext.reporting.model_names import short_names


pytest.importorskip("matplotlib")
LONG = "organisation-with-a-name/" + "a-reward-model-of-very-many-parts-" * 3
MODELS = [f"{LONG}v1", f"{LONG}v2", "org/small", "x"]


def numbers(kind):
    rng = np.random.default_rng(0)
    figures = pd.DataFrame({"model": MODELS, "value": [0.9, 0.8, 0.7, 0.6]})
    figures = figures.assign(ci_low=figures["value"] - 0.05, ci_high=figures["value"] + 0.05, n=100)
    if kind == "leaderboard":
        figures.loc[3, ["ci_low", "ci_high"]] = np.nan
        return figures.assign(tie_group=list("aabc"))
    if kind == "subset_distributions":
        subsets = ["easy", "hard", "a subset with a rather long name that goes on"]
        cells = pd.MultiIndex.from_product([MODELS * 2, subsets], names=["model", "subset"]).to_frame(index=False)
        return cells.assign(accuracy=np.round(rng.random(len(cells)), 1))
    if kind == "model_correlations":
        return pd.DataFrame(np.eye(4), index=MODELS, columns=MODELS).replace(0.0, np.nan)
    if kind == "style_matrices":
        cells = pd.MultiIndex.from_product([MODELS, STYLES, STYLES], names=["model", "right", "wrong"])
        return cells.to_frame(index=False).assign(value=rng.random(36))
    if kind == "reward_distributions":
        cells = pd.MultiIndex.from_product([MODELS, ["chosen", "rejected"], range(50)])
        table = cells.to_frame(index=False, name=["model", "response", "row"]).drop(columns="row")
        return table.assign(reward=rng.normal(size=len(table)))
    bands = {"accuracy_by_length": ("band", ["shorter", "equal", "longer"]), "best_of_k": ("k", [1, 2, 4, 8, 16])}
    name, values = bands[kind]
    return figures.merge(pd.DataFrame({name: values}), how="cross")


KINDS = {
    "leaderboard": leaderboard_figures,
    "subset_distributions": leaderboard_figures,
    "model_correlations": leaderboard_figures,
    "style_matrices": style_matrix,
    "reward_distributions": reward_figures,
    "accuracy_by_length": reward_figures,
    "best_of_k": reward_figures,
}


@pytest.fixture(scope="module", params=list(KINDS))
def drawn(request, tmp_path_factory):
    """A plot's figure, its files and the numbers it was made from."""
    figures = []
    module, save = KINDS[request.param], KINDS[request.param].save_figure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "save_figure", lambda figure, *rest: figures.append(figure) or save(figure, *rest))
        path = tmp_path_factory.mktemp(request.param) / "plot.png"
        files = getattr(reporting, f"plot_{request.param}")(numbers(request.param), path)
    return request.param, figures[0], files


def test_png_and_numbers(drawn):
    kind, _, (png, csv) = drawn
    assert png.read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv(csv)
    assert set(table["model"]) == set(MODELS)  # whole names, whatever the labels are
    if kind == "reward_distributions":
        assert table.groupby(["model", "response"])["count"].sum().tolist() == [50] * 8
    elif kind != "model_correlations":
        assert len(table) == len(numbers(kind))


def shown_labels(axis):
    """Labels of the ticks that are drawn."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low - 1e-9 <= tick.get_loc() <= high + 1e-9]
    return [tick.label1 if tick.label1.get_visible() else tick.label2 for tick in ticks]


def boxes_of(texts, renderer):
    return [text.get_window_extent(renderer) for text in texts if text.get_text() and text.get_visible()]


def test_nothing_is_cropped_and_no_labels_overlap(drawn):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    kind, figure, _ = drawn
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    width, height = figure.bbox.size
    groups = [shown_labels(axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    groups += [legend.get_texts() for legend in figure.legends]
    groups.append([axes.title for axes in figure.axes])  # of all panels
    groups.append([label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)])
    seen = 0
    for group in groups:
        boxes = boxes_of(group, renderer)
        seen += len(boxes)
        for index, box in enumerate(boxes):
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, (kind, box)
            assert not any(box.overlaps(other) for other in boxes[index + 1 :]), (kind, box)
    assert seen > 8


@pytest.mark.parametrize(
    ("plot", "table", "message"),
    [
        ("leaderboard", pd.DataFrame({"model": ["a"]}), "no column value"),
        ("leaderboard", pd.DataFrame(columns=["model", "value", "ci_low", "ci_high"]), "no rows"),
        ("model_correlations", pd.DataFrame([[1.0]], index=["a"], columns=["b"]), "same names"),
        ("style_matrices", pd.concat([numbers("style_matrices")] * 2), "several values"),
    ],
)
def test_tables_that_can_not_be_drawn(plot, table, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        getattr(reporting, f"plot_{plot}")(table, tmp_path / "plot.png")
    assert not list(tmp_path.iterdir())


def test_short_names_stay_different():
    labels = short_names(MODELS, width=20)
    assert len(set(labels.values())) == 4 and labels["x"] == "x"
    assert labels[MODELS[0]].endswith("v1") and len(labels["org/small"]) <= 20
    assert failed_examples(short_names, vars(sys.modules[short_names.__module__])) == 0
