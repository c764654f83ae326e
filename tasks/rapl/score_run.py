"""One run of `score_reliability.py`: load, score part by part, write."""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from tqdm import tqdm

from tasks import provenance
from tasks.atomic_files import WRITERS, atomic_path
from tasks.json_files import write_json
from tasks.train_config import ConfigError
from trl_ext.data.demo import load_demo_preferences
from trl_ext.data.loading import load_preferences
from trl_ext.evaluation.statistics import mean_estimate
from trl_ext.reliability.correctness import Comparisons, load_correctness_model, read_comparisons
from trl_ext.reliability.correctness.model import CALIBRATOR_FILE, NEARLY_CONSTANT, read_correctness_config


logger = logging.getLogger("tasks.score_reliability")


def run(config: dict[str, Any]) -> dict[str, float]:
    """Score as configured; return the figures that Sacred records as the result."""
    if config["cpu_threads"] is not None:
        torch.set_num_threads(config["cpu_threads"])
    paths = [config["model_path"]] if isinstance(config["model_path"], str) else list(config["model_path"])
    paths = [Path(path).expanduser() for path in paths]
    try:
        _check_models(paths)
        dataset = _load(config)
        if config["column"] in dataset.column_names:
            raise ValueError(f"the data have a column '{config['column']}' already: set another `column`")
        comparisons = read_comparisons(dataset, columns=dict(config["columns"]))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error
    output = Path(config["output_path"] or f"outputs/reliability/{_name(config['data_path'])}.parquet")
    identity = {
        "models": [_model_files(path) for path in paths],
        "rows_sha256": provenance.hash_rows(_texts(comparisons), ["prompt", "a", "b"]),
        "rows_per_part": config["rows_per_part"],
    }
    model = load_correctness_model(paths if len(paths) > 1 else paths[0])
    reliability = _score(model, comparisons, output, identity)
    with atomic_path(output) as temporary:
        WRITERS[output.suffix[1:]](dataset.add_column(config["column"], reliability), temporary)
    figures = _figures(reliability, comparisons)
    if figures["nearly_constant"]:
        logger.warning(
            "The predictions are nearly the same for all %d rows (standard deviation %.2g): weights made from them are a "
            "constant. Train the TRUE model longer, or calibrate it on standardised scores.",
            len(dataset),
            figures["sd"],
        )
    write_json(
        output.with_name(f"{output.name}.meta.json"),
        {
            **figures,
            "column": config["column"],
            **identity,
            "command": provenance.command("tasks/rapl/score_reliability.py"),
            "versions": provenance.package_versions(),
            "config": config,
        },
    )
    _parts_file(output).unlink()
    print(
        f"{len(dataset)} rows: mean {config['column']} {figures['mean']['value']:.4f}, from {reliability.min():.4f} to "
        f"{reliability.max():.4f}; {figures['below_half']} below 0.5\nwritten to {output}"
    )
    return {"mean": figures["mean"]["value"], "rows": len(dataset), "below_half": figures["below_half"]}


def _check_models(paths: list[Path]) -> None:
    for path in paths:
        read_correctness_config(path)
        if not (path / CALIBRATOR_FILE).is_file():
            raise ValueError(f"the model in '{path}' has no {CALIBRATOR_FILE}: its outputs are no probabilities")


def _load(config: dict[str, Any]) -> Dataset:
    if config["data_path"] == "demo":
        demo = load_demo_preferences(seed=config["seed"])[config["split"] or "train"]
        return demo.remove_columns("reliability")  # its own estimate, from what was observed of the annotators
    return load_preferences(config["data_path"], split=config["split"])


def _name(data_path: str) -> str:
    return Path(data_path).stem.replace(":", "-")


def _texts(comparisons: Comparisons) -> pd.DataFrame:
    return pd.DataFrame({"prompt": comparisons.prompt, "a": comparisons.response_a, "b": comparisons.response_b})


def _model_files(path: Path) -> dict[str, str]:
    files = [*sorted(path.glob("*.safetensors")), *sorted(path.glob("*.json"))]
    return {file.name: provenance.hash_file(file) for file in files if file.name != "results.json"}


def _parts_file(output: Path) -> Path:
    return output.with_name(f".{output.name}.parts.jsonl")


def _score(model, comparisons: Comparisons, output: Path, identity: dict[str, Any]) -> np.ndarray:
    """P(correct) of all rows, part by part; what an interrupted run has written of the same model and rows is kept."""
    path, step = _parts_file(output), identity["rows_per_part"]
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    parts = _read_parts(path, digest)
    starts = range(0, len(comparisons), step)
    if not parts:
        path.write_text(json.dumps({"identity": digest}) + "\n")
    else:
        logger.info("continuing: %d of %d parts were computed before", len(parts), len(starts))
    with path.open("a") as file:
        for start in tqdm(starts[len(parts) :], initial=len(parts), total=len(starts), desc="parts"):
            part = comparisons.select(range(start, min(start + step, len(comparisons))))
            parts.append(model.predict(part).tolist())
            file.write(json.dumps(parts[-1]) + "\n")
            file.flush()
            os.fsync(file.fileno())
    return np.concatenate([np.array(part, dtype=np.float64) for part in parts])


def _read_parts(path: Path, digest: str) -> list[list[float]]:
    if not path.is_file():
        return []
    *lines, rest = path.read_text().split("\n")
    if not lines or json.loads(lines[0]) != {"identity": digest}:
        return []
    if rest:  # killed in the middle of a line
        whole = "".join(f"{line}\n" for line in lines)
        os.truncate(path, len(whole.encode()))
    return [json.loads(line) for line in lines[1:]]


def _figures(reliability: np.ndarray, comparisons: Comparisons) -> dict[str, Any]:
    return {
        "rows": len(comparisons),
        "questions": len(set(comparisons.clusters)),
        "mean": mean_estimate(reliability, comparisons.clusters).to_dict(),
        "min": float(reliability.min()),
        "max": float(reliability.max()),
        "sd": float(reliability.std()),
        "below_half": int((reliability < 0.5).sum()),
        "nearly_constant": bool(reliability.std() < NEARLY_CONSTANT),
    }
