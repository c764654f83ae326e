"""From stored responses and ratings to the mismatch degrees of one reward model."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import transformers

from tasks.atomic_files import remove_stale
from tasks.charm.score_config import SCORE_KEYS
from tasks.charm.score_run import as_messages, make_scorer
from tasks.config_keys import check_folder_name
from tasks.json_files import write_json
from tasks.provenance import command, hash_rows, model_identity, package_versions
from tasks.rewardbench.evaluation import check_model, safe_name
from tasks.train_config import ConfigError
from trl_ext import reporting
from trl_ext.arena import (
    RatingAgreement,
    choose_pairs,
    mismatch_table,
    rating_agreement,
    read_leaderboard,
    read_responses,
    score_responses,
)
from trl_ext.atomic_files import write_text_atomically
from trl_ext.data import resolve_model
from trl_ext.privacy import hide_private
from trl_ext.scoring.processes import on_main_process, process_state


logger = logging.getLogger("tasks.charm.mismatch")


def run_mismatch(config: Mapping[str, Any], sacred_run: Any) -> dict[str, Any]:
    """
    Score, compare with the ratings, and write the files.

    Args:
        config (`Mapping`): Configuration of the script.
        sacred_run (`Run`): Sacred's record.

    Returns:
        `dict[str, Any]`: Correlation with the ratings, and the pair that differs most.

    Raises:
        ConfigError: On a mistake in the configuration or the data.
    """
    transformers.utils.logging.set_verbosity_warning()
    logging.getLogger("trl_ext").setLevel(logging.INFO)
    output = Path(config["output_dir"]).expanduser()
    name = config["name"] or safe_name(config["model"])
    check_folder_name(name, "name" if config["name"] else "model")
    try:
        check_model(config)
        ratings = read_leaderboard(
            Path(config["ratings"] or output / "ratings.csv").expanduser(),
            **{key: config[key] for key in ("style_control", "category", "snapshot")},
        )
        source = Path(config["responses"] or output / "responses").expanduser()
        responses = read_responses(source, config["models"], on_failure=config["on_failure"])
        ratings.index(responses.models)  # tells of a model without rating before anything is scored
        if config["prompt_format"] == "chat":
            responses = as_messages(responses)
        scorer = make_scorer({key: config[key] for key in SCORE_KEYS})
        scores = score_responses(scorer, responses, output / "scores" / name, overwrite=config["overwrite"])
        options = {key: config[key] for key in ("level", "rating_uncertainty", "seed")} | {
            "bootstrap": config["draws"]
        }
        table = mismatch_table(scores, ratings, ties=config["ties"], **options)
        agreement = rating_agreement(scores, ratings, **options)
        reason = choose_pairs(table).reason
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error
    found = {
        "agreement": {key: value for key, value in agreement.to_dict().items() if key != "models"},
        "choice": reason,
    }
    results = {
        "name": name,
        **found,
        "mismatch": table.to_dict("records"),
        "models": agreement.table.to_dict("records"),
        "data": {"prompts": len(responses), "models": list(responses.models), "ratings_method": ratings.method},
        "provenance": {
            "command": command("tasks/charm/mismatch.py"),
            "config": dict(config),
            "versions": package_versions(),
            "model": model_identity(config["model"], resolve_model(config["model"])),
            "scores_sha256": hash_rows(scores.to_long(), ["prompt_id", "source", "reward"]),
            "ratings_sha256": hash_rows(ratings.table, list(ratings.table.columns)),
        },
    }
    folder = output / "mismatch" / name
    on_main_process(lambda: _write(folder, table, agreement, results, config))
    if process_state().is_main_process:
        sacred_run.info["mismatch"] = hide_private(found)
        columns = ["model", "reference", "win_rate", "expected_win_rate", "mismatch", "ci_low", "ci_high"]
        largest = table.reindex(table["mismatch"].abs().sort_values(ascending=False).index).head(10)
        print(f"\n{largest[columns].to_string(index=False, float_format='{:.3f}'.format)}\n\n{reason}\n")
        print(f"All figures: {folder / 'report.json'}")
    return {"spearman": agreement.spearman.value, "choice": reason}


def _write(
    folder: Path, table: pd.DataFrame, agreement: RatingAgreement, results: dict[str, Any], config: Mapping[str, Any]
) -> None:
    remove_stale(folder, "*.png", "*.csv", "report.json")
    write_text_atomically(folder / "mismatch.csv", table.to_csv(index=False))
    write_text_atomically(folder / "agreement.csv", agreement.table.to_csv(index=False))
    title = results["name"]
    jobs: dict[str, Callable[[Path], Any]] = {
        "heat_map": lambda path: reporting.plot_mismatch(table, path, level=config["level"], title=title),
        "reward_rating": lambda path: reporting.plot_reward_against_rating(agreement, path, title=title),
    }
    drawn = {}
    for stem, draw in jobs.items() if config["plots"] else ():
        try:
            draw(folder / f"{stem}.png")
            drawn[stem] = f"{stem}.png"
        except (ImportError, ValueError) as error:
            logger.warning("plot %s was not drawn: %s", stem, error)
            drawn[stem] = f"not drawn: {error}"
    # the last one: what is there is complete
    write_json(folder / "report.json", results | {"plots": drawn})
