#!/usr/bin/env python
"""
How good is each annotator, and how many more checks do I need? From duplicate labels, or labels of an expert.

    python tasks/annotators/monitor.py                                                  # demo data
    python tasks/annotators/monitor.py with labels_path=labels.csv monitor=self eta0=0.6
    python tasks/annotators/monitor.py with labels_path=labels.csv monitor=expert expert_path=expert.csv c=0.8

Writes annotators.csv, eta.json (annotator to commitment), results.json, and the plot intervals.png with its numbers.
"""

import copy
import logging
import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.annotators.monitor_config import check_config
from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.train_config import ConfigError
from tasks.train_observers import PrivateExperiment


logger = logging.getLogger("tasks.annotators.monitor")

ex = set_up(PrivateExperiment("monitor_annotators", save_git_info=False))


@ex.config
def default():
    # Data: "demo" is built in; else .csv/.json/.jsonl/.parquet with a row per label
    labels_path = "demo"
    monitor = "self"  # self: an annotator's repeated labels of an item; expert: an expert's labels
    expert_path = None  # a row per item: item_id, expert_label, and p if known; else these are columns of the labels
    item_col_name = "item_id"
    annotator_col_name = "annotator_id"
    label_col_name = "label"
    expert_label_col_name = "expert_label"
    probability_col_name = "p"  # true probability that the first response is better, only for the expert
    n_categories = None  # labels to choose from; None: those that occur

    # What turns agreement into commitment, one of: c, trusted, delta (self); else the column p (expert)
    c = None
    trusted = []  # ids of annotators whose commitment is trusted_eta
    trusted_eta = 1.0
    delta = None  # how often a committed annotator answers differently the second time; None: 0.02
    delta_convention = "paper"  # paper: c = 1 - delta; model: c = 1 - 2 delta
    expert_accuracy = 1.0  # probability that the expert reports the better response, with the column p

    # Questions
    eta0 = 0.5  # the standard: who is above, who below?
    eta1 = 0.8  # a commitment that is to be recognised as above it
    alpha = 0.05  # chance of any wrong "above", and of any wrong "below"
    beta = 0.1  # chance of missing an annotator at eta1
    half_width = 0.1  # wanted, of every interval
    level = 0.95
    method = "mid-p"  # or clopper-pearson
    allow_negative = False  # commitments below 0: worse than chance
    seed = 0  # of the demo data

    # Output
    output_dir = "outputs/monitoring"
    without_checks = "pooled"  # eta.json for annotators without checks: the pooled value, or error


@ex.config_hook
def check(config, command_name, logger):
    # A hook runs before any observer has recorded anything
    check_config(config, _DEFAULTS)
    return {}


_DEFAULTS = dict(ex.configurations[0]())


@ex.main
def main(_config):
    raise_on_sigterm()
    try:
        return run(copy.deepcopy(_config))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error


def _read(config: dict) -> tuple:
    """Table of labels, and that of the expert or `None`, with our column names."""
    from trl_ext.data.readers import read_file

    if config["labels_path"] == "demo":
        from tasks.annotators.monitor_demo import demo_labels

        labels, expert = demo_labels(config["seed"])
        return labels, expert if config["monitor"] == "expert" else None
    names = {config[f"{ours}_col_name"]: ours for ours in ("label", "expert_label")}
    names |= {config[f"{ours}_col_name"]: f"{ours}_id" for ours in ("item", "annotator")}
    names[config["probability_col_name"]] = "p"
    ids = {"id": config["item_col_name"], "annotator_id": config["annotator_col_name"]}

    def table(path):
        try:
            found = read_file(Path(path), ids).to_pandas()
        except ValueError as error:
            raise ValueError(f"can't read '{path}': {error}") from error
        taken = {ours: given for given, ours in names.items() if given != ours and given in found}
        others = [column for column in found if column in taken and column not in names]
        for column in others:
            logger.warning(
                "'%s': column '%s' is left out, since %s_col_name says that column '%s' takes its place",
                path, column, column.removesuffix("_id") if column != "p" else "probability", taken[column],
            )  # fmt: skip
        return found.drop(columns=others).rename(columns=names)

    return table(config["labels_path"]), None if config["expert_path"] is None else table(config["expert_path"])


def run(config: dict) -> dict:
    """Monitor, write the files, and return the summary."""
    from tasks.annotators.monitor_report import plot_intervals, print_report
    from tasks.json_files import write_json
    from tasks.provenance import command, hash_file, hash_rows, package_versions
    from trl_ext.annotators import monitor_annotators

    labels, expert = _read(config)
    keys = ("c", "delta", "delta_convention", "trusted_eta", "eta0", "eta1", "alpha", "beta", "half_width", "level")
    keys += ("method", "allow_negative", "n_categories")
    report = monitor_annotators(
        labels,
        config["monitor"],
        expert=config["expert_accuracy"],
        expert_table=expert,
        trusted=config["trusted"] or None,
        **{key: config[key] for key in keys},
    )
    sensitivity = None
    if config["monitor"] == "self":
        sensitivity = report.sensitivity(delta_convention=config["delta_convention"])

    output = Path(config["output_dir"])
    report.save(output / "annotators.csv")
    report.save(output / "eta.json", report.pooled.value if config["without_checks"] == "pooled" else None)
    plot_intervals(report, output / "intervals.png")
    summary = report.summary()
    paths = {"labels": config["labels_path"], "expert": config["expert_path"]}
    results = summary | {
        "sensitivity": None if sensitivity is None else sensitivity.to_dict("records"),
        "provenance": {
            "command": command("tasks/annotators/monitor.py"),
            "config": config,
            "versions": package_versions(),
            "labels_sha256": hash_rows(labels, ["item_id", "annotator_id", "label"]),
            "files_sha256": {key: hash_file(path) for key, path in paths.items() if path not in (None, "demo")},
        },
    }
    write_json(output / "results.json", results)
    print_report(report, sensitivity)
    print(f"Written to {output}")
    return summary


if __name__ == "__main__":
    run_experiment(ex)
