"""From scores, responses and ratings to calibrated preference pairs and their report."""

import json
import logging
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from tasks.charm.calibrate_config import PLACES, resolve_config
from tasks.charm.calibrate_inputs import CalibrationInputs, read_inputs
from tasks.json_files import as_recorded, write_json
from tasks.provenance import command, hash_file, package_versions
from tasks.train_config import ConfigError
from trl_ext.arena import (
    JointOffsets,
    RatingTable,
    ScoreTable,
    calibrated_pairs_with_report,
    choose_pairs,
    mismatch_degree,
    mismatch_table,
    offset_estimate,
    solve_joint_offsets,
    solve_offset,
    write_original_pairs,
)
from trl_ext.arena.offsets.rating_weights import expected_variances
from trl_ext.arena.responses.original_layout import same_original_pairs
from trl_ext.atomic_files import atomic_path


logger = logging.getLogger("tasks.charm.calibrate")

PAIRS, REPORT = "pairs.jsonl", "report.json"
_JOINT_METHODS = {"paired": "hard", "soft_paired": "soft", "reference": "reference"}


def run_calibration(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    Calibrate, unless it was done with the same settings and data.

    Args:
        config (`Mapping[str, Any]`): Of `CALIBRATE_KEYS`.

    Returns:
        `dict[str, Any]`: The report.

    Raises:
        ConfigError: A file is missing or wrong, or results of other settings are there.
    """
    try:
        return _run(resolve_config(config))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error


def _run(config: dict[str, Any]) -> dict[str, Any]:
    folder = Path(config["output_dir"], "calibration", config["rm"], config["name"] or "")
    inputs = read_inputs(config)
    settings = as_recorded({key: value for key, value in config.items() if key not in PLACES})
    finished = _finished(folder, settings, inputs.hashes, config["overwrite"])
    if finished is not None:
        _write_preferences(folder / PAIRS, config["preference_output_dir"])
        logger.info("%s has been written with these settings.", folder / PAIRS)
        return finished

    table = mismatch_table(
        inputs.scores,
        inputs.ratings,
        ties=config["mismatch_ties"],
        level=config["level"],
        bootstrap=config["bootstrap"],
        seed=config["seed"],
    )
    choice, offsets = _offsets(config, inputs.scores, inputs.ratings, table)
    rows, report = calibrated_pairs_with_report(
        inputs.responses,
        inputs.scores,
        offsets,
        inputs.ratings,
        labels=config["labels"],
        pairs="extremes" if config["pairs"] == "extremes" else None,
        ties=config["ties"],
        temperature=config["label_temperature"],
        min_margin=float(config["min_margin"]),
        mismatch_ties=config["mismatch_ties"],
    )
    if config["method"] == "paired" and choice is not None:
        for pair in report["pairs"]:
            pair["offset_interval"] = _offset_interval(inputs, pair, config["mismatch_ties"], config["level"])
    report = {
        "settings": settings,
        "method": config["method"],
        "choice": choice,
        "joint": offsets.to_dict() if isinstance(offsets, JointOffsets) else None,
        **report,
        "mismatch": table.to_dict("records"),
        "all_pairs": _mean_mismatch(config, inputs.scores, inputs.ratings, report["pairs"]) if choice else None,
        "unanswered": inputs.unanswered,
        "heldout": _heldout(config, inputs, report["pairs"]),
        "ratings_method": inputs.ratings.method,
        "provenance": {
            "versions": package_versions(),
            "command": command("tasks/charm/calibrate.py"),
            "hashes": inputs.hashes,
        },
    }
    # the report says that all is done: it goes first when results are replaced, and comes last
    (folder / REPORT).unlink(missing_ok=True)
    _write_lines(rows, folder / PAIRS)
    _write_preferences(folder / PAIRS, config["preference_output_dir"])
    report["provenance"]["pairs_sha256"] = hash_file(folder / PAIRS)
    write_json(folder / REPORT, _plain(report))
    logger.info(_summary(report))
    return json.loads((folder / REPORT).read_text(encoding="utf-8"))


def _finished(
    folder: Path, settings: Mapping[str, Any], hashes: Mapping[str, str], overwrite: bool
) -> dict[str, Any] | None:
    """The report that is there, if it is of these settings and data."""
    if overwrite or not (folder / REPORT).is_file():
        return None
    report = _read_report(folder / REPORT)
    ways_out = "Set overwrite=True to replace them, or name=... to keep both (calibration/<rm>/<name>), or another output_dir."
    written_with = {key: value for key, value in report["settings"].items() if key not in PLACES}
    for what, there, here in (
        ("setting", written_with, settings),
        ("content of", report["provenance"]["hashes"], hashes),
    ):
        for key in sorted(there.keys() | here.keys()):
            if there.get(key) != here.get(key):
                change = f": {there.get(key)!r} there, {here.get(key)!r} here" if what == "setting" else ""
                raise ConfigError(f"{folder} has results of another {what} {key!r}{change}. {ways_out}")
    if not (folder / PAIRS).is_file() or hash_file(folder / PAIRS) != report["provenance"]["pairs_sha256"]:
        logger.warning("%s is not as it was written; it is written again.", folder / PAIRS)
        return None
    return report


def _read_report(path: Path) -> dict[str, Any]:
    """A report with the fields that tell what it is of."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(part, dict) for part in (report["settings"], report["provenance"]["hashes"])):
            report["provenance"]["pairs_sha256"]
            return report
        problem = "settings and hashes must be objects"
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        problem = str(error)
    except (KeyError, TypeError) as error:
        problem = f"it has no settings or provenance ({error})"
    raise ConfigError(f"{path} is damaged: {problem}. Remove it, or set overwrite=True, to calibrate again.")


def _offsets(
    config: Mapping[str, Any], scores: ScoreTable, ratings: RatingTable, table: pd.DataFrame
) -> tuple[dict[str, Any] | None, Any]:
    """How pairs of models were chosen, and offsets by pair, or of all models together."""
    if config["pairs"] in ("all", "extremes"):
        joint = solve_joint_offsets(
            scores, ratings, method=_JOINT_METHODS[config["method"]], temperature=config["temperature"]
        )
        return None, joint
    choice = choose_pairs(
        table,
        choice=config["choice"],
        overvalued=config["overvalued"],
        reference=config["reference"],
        level=config["level"],
        ratings=ratings,
    )
    if not choice.pairs:
        raise ConfigError(
            f"there is no pair to calibrate: {choice.reason}. Name overvalued and reference to do it anyway."
        )
    chosen = choice.pairs if config["pairs"] == "significant" else choice.pairs[:1]
    offsets = {}
    for pair in chosen:
        solution = solve_offset(
            scores.of(pair.overvalued),
            scores.of(pair.reference),
            ratings.win_probability(pair.overvalued, pair.reference),
            method=config["method"],
            temperature=config["temperature"],
            ties=config["mismatch_ties"],
        )
        if not solution.attainable:
            logger.warning(
                "Tied differences of %s and %s: no offset gives the expected win rate; the mismatch degree is %.4f.",
                pair.overvalued,
                pair.reference,
                solution.mismatch_after,
            )
        offsets[pair.overvalued, pair.reference] = solution
    return choice.to_dict(), offsets


def _offset_interval(inputs: CalibrationInputs, pair: Mapping[str, Any], ties: str, level: float) -> dict[str, Any]:
    """Confidence interval of an exact offset, from the prompts and the ratings."""
    names = (pair["model"], pair["reference"])
    return offset_estimate(
        inputs.scores.of(names[0]),
        inputs.scores.of(names[1]),
        pair["expected_win_rate"],
        expected_win_rate_se=float(np.sqrt(expected_variances(inputs.ratings, names)[0, 1])),
        ties=ties,
        level=level,
    ).to_dict()


def _mean_mismatch(
    config: Mapping[str, Any], scores: ScoreTable, ratings: RatingTable, pairs: list[dict[str, Any]]
) -> dict[str, float]:
    """Mean |mismatch degree| of all models' ordered pairs, without and with the offsets; a warning if they raise it."""
    amounts = np.zeros(len(scores.models))
    for pair in pairs:
        amounts[scores.index(pair["model"])] = pair["offset"]
    expected = ratings.win_probabilities(scores.models)
    before, after = (
        float(
            np.mean(
                [
                    abs(
                        mismatch_degree(
                            columns[:, first],
                            columns[:, second],
                            expected[first, second],
                            ties=config["mismatch_ties"],
                        )
                    )
                    for first, second in permutations(range(len(scores.models)), 2)
                ]
            )
        )
        for columns in (scores.scores, scores.scores + amounts)
    )
    if after > before:
        logger.warning(
            "With these offsets the mean |mismatch degree| of all pairs of models rises from %.3f to %.3f: the reference is "
            "misplaced itself, or several models are. Name another reference, or fit all models together with pairs=all.",
            before,
            after,
        )
    return {"mean_mismatch_before": before, "mean_mismatch_after": after}


def _heldout(
    config: Mapping[str, Any], inputs: CalibrationInputs, pairs: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Mismatch degrees of prompts that had no part in the offsets, without and with them."""
    if inputs.heldout is None:
        return []
    found = []
    for pair in pairs:
        names = (pair["model"], pair["reference"])
        before = inputs.heldout.select(names)
        after = ScoreTable(before.prompt_ids, names, before.scores + np.array([pair["offset"], 0.0]))
        for when, scores in (("before", before), ("after", after)):
            table = mismatch_table(
                scores,
                inputs.ratings,
                ties=config["mismatch_ties"],
                level=config["level"],
                bootstrap=config["bootstrap"],
                seed=config["seed"],
            )
            found.append({"when": when, **table[table["model"] == names[0]].iloc[0].to_dict()})
    return found


def _write_lines(rows: Dataset, path: Path) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_preferences(pairs: Path, folder: str | None) -> None:
    """The pairs in the original's layout, unless they are there."""
    if folder is None:
        return
    with pairs.open(encoding="utf-8") as file:
        rows = Dataset.from_list([json.loads(line) for line in file])
    if not same_original_pairs(rows, folder):
        write_original_pairs(rows, folder)
        logger.info("The pairs are in %s, in the original's layout.", folder)


def _plain(content: Any) -> Any:
    """Without NumPy's types, which JSON does not have."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return content.item() if isinstance(content, np.generic) else content


def _summary(report: Mapping[str, Any]) -> str:
    pairs = "; ".join(
        f"{pair['model']} {pair['offset']:+.4g} against {pair['reference']}, mismatch degree "
        f"{pair['mismatch_before']:+.3f} -> {pair['mismatch_after']:+.3f}"
        for pair in report["pairs"]
    )
    return f"{report['rows']} pairs, {report['flipped']} flipped. {pairs}."
