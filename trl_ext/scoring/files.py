"""Scoring of a file: what was written before is found, checked and continued."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from ..privacy import hide_private
from ..version import __version__
from .groups import Group, windows
from .inputs import check_input, count_rows, hash_file, read_groups
from .outputs import ScoreFile, check_output
from .processes import on_main_process, process_state


if TYPE_CHECKING:
    from .base import Scorer


def score_file(
    scorer: "Scorer", input: Path, output: Path, columns: dict[str, str], overwrite: bool, window_size: int
) -> dict[str, Any]:
    """See [`Scorer.score_file`]."""
    if window_size < 1:
        raise ValueError(f"`window_size` must be at least 1, got {window_size}")
    check_input(input)
    on_main_process(lambda: check_output(output, input))

    def groups() -> Iterator[Group]:
        return read_groups(input, columns, scorer.allow_empty_responses)

    num_workers = scorer.check_first_windows(groups(), window_size)
    file: ScoreFile | None = None

    def begin() -> tuple[dict[str, Any], int, int]:
        nonlocal file
        file = ScoreFile(output, _settings(scorer, input, columns, window_size), overwrite)
        if file.is_complete():
            return file.meta, 0, 0
        skip, rows, lines = _written(windows(groups(), window_size), 0 if overwrite else file.count_lines())
        file.cut(lines, finished=False, provenance=_provenance(scorer, input))
        return file.meta, skip, rows

    scorer.prepare()  # every process loads it; the first then checks what it is to continue
    meta, skip, rows = on_main_process(begin)
    if meta["finished"]:
        if scorer.has_report:
            on_main_process(lambda: _recall(scorer, windows(groups(), window_size)))
        return meta
    for window in scorer.score_windows(
        groups, window_size=window_size, num_workers=num_workers, skip=skip, done=rows, total=count_rows(input)
    ):
        rows += window.groups
        if file is not None:
            file.append(window.labels, window.rewards)
    if file is not None:
        file.finish(
            rows=rows, responses=file.count_lines(), truncated=scorer.timing.truncated, timing=scorer.timing.to_dict()
        )
        meta = file.meta
    return on_main_process(lambda: meta)


def _recall(scorer: "Scorer", windows: Iterable[list[Group]]) -> None:
    scorer.reset_report()
    for window in windows:
        scorer.recall(window)


def _written(windows: Iterable[list[Group]], lines: int) -> tuple[int, int, int]:
    """Number of whole windows in the first `lines` lines of output, and of their rows and lines."""
    skip = rows = kept = 0
    for window in windows if lines else ():
        responses = sum(len(group.responses) for group in window)
        if kept + responses > lines:
            break
        skip, rows, kept = skip + 1, rows + len(window), kept + responses
    return skip, rows, kept


def _settings(scorer: "Scorer", input: Path, columns: dict[str, str], window_size: int) -> dict[str, Any]:
    """What the rewards of a file depend on."""
    return {
        "versions": {"trl_ext": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
        **scorer.settings(),
        "window_size": window_size,
        "input_sha256": hash_file(input),
        "columns": columns,
    }


def _provenance(scorer: "Scorer", input: Path) -> dict[str, Any]:
    """What is good to know, but changes no reward."""
    return hide_private({"input": str(input), **scorer.provenance(), "processes": process_state().num_processes})
