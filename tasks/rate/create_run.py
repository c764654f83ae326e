"""Creation of a data set: texts are read and written down, rewritten, judged, and written in the original's layout."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers

from tasks.json_files import as_recorded, write_json
from tasks.log_levels import show_own_news
from tasks.provenance import command, package_versions
from tasks.rate.create_attribute import configured_originals
from tasks.rate.create_config import RULES, resolve
from tasks.rate.create_rewriter import EXPECTED_ERRORS, configured_rewriter, estimate, known_words
from tasks.train_config import ConfigError
from trl_ext.atomic_files import write_text_atomically
from trl_ext.json_lines import as_lines
from trl_ext.rate import (
    OriginalTexts,
    TextChains,
    Vocabulary,
    original_file_name,
    rewrite_chains,
    rewrite_quality,
    write_original_rewrites,
    write_original_template,
)
from trl_ext.rate.rewriting.rewrite_files import RewriteFile


logger = logging.getLogger("tasks.rate")

ORIGINALS, REWRITES, ANSWERS, QUALITY = "originals.jsonl", "rewrites.jsonl", "answers.jsonl", "quality.json"
ORIGINALS_RECORD = "originals.meta.json"
_OF_THE_CALL = ("versions", "command")


def run_creation(config: Mapping[str, Any], sacred_run: Any) -> dict[str, Any]:
    """
    Create a data set of texts and rewrites in `<output_dir>/<name>`.

    Args:
        config (`Mapping`): Configuration of the script.
        sacred_run (`Run`): Sacred's record.

    Returns:
        `dict`: Counts, the verdict on the rewrites, and the folder; of a dry run, the estimate.

    Raises:
        ConfigError: On a mistake in the configuration or the data, or if too many rewrites failed.
    """
    transformers.utils.logging.set_verbosity_warning()
    show_own_news()
    smoke_test = config["smoke_test"]
    config = resolve(config)
    folder = Path(config["output_dir"]).expanduser() / config["name"]
    try:
        originals = configured_originals(config)
        _print_originals(originals)
        if config["dry_run"]:
            return _tell(estimate(originals, config, folder / ANSWERS), sacred_run)
        # What is missing, or made otherwise before, is found before files are written
        rewriter = configured_rewriter(originals, config, folder / ANSWERS)
        if not config["overwrite"]:
            check_originals(originals, folder)
            RewriteFile(folder / REWRITES, originals.chains, originals.attribute, rewriter).read()
        write_originals(originals, folder)
        chains = rewrite_chains(
            originals.chains,
            originals.attribute,
            rewriter,
            steps=config["steps"],
            path=folder / REWRITES,
            overwrite=config["overwrite"],
            retry_failures=config["retry_failures"],
            progress=config["progress"],
        )
        result = judge(chains, originals, folder, known_words(originals, config))
        if config["export_original"]:
            result["original"] = export(chains, originals, folder, config, smoke_test)
    except EXPECTED_ERRORS as error:
        raise ConfigError(str(error)) from error
    sacred_run.info["rewrites"] = as_recorded(result | {"command": command("tasks/rate/create_dataset.py")})
    print(f"Rewrites: {folder / REWRITES}")
    return result


def check_originals(originals: OriginalTexts, folder: Path) -> None:
    """Raise a `ValueError` if the folder has other originals."""
    path = folder / ORIGINALS
    if path.is_file() and path.read_text(encoding="utf-8") != as_lines(originals.chains.rows()):
        raise ValueError(f"{path} has other texts. Give another `name` or output_dir, or set overwrite=True")


def write_originals(originals: OriginalTexts, folder: Path) -> None:
    """Write the originals and how they were found. A record that says the same stays, with the command that made them."""
    write_text_atomically(folder / ORIGINALS, as_lines(originals.chains.rows()))
    found = {
        "attribute": originals.attribute.name,
        "treated": originals.attribute.treated,
        "untreated": originals.attribute.untreated,
        "classifier": dict(originals.attribute.settings),
        **originals.report,
    }
    path = folder / ORIGINALS_RECORD
    if _recorded(path) != as_recorded(found):
        write_json(path, found | {"versions": package_versions(), "command": command("tasks/rate/create_dataset.py")})


def _recorded(path: Path) -> dict[str, Any] | None:
    """What a record says of the originals, whichever call wrote it."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {key: value for key, value in record.items() if key not in _OF_THE_CALL}
    except (OSError, ValueError, AttributeError):
        return None


def judge(chains: TextChains, originals: OriginalTexts, folder: Path, vocabulary: Vocabulary | None) -> dict[str, Any]:
    """Write and print what is wrong with the rewrites."""
    quality = rewrite_quality(chains, originals.attribute, vocabulary=vocabulary)
    # with the rows to keep, which score.py reads
    write_json(folder / QUALITY, quality.to_dict() | {"keep": quality.keep.tolist()})
    print(quality.format())
    return {
        "rows": len(chains),
        "complete": int(chains.complete.sum()),
        "kept": int(quality.keep.sum()),
        "verdict": quality.verdict,
        "folder": str(folder),
    }


def export(
    chains: TextChains, originals: OriginalTexts, folder: Path, config: Mapping[str, Any], smoke_test: bool
) -> str:
    """Write rewrites and template as the original does, below `original/data/rewrites`. Returns the name of the file."""
    target = folder / "original" / "data" / "rewrites"
    name = original_file_name("rewrites", config["name"], smoke_test=smoke_test)
    write_original_rewrites(chains, target / name)
    write_original_template(
        originals.attribute,
        target / original_file_name("template", config["name"]),
        dataset=config["name"],
        rows=len(chains),
        model=config["model"] or config["rewriter"],
        temperature=None if config["rewriter"] == RULES else config["temperature"],
    )
    print(f"Original layout: {target / name}")
    return name


def _print_originals(originals: OriginalTexts) -> None:
    report = originals.report
    left_out = ", ".join(f"{reason} {count}" for reason, count in report["left_out"].items()) or "none"
    print(
        f"{report['kept']} texts of {report['source']} (layout {report['layout']}): {report['kept_treated']} "
        f"{originals.attribute.treated}, {report['kept_untreated']} {originals.attribute.untreated}; left out: {left_out}"
    )


def _tell(found: dict[str, Any], sacred_run: Any) -> dict[str, Any]:
    sacred_run.info["estimate"] = as_recorded(found)
    for key, value in found.items():
        if key != "steps":
            print(f"{key:<24} {value}")
    print("Dry run: nothing was sent or written.")
    return found
