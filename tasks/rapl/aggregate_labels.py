#!/usr/bin/env python
"""
Aggregate the labels of several annotators: which response is better, how sure that is, and whom to believe.

    python tasks/rapl/aggregate_labels.py                                            # demo data
    python tasks/rapl/aggregate_labels.py with votes_path=votes.csv method=dawid_skene settings.model=two_coin
    python tasks/rapl/aggregate_labels.py with votes_path=votes.csv pairs_path=pairs.jsonl

Writes items.csv, annotators.csv, summary.json and, with pairs, preferences.jsonl that `tasks/train.py` reads.
"""

import copy
import json
import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.rapl.aggregate_config import check_config, method_settings
from tasks.train_config import ConfigError
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("aggregate_labels", save_git_info=False))


@ex.config
def default():
    # Data: "demo" is built in; else .csv/.json/.jsonl/.parquet with a row per vote
    votes_path = "demo"
    pairs_path = None  # a row per item: item_id, response_a, response_b, and columns to keep; "demo" has them
    item_col_name = "item_id"
    annotator_col_name = "annotator_id"
    label_col_name = "label"  # 1: the first response is preferred, 0: the second
    duplicates = "error"  # several votes of an annotator for an item: error, first or last
    demo_votes_per_pair = 5

    # Method
    method = "dawid_skene"  # majority_vote, dawid_skene, glad or noisy_bradley_terry
    settings = {}  # arguments of the method, e.g. settings.model=two_coin settings.prevalence=0.5
    level = 0.95  # of the intervals
    seed = 0  # of the demo data, of random starts and of the bootstrap of Krippendorff's alpha

    # Output
    output_dir = "outputs/aggregated"
    soft_labels = False  # `label` of the preferences: P(chosen is preferred) instead of 1
    ties = "drop"  # in the preferences: drop, keep or error


@ex.config_hook
def check(config, command_name, logger):
    # A hook runs before any observer has recorded anything
    check_config(config, _DEFAULTS)
    return {}


_DEFAULTS = dict(ex.configurations[0]())


@ex.main
def main(_config, settings):  # `settings` declares that new keys below it are used
    raise_on_sigterm()
    try:
        return run(copy.deepcopy(_config))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error


def _read(path: str, columns: dict[str, str]):
    from trl_ext.data.readers import read_file

    try:
        return read_file(Path(path), columns).to_pandas()
    except ValueError as error:
        raise ValueError(f"can't read '{path}': {error}") from error


def run(config: dict) -> dict:
    """Aggregate, write the files, and return the summary."""
    from tasks.atomic_files import atomic_path
    from tasks.json_files import write_json
    from tasks.provenance import command, hash_file, hash_rows, package_versions
    from trl_ext.data.demo_votes import load_demo_votes
    from trl_ext.reliability import aggregation

    method = getattr(aggregation, config["method"])
    columns = {"id": config["item_col_name"], "annotator_id": config["annotator_col_name"]}
    texts = {"chosen": "response_a", "rejected": "response_b"}
    pairs = None
    is_file = config["votes_path"] != "demo"
    if is_file:
        table = _read(config["votes_path"], columns | texts)
    else:
        table, pairs = load_demo_votes(config["seed"], config["demo_votes_per_pair"])
        truth = pairs.set_index("item_id")["first_is_better"]
    if config["pairs_path"] is not None:
        pairs = _read(config["pairs_path"], columns | texts)
        pairs = pairs.rename(columns={config["item_col_name"]: "item_id"})
    wanted = {config[f"{name}_col_name"]: f"{name}_id" for name in ("item", "annotator")}
    wanted |= {config["label_col_name"]: "label"}
    for name in wanted:
        if name not in table:
            raise ValueError(f"votes have no column '{name}'; columns are {', '.join(map(repr, table))}")
    table = table.rename(columns=wanted)
    if config["method"] == "noisy_bradley_terry" and pairs is not None and "response_a" not in table:
        table = table.merge(pairs[["item_id", "response_a", "response_b"]], on="item_id", how="left")

    restarts = {"seed": config["seed"]} if "seed" in method_settings(config["method"]) else {}
    arguments = restarts | config["settings"] | {"level": config["level"]}
    with_responses = config["method"] == "noisy_bradley_terry"
    votes = aggregation.read_votes(table, duplicates=config["duplicates"], responses=with_responses)
    result = method(votes, **arguments)
    alpha = None
    if votes.per_item().max() > 1:
        alpha = aggregation.krippendorff_alpha(votes, seed=config["seed"], level=config["level"]).to_dict()

    output = Path(config["output_dir"])
    for name in ("summary.json", "items.csv", "annotators.csv", "responses.csv", "preferences.jsonl"):
        (output / name).unlink(missing_ok=True)  # of an earlier run, which may have written more than this one
    tables = {"items": result.items, "annotators": result.annotators}
    if result.responses is not None:
        tables["responses"] = result.responses
    for name, frame in tables.items():
        with atomic_path(output / f"{name}.csv") as temporary:
            frame.to_csv(temporary, index=False)
    summary = result.summary() | {"krippendorff_alpha": alpha}
    if pairs is not None:
        if not is_file:
            pairs = pairs.drop(columns="first_is_better")
        rows = aggregation.to_preferences(result, pairs, soft_labels=config["soft_labels"], ties=config["ties"])
        if not is_file:
            better = pairs.set_index("item_id")["response_a"].where(
                truth == 1, pairs.set_index("item_id")["response_b"]
            )
            correct = [int(text == better[item]) for item, text in zip(rows["id"], rows["chosen"], strict=True)]
            rows = rows.add_column("correct_chosen", correct)
        with atomic_path(output / "preferences.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        summary["n_preferences"] = len(rows)
    if not is_file:
        label = result.items.set_index("item_id")["label"]
        summary["accuracy"] = float(1 - (label - truth[label.index]).abs().mean())  # a tie is half right
    summary["provenance"] = {
        "command": command("tasks/rapl/aggregate_labels.py"),
        "config": config,
        "versions": package_versions(),
        "votes_sha256": hash_rows(table, ["item_id", "annotator_id", "label"]),
        "votes_file_sha256": hash_file(config["votes_path"]) if is_file else None,
    }
    write_json(output / "summary.json", summary)

    print(result.annotators.round(3).to_string(index=False))
    print(f"\n{result.method}")
    print(
        f"{summary['n_items']} items, {summary['n_votes']} votes, {summary['n_ties']} ties, mean reliability ", end=""
    )
    print(f"{summary['mean_reliability']:.3f}" + (f", accuracy {summary['accuracy']:.3f}" if not is_file else ""))
    print("\n".join(result.messages))
    print(f"Written to {output}")
    return {name: value for name, value in summary.items() if name != "provenance"}


if __name__ == "__main__":
    run_experiment(ex)
