"""From the evidence of runs to one HTML file."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from ...atomic_files import write_text_atomically
from ...privacy import hide_private
from ...version import __version__
from ..run_files import DamagedEvidence
from ..run_folder import RunEvidence, read_run
from .blocks import ChartMaker, Findings, Heading, Section, Table
from .comparison import comparison_blocks
from .data_sections import annotator_blocks, data_health_blocks, mislabel_blocks
from .evaluation_sections import evaluation_blocks, mismatch_blocks, rate_blocks
from .model_sections import calibration_blocks, learned_blocks, training_blocks
from .provenance import provenance_blocks
from .summary import findings
from .verdicts import MARKS, WORDS


_SECTIONS: tuple[tuple[str, str, str, Callable[[RunEvidence, ChartMaker], list[Any]]], ...] = (
    ("data", "Data health", "What the training pairs are like.", data_health_blocks),
    ("annotators", "Reliability of annotators", "How far the people behind the labels can be believed.", annotator_blocks),
    ("training", "Training", "What happened while it learned.", training_blocks),
    ("learned", "What it learned", "On held-out pairs, before and after training.", learned_blocks),
    ("calibration", "Calibration", "Whether its probabilities mean what they say.", calibration_blocks),
    ("evaluation", "Benchmarks", "On data that others have made.", evaluation_blocks),
    ("rate", "Causal audit", "What attributes of a text do to its reward, other things being equal.", rate_blocks),
    ("mismatch", "Mismatch with ratings", "Which language models it over-values, compared with what people say.", mismatch_blocks),
    ("mislabels", "Suspected mislabels", "Training pairs worth a second look.", mislabel_blocks),
)  # fmt: skip


def write_report(
    runs: RunEvidence | str | Path | Sequence[RunEvidence | str | Path],
    output: str | Path,
    *,
    title: str | None = None,
    names: Sequence[str] | None = None,
) -> Path:
    """
    Write the report of one run, or of several with their comparison, as one HTML file that needs nothing else.

    Paths of the home directory and credentials are left out. A file that cannot be shown is named in the error.

    Args:
        runs ([`RunEvidence`], folder, or a sequence of them):
            Of [`~trl_ext.reporting.read_run`], or folders to read.
        output (`str` or `pathlib.Path`):
            The HTML file.
        title (`str`, *optional*):
            Title of the report. By default the names of the runs.
        names (`Sequence[str]`, *optional*):
            What the runs are called. By default as their folders.

    Returns:
        `pathlib.Path`: The file.

    Raises:
        ValueError: There are no runs, names are not as many as runs, or a file of a folder is damaged.
        ImportError: matplotlib is not installed.

    Example:
        ```python
        >>> import json, pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp(), "my-run")
        >>> folder.mkdir()
        >>> log = [{"loss": 0.7, "step": 1}, {"loss": 0.6, "step": 2}]
        >>> _ = (folder / "training_log.json").write_text(json.dumps({"log_history": log}))
        >>> write_report(folder, folder / "report.html").name
        'report.html'
        ```
    """
    given = [runs] if isinstance(runs, RunEvidence | str | Path) else list(runs)
    if not given:
        raise ValueError("there are no runs to report on")
    evidence = [run if isinstance(run, RunEvidence) else read_run(run) for run in given]
    labels = _names(evidence, names)
    html = hide_private(render_report(evidence, labels, title or "Reward model " + ", ".join(labels)))
    output = Path(output).expanduser()
    write_text_atomically(output, html)
    return output


def render_report(runs: Sequence[RunEvidence], names: Sequence[str], title: str) -> str:
    """The HTML of a report."""
    chart = ChartMaker()
    sections = [_section(*section, runs, names, chart) for section in _SECTIONS]
    if len(runs) > 1:
        lead = "On the rows that they share."
        sections.insert(0, Section("comparison", "Comparison", lead, tuple(comparison_blocks(runs, names, chart))))
    made = [
        _section(
            "provenance",
            "Provenance",
            "How to make all of this again.",
            lambda run, _: provenance_blocks(run),
            runs,
            names,
            chart,
        )
    ]
    found = [_named(run, "the summary", lambda run=run, name=name: findings(run, name)) for run, name in zip(runs, names, strict=True)]  # fmt: skip
    folder = files(__package__) / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "report.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        title=title,
        css=(folder / "report.css").read_text(encoding="utf-8"),
        findings=found,
        overview=_overview(found),
        sections=[*sections, *made],
        version=__version__,
        words=WORDS,
        marks=MARKS,
    )


def _section(
    key, heading, lead, build, runs: Sequence[RunEvidence], names: Sequence[str], chart: ChartMaker
) -> Section:
    blocks: list[Any] = []
    for place, (run, name) in enumerate(zip(runs, names, strict=True), 1):
        if len(runs) > 1:
            blocks.append(Heading(name, f"{key}-{place}"))
        blocks += _named(run, f"the section {heading!r}", lambda run=run: build(run, chart))
    return Section(key, heading, lead, tuple(blocks))


def _named(run: RunEvidence, what: str, make: Callable[[], Any]) -> Any:
    """What is made of a run: evidence that no check expected is an error that says whose it is, and for what."""
    try:
        return make()
    except DamagedEvidence:
        raise
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        raise DamagedEvidence(
            f"{run.folder}: {what} cannot be made of what this folder holds: {type(error).__name__}: {error}"
        ) from error


def _overview(found: Sequence[Findings]) -> Table:
    """Questions by runs: verdicts and figures of all beside one another."""
    questions = list(dict.fromkeys(row.question for one in found for row in one.rows))
    rows = []
    for question in questions:
        cells = []
        for one in found:
            own = [row for row in one.rows if row.question == question]
            cells.append(
                "; ".join(
                    f"{MARKS[row.verdict]} {row.figure or WORDS[row.verdict]} {row.interval}".strip() for row in own
                )
            )
        rows.append((question, *cells))
    columns = ("question", *(one.name for one in found))
    signs = ", ".join(f"{MARKS[kind]} {words}" for kind, words in WORDS.items())
    return Table(columns, tuple(rows), (False,) * len(columns), f"All runs ({signs})")


def _names(runs: Sequence[RunEvidence], names: Sequence[str] | None) -> list[str]:
    """Names, all different: runs whose folders are called alike get numbers."""
    if names is not None:
        if len(names) != len(runs):
            raise ValueError(f"names must be as many as runs, {len(runs)}, got {len(names)}")
        chosen = [str(name) for name in names]
    else:
        chosen = [run.name for run in runs]
    if len(set(chosen)) < len(chosen):
        return [f"{name} ({place})" for place, name in enumerate(chosen, 1)]
    return chosen
