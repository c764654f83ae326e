"""The data of `tasks/train.py`: training, evaluation, and the answer grid of the LIE evaluation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset

from tasks.rapl.lie_data import (
    add_normalized_columns,
    find_lie_files,
    grouped_folds,
    load_lie_preferences,
    load_lie_test,
    locate_lie_test,
    read_full_train,
    to_preferences,
)
from trl_ext.data.demo import load_demo_preferences
from trl_ext.data.loading import load_preferences, rename_columns
from trl_ext.evaluation.accuracy.oracle import ORACLE_PROBABILITY


@dataclass
class TrainingData:
    """
    Data of one run.

    Args:
        name (`str`): Short name, used for the output directory.
        train (`Dataset`): Training pairs.
        evaluation (`Dataset` or `None`): Pairs for the evaluation during training.
        test (`Dataset` or `None`): Pairs for the report before and after training; `evaluation` if there are no others.
        human (`Dataset` or `None`): Pairs with human labels that are mixed into a calibration.
        grid (`Dataset` or `None`): Questions with an answer of every kind, for W_length and W_correct.
        sources (`dict[str, str]`): File names, recorded with the results.
    """

    name: str
    train: Dataset
    evaluation: Dataset | None = None
    test: Dataset | None = None
    human: Dataset | None = None
    grid: Dataset | None = None
    sources: dict[str, str] = field(default_factory=dict)


def _limit(dataset: Dataset, size: int, seed: int) -> Dataset:
    return dataset.shuffle(seed=seed).select(range(min(size, len(dataset)))) if size > 0 else dataset


def _column_names(config: dict[str, Any]) -> dict[str, str]:
    names = {ours: config[f"{ours}_col_name"] for ours in ("prompt", "chosen", "rejected")}
    return {ours: theirs for ours, theirs in names.items() if ours != theirs}


def _name_oracle(data: "TrainingData", name: str) -> None:
    """Call the column of true probabilities `oracle_probability`, in every dataset that has it."""
    if name == ORACLE_PROBABILITY:
        return
    if data.test is None or name not in data.test.column_names:
        where = (
            "there are no test pairs" if data.test is None else f"its columns are {', '.join(data.test.column_names)}"
        )
        raise ValueError(f"oracle_col_name={name!r} is not a column of the test pairs: {where}")
    for split in ("train", "evaluation", "test"):
        dataset = getattr(data, split)
        if dataset is not None and name in dataset.column_names:
            setattr(data, split, rename_columns(dataset, {ORACLE_PROBABILITY: name}, name=split))


def _is_lie(path: str) -> bool:
    return Path(path).name.startswith("LIE_")


def _load_pairs(path: str, config: dict[str, Any]) -> Dataset:
    return load_lie_preferences(path) if _is_lie(path) else load_preferences(path, columns=_column_names(config))


def _load_lie(config: dict[str, Any]) -> TrainingData:
    files = find_lie_files(config["lie_data_dir"], config["lie_fold"])
    if config["lie_grouped_folds"]:
        pairs = read_full_train(config["lie_data_dir"])
        train_rows, val_rows = list(grouped_folds(pairs))[config["lie_fold"]]
        train, val = pairs.iloc[train_rows].reset_index(drop=True), pairs.iloc[val_rows].reset_index(drop=True)
        if files.calibration is not None:
            train, val = add_normalized_columns(train, val, files.calibration)
        train, val = to_preferences(train), to_preferences(val)
    else:
        train, val = load_lie_preferences(files.train), load_lie_preferences(files.val)
    name = f"lie-{'grouped' if config['lie_grouped_folds'] else 'fold'}{config['lie_fold']}"
    sources = {"train": files.train.name, "evaluation": files.val.name, "lie_test": files.test.name}
    return TrainingData(name, train, val, val, load_lie_test(files.test), sources)


def load_training_data(config: dict[str, Any]) -> TrainingData:
    """
    Load what a configuration of `tasks/train.py` asks for.

    Raises:
        ValueError: If a file is missing or unreadable, or lacks a column; the message names it.
    """
    if config["train_data_path"] == "demo" and config["lie_data_dir"] is None:
        splits = load_demo_preferences(seed=config["demo_seed"])
        data = TrainingData("demo", splits["train"], splits["validation"], splits["test"])
        if config["eval_data_path"] not in (None, "demo"):
            data.evaluation = data.test = _load_pairs(config["eval_data_path"], config)
    elif config["lie_data_dir"] is not None:
        data = _load_lie(config)
    else:
        path = config["train_data_path"]
        data = TrainingData(Path(path).stem, _load_pairs(path, config), sources={"train": Path(path).name})
        if config["eval_data_path"] == "demo":
            splits = load_demo_preferences(seed=config["demo_seed"])
            data.evaluation, data.test = splits["validation"], splits["test"]
        elif config["eval_data_path"] is not None:
            data.evaluation = _load_pairs(config["eval_data_path"], config)
            data.sources["evaluation"] = Path(config["eval_data_path"]).name
    if config["human_data_path"] == "demo":
        data.human = load_demo_preferences(seed=config["demo_seed"])["train"]
    elif config["human_data_path"] is not None:
        data.human = _load_pairs(config["human_data_path"], config)
        data.sources["human"] = Path(config["human_data_path"]).name
    if config["eval_on_lie_test"] and data.grid is None:
        path = config["lie_test_path"] or locate_lie_test(config["train_data_path"])
        data.grid = load_lie_test(path)
        data.sources["lie_test"] = Path(path).name
    seed = config["seed"] if config["data_seed"] is None else config["data_seed"]
    data.train = _limit(data.train, config["train_dataset_size"], seed)
    if data.evaluation is not None:
        data.evaluation = _limit(data.evaluation, config["eval_dataset_size"], seed)
    if data.test is None:
        data.test = data.evaluation
    _name_oracle(data, config["oracle_col_name"])
    return data
