"""Configuration keys of `tasks/charm/evaluate.py`."""

from collections.abc import Mapping
from typing import Any

from tasks.charm.score_config import SCORE_KEYS
from tasks.config_keys import Keys, check_folder_name, check_keys, check_range
from tasks.rewardbench.configs import DEMO
from tasks.train_config import ConfigError


SCORES = "scores"  # folder of the rewards, beside those of the results
SPLITS = ("heldout", "calibration", "all")

# Of the scorer, as in score.py
SCORER_KEYS: Keys = {
    key: SCORE_KEYS[key]
    for key in (
        *("max_length", "max_length_policy", "max_tokens_per_batch", "shared_prefix", "torch_dtype"),
        *("attn_implementation", "device", "chat_template", "override_chat_template", "trust_remote_code", "progress"),
    )
}
KEYS: Keys = {
    "before": (None, (str,), None),  # the reward model before the calibration: path or Hub id
    "after": (None, (str, list), None),  # calibrated ones, one or several
    "output_dir": ("outputs/charm", (str,), None),  # results go to evaluation/<name> below it
    "name": (None, (str,), None),  # of the results; default: the last part of the calibrated model's name
    # by default prompts.jsonl, responses and ratings.csv in output_dir
    "prompts": (None, (str,), None),
    "responses": (None, (str,), None),
    "ratings": (None, (str,), None),  # any file that read_leaderboard reads
    "on_failure": ("error", (str,), ("error", "drop")),  # prompts that a policy did not answer
    "split": ("heldout", (str,), SPLITS),  # of the prompts
    "models": (None, (list,), None),  # policy models to compare; default: all with responses
    "style_control": (False, (bool,), None),  # of the ratings, as are the next two
    "category": ("full", (str,), None),
    "snapshot": (None, (str,), None),
    # report.json of calibrate.py, or a list of pairs [[over-valued, reference], ...]; None: no pair is called calibrated
    "calibrated": (None, (str, list), None),
    "human_pairs": (None, (str,), None),  # file, folder or Hub id with pairs; or demo
    "human_split": (None, (str,), None),
    "correctness_label_col_name": (
        "correct_chosen",
        (str,),
        None,
    ),  # whether chosen is truly better, where there is one
    "not_worse_than": (0.01, (float,), None),  # acceptable loss of accuracy on human pairs: 0.01 is one point
    "rewardbench": (None, (str,), None),  # data of RewardBench: file, folder or Hub id; for its section Chat Hard
    "rm_bench": (None, (str,), None),  # data of RM-Bench
    "ties": ("loss", (str,), ("loss", "half")),  # what an equal reward is worth, in mismatch and benchmarks
    "rating_uncertainty": (True, (bool,), None),
    "level": (0.95, (float,), None),
    "draws": (2000, (int,), None),  # of all bootstraps
    "seed": (0, (int,), None),
    "plots": (True, (bool,), None),
    "overwrite": (False, (bool,), None),  # discard rewards that were made with other settings
    # chat: prompts that are texts become the user's messages, and benchmarks are messages; text: benchmarks become texts,
    # as a model needs that was trained on them; None: responses as they are, demo pairs texts, others messages
    "prompt_format": (None, (str,), ("chat", "text")),
    "encoding": (
        None,
        (str,),
        ("rewardbench", "training"),
    ),  # None: rewardbench for messages of benchmarks, else training
    **SCORER_KEYS,
}


def check_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or what does not go together.
    """
    check_keys(config, KEYS)
    if not config["before"]:
        raise ConfigError("set `before`: the path or Hub id of the reward model before the calibration")
    after = after_models(config)
    if not after:
        raise ConfigError("set `after`: the path or Hub id of the calibrated reward model, or a list of them")
    if not all(isinstance(model, str) and model for model in after):
        raise ConfigError(f"config key 'after' must be a name or a list of names, got {config['after']!r}")
    if config["name"] is not None and len(after) > 1:
        raise ConfigError("`name` is of one result: leave it out to evaluate several calibrated models")
    check_folder_name(config["name"], "name", reserved=(SCORES,))
    check_range(config, "seed", 0)
    if isinstance(config["calibrated"], list):
        for pair in config["calibrated"]:
            if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(m, str) for m in pair):
                raise ConfigError(f"config key 'calibrated' must be a list of pairs of models, got {pair!r} in it")
    if not 0 < config["level"] < 1:
        raise ConfigError(f"config key 'level' must lie strictly between 0 and 1, got {config['level']}")
    check_range(config, "not_worse_than", 0, 1)
    # fewer leave no draw beyond the ends of the interval
    check_range(config, "draws", max(2, round(4 / (1 - config["level"]))))
    for key in ("max_length", "max_tokens_per_batch"):
        check_range(config, key, 1)
    if config["prompt_format"] == "chat" and config["human_pairs"] == DEMO:
        raise ConfigError("the demo pairs are texts, as models are trained on them: leave prompt_format out")


def after_models(config: Mapping[str, Any]) -> list[str]:
    """The calibrated models."""
    after = config["after"] or []
    return [after] if isinstance(after, str) else list(after)
