"""Configuration keys of `tasks/charm/score.py`: those of a reward model as in `tasks/rewardbench`."""

from collections.abc import Mapping
from typing import Any

from tasks.config_keys import Keys, check_folder_name, check_keys, check_range
from tasks.rewardbench.configs import MODEL_KEYS, REWARD_MODEL_KEYS
from tasks.train_config import ConfigError


_POLICIES = ("error", "truncate_prompt_left", "truncate_left", "truncate_right")
SCORE_KEYS: Keys = {
    **MODEL_KEYS,
    "max_length": (None, (int,), None),  # tokens; None: no limit
    "max_length_policy": ("error", (str,), _POLICIES),  # what longer ones lose
    **{key: REWARD_MODEL_KEYS[key] for key in ("override_chat_template", "reduction", "shared_prefix")},
    "require_trained_head": REWARD_MODEL_KEYS["require_trained_head"],
    "prompt_format": (None, (str,), ("chat",)),  # None: prompts as they are; chat: texts become the user's messages
    "encoding": ("training", (str,), ("rewardbench", "training")),
    "output_dir": ("outputs/charm", (str,), None),  # has responses/, gets scores/<name>/
    "responses": (None, (str,), None),  # folder of the responses; default: responses in output_dir
    "name": (None, (str,), None),  # of the folder of the scores; default: the model's
    "models": (None, (list,), None),  # policies to score; default: all
    "on_failure": ("error", (str,), ("error", "drop")),  # prompts that a policy did not answer
    "overwrite": (False, (bool,), None),  # discard rewards of other responses or settings
    "seed": (0, (int,), None),  # of a missing head, with require_trained_head=False
    "progress": (True, (bool,), None),
}


def check_score_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, or a wrong type or value.
    """
    check_keys(config, SCORE_KEYS)
    if not config["model"]:
        raise ConfigError("set `model`: the path or Hub id of the reward model")
    check_folder_name(config["name"], "name")
    check_range(config, "seed", 0)
    for key in ("max_length", "max_tokens_per_batch"):
        check_range(config, key, 1)
    models = config["models"]
    if models is not None and (len(models) < 2 or not all(isinstance(name, str) for name in models)):
        raise ConfigError(f"`models` must be a list of two or more names, got {models!r}")
