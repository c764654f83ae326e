"""Configuration of tasks/charm/run_all.py, and what it asks of each of the other scripts."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.charm.calibrate_config import CALIBRATE_KEYS, check_calibrate_config
from tasks.charm.evaluate_config import KEYS as EVALUATE_KEYS
from tasks.charm.evaluate_config import SCORER_KEYS
from tasks.charm.evaluate_config import check_config as check_evaluate_config
from tasks.charm.generate_config import ALIASES, DEMO, GENERATE_KEYS, check_generate_config
from tasks.charm.score_config import SCORE_KEYS, check_score_config
from tasks.charm.train_config import PAPER, TRAIN_KEYS
from tasks.charm.train_config import check_config as check_train_config
from tasks.config_keys import Keys, check_keys, check_range, defaults
from tasks.train_config import ConfigError


STAGES = ("reward_model", "generate", "ratings", "score", "calibrate", "train", "evaluate")

RUN_ALL_KEYS: Keys = {
    "output_dir": ("outputs/charm", (str,), None),
    "reward_model": (None, (str,), None),  # to calibrate; None: one is trained on the demo's human pairs
    "prompts": (DEMO, (str,), None),  # file, Hub id, or demo
    "policies": (DEMO, (str,), None),  # YAML or JSON file, or demo
    "ratings": (None, (str,), None),  # leaderboard or table; None: simulated battles of the demo's policies
    "overvalued": (None, (str,), None),  # the pair to calibrate; None: chosen by its mismatch degree
    "reference": (None, (str,), None),
    "methods": (["hard", "soft", "matching"], (list, str), None),  # one calibrated reward model each; or hard,soft
    "human_data": (DEMO, (str,), None),  # pairs with human labels to mix in: file, Hub id, or demo; "": none
    "human_pairs": (DEMO, (str,), None),  # pairs to measure accuracy on: likewise
    "rm_bench": (None, (str,), None),  # data of benchmarks to measure: file, folder or Hub id
    "rewardbench": (None, (str,), None),
    "seed": (42, (int,), None),
    "stop_after": ("evaluate", (str,), STAGES),
    # Further keys of the scripts
    "generate": ({}, (dict,), None),
    "score": ({}, (dict,), None),
    "calibrate": ({}, (dict,), None),
    "train": ({}, (dict,), None),  # of tasks/train.py
    "evaluate": ({}, (dict,), None),
}

# Small enough for a CPU: the last layer of a small encoder, on hidden states that are computed once
_DEMO_TRAINING = {
    "train_last_layers": 1,
    "learning_rate": 3e-4,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 64,
    "gradient_accumulation_steps": 1,
    "verify_round_trip": False,
}
# The demo's annotators like long answers: their labels are to hold what they are right in, not to win
_DEMO_TRAINER = {
    "hard": {"human_coefficient": 0.1},
    "soft": {"human_coefficient": 0.1},
    "matching": {"human_coefficient": 0.1, "pairs_of_models_per_batch": 3},
}
_DEMO_REWARD_MODEL = {
    "model_name": "bundled:all-minilm-l6-v2",
    "rapl_method": "none",
    "rapl_col_id": None,
    "use_peft": False,
    "train_last_layers": 1,
    "weight_scale": 1.0,
    "learning_rate": 5e-4,
    "num_train_epochs": 2,
    "gradient_accumulation_steps": 1,
    "verify_round_trip": False,
}
# labels and pairs of models that each method of training is given
_CALIBRATIONS = {
    "hard": {"labels": "hard", "pairs": "best", "method": "paired"},
    "soft": {"labels": "soft", "pairs": "all", "method": "soft_paired", "label_temperature": "std"},
    "matching": {"labels": "none", "pairs": "all", "method": "paired"},
}
# What follows from the keys of run_all.py, or from the method: not to be set for a single script
_OWN_KEYS = {
    "generate": {"prompts", "policies", "output_dir", "model", *ALIASES},
    "score": {"model", "name", "output_dir", "responses"},
    "calibrate": {
        *("output_dir", "rm", "name", "scores", "responses", "prompts", "ratings", "battles", "labels"),
        *("overvalued", "reference", "score_dataset_dir", "pm_config_path", "ref_model", "overvalued_model"),
    },
    "evaluate": {
        *("before", "after", "name", "output_dir", "prompts", "responses", "ratings", "calibrated"),
        *("human_pairs", "rm_bench", "rewardbench", *SCORER_KEYS),
    },
}
PAPER_RUN = {"methods": ["hard"], "train": PAPER["train"], "human_data": ""}
NAMED_CONFIGS = {"paper": PAPER_RUN}


def is_demo(config: Mapping[str, Any]) -> bool:
    """Whether the demo's reward model is the one to calibrate."""
    return config["reward_model"] is None


class Plan:
    """
    Configurations of the scripts, and the folders of their results.

    Args:
        config (`Mapping`): Configuration of run_all.py.
    """

    def __init__(self, config: Mapping[str, Any]):
        self.config = copy.deepcopy(dict(config))
        if isinstance(config["methods"], str):
            self.config["methods"] = [method.strip() for method in config["methods"].split(",")]
        self.root = Path(config["output_dir"])
        self.reward_model = str(self.root / "reward_model") if is_demo(config) else config["reward_model"]
        self.ratings = str(self.root / "ratings.csv") if config["ratings"] is None else config["ratings"]
        self._common = {"output_dir": str(self.root)}

    def reward_model_training(self) -> dict[str, Any]:
        """Keys of tasks/train.py for the demo's reward model."""
        return _DEMO_REWARD_MODEL | {
            "frozen_cache_dir": str(self.root / "frozen_layers"),
            "output_dir": self.reward_model,
            "seed": self.config["seed"],
        }

    def generation(self) -> dict[str, Any]:
        """Keys of generate.py."""
        keys = {"prompts": self.config["prompts"], "policies": self.config["policies"], "batch_size": 48}
        return defaults(GENERATE_KEYS) | keys | self.config["generate"] | self._common

    def scoring(self) -> dict[str, Any]:
        """Keys of score.py."""
        own = {"model": self.reward_model, "name": "before"}
        return defaults(SCORE_KEYS) | self.config["score"] | own | self._common

    def calibration(self, method: str) -> dict[str, Any]:
        """Keys of calibrate.py for a method of training."""
        own = {"rm": "before", "name": method, "ratings": self.ratings}
        named = {}
        if method == "hard":
            named = {key: self.config[key] for key in ("overvalued", "reference")}
        return defaults(CALIBRATE_KEYS) | _CALIBRATIONS[method] | self.config["calibrate"] | named | own | self._common

    def training(self, method: str) -> dict[str, Any]:
        """Keys of tasks/charm/train.py for a method."""
        settings = dict(self.config["train"])
        if is_demo(self.config):
            demo = _DEMO_TRAINING | {"frozen_cache_dir": str(self.root / "frozen_layers")}
            trainer = {"trainer": _DEMO_TRAINER[method] | settings.get("trainer", {})}
            settings = demo | settings | trainer
        return defaults(TRAIN_KEYS) | {
            "pairs": str(self.root / "calibration" / "before" / method),
            "method": method,
            "model": self.reward_model,
            "human_data": self.config["human_data"] or None,
            "output_dir": str(self.root / "models" / method),
            "seed": self.config["seed"],
            "train": settings,
        }

    def evaluation(self, method: str) -> dict[str, Any]:
        """Keys of evaluate.py for the model of a method: scored as the responses were that it was calibrated on."""
        scoring = self.scoring()
        scorer = {key: scoring[key] for key in SCORER_KEYS} | {
            key: scoring[key] for key in ("prompt_format", "on_failure")
        }
        own = {
            "before": self.reward_model,
            "after": str(self.root / "models" / method),
            "ratings": self.ratings,
            "calibrated": str(self.root / "calibration" / "before" / method / "report.json"),
            "human_pairs": self.config["human_pairs"] or None,
            "rm_bench": self.config["rm_bench"],
            "rewardbench": self.config["rewardbench"],
        }
        shared = {key: self.calibration(method)[key] for key in ("style_control", "category", "snapshot")}
        return defaults(EVALUATE_KEYS) | scorer | shared | self.config["evaluate"] | own | self._common


def check_config(config: Mapping[str, Any]) -> None:
    """Raise a `ConfigError` on a mistake in the configuration of any stage, before the first begins."""
    check_keys(config, RUN_ALL_KEYS)
    check_range(config, "seed", 0)
    for script, own in _OWN_KEYS.items():
        if taken := sorted(own & set(config[script])):
            raise ConfigError(f"'{script}.{taken[0]}' follows from the other keys of run_all.py: leave it out")
    plan = Plan(config)
    methods = plan.config["methods"]
    if bad := [method for method in methods if method not in _CALIBRATIONS]:
        raise ConfigError(f"config key 'methods' must name some of {', '.join(_CALIBRATIONS)}, got {bad[0]!r}")
    if len(set(methods)) < len(methods):
        raise ConfigError(f"config key 'methods' names a method twice: {methods}")
    if (config["overvalued"] or config["reference"]) and "hard" not in methods:
        raise ConfigError("overvalued and reference name the pair of methods=hard; the others calibrate all models")
    if config["ratings"] is None and config["policies"] != DEMO:
        raise ConfigError("policies of your own need `ratings`: a leaderboard or a table of their ratings")
    check_generate_config(plan.generation())
    check_score_config(plan.scoring())
    for method in methods:
        check_calibrate_config(plan.calibration(method))
        check_train_config(plan.training(method))
        check_evaluate_config(plan.evaluation(method))
