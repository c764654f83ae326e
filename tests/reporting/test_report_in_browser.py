"""The report in a real browser: it fits at two widths in two themes, asks nobody for anything, and prints."""

import shutil

import pytest

from tests.reporting.report_runs import only_results, train, whole_run
from trl_ext.reporting import write_report


sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install trl_ext[dev]")
pytest.importorskip("matplotlib")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
              "--disable-component-update", "--disable-sync"]  # fmt: skip
FIGURES = 13

# Texts of a figure that lie over one another or outside it, and texts too small to read
_CHARTS = """() => {
  const problems = [];
  for (const svg of document.querySelectorAll('.chart svg')) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) continue;
    const where = svg.getAttribute('aria-label').slice(0, 40);
    const texts = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim());
    const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
    boxes.forEach(([text, a], i) => {
      if (Math.max(a.width, a.height) < 10) problems.push([where, 'tiny', text, a.height]);
      if (a.left < frame.left - 3 || a.right > frame.right + 3 || a.top < frame.top - 3 || a.bottom > frame.bottom + 3)
        problems.push([where, 'outside', text, a.left - frame.left, frame.right - a.right, a.top - frame.top, frame.bottom - a.bottom]);
      boxes.slice(i + 1).forEach(([other, b]) => {
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 1.5 && y > 4) problems.push([where, 'overlap', text, other, x, y]);
      });
    });
  }
  return problems;
}"""
# Boxes whose content is wider than they are, and that don't scroll; cells and findings that overlap
_BOXES = """() => {
  const problems = [];
  for (const one of document.querySelectorAll('h1,h2,h3,h4,p,td,th,code,figcaption,li,li div,nav a,summary')) {
    if (one.getClientRects().length && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline')
      problems.push(['overflow', one.tagName, one.textContent.slice(0, 60), one.scrollWidth, one.clientWidth]);
  }
  for (const row of document.querySelectorAll('tr, .findings li')) {
    const boxes = [...row.children].map(c => c.getBoundingClientRect()).filter(b => b.width);
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach(b => {
      const x = Math.min(a.right, b.right) - Math.max(a.left, b.left), y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (x > 1 && y > 1) problems.push(['cells', row.textContent.slice(0, 60), x, y]);
    }));
  }
  return problems;
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return write_report(whole_run(folder / "demo-beta"), folder / "report.html")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """Open a file offline; returns the page and the list of what went wrong."""
    contexts = []

    def load(path, width, theme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, offline=True)
        contexts.append(context)
        page, problems = context.new_page(), []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(request.url))
        page.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
        page.on("dialog", lambda dialog: problems.append("a name opened a dialog") or dialog.dismiss())
        page.goto(path.as_uri())
        return page, problems

    yield load
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits(report, open_page, width, theme):
    page, problems = open_page(report, width, theme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    figures = page.locator(f".chart .{'wide' if width > 640 else 'narrow'} svg")
    boxes = [figures.nth(index).bounding_box() for index in range(figures.count())]
    assert len(boxes) == FIGURES and all(box["width"] > 200 and box["height"] > 80 for box in boxes)
    assert page.locator(f".chart .{'narrow' if width > 640 else 'wide'} svg").first.is_hidden()
    assert page.evaluate(_CHARTS) == []
    for one in page.locator("details").all():
        one.evaluate("one => { one.open = true; }")
    assert page.evaluate(_BOXES) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert problems == []


def test_themes_differ_and_paper_is_light(report, open_page):
    def colours(theme, media=None):
        page, _ = open_page(report, 1280, theme)
        if media:
            page.emulate_media(media=media, color_scheme=theme)
        return page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.querySelector('.chart svg')).fill]"
        )

    light, dark, printed = colours("light"), colours("dark"), colours("dark", "print")
    assert light != dark and printed == light
    assert light[0] == light[1] and dark[0] == dark[1]


def test_it_prints_with_all_that_is_folded(report, open_page):
    page, _ = open_page(report, 1280)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every((one) => one.open)")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.evaluate("[...document.querySelectorAll('details')].some((one) => one.open)")
    pdf = page.pdf(format="A4", print_background=True)
    assert pdf.startswith(b"%PDF") and len(pdf) > 50_000
    assert pdf.count(b"/Type /Page\n") > 5


def test_paper_is_wide_enough(report, open_page):
    page, _ = open_page(report, 688)  # A4 less its margins
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    wide = """[...document.querySelectorAll('table, .chart svg')].map(t => [t.textContent.slice(0, 60), t.getBoundingClientRect()])
      .filter(([text, box]) => box.right > 690).map(([text, box]) => [text, box.right])"""
    assert page.evaluate(wide) == []


def test_five_runs_fit(tmp_path, open_page):
    runs = []
    for seed in range(5):
        runs.append(tmp_path / f"run-{seed}-of-an-experiment")
        runs[-1].mkdir()
        train(runs[-1], 0.1 + 0.3 * seed, seed)
        only_results(runs[-1])
    report = write_report(runs, tmp_path / "report.html")
    for width in (1280, 420):
        page, problems = open_page(report, width)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and problems == []
        assert page.evaluate(_CHARTS) == []
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate(_BOXES) == []
        assert page.locator("#comparison .chart svg:visible").count() == 1


@pytest.mark.slow
def test_several_runs_fit_too(tmp_path, open_page):
    runs = [
        whole_run(tmp_path / f"{name}-of-a-run-with-a-name-that-does-not-end", seed=seed)
        for seed, name in enumerate(("first", "second"))
    ]
    report = write_report(runs, tmp_path / "report.html")
    for width in (1280, 420):
        page, problems = open_page(report, width)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and problems == []
        assert page.evaluate(_CHARTS) == [] and page.evaluate(_BOXES) == []
