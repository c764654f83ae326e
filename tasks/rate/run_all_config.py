"""Configuration of tasks/rate/run_all.py, and what it asks of each of the other scripts."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.config_keys import Keys, check_folder_name, check_keys, check_range
from tasks.train_config import ConfigError


STAGES = ("reward_models", "rewrite", "score", "effects", "plot")
REWRITERS = ("rules", "local", "server", "openai", "batch")
DEMO = "demo"
BUNDLED = "bundled:smollm2-135m-instruct"
LEXICAL = "lexical"

RUN_ALL_KEYS: Keys = {
    "output_dir": ("outputs/rate", (str,), None),
    "reward_models": (None, (list, str), None),  # folders or Hub ids, or RM1,RM2; None: two are trained on the demo's pairs
    "lexical_reward": (True, (bool,), None),  # score with a reward that is a formula of the text, too
    "baseline": (None, (str,), None),  # reward model that the others are compared with; None: the first
    "dataset": (DEMO, (str,), None),  # as in create_dataset.py
    "attribute": ("length", (str,), None),
    "attributes_file": (None, (str,), None),
    "limit": (40, (int,), None),  # texts, half of them with the attribute
    "rewriters": (["rules", "local", "server"], (list, str), None),  # server: the local model behind `transformers serve`
    "rewriter_model": (BUNDLED, (str,), None),  # of local and server; the name at the server of openai and batch
    "seed": (42, (int,), None),
    "stop_after": (STAGES[-1], (str,), STAGES),
    # Further keys of the scripts
    "create": ({}, (dict,), None),
    "score": ({}, (dict,), None),
    "effects": ({}, (dict,), None),
    "train": ({}, (dict,), None),  # of tasks/train.py, for the demo's reward models
}
