"""Which evidence a model card shows: that of this model, and not of an earlier one in the same folder."""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ..atomic_files import write_text_atomically
from ..trainer.model_card import FACTS_FILE
from .run_files import DamagedEvidence, read_object
from .run_folder import RunEvidence, read_run


logger = logging.getLogger(__name__)

# Hidden, and so never uploaded: it holds paths of this machine
SOURCES_FILE = ".card_sources.json"
_SOURCES = ("evaluation", "rate", "mismatch", "mislabels")
# What was measured with the model's rewards; suspected mislabels are about data
_OF_THE_MODEL = ("calibration", "evaluation", "mismatch", "rate")


@dataclasses.dataclass(frozen=True)
class CardEvidence:
    """
    Evidence for the card of a model.

    Args:
        run ([`RunEvidence`]): Without what is of an earlier model.
        outdated (`tuple[str, ...]`): Parts that are, and so are not shown.
    """

    run: RunEvidence
    outdated: tuple[str, ...] = ()


def read_card_evidence(folder: Path, **places: str | Path | None) -> CardEvidence:
    """
    Evidence about the model that lies in a folder now.

    Left out is what was written before the training of this model began, a calibration that tells other weights than the
    folder's, and one of a training with another configuration than that of `results.json`.

    Args:
        folder (`Path`): Of the run.
        **places: As in [`read_run`]; by default those that an earlier [`remember_sources`] has recorded.
    """
    places = {**_remembered(folder), **{name: place for name, place in places.items() if place is not None}}
    run = read_run(folder, **places)
    since = _training_began(folder)
    where = {part: Path(places.get(part) or folder / part).expanduser() for part in _OF_THE_MODEL}
    changes: dict[str, Any] = {}
    calibration = where["calibration"] / "calibration.json"
    if run.calibration is not None and (_is_older(calibration, since) or _is_of_another_model(run)):
        changes |= {"calibration": None, "calibration_history": None}
    effects = [where["rate"] / "effects.json", where["rate"] / "effects" / "effects.json"]
    if run.rate is not None and _is_older(next(path for path in effects if path.is_file()), since):
        changes["rate"] = None
    kept = [result for result in run.evaluations if not _is_older(Path(str(result.source)), since)]
    old = {
        name for path in where["evaluation"].rglob("results.json") if _is_older(path, since) for name in _sets(path)
    }
    probes = {name: figures for name, figures in run.probes.items() if name not in old}
    changes |= {} if len(kept) == len(run.evaluations) else {"evaluations": kept}
    changes |= {} if len(probes) == len(run.probes) else {"probes": probes}
    files = [path for path in where["mismatch"].rglob("*") if path.is_file()]
    if run.mismatch and all(_is_older(path, since) for path in files):
        changes["mismatch"] = []
    outdated = tuple(sorted(set(changes) - {"calibration_history"}))
    if outdated:
        logger.warning("Not in the model card, as it is of an earlier model in this folder: %s", ", ".join(outdated))
    return CardEvidence(dataclasses.replace(run, **changes), outdated)


def remember_sources(folder: Path, places: Mapping[str, str | Path | None]) -> None:
    """Record where evidence of a run lies that is not in its folder, so that later cards have it too."""
    named = {name: str(Path(place).expanduser().resolve()) for name, place in places.items() if place is not None}
    if named:
        content = _remembered(folder) | named
        write_text_atomically(folder / SOURCES_FILE, json.dumps(content, indent=2) + "\n")


def outdated_files(folder: Path) -> list[str]:
    """Files with evidence, by their paths in the folder, that were written before the training of the model began."""
    since = _training_began(folder)
    found = [path for part in _OF_THE_MODEL for path in (folder / part).rglob("*") if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in found if _is_older(path, since))


def _remembered(folder: Path) -> dict[str, str]:
    path = folder / SOURCES_FILE
    if not path.is_file():
        return {}
    content = {name: str(place) for name, place in read_object(path).items() if name in _SOURCES}
    for name in [name for name, place in content.items() if not Path(place).is_dir()]:
        logger.warning("The model card has no %s results: they are not at %s any more", name, content.pop(name))
    return content


def _training_began(folder: Path) -> float | None:
    try:
        return datetime.fromisoformat(read_object(folder / FACTS_FILE)["training_began"]).timestamp()
    except (DamagedEvidence, KeyError, TypeError, ValueError):  # not trained by us, or by an earlier version
        return None


def _is_older(path: Path, since: float | None) -> bool:
    # A copied or downloaded file may be younger than its content, never older
    return since is not None and path.is_file() and path.stat().st_mtime < since


def _sets(path: Path) -> list[str]:
    return list(read_object(path).get("sets") or ())


def _is_of_another_model(run: RunEvidence) -> bool:
    source = (run.calibration or {}).get("provenance")
    if not isinstance(source, Mapping):
        return False
    command, own = source.get("command"), (run.results or {}).get("provenance")
    if isinstance(command, list) and command and str(command[0]).endswith("tasks/calibrate.py"):
        recorded = (source.get("model") or {}).get("sha256") or {}
        return bool(recorded) and recorded != _weights(run.folder, recorded)
    # of a training, which records the model that it began with: its configuration tells one training from another
    return isinstance(own, Mapping) and "config" in source and source["config"] != own.get("config")


def _weights(folder: Path, recorded: Mapping[str, str]) -> dict[str, str]:
    found = {path.name: path for path in folder.glob("*.safetensors")}
    if not found:  # nothing to compare with
        return dict(recorded)
    hashes = {}
    for name, path in found.items():
        with path.open("rb") as stream:
            hashes[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return hashes
