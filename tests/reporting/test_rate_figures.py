"""Figures of effects: their numbers are those of the table, nothing is cropped, and odd data are drawn, not hidden."""

import re
import sys

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext import reporting
from trl_ext.rate import RewardChains, TextChains
from trl_ext.reporting.rate_style import estimates, limits, model_styles, panels_across


pytest.importorskip("matplotlib")
MODULES = [f"trl_ext.reporting.rate_{name}" for name in ("figures", "bars", "lines", "drift", "scores")]
LONG = "organisation-with-a-name/" + "a-reward-model-of-very-many-parts-" * 2
ENDS = ("value", "ci_low", "ci_high", "normalised", "normalised_ci_low", "normalised_ci_high", "mde", "mde_normalised")


def effects(models, data_sets=("imdb", "eli5")):
    rng = np.random.default_rng(0)
    kinds = [("naive", "difference"), *((m, e) for m in ("single_rewrite", "rate") for e in ("ATE", "ATT", "ATU"))]
    rows = pd.DataFrame(
        [
            {
                "dataset": data,
                "attribute": "vowel_start",
                "reward_model": model,
                "estimator": kind,
                "estimand": estimand,
            }
            for data in data_sets
            for model in models
            for kind, estimand in kinds
        ]
    )
    value, half = rng.normal(0, 0.3, len(rows)), rng.uniform(0.02, 0.2, len(rows))
    rows = rows.assign(n=rng.integers(100, 9999, len(rows)), value=3 * value, mde=4 * half, mde_normalised=1.4 * half)
    rows = rows.assign(ci_low=3 * (value - half), ci_high=3 * (value + half), normalised=value)
    return rows.assign(
        normalised_ci_low=value - half, normalised_ci_high=value + half, significant=np.abs(value) > half
    )


def extreme(models):
    """No estimate of the second model, no end of the third's interval, huge numbers of the fourth."""
    rows = effects(models)
    for column in ENDS:
        rows[column] = rows[column].astype(object)
        rows.loc[rows["reward_model"] == models[1], column] = None
    third = rows["reward_model"] == models[2]
    rows.loc[third, "normalised_ci_low"], rows.loc[third, "normalised_ci_high"] = -np.inf, np.inf
    rows.loc[rows["reward_model"] == models[3], list(ENDS)] *= 1e5
    return rows


def contrasts(models):
    rows = effects(models)
    rows = rows[(rows["estimator"] == "rate") & (rows["reward_model"] != models[0])]
    return rows.assign(baseline=models[0], unit="sd")


def chains(n, seed=0):
    rng = np.random.default_rng(seed)
    w = rng.random(n) < 0.5
    return RewardChains(w, rng.normal(size=(n, 1)) + 0.1 * rng.normal(size=(n, 3)) + np.stack([w, ~w, w], axis=1))


def sweep(models):
    cells = pd.MultiIndex.from_product([models, ["naive_effect", "ATE_rewritten_rewrite"], np.arange(5) / 4])
    table = cells.to_frame(index=False, name=["reward_model", "estimator", "level"])
    table["value"] = np.where(table["estimator"] == "naive_effect", 2 * table["level"], 0.02)
    return table.assign(ci_low=table["value"] - 0.1, ci_high=table["value"] + 0.1)


def slopes(models):
    cells = pd.MultiIndex.from_product([models, ["naive_effect", "ATE_rewritten_rewrite"]])
    table = cells.to_frame(index=False, name=["reward_model", "estimator"])
    return table.assign(slope=[2.0, 0.0] * len(models), ci_low=[1.9, None] * len(models), ci_high=2.1)


def audit(runs):
    cells = pd.MultiIndex.from_product([runs, ["length", "vowel_start"], [0, 100, 200]])
    table = cells.to_frame(index=False, name=["run", "attribute", "step"])
    return table.assign(value=table["step"] / 500, ci_low=table["step"] / 500 - 0.1, ci_high=table["step"] / 500 + 0.1)


def drift(count):
    names = ["words", "unknown_share", "a_feature_with_a_name_that_goes_on_and_on"]
    cells = pd.MultiIndex.from_product([[f"data set {i}" for i in range(count)], names, ["to_1", "to_0", "asymmetry"]])
    table = cells.to_frame(index=False, name=["dataset", "feature", "direction"])
    return table.assign(attribute="length", value=0.3, ci_low=0.1, ci_high=0.4, n=50)


MANY = [f"{LONG}{i}" for i in range(20)]
FIGURES = {
    "effects": lambda path, m: reporting.plot_effects(effects(m), path, title="Effects"),
    "effects_extreme": lambda path, m: reporting.plot_effects(extreme(MANY[:12]), path),
    "rewrite_bias": lambda path, m: reporting.plot_rewrite_bias(effects(m), path),
    "rewrite_bias_extreme": lambda path, m: reporting.plot_rewrite_bias(extreme(MANY[:4]), path),
    "naive_vs_rate": lambda path, m: reporting.plot_naive_vs_rate(effects(m), path, title="Naive"),
    "naive_vs_rate_extreme": lambda path, m: reporting.plot_naive_vs_rate(extreme(MANY[:4]), path),
    "contrasts": lambda path, m: reporting.plot_contrasts(contrasts(MANY[:8]), path, title="Contrasts"),
    "power": lambda path, m: reporting.plot_power(effects(m), path),
    "scores": lambda path, m: reporting.plot_scores({name: chains(300) for name in m}, path, title="Scores"),
    "sweep": lambda path, m: reporting.plot_sweep(sweep(m), path, slopes=slopes(m), truth=0.0, title="Sweep"),
    "audit": lambda path, m: reporting.plot_audit(audit(m), path),
    "drift": lambda path, m: reporting.plot_drift(drift(3), path),
}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would be saved; the numbers are."""
    figures = []

    def keep(figure, numbers, path):
        figures.append(figure)
        numbers.to_csv(path.with_suffix(".csv"), index=False)
        return path, path.with_suffix(".csv")

    for name in MODULES:
        monkeypatch.setattr(sys.modules[name], "save_figure", keep)
    return figures


def texts_of(figure):
    for axes in figure.axes:
        yield from [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    yield from (tick.label1, tick.label2)
    for legend in figure.legends:
        yield from legend.get_texts()


SLOW = ("rewrite_bias_extreme", "naive_vs_rate_extreme")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in FIGURES])
def test_nothing_is_cropped(name, drawn, tmp_path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    _, csv = FIGURES[name](tmp_path / "figure.png", [f"{LONG}1", "rm"])
    assert len(pd.read_csv(csv))
    (figure,) = drawn
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    width, height = figure.bbox.size
    seen = 0
    for text in texts_of(figure):
        if text.get_visible() and text.get_text():
            box = text.get_window_extent(renderer)
            seen += 1
            assert box.x0 >= -2 and box.y0 >= -2 and box.x1 <= width + 2 and box.y1 <= height + 2, (text, box)
    assert seen > 8
    panels = [axes.get_window_extent() for axes in figure.axes if axes.axison and len(axes.get_yticks()) != 1]
    assert min(box.height for box in panels) > 30 and min(box.width for box in panels) > 100


@pytest.mark.parametrize("normalised", [True, False])
def test_numbers_beside_the_figures_are_those_of_the_table(normalised, drawn, tmp_path):
    table = effects(["a"])
    names = ENDS[3:6] if normalised else ENDS[:3]
    rate = table[(table["estimator"] == "rate") & (table["estimand"] == "ATT")]
    _, csv = reporting.plot_effects(table, tmp_path / "effects.png", estimand="ATT", normalised=normalised)
    shown = pd.read_csv(csv)
    assert set(shown["estimator"]) == {"rate", "naive"} and set(shown["estimand"]) == {"ATT", "difference"}
    shown = shown[shown["estimator"] == "rate"]
    np.testing.assert_allclose(shown[["value", "ci_low", "ci_high"]], rate[list(names)])
    np.testing.assert_allclose(shown["mde"], rate["mde_normalised" if normalised else "mde"])
    _, csv = reporting.plot_rewrite_bias(table, tmp_path / "bias.png", normalised=normalised)
    np.testing.assert_allclose(pd.read_csv(csv)["value"], table.loc[table["estimator"] != "naive", names[0]])
    _, csv = reporting.plot_naive_vs_rate(table, tmp_path / "naive.png", normalised=normalised)
    assert len(pd.read_csv(csv)) == 4  # 2 data sets, 2 estimators


def test_what_is_drawn_is_what_stands_in_the_table(drawn, tmp_path):
    table = effects(["a", "b"], data_sets=("imdb",))
    reporting.plot_effects(table, tmp_path / "effects.png")
    (axes,) = drawn[0].axes
    points = {round(float(line.get_xdata()[0]), 9) for line in axes.lines if len(line.get_xdata()) == 1}
    rate = table[(table["estimator"] == "rate") & (table["estimand"] == "ATE")]
    naive = table[table["estimator"] == "naive"]
    assert points >= {round(value, 9) for value in [*rate["normalised"], *naive["normalised"]]}
    notes = " ".join(label.get_text() for label in axes.child_axes[0].get_yticklabels())
    for row in rate.itertuples():
        assert f"n {row.n:,}" in notes and f"MDE {row.mde_normalised:.2f}".replace("0.", ".") in notes


def overlap_of_titles(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        for side in ("left", "center"):
            if axes.get_title(side):
                text = axes._left_title if side == "left" else axes.title
                yield text.get_window_extent().width - axes.bbox.width


def test_titles_are_not_wider_than_their_panels(drawn, tmp_path):
    data = [f"a-very-long-data-set-name-from-the-hub-v{i}" for i in range(2)]
    reporting.plot_power(effects(["rm"], data), tmp_path / "power.png")
    reporting.plot_naive_vs_rate(effects(MANY[:2], ["imdb"]), tmp_path / "naive.png")
    reporting.plot_rewrite_bias(effects(["rm"], data), tmp_path / "bias.png")
    side = "originals: longer and more elaborate than all of the other texts there are"
    reporting.plot_scores({"rm": chains(50)}, tmp_path / "scores.png", treated=side)
    for figure in drawn:
        wider = list(overlap_of_titles(figure))
        assert wider and max(wider) < 2


def test_every_column_of_panels_has_labels_of_its_axis(drawn, tmp_path):
    reporting.plot_audit(audit(list("abcde")), tmp_path / "audit.png")
    labelled = [axes.xaxis.get_tick_params()["labelbottom"] for axes in drawn[0].axes if axes.axison]
    assert labelled == [False, False, True, True, True]  # the last row is not full


def test_one_sided_data_have_the_colours_of_the_legend(drawn, tmp_path):
    from matplotlib.colors import to_hex

    table = effects(["a"], ["imdb"])
    lacking = (table["estimator"] == "naive") | (table["estimand"] == "ATU")
    table.loc[lacking, list(ENDS)] = np.nan
    reporting.plot_naive_vs_rate(table, tmp_path / "naive.png")
    reporting.plot_rewrite_bias(table, tmp_path / "bias.png")
    naive, bias = (figure.legends[0].get_patches() for figure in drawn)
    assert [to_hex(patch.get_facecolor()) for patch in naive] == ["#d55e00", "#0072b2"]
    assert to_hex(bias[-2].get_facecolor()) == to_hex(bias[-1].get_edgecolor()) == "#cc79a7" and bias[-1].get_hatch()


@pytest.mark.parametrize("normalised", [True, False])
def test_a_table_beside_a_figure_has_one_unit(normalised, drawn, tmp_path):
    table = effects(["a"], ["imdb"]).assign(se=3.0, normalised_se=1.0, method="raw", normalised_method="ratio")
    for function in (reporting.plot_effects, reporting.plot_rewrite_bias, reporting.plot_naive_vs_rate):
        shown = pd.read_csv(function(table, tmp_path / "figure.png", normalised=normalised)[1])
        assert set(shown["unit"]) == {"sd of reward" if normalised else "reward"}
        assert set(shown["se"]) == {1.0 if normalised else 3.0}
        assert set(shown["method"]) == {"ratio" if normalised else "raw"}
        assert not [name for name in shown if "normalised" in name]
    shown = pd.read_csv(reporting.plot_audit(audit(["a"]), tmp_path / "audit.png", unit="points")[1])
    assert set(shown["unit"]) == {"points"}


def test_effects_without_a_standard_deviation_are_told(drawn, tmp_path):
    table = effects(["a"], ["imdb"]).assign(normalised=np.nan, normalised_ci_low=np.nan, normalised_ci_high=np.nan)
    reporting.plot_effects(table, tmp_path / "effects.png")
    (label,) = drawn[0].axes[0].child_axes[0].get_yticklabels()
    assert label.get_text().endswith("of reward, no sd")


def test_steps_of_an_audit_keep_their_order(drawn, tmp_path):
    steps = [0, 10, 20, 500, 10000]
    table = audit(["a"])
    table = pd.concat([table[table["step"] == 0].assign(step=step) for step in steps], ignore_index=True)
    reporting.plot_audit(table, tmp_path / "audit.png")
    drawn_at = [line.get_xdata() for line in drawn[0].axes[0].lines if len(line.get_xdata()) == len(steps)]
    assert drawn_at
    for at in drawn_at:
        assert np.abs(np.asarray(at) - steps).max() < 5


def test_an_outlier_does_not_hide_the_others(drawn, tmp_path):
    own = chains(200)
    own.rewards[0, 0] = 1e4
    _, csv = reporting.plot_scores({"rm": own}, tmp_path / "scores.png")
    curves = pd.read_csv(csv)
    assert curves["reward"].max() < 20 and curves.groupby(["w", "text"])["density"].max().min() > 0.1
    assert sum("1 beyond the axis" in text.get_text() for axes in drawn[0].axes for text in axes.texts) == 1


def test_power_falls_with_the_square_root_of_n(tmp_path):
    table = effects(["a"], data_sets=("imdb",))
    png, csv = reporting.plot_power(table, tmp_path / "power.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    curve = pd.read_csv(csv)
    now = table[(table["estimator"] == "rate") & (table["estimand"] == "ATE")].iloc[0]
    assert curve.loc[curve["observed"], "mde"].tolist() == pytest.approx([now["mde_normalised"]])
    np.testing.assert_allclose(curve["mde"] * np.sqrt(curve["n"]), now["mde_normalised"] * np.sqrt(now["n"]))


def test_densities_of_rewards(drawn, tmp_path):
    own = chains(5000)
    _, csv = reporting.plot_scores({"rm": own}, tmp_path / "scores.png")
    curves = pd.read_csv(csv)
    for (w, text), curve in curves.groupby(["w", "text"]):
        rewards = own.of(("original", "rewrite", "rewritten_rewrite").index(text))[own.w == bool(w)]
        assert curve["n"].iloc[0] == len(rewards) and curve["mean"].iloc[0] == pytest.approx(rewards.mean())
        x, density = curve["reward"].to_numpy(), curve["density"].to_numpy()
        area = np.trapezoid(density, x)
        assert area == pytest.approx(1, abs=0.01)  # nothing is cut off
        assert np.trapezoid(density * x, x) / area == pytest.approx(rewards.mean(), abs=0.01)


def test_rewards_without_a_density(drawn, tmp_path):
    odd = {
        "constant": RewardChains([1, 1, 0], np.ones((3, 3))),
        "one-sided": RewardChains([1, 1], [[1.0, 2.0, 3.0], [2.0, 2.0, 1.0]]),
        "no rewrites": RewardChains([1, 0, 1], [[1.0], [2.0], [3.0]]),
    }
    _, csv = reporting.plot_scores(odd, tmp_path / "scores.png")
    curves = pd.read_csv(csv)
    assert curves[curves["reward_model"] == "constant"]["density"].isna().all()
    assert set(curves[curves["reward_model"] == "no rewrites"]["text"]) == {"original"}
    assert set(curves[curves["reward_model"] == "one-sided"]["w"]) == {1}


def test_slopes_stand_in_the_legend(drawn, tmp_path):
    _, csv = reporting.plot_sweep(sweep(["rm"]), tmp_path / "sweep.png", slopes=slopes(["rm"]))
    entries = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert entries == ["naive, slope +2 [+1.9, +2.1]", "RATE, slope +0"]
    assert pd.read_csv(csv).groupby("estimator")["slope"].first().to_dict()["naive_effect"] == 2.0


def test_a_model_looks_the_same_in_all_figures():
    order = [f"rm{i}" for i in range(60)]
    styles = model_styles(order)
    assert len(set(styles.values())) == 60 and len({colour for colour, _ in list(styles.values())[:6]}) == 6
    assert model_styles(["rm7", "rm3"], order) == {name: styles[name] for name in ("rm3", "rm7")}
    assert failed_examples(model_styles) == 0


def test_panels_leave_no_gap_where_that_is_possible():
    assert [panels_across(count, 3) for count in (1, 2, 3, 4, 5, 6, 9)] == [1, 2, 3, 2, 3, 3, 3]
    assert limits([np.nan, np.inf, 2.0]) == (pytest.approx(-0.12), pytest.approx(2.12))


BAD = {
    "missing column": (lambda t: reporting.plot_effects(t.drop(columns="n"), "x.png"), "no column n"),
    "no rows": (lambda t: reporting.plot_effects(t.iloc[:0], "x.png"), "no rows"),
    "no such effect": (lambda t: reporting.plot_effects(t, "x.png", estimator="wald"), "no effects 'wald' 'ATE'"),
    "twice": (lambda t: reporting.plot_effects(pd.concat([t, t]), "x.png"), "several effects"),
    "text": (lambda t: reporting.plot_effects(t.assign(normalised="much"), "x.png"), "'value' must be numbers.*row 0"),
    "interval": (lambda t: estimates(t.assign(ci_low=9e9)), "enclose 'value'; first that do not: row 0"),
    "ending": (lambda t: reporting.plot_effects(t, "x.pdf"), "end with .png"),
    "no mde": (lambda t: reporting.plot_power(t.assign(mde_normalised=np.nan), "x.png"), "nothing to draw"),
    "unit": (lambda t: reporting.plot_contrasts(contrasts(["a", "b"]), "x.png", normalised=False), "no rows"),
    "slopes": (
        lambda t: reporting.plot_sweep(sweep(["a"]), "x.png", slopes=slopes(["b"])),
        "one row for 'naive_effect' of 'a', it has 0",
    ),
    "direction": (lambda t: reporting.plot_drift(drift(1).assign(direction="up"), "x.png"), "it has up"),
    "no models": (lambda t: reporting.plot_scores({}, "x.png"), "chains is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_tables_that_can_not_be_drawn(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call(effects(["a"]))
    assert not list(tmp_path.iterdir())


NASTY = "| a *b* <script>alert('x')</script>\r\n# c\u2028`d` _e_ [f](http://g) $h$ & \\ " + "long " * 200


@pytest.fixture
def rewritten():
    texts = tuple((NASTY, f"<b>{i}</b>", f"{i}|{i}") for i in range(7)) + (("no rewrite", None, None),)
    failures = ((None, None),) * 7 + (("refusal", "no_rewrite"),)
    w = np.array([True, True, False, True, False, True, True, False])
    return TextChains("length", tuple(f"id_{i}" for i in range(8)), ("Write.",) * 8, w, texts, failures)


def test_examples_as_markdown(rewritten, tmp_path):
    path = reporting.rewrite_examples(rewritten, tmp_path / "examples.md", rows=5, width=120)
    lines = path.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| id")][1:]
    assert len(rows) == 5
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 6  # columns: what texts contain makes no others
        assert not re.search(r"(?<!\\)[*`$]|<(?!br>)", row) and "characters" in row
    assert [row.split(" | ")[1] for row in rows] == ["yes"] * 3 + ["no"] * 2
    assert "5 of 7 rows with all their texts (8 rows in all)." in lines


def test_examples_as_html(rewritten, tmp_path):
    text = reporting.rewrite_examples(rewritten, tmp_path / "examples.html", rows=99, title="<Title>").read_text()
    assert text.count("<tr>") == 8 and "<script>" not in text and "&lt;script&gt;" in text and "&lt;Title&gt;" in text
    again = reporting.rewrite_examples(rewritten, tmp_path / "again.html", rows=99, title="<Title>").read_text()
    assert again == text


@pytest.mark.parametrize(
    ("name", "options", "message"), [("a.txt", {}, ".md or .html"), ("a.md", {"rows": 0}, "rows must")]
)
def test_examples_that_can_not_be_written(name, options, message, rewritten, tmp_path):
    with pytest.raises(ValueError, match=message):
        reporting.rewrite_examples(rewritten, tmp_path / name, **options)
    with pytest.raises(ValueError, match="no row has all its texts"):
        reporting.rewrite_examples(rewritten.select([7]), tmp_path / "a.md")
