"""
The model card with all evidence that lies in the folder of a run.

`python -m trl_ext.reporting.model_card RUN` makes it anew, after an evaluation, a calibration or an audit.
"""

import argparse
import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from ..cards import Section, citation_section, facts_sections, one_line, render_card, rows_table, usage
from ..data.bundled import portable_name
from ..model_entries import REWARD_HEAD
from ..scoring import read_uncertainty
from ..trainer.model_card import FACTS_FILE, card_data, card_introduction, card_usage, save_card
from ..version import __version__
from .card_evidence import CardEvidence, read_card_evidence, remember_sources
from .card_limits import limits_section
from .card_metadata import evaluation_results
from .card_sections import evidence_sections, reproduce_section
from .run_files import DamagedEvidence, read_object
from .run_folder import RunEvidence


logger = logging.getLogger(__name__)

_SOURCES = ("evaluation", "rate", "mismatch", "mislabels")


def model_card(folder: str | Path, location: str | None = None, *, evidence: RunEvidence | None = None) -> str:
    """
    The card of the model in a folder: how to load it, and everything that is known of it.

    Args:
        folder (`str` or `pathlib.Path`):
            With the saved model, and whatever training, calibration, audits and evaluations have written there.
        location (`str`, *optional*):
            What to load the model from: its id on the Hub. By default the name of the folder.
        evidence ([`RunEvidence`], *optional*):
            By default what [`read_run`] finds in the folder and where the last [`refresh_model_card`] was told to look,
            without what was measured of an earlier model in this folder.

    Returns:
        `str`: `README.md`, marked as generated.

    Raises:
        DamagedEvidence: A file of the run can't be read, if `evidence` is not given.

    Example:
        ```python
        >>> from trl_ext.reporting.model_card import model_card

        >>> print(model_card("outputs/demo-beta", "me/my-reward-model"))  # doctest: +SKIP
        ```
    """
    folder = Path(folder).expanduser()
    found = read_card_evidence(folder) if evidence is None else CardEvidence(evidence)
    return _card(folder, location or folder.resolve().name, _read_facts(folder), found)


def _card(folder: Path, location: str, facts: dict[str, Any] | None, found: CardEvidence) -> str:
    evidence = found.run
    if facts is None:
        data, introduction, loading = _of_files(folder, location)
    else:
        data, introduction, loading = card_data(facts), card_introduction(facts), card_usage(facts, location)
        data.model_name = one_line(location.split("/")[-1])
    figures = evaluation_results(evidence)
    if figures:
        data.eval_results = figures
    has_evidence = found.outdated or any(
        getattr(evidence, field.name)
        for field in dataclasses.fields(evidence)
        if field.name not in ("name", "folder", "missing", "test_rewards", "figures")
    )
    uncertainty = _uncertainty_section(folder)
    if facts is None and not has_evidence:
        return render_card(data, introduction, loading, uncertainty)
    training = [] if facts is None else facts_sections(facts)
    measured = evidence_sections(evidence, location)
    about_data = [section for section in measured if section.title == "Training data"]
    repeat = reproduce_section(evidence, facts)
    sections = [
        limits_section(evidence, found.outdated),
        *about_data,
        *training,
        *(section for section in measured if section not in about_data),
        *uncertainty,
        *([] if repeat is None else [repeat]),
        *citation_section(facts),
    ]
    return render_card(data, introduction, loading, sections)


def refresh_model_card(folder: str | Path, location: str | None = None, **places: str | Path | None) -> bool:
    """
    Write `README.md` of a run anew, unless somebody has edited it.

    Args:
        folder (`str` or `pathlib.Path`):
            The folder of the run.
        location (`str`, *optional*):
            As in [`model_card`].
        **places:
            Where evidence lies that is not in the folder, as in [`read_run`]. Recorded, so that later cards and a push
            have it too.

    Returns:
        `bool`: Whether it was written; `False` if the card that is there was not generated, or has been edited.
    """
    folder = Path(folder).expanduser()
    found = read_card_evidence(folder, **places)
    remember_sources(folder, places)
    return save_card(folder, _card(folder, location or folder.resolve().name, _read_facts(folder), found))


def card_to_push(folder: Path, repo_id: str) -> str:
    """The card for a push, which files of other kinds with our names can't stop: they are named in a warning."""
    nothing = CardEvidence(RunEvidence(name=folder.name, folder=folder))
    facts = found = None
    try:
        found = read_card_evidence(folder)
    except (DamagedEvidence, FileNotFoundError) as error:
        logger.warning("The model card is without evidence: %s", error)
    try:
        facts = _read_facts(folder)
    except DamagedEvidence as error:
        logger.warning("The model card says nothing of the training: %s", error)
    for known, evidence in ((facts, found), (facts, nothing)):
        try:
            return _card(folder, repo_id, known, evidence or nothing)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            logger.warning("A file of this run is not as its script writes it (%r): the card says less", error)
    return _card(folder, repo_id, None, nothing)


_FACTS = (
    *("model_name", "dataset", "base_model", "base_is_public", "adapter", "tags", "reward_head", "eos_token"),
    *("trainer", "versions", "losses", "training", "tables"),
)


def _read_facts(folder: Path) -> dict[str, Any] | None:
    path = folder / FACTS_FILE
    return read_object(path, _FACTS) if path.is_file() else None


def _of_files(folder: Path, location: str) -> tuple[ModelCardData, str, str]:
    """Metadata, introduction and loading from the model's own files."""
    adapter = folder / "adapter_config.json"
    base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"] if adapter.is_file() else None
    # A path, or a name of ours, is not a model on the Hub
    is_public = bool(base) and not base.startswith(("/", "~", ".", "bundled:")) and not Path(base).exists()
    data = ModelCardData(
        base_model=base if is_public else None,
        library_name="transformers" if base is None else "peft",
        model_name=one_line(location.split("/")[-1]),
        pipeline_tag="text-classification",
        tags=["reward-model", "trl-ext"],
    )
    shown = "" if base is None else f": an adapter of `{base if is_public else Path(portable_name(base)).name}`"
    loading = usage(
        location,
        _eos_token(folder),
        adapter=base is not None,
        base_is_public=is_public,
        several_outputs=_has_several_outputs(folder),
    )
    return data, f"A reward model{shown}, pushed with trl_ext {__version__}.", loading


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))


def _has_several_outputs(folder: Path) -> bool:
    return _is_saved(folder) and REWARD_HEAD.read(folder) is not None


def _uncertainty_section(folder: Path) -> list[Section]:
    """What is guaranteed by the intervals and preference sets that are stored with the model."""
    try:
        stored = read_uncertainty(folder) if _is_saved(folder) else None
    except ValueError as error:
        logger.warning("The model card is without intervals: %s", error)
        stored = None
    parts = {} if stored is None else {"intervals": stored.intervals, "statements": stored.preference_sets}
    rows = {}
    for name, part in parts.items():
        if part is not None:
            rows[name] = part.statement
            rows[f"{name}, calibration pairs or prompts"] = sum(part.counts.values())
    if not rows:
        return []
    text = "Stored with the model, applied by `RewardScorer(...).compare_pairs`. The guarantees hold by construction; how wide "
    text += "intervals are and how many pairs get a statement is another question.\n\n"
    return [Section("Uncertainty", text + rows_table(rows | {"fitted on": stored.fitted_on or "–"}))]


def _eos_token(folder: Path) -> str:
    path = folder / "tokenizer_config.json"
    token = json.loads(path.read_text(encoding="utf-8")).get("eos_token") if path.is_file() else None
    return (token["content"] if isinstance(token, dict) else token) or ""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 if the card was written, 1 if one of the user's is kept."""
    parser = argparse.ArgumentParser(
        prog="python -m trl_ext.reporting.model_card",
        description="Write the model card of a run anew, with all evidence there is. An edited card is kept.",
        epilog="example: python -m trl_ext.reporting.model_card outputs/demo-beta --rate outputs/rate",
    )
    parser.add_argument("run", help="the output folder of tasks/train.py")
    parser.add_argument("--repo_id", help="id on the Hub to load the model from; default: the name of the folder")
    for name in _SOURCES:
        parser.add_argument(f"--{name}", metavar="DIR", help=f"results of {name}; default: RUN/{name}")
    options = vars(parser.parse_args(arguments))
    folder, repo_id = Path(options.pop("run")).expanduser(), options.pop("repo_id")
    try:
        written = refresh_model_card(folder, repo_id, **options)
    except (FileNotFoundError, DamagedEvidence) as error:
        parser.exit(2, f"{error}\n")
    if written:
        print(f"Model card: {folder / 'README.md'}")
        return 0
    print(
        f"{folder / 'README.md'} was not generated, or has been edited since, and is kept. Delete it to get a new one."
    )
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
