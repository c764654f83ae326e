"""The folder of a run with evidence of every kind, for tests of the model card."""

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


_BIN = {
    **{"bin_low": 0.0, "bin_high": 1.0, "mean_predicted": 0.6, "observed": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 56}
}
_LENGTH = {
    **{"rows": 480, "over_length": 3, "truncated": 0, "dropped": 3, "first_row": None, "max_length": 512},
    **{"policy": "drop"},
}


def estimate(value: float, low: float, high: float, n: int = 116) -> dict[str, Any]:
    return {
        "value": value,
        "se": (high - low) / 3.92,
        "ci_low": low,
        "ci_high": high,
        "n": n,
        "method": "clustered by question, t",
    }


def report(ece: float) -> dict[str, Any]:
    return {
        "ece": estimate(ece, ece - 0.03, ece + 0.03),
        "brier": estimate(0.2, 0.15, 0.25),
        "log_loss": None,
        "ece_if_calibrated": estimate(0.04, 0.02, 0.06),
        "diagram": {"level": 0.95, "method": "clustered", "bins": [_BIN]},
        "notes": [],
    }


def write_run(folder: Path, name: str = "demo", command: list[str] | None = None, **config: Any) -> Path:
    """Write results, calibration with plots, RATE effects and suspected mislabels."""
    folder.mkdir(parents=True, exist_ok=True)
    demo = {"name": "trl_ext demo, test", "hub_id": None, "public": True}
    results = {
        "figures": {
            "before_accuracy_to_truth": estimate(0.5, 0.4, 0.6),
            "after_accuracy_to_truth": estimate(0.81, 0.73, 0.88),
            "after_length_weight": estimate(0.42, 0.21, 0.63),
            "after_ratio": estimate(2.0, float("-inf"), float("inf")) | {"se": float("nan")},
        },
        "weights": {"n": 480, "effective_sample_size": 267.05, "share_zero": 0.21},
        "provenance": {
            "model": {
                "name": "bundled:smollm2-135m-instruct",
                "commit": None,
                "sha256": {"model.safetensors": "ab" * 32},
            },
            "command": command or ["tasks/train.py", "with", "rapl_method=beta", f"output_dir={folder}"],
            "config": {"rapl_method": "beta", "seed": 42, "output_dir": str(folder)} | config,
            "versions": {"trl": "1.16.0", "torch": "2.13.0"},
            "dtype": "torch.float32",
            "processes": 1,
            "length": {"train": _LENGTH},
            "data_sha256": {"train": "cd" * 32, "test": "ef" * 32},
            "data_names": {"train": {"name": name, "hub_id": None, "public": True}, "test": demo},
        },
    }
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "calibration").mkdir(exist_ok=True)
    calibration = {
        "method": "temperature",
        "parameters": {"temperature": estimate(1.7, 1.2, 2.4)},
        "fitted_on": {"data": "demo", "pairs": 60},
        "measured_on": {"data": "rest of demo", "pairs": 56},
        "raw": report(0.12),
        "calibrated": report(0.05),
        "ece_change": estimate(-0.07, -0.11, -0.03),
        "provenance": {"command": ["tasks/calibrate.py"], "config": {"data": "demo"}},
    }
    (folder / "calibration" / "calibration.json").write_text(json.dumps(calibration))
    for side in ("raw", "calibrated"):
        (folder / "calibration" / f"{side}.png").write_bytes(PNG)
    (folder / "rate").mkdir(exist_ok=True)
    row = {"dataset": "demo", "attribute": "length", "reward_model": "rm", "estimator": "rate", "estimand": "ATE"}
    effects = {
        "effects": [row | {"value": 2.1, "ci_low": 1.6, "ci_high": 2.7}],
        "sentences": ["Making an answer longer raises the reward by 2.12 standard deviations [1.62, 2.73]."],
        "notes": ["few prompts"],
    }
    (folder / "rate" / "effects.json").write_text(json.dumps(effects))
    (folder / "mislabels").mkdir(exist_ok=True)
    (folder / "mislabels" / "mislabels.json").write_text(
        json.dumps({"figures": {"wrong_labels": estimate(41.0, 29.0, 53.0)}, "notes": ["The number can be too low."]})
    )
    pd.DataFrame({"row": [3], "id": ["q3"], "annotator_id": ["Ann Example"], "rank": [1], "flagged": [True]}).to_csv(
        folder / "mislabels" / "mislabels.csv", index=False
    )
    return folder
