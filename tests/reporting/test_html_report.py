"""The HTML report as a file: all sections, nothing from elsewhere, nothing that a name could smuggle in."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.reporting.report_runs import HOSTILE, only_results, train, whole_run
from tests.synthetic_results import NoisyScorer, evaluate, pairs
from trl_ext.reporting import DamagedEvidence, RunEvidence, read_run, write_report
from trl_ext.reporting.__main__ import main
from trl_ext.reporting.figures import COLOURS, new_figure
from trl_ext.reporting.forest import draw_forest
from trl_ext.reporting.histograms import HistogramPanel, draw_histograms
from trl_ext.reporting.html_report.blocks import interval, number, number_cell
from trl_ext.reporting.html_report.data_sections import annotator_blocks, mislabel_blocks
from trl_ext.reporting.html_report.svg import figure_to_svg, report_style, theme_colour
from trl_ext.reporting.run_folder import COMMANDS, MislabelEvidence, MonitoringEvidence
from trl_ext.reporting.training_figures import training_table


pytest.importorskip("matplotlib")


class Page(HTMLParser):
    """Tags, ids, references and text of a page."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.references += [value for name, value in attrs if name in ("href", "src", "xlink:href")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = whole_run(tmp_path_factory.mktemp("runs") / "demo-beta")
    return write_report(folder, folder / "report.html").read_text(encoding="utf-8")


def test_all_sections_and_figures(html):
    page = Page(html)
    for title in ("Data health", "Reliability of annotators", "Training", "Calibration", "Benchmarks", "Causal audit",
                  "Mismatch with ratings", "Suspected mislabels", "Provenance"):  # fmt: skip
        assert f"<h2>{title}</h2>" in html
    assert page.tags.count("figure") == 13 and page.tags.count("svg") == 26  # wide and narrow
    assert html.count("aria-label") >= 26 and 'class="missing"' not in html
    assert "abababab" in html and "rapl_method=beta" in html  # hashes and commands


def test_it_needs_nothing_else(html):
    page = Page(html)
    assert "link" not in page.tags or page.references.count("data:,") == page.tags.count("link")
    assert all(one.startswith(("#", "data:,")) for one in page.references)
    assert "http" not in html.replace("http://www.w3.org/", "") and "@import" not in html and "@font-face" not in html


def test_ids_are_unique_and_references_lead_somewhere(html):
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    used = {one[1:] for one in page.references if one.startswith("#")} | set(re.findall(r"url\(#([^)]+)\)", html))
    assert used <= set(page.ids)


def test_names_are_text(html):
    page = Page(html)
    assert page.tags.count("script") == 1 and "<script>alert" not in html
    assert "<script>alert('x')</script>" in page.text  # as text, in tables and charts


def test_figures_follow_the_theme(html):
    assert "var(--c0)" in html and "currentColor" in html
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert set(re.findall(r": (#[0-9a-f]{6})", drawn)) == set()
    assert "DejaVu" not in drawn


@pytest.mark.parametrize(
    ("colour", "word"),
    [(COLOURS[1].lower(), "var(--c1)"), ("#000000", "currentColor"), ("#808080", "var(--muted)"), ("#cccccc", "var(--rule)"),
     ("#ffffff", "var(--paper)"), ("#123456", "#123456")],
)  # fmt: skip
def test_colours_of_the_page(colour, word):
    assert theme_colour(colour) == word


def test_a_run_of_which_nothing_is_known(tmp_path):
    (tmp_path / "empty").mkdir()
    html = write_report(tmp_path / "empty", tmp_path / "report.html").read_text(encoding="utf-8")
    text = Page(html).text
    for part in set(COMMANDS) - {"calibration_history"}:
        assert COMMANDS[part] in text
    assert "Nothing was measured that has a verdict; 9 not measured" in text


def test_several_runs_are_compared_on_their_rows(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder, skill in ((good, 1.5), (bad, 0.1)):
        folder.mkdir()
        train(folder, skill)
        only_results(folder)
        evaluate(folder / "evaluation", NoisyScorer(folder.name, skill), pairs(4))
    html = write_report([good, bad], tmp_path / "report.html").read_text(encoding="utf-8")
    text = Page(html).text
    assert "<h2>Comparison</h2>" in html and "good is better" in text and "Paired differences" in text
    assert len(Page(html).ids) == len(set(Page(html).ids))


def test_nothing_in_common_is_said(tmp_path):
    runs = [tmp_path / "a", tmp_path / "b"]
    for folder in runs:
        folder.mkdir()
    train(runs[0])
    only_results(runs[0])
    assert "no paired differences" in write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8")


def test_private_paths_stay_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody-of-the-test")
    (tmp_path / "run").mkdir()
    log = '{"log_history": [{"loss": 0.5, "step": 1}]}'
    (tmp_path / "run" / "training_log.json").write_text(log, encoding="utf-8")
    title = "Report of /home/somebody-of-the-test/rm"
    html = write_report(tmp_path / "run", tmp_path / "r.html", title=title).read_text(encoding="utf-8")
    assert "somebody-of-the-test" not in html and "Report of ~/rm" in html


def test_wrong_calls(tmp_path):
    with pytest.raises(ValueError, match="no runs"):
        write_report([], tmp_path / "r.html")
    (tmp_path / "run").mkdir()
    with pytest.raises(ValueError, match="as many as runs"):
        write_report(tmp_path / "run", tmp_path / "r.html", names=["a", "b"])


def test_the_command_line(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert main([str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "report.html").is_file() and "report.html" in capsys.readouterr().out
    (tmp_path / "run" / "results.json").write_text("{", encoding="utf-8")
    assert main([str(tmp_path / "run"), "--output", str(tmp_path / "r.html")]) == 2
    assert "results.json" in capsys.readouterr().err and not (tmp_path / "r.html").exists()
    with pytest.raises(SystemExit):
        main([str(tmp_path / "run"), str(tmp_path / "run"), "--rate", "one"])


@pytest.mark.parametrize("width", [3.6, 8.4])
@pytest.mark.parametrize("count", [1, 2, 25])
def test_forests_have_room_for_their_labels(width, count):
    rng = np.random.default_rng(count)
    rows = pd.DataFrame(
        {"label": [f"{HOSTILE} of a name that is long, {index}" for index in range(count)], "value": rng.random(count)}
    )
    rows = rows.assign(
        ci_low=rows["value"] - 0.1, ci_high=rows["value"] + 0.1, group=[f"group {i // 3}" for i in range(count)]
    )
    rows.loc[0, ["ci_low", "ci_high"]] = -np.inf, np.inf
    with report_style():
        figure = draw_forest(pd.concat([rows.assign(series="a"), rows.assign(series="b")]), width=width, reference=0.0)
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
    assert box.x0 > -0.05 and box.y0 > -0.05
    assert box.x1 < figure.get_figwidth() + 0.05 and box.y1 < figure.get_figheight() + 0.05
    assert figure.get_figwidth() == pytest.approx(width)


@pytest.mark.parametrize("width", [3.6, 8.4])
def test_a_forest_without_any_figure(width):
    rows = pd.DataFrame(
        {"label": ["W", "W"], "series": ["before", "after"], "value": np.nan, "ci_low": np.nan, "ci_high": np.nan}
    )
    with report_style():
        draw_forest(rows, width=width, reference=0.0)
        draw_forest(rows.assign(value=5.0), width=width, limits=(0, 1))


def test_texts_of_a_narrow_forest_are_not_struck_through():
    rows = pd.DataFrame({"label": ["a"], "value": [0.5], "ci_low": [0.4], "ci_high": [0.6]})
    with report_style():
        texts = draw_forest(rows, width=3.6, reference=0.5).axes[0].texts
    assert len(texts) == 2 and all(text.get_bbox_patch() is not None for text in texts)


def test_bars_say_what_they_count():
    counted = {"edges": [0, 1, 2], "counts": [3, 4]}
    panels = [
        HistogramPanel("a", "words", {"chosen": counted, "rejected": counted}),
        HistogramPanel("b", "rows", {"": counted}, "people"),
    ]
    first, second = draw_histograms(panels, width=8.4).axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("pairs", "people")
    assert first.get_legend() is not None and second.get_legend() is None


def test_of_many_annotators_the_worst_are_shown():
    names = [f"ann-{index:03d}" for index in range(200)]
    table = pd.DataFrame(
        {
            "annotator_id": names,
            "eta": np.linspace(1, 0, 200),
            "ci_low": -np.inf,
            "ci_high": 1.0,
            "decision": "undecided",
        }
    )
    table.loc[3, "decision"] = "below"
    drawn = []
    run = RunEvidence("run", Path("run"), monitoring=MonitoringEvidence({}, table), missing={})
    annotator_blocks(run, lambda title, draw, **options: drawn.append((draw(3.6), options["caption"])))
    [(figure, caption)] = drawn
    shown = {text.get_text() for text in figure.axes[0].texts}
    assert {"ann-003", "ann-199"} <= shown and "ann-000" not in shown and "The 40 worst of 200" in caption


def test_long_texts_of_suspected_pairs_are_beginnings():
    pairs = pd.DataFrame({"rank": [1], "id": ["x"], "prompt": ["word " * 300]})
    run = RunEvidence("run", Path("run"), mislabels=MislabelEvidence({}, pairs, None), missing={})
    [table] = [block for block in mislabel_blocks(run, lambda *_, **__: None) if hasattr(block, "rows")]
    assert len(table.rows[0][-1]) == 160 and table.rows[0][-1].endswith("…")


def test_headings_follow_one_another(html):
    levels = [int(tag[1]) for tag in Page(html).tags if tag in ("h1", "h2", "h3", "h4")]
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    labels = re.findall(r'role="group" aria-label="([^"]+)"', html)
    assert len(labels) == len(set(labels)) and '<th scope="col"></th>' not in html


def test_evidence_that_no_check_expected_is_named(tmp_path):
    run = RunEvidence("run", tmp_path, figures={"after_accuracy_to_truth": "no estimate"})
    with pytest.raises(DamagedEvidence, match="cannot be made of what this folder holds") as error:
        write_report(run, tmp_path / "r.html")
    assert str(error.value).startswith(str(tmp_path))


def test_dollars_and_brackets_are_text():
    with report_style():
        figure = new_figure(2, 1)
        figure.text(0.5, 0.5, "a$b$ & <c>")
    svg = figure_to_svg(figure, "p", '"><b>')
    assert "a$b$ &amp; &lt;c&gt;" in svg and "<b>" not in svg


def test_ece_of_the_calibration_takes_the_place_of_the_log():
    log = [{"step": 1, "eval_ece": 0.3}, {"step": 2, "eval_ece": 0.2}]
    table = training_table(log, [{"step": 2, "ece": {"value": 0.25, "ci_low": 0.1, "ci_high": 0.4, "n": 3}}])
    assert table["value"].tolist() == [0.3, 0.25] and table["ci_low"].notna().tolist() == [False, True]


def test_numbers_for_reading():
    assert number(-0.12345) == "−0.123" and number(float("nan")) == "–" and number(float("inf")) == "∞"
    assert interval(float("nan"), 1.0) == "" and interval(-1.0, 2.0, 1) == "[−1.0, 2.0]"
    assert number_cell(480.0) == "480" and number_cell(0.00012) == "1.2e−04" and number_cell(1234567) == "1,234,567"


def test_runs_may_be_read_before(tmp_path):
    (tmp_path / "run").mkdir()
    assert write_report(read_run(tmp_path / "run"), tmp_path / "r.html", names=["rm"]).is_file()
