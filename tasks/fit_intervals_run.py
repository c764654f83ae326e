"""One run of `tasks/fit_intervals.py`: compare the pairs, fit on some questions, measure on the others, store."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import transformers

from tasks.calibrate_run import load_pairs
from tasks.json_files import write_json
from tasks.pair_groups import question_groups, split_by_question
from tasks.provenance import command, hash_pairs, model_identity, package_versions
from tasks.train_config import ConfigError
from trl_ext import RewardScorer
from trl_ext.data import resolve_model
from trl_ext.evaluation import Estimate
from trl_ext.evaluation.statistics import mean_estimate
from trl_ext.scoring import RewardUncertainty, fit_conformal_intervals, fit_preference_sets, save_uncertainty
from trl_ext.scoring.processes import process_state


FILE = "uncertainty.json"


def run(config: dict[str, Any], sacred_run: Any) -> dict[str, float]:
    """
    Fit as `tasks/fit_intervals.py` configures it.

    Args:
        config (`dict`): The configuration.
        sacred_run (`sacred.run.Run`): Where the figures are recorded.

    Returns:
        `dict[str, float]`: Measured figures.
    """
    transformers.utils.logging.set_verbosity_warning()
    try:
        pairs = load_pairs(config)
        table = pairs.to_pandas()
        signs, target = _signs(table), config["target_col_name"]
        for column in ("prompt", *([target] if target else [])):
            if column not in table.columns:
                raise ValueError(f"the pairs have no column {column!r}; they have {', '.join(table.columns)}")
        policy = {} if config["max_length"] is None else {"max_length_policy": "truncate_prompt_left"}
        scorer = RewardScorer(
            config["model"],
            dtype=config["dtype"],
            max_length=config["max_length"],
            require_trained_head=True,
            **policy,
        )
        d, sd = scorer.pair_differences(pairs["prompt"], pairs["chosen"], pairs["rejected"])
        if config["use_sd"] and sd is None:
            raise ValueError("use_sd=True, but the model has one output, and so no standard deviation of differences")
        use_sd = sd is not None and config["use_sd"] is not False
        table = table.assign(_d=d, _sd=sd if use_sd else 1.0, _sign=signs)
        fit, measure = split_by_question(table, config["fit_share"], config["seed"])
        fitted = _fit(fit, config, use_sd)
        figures = _measure(measure, fitted, target, use_sd)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error
    if process_state().is_main_process:
        _write(config, scorer, pairs, fitted, figures, {"fit": len(fit), "measured": len(measure)})
        sacred_run.info["figures"] = {name: figure.to_dict() for name, figure in figures.items()}
    return {name: figure.value for name, figure in figures.items()}


def _signs(table: pd.DataFrame) -> np.ndarray:
    """1 where the label says that chosen is better, -1 where it says rejected."""
    if "label" not in table.columns:
        return np.ones(len(table))
    labels = table["label"].to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isin(labels, (0.0, 1.0)))
    if bad.size:
        raise ValueError(
            f"column 'label' has {bad.size} values that are neither 0 nor 1; first: row {bad[0]}, value {labels[bad[0]]:g}. What "
            "is wrong of a statement is only told by hard labels."
        )
    return 2 * labels - 1


def _fit(fit: pd.DataFrame, config: dict[str, Any], use_sd: bool) -> RewardUncertainty:
    options = {
        "alpha": config["alpha"],
        "sds": fit["_sd"] if use_sd else None,
        "clusters": list(question_groups(fit)),
        "seed": config["seed"],
    }
    intervals = None
    if config["target_col_name"]:
        intervals = fit_conformal_intervals(
            fit["_d"], fit[config["target_col_name"]], scale=config["scale"], **options
        )
    sets = fit_preference_sets(fit["_d"] * fit["_sign"], guarantee=config["guarantee"], **options)
    return RewardUncertainty(intervals, sets, f"{len(fit)} pairs of {Path(config['data']).name}")


def _measure(
    measure: pd.DataFrame, fitted: RewardUncertainty, target: str | None, use_sd: bool
) -> dict[str, Estimate]:
    sds = measure["_sd"] if use_sd else None
    right = fitted.preference_sets.decide(measure["_d"], sds) * measure["_sign"].to_numpy()
    stated, questions = right != 0, question_groups(measure)
    figures = {
        "stated": mean_estimate(stated.astype(float), questions),
        "wrong_of_all": mean_estimate((right < 0).astype(float), questions),
    }
    if stated.any():
        figures["wrong_of_stated"] = mean_estimate((right[stated] < 0).astype(float), questions[stated])
    if fitted.intervals is not None:
        low, high = fitted.intervals.intervals(measure["_d"], sds)
        values = measure[target].to_numpy(dtype=np.float64)
        figures["covered"] = mean_estimate(((low <= values) & (values <= high)).astype(float), questions)
        figures["width"] = mean_estimate(high - low, questions)
        figures["without_0"] = mean_estimate(((low > 0) | (high < 0)).astype(float), questions)
    return figures


_TITLES = {
    "stated": "pairs with a statement",
    "wrong_of_all": "wrong statements, of all pairs",
    "wrong_of_stated": "wrong statements, of those made",
    "covered": "targets inside of their intervals",
    "width": "width of an interval, in units of the target",
    "without_0": "intervals without 0, which decide the pair",
}


def _write(config, scorer, pairs, fitted: RewardUncertainty, figures: dict[str, Estimate], counts) -> None:
    path = resolve_model(config["model"])
    local = Path(path).is_dir() and config["store"]
    default = path if local else f"outputs/intervals-{Path(config['model']).name}"
    folder = Path(config["output_dir"] or default)
    parts = {"preferences": fitted.preference_sets, "intervals": fitted.intervals}
    statements = {name: part.statement for name, part in parts.items() if part is not None}
    write_json(
        folder / FILE,
        {
            **fitted.to_dict(),
            "statements": statements,
            "pairs": counts,
            "measured": {name: figure.to_dict() for name, figure in figures.items()},
            "provenance": {
                "model": model_identity(config["model"], path, scorer.model),
                "command": command("tasks/fit_intervals.py"),
                "config": dict(config),
                "versions": package_versions(),
                "seed": config["seed"],
                "data_sha256": hash_pairs(pairs),
            },
        },
    )
    if config["store"]:
        save_uncertainty(path, fitted, overwrite=True)
    for name, statement in statements.items():
        print(f"\n{name.capitalize()}: {statement}")
    print(f"\nFitted on {counts['fit']} pairs, measured on {counts['measured']} of other questions:")
    for name, figure in figures.items():
        print(f"{_TITLES[name]:46}{figure.value:.3f} [{figure.ci_low:.3f}, {figure.ci_high:.3f}]")
    print("(95 % confidence intervals, clustered by question)")
    if config["store"]:
        print(f"\nStored with the model in {config['model']}: RewardScorer(...).compare_pairs applies them.")
    print(f"Figures are in {folder / FILE}.")
