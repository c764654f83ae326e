"""Options of tasks/charm/calibrate.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.config_keys import Keys, check_keys, check_range
from tasks.train_config import ConfigError


CALIBRATE_KEYS: Keys = {
    # Files. Without more, those that the other scripts of this folder wrote below `output_dir`
    "output_dir": ("outputs/charm", (str,), None),
    "rm": (None, (str,), None),  # name of the reward model: scores/<rm>, calibration/<rm>
    "name": (None, (str,), None),  # of this calibration, where there are several: calibration/<rm>/<name>
    "scores": (None, (str,), None),  # folder of score.py
    "responses": (None, (str,), None),  # folder of generate.py
    "prompts": (None, (str,), None),  # JSONL with id and split
    "split": ("calibration", (str,), None),  # prompts to calibrate on; the others are held out
    "ratings": (None, (str,), None),  # leaderboard, table or pm_config.json
    "battles": (None, (str,), None),  # battles to fit ratings to, instead
    # Ratings
    "ratings_method": ("bradley_terry", (str,), ("bradley_terry", "style_controlled", "elo")),  # of battles
    "style_control": (False, (bool,), None),  # of a leaderboard
    "category": ("full", (str,), None),
    "snapshot": (None, (str,), None),
    # Which pairs of models
    "pairs": ("best", (str,), ("best", "significant", "all", "extremes")),
    "choice": ("automatic", (str,), ("automatic", "paper")),
    "overvalued": (None, (str,), None),
    "reference": (None, (str,), None),
    "level": (0.95, (float,), None),
    "bootstrap": (2000, (int,), None),
    "seed": (0, (int,), None),
    # Offsets; of several models together if pairs is all or extremes
    "method": ("paired", (str,), ("paired", "soft_paired", "reference")),
    "temperature": (None, (float, str), None),  # of the soft methods: a number, or "std"
    "mismatch_ties": ("loss", (str,), ("loss", "half")),
    # Preference pairs
    "labels": ("hard", (str,), ("hard", "soft", "none")),
    "label_temperature": (1.0, (float, str), None),  # of soft labels: a number, or "std"
    "ties": ("drop", (str,), ("drop", "soft")),
    "min_margin": (0.0, (float,), None),
    "overwrite": (False, (bool,), None),
    # The original's names: folders of its layout, and other names of the keys above
    "score_dataset_dir": (None, (str,), None),
    "preference_output_dir": (None, (str,), None),
    "pm_config_path": (None, (str,), None),
    "ref_model": (None, (str,), None),
    "overvalued_model": (None, (str,), None),
}

_OTHER_NAMES = {"pm_config_path": "ratings", "ref_model": "reference", "overvalued_model": "overvalued"}
# Where things are, not what they are: their content is compared instead
PLACES = (
    "output_dir",
    "rm",
    "name",
    "scores",
    "responses",
    "prompts",
    "ratings",
    "battles",
    "score_dataset_dir",
    "preference_output_dir",
    "overwrite",
)


def resolve_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with our names for the original's, and with the paths that were not given."""
    resolved = {key: value for key, value in config.items() if key not in _OTHER_NAMES}
    for other, ours in _OTHER_NAMES.items():
        if config[other] is not None:
            if config[ours] is not None:
                raise ConfigError(f"{other!r} and {ours!r} are two names of one setting: set one of them")
            resolved[ours] = config[other]
    folder = Path(config["output_dir"])
    original = resolved["score_dataset_dir"]
    if resolved["rm"] is None:
        given = original or resolved["scores"]
        resolved["rm"] = Path(given).name if given else _only_reward_model(folder / "scores")
    if original is None:
        resolved["scores"] = resolved["scores"] or str(folder / "scores" / resolved["rm"])
        resolved["responses"] = resolved["responses"] or str(folder / "responses")
    if resolved["ratings"] is None and resolved["battles"] is None:
        resolved["ratings"] = str(folder / "ratings.csv")
        if not Path(resolved["ratings"]).exists() and (folder / "battles.jsonl").exists():
            resolved.update(ratings=None, battles=str(folder / "battles.jsonl"))
    if resolved["prompts"] is None and original is None and (folder / "prompts.jsonl").exists():
        resolved["prompts"] = str(folder / "prompts.jsonl")
    return resolved


def check_calibrate_config(config: Mapping[str, Any]) -> None:
    """
    Check everything that can be checked without reading a file.

    Raises:
        ConfigError: On an unknown key, a wrong type or value, or keys that contradict each other.
    """
    check_keys(config, CALIBRATE_KEYS)
    if not 0 < config["level"] < 1:
        raise ConfigError(f"config key 'level' must lie strictly between 0 and 1, got {config['level']!r}")
    check_range(config, "bootstrap", 1)
    check_range(config, "min_margin", 0.0)
    for key in ("temperature", "label_temperature"):
        value = config[key]
        if (
            isinstance(value, str)
            and value != "std"
            or isinstance(value, int | float)
            and not 0 < value < float("inf")
        ):
            raise ConfigError(f"config key {key!r} must be a positive number or 'std', got {value!r}")
    if config["temperature"] is not None and config["method"] == "paired":
        raise ConfigError("config key 'temperature' is of method=soft_paired and method=reference; paired has none")
    if config["score_dataset_dir"] is not None:
        for key in ("scores", "responses", "prompts"):
            if config[key] is not None:
                raise ConfigError(f"'score_dataset_dir' holds scores, responses and prompts: leave {key!r} out")
    ratings = config["ratings"] or config["pm_config_path"]
    if ratings is not None and config["battles"] is not None:
        raise ConfigError("ratings are read from 'ratings' or fitted to 'battles': set one of them")
    named = [key for key in ("overvalued", "reference", "ref_model", "overvalued_model") if config[key] is not None]
    if named and config["pairs"] in ("all", "extremes"):
        raise ConfigError(f"pairs={config['pairs']} takes all models: leave {named[0]!r} out")
    if named and config["choice"] == "paper":
        raise ConfigError(f"choice=paper names both models: leave {named[0]!r} out")
    if config["labels"] == "none" and config["pairs"] == "extremes":
        raise ConfigError("labels=none needs all prompts of a pair of models: pairs=extremes selects prompts by score")
    if (config["overvalued"] or config["overvalued_model"]) and not (config["reference"] or config["ref_model"]):
        raise ConfigError("'overvalued' needs a 'reference': name both models, or the reference only, or none")


def _only_reward_model(folder: Path) -> str:
    found = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if len(found) == 1:
        return found[0]
    what = f"there are scores of {', '.join(found)}" if found else "there are no scores"
    raise ConfigError(f"{what} in {str(folder)!r}: set rm to the name of a reward model, or scores to a folder")
