"""Plots of leaderboards: complete numbers beside each, and nothing cropped, whatever the models are called."""

import sys

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext import reporting
from trl_ext.evaluation.rm_bench import STYLES
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


def test_all_texts_lie_inside_the_figure(drawn):
    _, figure, _ = drawn
    renderer = figure.canvas.get_renderer()
    width, height = figure.bbox.size
    texts = [text for axes in figure.axes for text in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title)]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    shown = [text for text in texts if text.get_text() and text.get_visible()]
    assert len(shown) > 4
    for text in shown:
        box = text.get_window_extent(renderer)
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, text.get_text()


def test_labels_of_models_do_not_overlap(drawn):
    kind, figure, _ = drawn
    if kind not in ("leaderboard", "subset_distributions", "model_correlations"):
        pytest.skip("models are in the legend or in titles")
    renderer = figure.canvas.get_renderer()
    boxes = sorted(
        (text.get_window_extent(renderer) for text in figure.axes[0].get_yticklabels()), key=lambda box: box.y0
    )
    assert all(below.y1 <= above.y0 for below, above in zip(boxes, boxes[1:], strict=False))


def test_titles_of_panels_do_not_overlap(drawn):
    kind, figure, _ = drawn
    if kind not in ("style_matrices", "reward_distributions"):
        pytest.skip("one panel")
    renderer = figure.canvas.get_renderer()
    boxes = [axes.title.get_window_extent(renderer) for axes in figure.axes if axes.get_title()]
    assert len(boxes) == 4
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


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
