"""Configuration of tasks/rate/run_all.py, and what it asks of each of the other scripts."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.config_keys import Keys, check_folder_name, check_keys, check_range, defaults
from tasks.rate.create_config import CREATE_KEYS, check_create_config, dataset_label, without_effect
from tasks.rate.effects_config import EFFECTS_KEYS, check_effects_config
from tasks.rate.local_server import LocalServer, check_can_serve
from tasks.rate.plot_config import PLOT_KEYS, check_plot_config
from tasks.rate.score_rate_config import LEXICAL, RATE_SCORE_KEYS, check_rate_score_config
from tasks.train import ex as train_experiment
from tasks.train_config import ConfigError
from tasks.train_config import check_config as check_train_config


STAGES = ("reward_models", "rewrite", "score", "effects", "plot")
REWRITERS = ("rules", "local", "server", "openai", "batch")
DEMO = "demo"
BUNDLED = "bundled:smollm2-135m-instruct"

RUN_ALL_KEYS: Keys = {
    "output_dir": ("outputs/rate", (str,), None),
    "reward_models": (
        None,
        (list, str),
        None,
    ),  # folders or Hub ids, or RM1,RM2; None: two are trained on the demo's pairs
    "lexical_reward": (True, (bool,), None),  # score with a reward that is a formula of the text, too
    "baseline": (None, (str,), None),  # reward model that the others are compared with; None: the first
    "dataset": (DEMO, (str,), None),  # as in create_dataset.py
    "attribute": ("length", (str,), None),
    "attributes_file": (None, (str,), None),
    "limit": (40, (int,), None),  # texts, half of them with the attribute
    "rewriters": (
        ["rules", "local", "server"],
        (list, str),
        None,
    ),  # server: the local model behind `transformers serve`
    "rewriter_model": (BUNDLED, (str,), None),  # of local and server; the name at the server of openai and batch
    "seed": (42, (int,), None),
    "stop_after": (STAGES[-1], (str,), STAGES),
    # Further keys of the scripts
    "create": ({}, (dict,), None),
    "score": ({}, (dict,), None),
    "effects": ({}, (dict,), None),
    "train": ({}, (dict,), None),  # of tasks/train.py, for the demo's reward models
}

# The demo's annotators like long answers. One model believes them all, the other as far as each is reliable
_DEMO_MODELS = {
    "standard": {"rapl_method": "none", "rapl_col_id": None},
    "reliability_aware": {"rapl_method": "beta"},
}
_DEMO_TRAINING = {"eval_before_training": False, "eval_strategy": "no", "verify_round_trip": False}
# A model of 135 million parameters follows short instructions only
_DEMO_ATTRIBUTES = str(Path(__file__).parent / "demo_attributes.yaml")
# `transformers serve` takes the most likely token unless it is told otherwise
_SAMPLED = {"generation_config": '{"do_sample": true, "top_k": 0}'}
# What follows from the keys of run_all.py: not to be set for a single script
_OWN_KEYS = {
    "create": {
        *("dataset", "attribute", "attributes_file", "limit", "seed", "rewriter", "model", "output_dir", "name"),
        *("base_url", "api_key_env", "rewrites", "smoke_test"),
    },
    "score": {"model", "models", "score_name", "output_dir", "name", "original_file", "scoring", "smoke_test"},
    "effects": {"output_dir", "names", "models", "baseline", "original_file", "effects", "smoke_test"},
    "train": {"output_dir", "seed", "rapl_method", "rapl_col_id", "train_data_path"},
}

_TRAIN_DEFAULTS = dict(train_experiment.configurations[0]())


def is_demo(config: Mapping[str, Any]) -> bool:
    """Whether the demo's reward models are to be trained."""
    return config["reward_models"] is None


def _as_list(value: Any) -> list[str]:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)


class Plan:
    """
    Configurations of the scripts, and the folders of their results.

    Args:
        config (`Mapping`): Configuration of run_all.py.
    """

    def __init__(self, config: Mapping[str, Any]):
        self.config = copy.deepcopy(dict(config))
        self.root = Path(config["output_dir"])
        self.rewriters = _as_list(config["rewriters"])
        self.trained = {} if not is_demo(config) else {n: str(self.root / "models" / n) for n in _DEMO_MODELS}
        from tasks.rewardbench.evaluation import safe_name

        given = {} if is_demo(config) else {safe_name(model): model for model in _as_list(config["reward_models"])}
        self.reward_models = given | self.trained | ({LEXICAL: LEXICAL} if config["lexical_reward"] else {})

    def training(self, name: str) -> dict[str, Any]:
        """Keys of tasks/train.py for a reward model of the demo."""
        own = _DEMO_MODELS[name] | {"output_dir": self.trained[name], "seed": self.config["seed"]}
        return _DEMO_TRAINING | self.config["train"] | own

    def chains_name(self, rewriter: str) -> str:
        """Folder of the texts of a rewriter."""
        return f"{dataset_label(self.config['dataset'])}_{self.config['attribute']}_{rewriter}"

    def creation(self, rewriter: str, server: LocalServer | None = None) -> dict[str, Any]:
        """Keys of create_dataset.py for a rewriter; `server` is the one that was started, if it is needed."""
        keys: dict[str, Any] = {
            key: self.config[key] for key in ("dataset", "attribute", "attributes_file", "limit", "seed")
        }
        if self.config["dataset"] == DEMO:
            keys["sides"] = "chosen"
            if rewriter in ("local", "server") and self.config["attributes_file"] is None:
                keys["attributes_file"] = _DEMO_ATTRIBUTES
        keys |= {"output_dir": str(self.root), "name": self.chains_name(rewriter), "rewriter": rewriter}
        if rewriter == "server":
            keys |= {"rewriter": "openai", "api_key_env": "", "extra": _SAMPLED, "concurrency": 1}
            keys |= {"model": server.model if server else "model", "base_url": server.base_url if server else None}
        elif rewriter != "rules":
            keys["model"] = self.config["rewriter_model"]
        return defaults(CREATE_KEYS) | self._meant_for(rewriter) | keys

    def _meant_for(self, rewriter: str) -> dict[str, Any]:
        """What `create` says, without keys that are of other rewriters of this run."""
        idle = {name: without_effect("openai" if name == "server" else name) for name in self.rewriters}
        others = {key for key in idle[rewriter] if any(key not in keys for keys in idle.values())}
        return {key: value for key, value in self.config["create"].items() if key not in others}

    def scorings(self) -> list[dict[str, Any]]:
        """Keys of score.py for each reward model, of the rewrites of all rewriters."""
        own = {"output_dir": str(self.root)}
        keys = defaults(RATE_SCORE_KEYS) | {"on_failure": "drop"} | self.config["score"] | own
        return [keys | {"model": model, "score_name": name} for name, model in self.reward_models.items()]

    def effects(self) -> dict[str, Any]:
        """Keys of effects.py."""
        baseline = self.config["baseline"] or next(iter(self.reward_models))
        own = {"output_dir": str(self.root), "baseline": baseline if len(self.reward_models) > 1 else None}
        names = {
            "names": [self.chains_name(rewriter) for rewriter in self.rewriters],
            "models": list(self.reward_models),
        }
        return defaults(EFFECTS_KEYS) | names | self.config["effects"] | own

    def plotting(self) -> dict[str, Any]:
        """Keys of plot.py."""
        return defaults(PLOT_KEYS) | {"output_dir": str(self.root)}


def check_config(config: Mapping[str, Any]) -> None:
    """Raise a `ConfigError` on a mistake in the configuration of any stage, before the first begins."""
    check_keys(config, RUN_ALL_KEYS)
    check_range(config, "seed", 0)
    for script, own in _OWN_KEYS.items():
        if taken := sorted(own & set(config[script])):
            raise ConfigError(f"'{script}.{taken[0]}' follows from the other keys of run_all.py: leave it out")
    given = [] if is_demo(config) else _as_list(config["reward_models"])
    if not all(isinstance(name, str) and name for name in given) or len(set(given)) < len(given):
        raise ConfigError(
            f"config key 'reward_models' must be a list of names, each once, got {config['reward_models']!r}"
        )
    plan = Plan(config)
    if len(plan.reward_models) < len(given) + len(plan.trained) + config["lexical_reward"]:
        raise ConfigError(
            f"two of reward_models={config['reward_models']!r} would have one name, that of their last folder (or are called "
            f"{LEXICAL}): score them one by one, with score.py and score_name"
        )
    if not plan.reward_models:
        raise ConfigError("there is no reward model: set reward_models, or lexical_reward=True")
    if not plan.rewriters or len(set(plan.rewriters)) < len(plan.rewriters):
        raise ConfigError(
            f"config key 'rewriters' must be a list of rewriters, each once, got {config['rewriters']!r}"
        )
    if bad := [name for name in plan.rewriters if name not in REWRITERS]:
        raise ConfigError(f"config key 'rewriters' must name some of {', '.join(REWRITERS)}, got {bad[0]!r}")
    if plan.config["baseline"] not in (None, *plan.reward_models):
        raise ConfigError(
            f"config key 'baseline' must be one of {', '.join(plan.reward_models)}, got {config['baseline']!r}"
        )
    if "server" in plan.rewriters:
        check_can_serve()
    for name in plan.trained:
        check_train_config(_TRAIN_DEFAULTS | plan.training(name), _TRAIN_DEFAULTS)
    for rewriter in plan.rewriters:
        check_create_config(plan.creation(rewriter))
        check_folder_name(plan.chains_name(rewriter), "dataset")
    for scoring in plan.scorings():
        check_rate_score_config(scoring)
    check_effects_config(plan.effects())
    check_plot_config(plan.plotting())
