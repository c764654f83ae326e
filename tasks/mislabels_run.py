"""Search for wrong labels, its files and its tables."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from tasks.json_files import write_json
from tasks.mislabels_data import load_pairs, read_pairs
from tasks.provenance import command, hash_file, hash_pairs, model_identity, package_versions
from tasks.train_config import ConfigError
from trl_ext.atomic_files import atomic_path
from trl_ext.data import resolve_model, validate_preferences
from trl_ext.data.loading import set_column
from trl_ext.json_lines import as_lines
from trl_ext.mislabels import MislabelReport, find_mislabels


SCRIPT = "tasks/find_mislabels.py"
_BEFORE = "reliability_before"
_WIDTH = 100  # of a printed text


def run_search(config: dict[str, Any], sacred_run: Any) -> dict[str, float]:
    """Search, write the files, print the tables, and return the figures."""
    try:
        data, wrong = load_pairs(config)
        _check_reliability_columns(data)
        trusted = None
        if config["trusted_data_path"] is not None:
            trusted = validate_preferences(read_pairs(config["trusted_data_path"], config), name="trusted")
        path = resolve_model(config["model"])
        report = _search(config, data, wrong, trusted)
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        raise ConfigError(str(error)) from error
    folder = Path(config["output_dir"], "mislabels")
    content = report.to_dict() | {"provenance": _provenance(config, data, path)}
    _write(report, data, folder, content, plots=not config["skip_plots"])
    sacred_run.info["figures"] = content["figures"]
    _print(report, data, config["show"])
    print(f"Written to {folder}: mislabels.csv, annotators.csv, mislabels.json, reliability.jsonl")
    if "reliability" in data.column_names:
        print(f"The data had a column 'reliability': in reliability.jsonl it is called '{_BEFORE}'.")
    return {name: estimate.value for name, estimate in report.figures.items()}


def _provenance(config: dict[str, Any], data: Dataset, model: str) -> dict[str, Any]:
    files = {name: config[name] for name in ("train_data_path", "trusted_data_path")}
    return {
        "command": command(SCRIPT),
        "config": config,
        "seed": config["seed"],
        "versions": package_versions(),
        "model": model_identity(config["model"], model),
        "data_sha256": hash_pairs(data),
        "files_sha256": {name: hash_file(p) for name, p in files.items() if p is not None and Path(p).is_file()},
    }


def _check_reliability_columns(data: Dataset) -> None:
    if {"reliability", _BEFORE} <= set(data.column_names):
        raise ValueError(
            f"train dataset: there are columns 'reliability' and '{_BEFORE}'; the search writes the first, and keeps what was "
            "there as the second. Remove one of them."
        )


def _write(report: MislabelReport, data: Dataset, folder: Path, content: dict[str, Any], plots: bool) -> None:
    """Replace the files of an earlier search. mislabels.json goes first and comes last: with it, all are of one search."""
    for name in ("mislabels.json", "comparison.csv", "precision.png", "precision.csv"):
        (folder / name).unlink(missing_ok=True)
    report.save(folder)
    if "reliability" in data.column_names:
        data = data.rename_column("reliability", _BEFORE)
    cleaned = set_column(data, "reliability", report.reliability)
    with atomic_path(folder / "reliability.jsonl") as temporary:
        temporary.write_text(as_lines(cleaned.to_list()), encoding="utf-8")
    if report.comparison is not None:
        with atomic_path(folder / "comparison.csv") as temporary:
            report.comparison.to_csv(temporary, index=False)
        if plots:
            _plot(report, folder)
    write_json(folder / "mislabels.json", content)


def _search(
    config: dict[str, Any], data: Dataset, wrong: np.ndarray | None, trusted: Dataset | None
) -> MislabelReport:
    settings = {
        name: config[name] for name in ("evidence", "folds", "fdr", "share", "level", "resamples", "seed", "penalty")
    }
    settings |= {"annotator_column": config["annotator_col_name"], "group_column": config["group_col_name"]}
    if config["mode"] == "train":
        return find_mislabels(data, margins=_trained_margins(config, data), wrong=wrong, **settings)
    import torch

    from trl_ext.mislabels import pair_features

    names = ("max_length", "max_length_policy", "batch_size", "device", "progress")
    arguments = {name: config[name] for name in names} | {"dtype": getattr(torch, config["dtype"])}

    def features(pairs: Dataset) -> np.ndarray:
        return pair_features(pairs, config["model"], cache_dir=config["feature_cache"], **arguments)

    x = features(data)
    known = None if trusted is None else features(trusted)
    return find_mislabels(data, x, trusted=known, wrong=wrong, leave_out=config["leave_out"], **settings)


def _trained_margins(config: dict[str, Any], data: Dataset) -> np.ndarray:
    """Cross-fitted margins of whole models; finished folds are kept in the output folder."""
    import torch

    from trl_ext.trainer import PairwiseRewardConfig, PairwiseRewardTrainer, cross_fit_differences

    pairs = data.select_columns([name for name in ("prompt", "chosen", "rejected") if name in data.column_names])
    annotators, groups = config["annotator_col_name"], config["group_col_name"]
    known = annotators in data.column_names
    pairs = pairs.add_column("labelled_by", list(data[annotators]) if known else ["all"] * len(data))
    if groups is not None:
        pairs = pairs.add_column("belongs_to", list(data[groups]))

    def make_trainer(train_dataset: Dataset, output_dir: str) -> PairwiseRewardTrainer:
        arguments = {"report_to": "none", "save_strategy": "no", "seed": config["seed"], **config["train"]}
        try:
            arguments = PairwiseRewardConfig(output_dir, disable_tqdm=not config["progress"], **arguments)
        except ValueError as error:
            hint = "" if torch.cuda.is_available() else " Without a GPU: train.bf16=False train.use_cpu=True"
            raise ValueError(f"{error}{hint}") from error
        return PairwiseRewardTrainer(resolve_model(config["model"]), arguments, train_dataset=train_dataset)

    table = cross_fit_differences(
        make_trainer,
        pairs,
        Path(config["output_dir"], "mislabel-folds"),
        folds=config["folds"],
        annotator_column="labelled_by",
        group_column=None if groups is None else "belongs_to",
        seed=config["seed"],
    )
    if len(table) < len(data):
        first = sorted(set(range(len(data))) - set(table["row"]))[0]
        raise ValueError(
            f"{len(data) - len(table)} pairs were dropped for their length; first: row {first}. Every pair needs a margin: "
            "raise train.max_length, set train.max_length_policy=truncate_prompt_left, or remove the rows"
        )
    return table["difference"].to_numpy()


def _plot(report: MislabelReport, folder: Path) -> None:
    from trl_ext.reporting import plot_precision_at_k

    try:
        plot_precision_at_k(report.curve, report.figures["true_wrong_share"].value, folder / "precision.png")
    except ImportError as error:
        print(f"No plot: {error}")


def _print_texts(report: MislabelReport, show: int) -> None:
    print("\nTheir texts (whole in mislabels.csv):")
    for pair in report.table.head(show).to_dict("records"):
        for place, name in enumerate(name for name in ("prompt", "chosen", "rejected") if name in pair):
            text = textwrap.shorten(pair[name], _WIDTH, placeholder=" …")
            print(f"{'' if place else pair['rank']:>5} {name:<9}{text}")


def _print(report: MislabelReport, data: Dataset, show: int) -> None:
    def cell(name: str, digits: int) -> str:
        figure = report.figures[name]
        return f"{figure.value:.{digits}f} [{figure.ci_low:.{digits}f}, {figure.ci_high:.{digits}f}]"

    columns = ["rank", "row", "id", "annotator_id", "margin", "left_out_margin", "influence", "eta", "p_wrong"]
    columns += ["wrong"] if "wrong" in report.table else []
    if show:
        print(f"\nThe most suspicious of {len(data)} pairs, by {report.settings['evidence']}:")
        print(report.table[columns].head(show).dropna(axis=1, how="all").round(3).to_string(index=False))
        _print_texts(report, show)
    print("\nAnnotators, the most wrong labels expected first:")
    ordered = report.annotators.sort_values("expected_wrong", ascending=False).drop(columns="se")
    print(ordered.dropna(axis=1, how="all").round(3).to_string(index=False))
    print(f"\nWrong labels in all: {cell('wrong_labels', 1)} of {len(data)}; flagged: {report.table['flagged'].sum()}")
    for note in report.notes:
        print(textwrap.fill(f"- {note}", 110, subsequent_indent="  "))
    print(f"Labels that the cross-fitted margins agree with: {cell('accuracy', 3)}")
    if "precision" in report.figures:
        print(
            f"Known to be wrong: {cell('true_wrong_share', 3)} of all, {cell('precision', 3)} of the first "
            f"{report.settings['share']:.0%}"
        )
    if report.comparison is not None:
        print("\nEvidence compared (intervals by bootstrap over prompts; difference from the first, paired):")
        print(report.comparison.drop(columns=["method", "n", "se", "share"]).round(3).to_string(index=False))
