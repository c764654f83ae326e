"""All figures of a folder of results."""

import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tasks.atomic_files import remove_stale
from tasks.provenance import command
from tasks.rate.effects_inputs import ORIGINALS_RECORD, REWARDS, REWRITES, SCORES, read_record
from tasks.rate.plot_config import listed
from tasks.rate.plot_tables import audit_table, drift_table, effect_tables, sweeps_of
from tasks.train_config import ConfigError
from trl_ext import reporting
from trl_ext.privacy import hide_private
from trl_ext.rate import TextChains, read_reward_chains


logger = logging.getLogger("tasks.rate")

EFFECTS_FILE = Path("effects", "effects.json")
FIGURES = "figures"
SWEEPS = "synthetic.json"
_NOT_DRAWN = "not drawn: "
# a path without its ending -> a figure
Jobs = dict[str, Callable[[Path], Any]]


def run_plots(config: Mapping[str, Any], sacred_run: Any) -> dict[str, str]:
    """
    Draw all that there is in `output_dir` into `<output_dir>/figures`.

    Args:
        config (`Mapping`): Configuration of the script.
        sacred_run (`Run`): Sacred's record.

    Returns:
        `dict[str, str]`: Files by the name of the figure; where one could not be drawn, why.

    Raises:
        ConfigError: There is nothing to draw, or a file that was named is not there or can't be drawn.
    """
    logging.getLogger("tasks.rate").setLevel(logging.INFO)
    output = Path(config["output_dir"]).expanduser()
    target = output / FIGURES
    try:
        jobs = find_figures(config, output)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
    if not jobs:
        raise ConfigError(
            f"{output}: there is nothing to draw; tasks/rate/effects.py writes {EFFECTS_FILE} there, score.py the rewards"
        )
    remove_stale(target, "*.png", "*.csv", "*.md", "*.html")
    drawn = {}
    for name, job in jobs.items():
        try:
            job(target / name)
            drawn[name] = name
        except (
            ImportError,
            ValueError,
            TypeError,
            KeyError,
            OSError,
        ) as error:  # one figure takes nothing else with it
            logger.warning("%s was not drawn: %s", name, error)
            drawn[name] = f"{_NOT_DRAWN}{error}"
    sacred_run.info["figures"] = hide_private({"files": drawn, "command": command("tasks/rate/plot.py")})
    print("\n".join(f"{target / name}" if text == name else f"{name}: {text}" for name, text in drawn.items()))
    failed = [name for name in _named(config, jobs) if drawn[name].startswith(_NOT_DRAWN)]
    if failed:
        raise ConfigError(f"{failed[0]}, which was asked for, was {drawn[failed[0]]}")
    return drawn


def _named(config: Mapping[str, Any], jobs: Jobs) -> list[str]:
    """Figures of files that the configuration names."""
    starts = {"audits": "audit.", "sweeps": "sweep_"}
    return [
        name for key, start in starts.items() if config[key] is not None for name in jobs if name.startswith(start)
    ]


def find_figures(config: Mapping[str, Any], output: Path) -> Jobs:
    """
    What can be drawn, by the names of the files.

    Args:
        config (`Mapping`): Configuration of the script.
        output (`Path`): Folder of the results.

    Raises:
        ValueError: A file or folder that the configuration names is not there, or a file is not as it must be.
    """
    names = listed(config, "names")
    folders = sorted(path for path in output.iterdir() if path.is_dir()) if output.is_dir() else []
    if names is not None:
        folders = [output / name for name in names]
        missing = [str(folder) for folder in folders if not folder.is_dir()]
        if missing:
            raise ValueError(f"{missing[0]}: there is no such folder")
    jobs: Jobs = {}
    if (output / EFFECTS_FILE).is_file():
        jobs |= _of_effects(config, output / EFFECTS_FILE)
    for folder in folders:
        jobs |= _of_data_set(config, folder)
    drift = drift_table(folders)
    if drift is not None and len(drift):
        jobs["drift.png"] = functools.partial(reporting.plot_drift, drift)
    audits = [_existing(name) for name in listed(config, "audits") or ()]
    if audits:
        jobs["audit.png"] = functools.partial(reporting.plot_audit, audit_table(audits))
    sweeps = listed(config, "sweeps")
    for path in [_existing(name) for name in sweeps] if sweeps is not None else sorted(output.rglob(SWEEPS)):
        for name, arguments in sweeps_of(path).items():
            table = arguments.pop("table")
            jobs[f"sweep_{name}.png"] = functools.partial(reporting.plot_sweep, table, **arguments)
    return jobs


def _existing(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    return path


def _of_effects(config: Mapping[str, Any], path: Path) -> Jobs:
    tables = effect_tables(path)
    effects, contrasts = tables["effects"], tables["contrasts"]
    models = list(dict.fromkeys(effects["reward_model"]))
    scale = {"normalised": config["normalised"]}
    common = {**scale, "estimand": config["estimand"]}
    jobs: Jobs = {
        "effects.png": functools.partial(reporting.plot_effects, effects, models=models, **common),
        "rewrite_bias.png": functools.partial(reporting.plot_rewrite_bias, effects, **scale),
        "naive_vs_rate.png": functools.partial(reporting.plot_naive_vs_rate, effects, **common),
        "power.png": functools.partial(reporting.plot_power, effects, models=models, **scale),
    }
    if len(contrasts):
        jobs["contrasts.png"] = functools.partial(reporting.plot_contrasts, contrasts, models=models, **common)
    return jobs


def _of_data_set(config: Mapping[str, Any], folder: Path) -> Jobs:
    jobs: Jobs = {}
    places = sorted(path.parent for path in folder.glob(f"{SCORES}/*/{REWARDS}"))
    if places:
        jobs[f"scores_{folder.name}.png"] = lambda path: _draw_scores(places, folder, path)
    if (folder / REWRITES).is_file() and config["examples"]:
        options = {"rows": config["examples"], "seed": config["seed"]}
        for ending in (".md", ".html"):
            jobs[f"examples_{folder.name}{ending}"] = lambda path: reporting.rewrite_examples(
                TextChains.read(folder / REWRITES), path, **options
            )
    return jobs


def _draw_scores(places: list[Path], folder: Path, path: Path) -> None:
    record = read_record(folder / ORIGINALS_RECORD)
    sides = {
        name: f"originals: {record[name]}" for name in ("treated", "untreated") if isinstance(record.get(name), str)
    }
    texts = TextChains.read(folder / REWRITES) if (folder / REWRITES).is_file() else None
    chains = {place.name: read_reward_chains(place, texts) for place in places}
    reporting.plot_scores(chains, path, title=folder.name, **sides)
