"""One run of `tasks/calibrate.py`: score the pairs, fit on some questions, measure on the others, store."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import transformers
from datasets import Dataset, concatenate_datasets

from tasks.calibration_files import FOLDER, format_calibration, write_calibration
from tasks.pair_calibration import MeasuredCalibration, calibrate_pairs, cross_calibrate_pairs
from tasks.pair_groups import question_groups, split_by_question
from tasks.provenance import command, hash_pairs, model_identity, package_versions
from tasks.rapl.lie_data import load_lie_preferences
from tasks.train_config import ConfigError
from tasks.train_report import known_truth
from trl_ext import RewardScorer
from trl_ext.data import load_demo_preferences, resolve_model
from trl_ext.data.loading import load_preferences
from trl_ext.data.preference import PREFERENCE_COLUMNS, validate_preferences
from trl_ext.scoring import RewardCalibration, read_calibration, save_calibration
from trl_ext.scoring.processes import process_state


logger = logging.getLogger("tasks.calibrate")


def load_pairs(config: dict[str, Any]) -> Dataset:
    """Held-out pairs. Of the demo, those of its validation and test questions, labelled by its unreliable annotators."""
    if config["data"] == "demo":
        splits = load_demo_preferences(seed=config["demo_seed"])
        pairs = concatenate_datasets([splits["validation"], splits["test"]])
    elif Path(config["data"]).name.startswith("LIE_"):
        pairs = load_lie_preferences(config["data"])
    else:
        names = {ours: config[f"{ours}_col_name"] for ours in ("prompt", "chosen", "rejected")}
        pairs = load_preferences(config["data"], columns={o: t for o, t in names.items() if o != t})
    optional = {name: PREFERENCE_COLUMNS[name] for name in ("label", "weight") if name in pairs.column_names}
    pairs = validate_preferences(pairs, name="data", numeric_columns=optional)
    return pairs.select(range(min(config["max_rows"] or len(pairs), len(pairs))))


def run(config: dict[str, Any], sacred_run: Any) -> dict[str, float]:
    """
    Calibrate a model as `tasks/calibrate.py` configures it.

    Args:
        config (`dict`): The configuration.
        sacred_run (`sacred.run.Run`): Where the figures are recorded.

    Returns:
        `dict[str, float]`: ECE raw and calibrated, and its change.
    """
    transformers.utils.logging.set_verbosity_warning()
    try:
        pairs = load_pairs(config)
        _check_pairs(config, pairs)
        policy = {} if config["max_length"] is None else {"max_length_policy": "truncate_prompt_left"}
        scorer = RewardScorer(
            config["model"],
            dtype=config["dtype"],
            max_length=config["max_length"],
            require_trained_head=True,
            **policy,
        )
        table = scored_pairs(scorer, pairs)
        options = {
            **{"method": config["method"], "eta": config["eta"], "offsets": config["offsets"]},
            **{"length": config["length"], "base": _stored_corrections(config)},
            **{"processing_class": scorer.processing_class, "seed": config["seed"]},
            "truth_column": config["correctness_label_col_name"],
        }
        name = Path(config["data"]).name
        if config["fit_share"] is None:
            measured = cross_calibrate_pairs(table, name=f"held-out pairs of {name}", **options)
        else:
            parts = split_by_question(table, config["fit_share"], config["seed"])
            measured = calibrate_pairs(*parts, names=tuple(f"{part} of {name}" for part in ("fit", "rest")), **options)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error
    if process_state().is_main_process:
        _write(config, scorer, pairs, measured)
        sacred_run.info["figures"] = {"ece_change": measured.to_labels.ece_change.to_dict()}
    change = measured.to_labels
    return {
        "ece_raw": change.raw.ece.value,
        "ece_calibrated": change.calibrated.ece.value,
        "ece_change": change.ece_change.value,
    }


def _check_pairs(config: dict[str, Any], pairs: Dataset) -> None:
    """Before the model scores them: questions and truth must be known, and no pair may have trained the model."""
    table = pairs.to_pandas()
    question_groups(table)
    if (truth := config["correctness_label_col_name"]) in table.columns:
        known_truth(table, truth)
    path = Path(config["model"]).expanduser() / "results.json"
    if not path.is_file():
        return
    run = json.loads(path.read_text(encoding="utf-8")).get("provenance") or {}
    if (run.get("data_sha256") or {}).get("train") == hash_pairs(pairs):
        raise ValueError(f"{config['data']!r} are the pairs that {config['model']!r} was trained on: give others")
    trained = run.get("config") or {}
    seed = trained.get("demo_seed")
    demo = trained.get("train_data_path") == "demo" and trained.get("lie_data_dir") is None
    if config["data"] == "demo" and demo and seed != config["demo_seed"]:
        raise ValueError(
            f"{config['model']!r} was trained on the demo of demo_seed={seed}: of another seed, some of its questions are held-out "
            f"pairs. Set demo_seed={seed}."
        )


def scored_pairs(scorer: RewardScorer, pairs: Dataset) -> pd.DataFrame:
    """Pairs with their raw rewards, `reward_chosen` and `reward_rejected`."""
    rewards = np.asarray(scorer.score_dataset(pairs)["reward"], dtype=np.float64).reshape(-1, 2)
    return pairs.to_pandas().assign(reward_chosen=rewards[:, 0], reward_rejected=rewards[:, 1])


def _stored_corrections(config: dict[str, Any]) -> RewardCalibration | None:
    """Offsets and curve of length that are stored with the model already: they stay, unless they are fitted anew."""
    try:
        stored = read_calibration(config["model"])
    except ValueError:  # none, which is the rule
        return None
    parts = {
        "source_offsets": None if config["offsets"] else stored.source_offsets,
        "length_curve": None if config["length"] else stored.length_curve,
    }
    if not any(parts.values()):
        return None
    gauge = stored.gauge if parts["source_offsets"] is not None else None
    logger.warning("kept of the stored calibration: %s", ", ".join(name for name, part in parts.items() if part))
    return dataclasses.replace(stored, preference=None, gauge=gauge, **parts)


def _write(config: dict[str, Any], scorer: RewardScorer, pairs: Dataset, measured: MeasuredCalibration) -> None:
    path = resolve_model(config["model"])
    local = Path(path).is_dir() and config["store"]
    default = path if local else f"outputs/calibrate-{Path(config['model']).name}"
    folder = Path(config["output_dir"] or default, FOLDER)
    provenance = {
        "model": model_identity(config["model"], path, scorer.model),
        "command": command("tasks/calibrate.py"),
        "config": dict(config),
        "versions": package_versions(),
        "seed": config["seed"],
        "data_sha256": hash_pairs(pairs),
    }
    write_calibration(folder, measured, provenance)
    if config["store"]:
        save_calibration(path, measured.calibration, overwrite=True)
    print(f"\n{format_calibration(measured)}\n")
    if config["store"]:
        print(f"Stored with the model in {config['model']}; a plain load still gives raw rewards. Apply it with\n")
        print(
            f'    from trl_ext.scoring import CalibratedScorer\n    scorer = CalibratedScorer.from_pretrained("{config["model"]}")'
        )
        print('    scorer.preference_probability(["2 + 2 = "], ["4"], ["5"])\n')
    print(f"Figures and diagrams are in {folder}.")
