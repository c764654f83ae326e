"""Estimation of effects, and the files and the table of them."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.atomic_files import remove_stale
from tasks.provenance import command, package_versions
from tasks.rate.effects_config import resolve_effects
from tasks.rate.effects_inputs import EffectInputs, read_inputs
from tasks.rewardbench.evaluation import safe_name
from tasks.train_config import ConfigError
from trl_ext.privacy import hide_private
from trl_ext.rate import RateReport, estimate_effects, original_file_name, rate_report
from trl_ext.rate.original_files.effects import write_original_effects


logger = logging.getLogger("tasks.rate")

SCRIPT = "tasks/rate/effects.py"
EFFECTS = "effects"


def run_effects(config: Mapping[str, Any], sacred_run: Any) -> dict[str, float | None]:
    """
    Estimate effects and write them to `<output_dir>/effects`.

    Args:
        config (`Mapping`): Configuration of the script.
        sacred_run (`Run`): Sacred's record.

    Returns:
        `dict[str, float | None]`: RATE's ATE in standard deviations of reward, by `<data set>/<attribute>/<reward model>`.

    Raises:
        ConfigError: On a mistake in the configuration or the data.
    """
    for name in ("trl_ext", "tasks.rate"):
        logging.getLogger(name).setLevel(logging.INFO)
    config = resolve_effects(config)
    folder = Path(config["output_dir"]).expanduser() / EFFECTS
    try:
        inputs = read_inputs(config)
        options = ("level", "se", "bootstrap", "power", "correction", "seed", "baseline", "estimands")
        report = rate_report(
            inputs.chains,
            texts=inputs.facts,
            treated=inputs.treated,
            provenance=hide_private(
                {
                    "command": command(SCRIPT),
                    "config": config,
                    "versions": package_versions(),
                    "rewards_sha256": inputs.files,
                    "rewrites": inputs.quality,
                }
            ),
            **{key: config[key] for key in options},
        )
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error
    remove_stale(folder, "effects.json", "*.csv", "effects.md")
    path = report.write(folder)
    written = [path, *(write_reference(inputs, config, folder / "original") if config["reference"] else ())]
    found = ates(report)
    sacred_run.info["effects"] = hide_private({"ate_sd": found, "command": command(SCRIPT)})
    print("\n".join(["", *report.sentences(), *(f"Note: {note}" for note in report.notes), ""]))
    print("\n".join(f"Effects: {path}" for path in written))
    return found


def ates(report: RateReport) -> dict[str, float | None]:
    """RATE's ATE in standard deviations of reward by data set, attribute and reward model."""
    rows = report.effects[(report.effects["estimator"] == "rate") & (report.effects["estimand"] == "ATE")]
    return {
        f"{row.dataset}/{row.attribute}/{row.reward_model}": None
        if row.normalised != row.normalised
        else row.normalised
        for row in rows.itertuples()
    }


def write_reference(inputs: EffectInputs, config: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the original's effects files, with its formulas for standard errors, one for each reward model."""
    paths = []
    for (data_set, attribute), own in inputs.chains.items():
        for model, chains in own.items():
            name = original_file_name(EFFECTS, safe_name(data_set), concept=attribute, score=safe_name(model))
            keys = config.get("original_config") or {"dataset_name": data_set, "concept": attribute, "score": model}
            write_original_effects(estimate_effects(chains, se="reference"), folder / name, keys)
            paths.append(folder / name)
    return paths
