"""One run of `tasks/rate/synthetic.py`: rewards by level, effects and slopes, figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.atomic_files import atomic_path, remove_stale
from tasks.json_files import write_json
from tasks.provenance import command, package_versions
from tasks.rate.synthetic_config import experiment_names
from tasks.rate.synthetic_data import load_levels
from tasks.train_config import ConfigError
from trl_ext.rate import EXPERIMENTS, RewardChains, sweep_effects, synthetic_experiment


# Names of estimators in figures
DRAWN = {"naive_effect": "naive", "ATE_single_rewrite": "single_rewrite", "ATE_rewritten_rewrite": "rate"}


def run_synthetic(config: Mapping[str, Any], sacred_run: Any = None) -> dict[str, Any]:
    """
    Run the experiments as `tasks/rate/synthetic.py` configures them.

    Returns:
        `dict[str, Any]`: Slope of each estimator by experiment and reward model.
    """
    folder = Path(config["output_dir"]).expanduser() / config["name"]
    try:
        found = _own_data(config) if config["data"] is not None else _experiments(config)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error
    remove_stale(folder, "*.csv", "synthetic.json", "figures/*.csv", "figures/*.png")
    results, printed = {}, {}
    for name, (axis, truth, levels) in found.items():
        sweeps = {
            model: sweep_effects(tables, normalised=config["normalised"], level=config["level"])
            for model, tables in levels.items()
        }
        table = _table({model: sweep.table for model, sweep in sweeps.items()})
        slopes = _table({model: sweep.slope_table() for model, sweep in sweeps.items()})
        with atomic_path(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
        if not config["skip_plots"]:
            _plot(
                table,
                slopes,
                folder / "figures" / f"{name}.png",
                axis,
                None if config["normalised"] else truth,
                config,
            )
        figures = {model or "reward": sweep.to_dict() for model, sweep in sweeps.items()}
        results[name] = {"axis": axis, "truth": truth, "reward_models": figures}
        printed[name] = {model or "reward": _slopes(sweep.slopes) for model, sweep in sweeps.items()}
        unit = "sd of reward" if config["normalised"] else "reward"
        print(f"{name}: effects in {unit} at the first and the last level, and slope over levels")
        for model, sweep in sweeps.items():
            _tell(model, sweep)
    write_json(
        folder / "synthetic.json",
        {
            "experiments": results,
            "normalised": config["normalised"],
            "provenance": {
                "command": command("tasks/rate/synthetic.py"),
                "config": dict(config),
                "versions": package_versions(),
            },
        },
    )
    print(f"Written to {folder}")
    return printed


def _experiments(
    config: Mapping[str, Any],
) -> dict[str, tuple[str, float | None, dict[str, dict[float, RewardChains]]]]:
    found = {}
    for name in experiment_names(config):
        experiment = EXPERIMENTS[name]
        rewards = synthetic_experiment(
            name,
            n=config["n"],
            seed=config["seed"],
            levels=config["typo_levels" if name == "typos" else "levels"],
            repair_typos=config["repair_typos"],
            progress=config["progress"],
        )
        found[name] = (experiment.axis, experiment.truth, {"": rewards})
    return found


def _own_data(config: Mapping[str, Any]) -> dict[str, tuple[str, None, dict[str, dict[float, RewardChains]]]]:
    second = config["second"]
    axis = "level" if second is None else f"correlation with {second}"
    return {"levels" if second is None else f"correlated_{second}": (axis, None, load_levels(config))}


def _table(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table, with a column of reward models if they have names."""
    named = [part.assign(reward_model=model) if model else part for model, part in parts.items()]
    return pd.concat(named, ignore_index=True)


def _plot(
    table: pd.DataFrame, slopes: pd.DataFrame, path: Path, axis: str, truth: float | None, config: Mapping[str, Any]
) -> None:
    from trl_ext.reporting import plot_sweep

    drawn = table[table["estimator"].isin(slopes["estimator"])]
    if drawn.empty:
        return
    unit = "sd of reward" if config["normalised"] else "reward"
    drawn, slopes = (part.assign(estimator=part["estimator"].map(DRAWN)) for part in (drawn, slopes))
    plot_sweep(drawn, path, axis=axis, slopes=slopes, truth=truth, unit=unit)


def _slopes(slopes: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: None if slope is None else slope.value for name, slope in slopes.items()}


def _tell(model: str, sweep: Any) -> None:
    for name, rows in sweep.table.groupby("estimator", sort=False):
        first, last, slope = rows.iloc[0], rows.iloc[-1], sweep.slopes[name]
        told = "not known" if slope is None else f"{slope.value:+.4f} [{slope.ci_low:+.4f}, {slope.ci_high:+.4f}]"
        print(f"  {model:<20} {name:<22} {first['value']:+.3f}  {last['value']:+.3f}   {told}")
