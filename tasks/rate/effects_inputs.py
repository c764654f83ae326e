"""Rewards to estimate effects from, and what is known of their texts."""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trl_ext.rate import (
    Attribute,
    RewardChains,
    RewriteQuality,
    TextChains,
    TextFacts,
    feature_differences,
    fit_attribute,
    get_attribute,
    make_classifier,
    measure_features,
    original_hashes,
    read_original_scored,
    read_reward_chains,
    rewrite_quality,
)
from trl_ext.rate.chains.scoring import RECORD
from trl_ext.rate.quality.features import DISTANCE


logger = logging.getLogger("tasks.rate")

SCORES, REWARDS, REWRITES, ORIGINALS_RECORD = "scores", "rewards.jsonl", "rewrites.jsonl", "originals.meta.json"
NOT_SCORED = "not_scored"
Key = tuple[str, str]


@dataclass
class EffectInputs:
    """
    All that effects are estimated from.

    Args:
        chains (`dict[tuple[str, str], dict[str, RewardChains]]`): Rewards by data set and attribute, and by reward model.
        facts (`dict[tuple[str, str], TextFacts]`): What is measured of the texts.
        treated (`dict[str, str]`): By attribute, what a text with it is.
        quality (`dict[str, dict]`): Verdict on the rewrites, by data set and attribute.
        files (`dict[str, str]`): SHA-256 of the files of rewards.
    """

    chains: dict[Key, dict[str, RewardChains]] = field(default_factory=dict)
    facts: dict[Key, TextFacts] = field(default_factory=dict)
    treated: dict[str, str] = field(default_factory=dict)
    quality: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def read_inputs(config: Mapping[str, Any]) -> EffectInputs:
    """
    Read rewards, and measure their texts if that is asked for.

    Args:
        config (`Mapping`): Resolved configuration of the script.

    Returns:
        [`EffectInputs`]

    Raises:
        ValueError: There are no rewards, or a file is not as it must be.
    """
    from tasks.provenance import hash_file

    inputs = EffectInputs()
    if config["original_file"]:
        path = Path(config["original_file"]).expanduser()
        texts, rewards = read_original_scored(path, config["attribute"], step_keys=config["step_keys"])
        rewards = _chosen(rewards, config, path)
        inputs.files[path.name] = hash_file(path)
        _add(inputs, (config["name"] or path.stem, config["attribute"]), rewards, texts, None, config["texts"])
        return inputs
    for folder in _folders(config):
        texts = TextChains.read(folder / REWRITES) if (folder / REWRITES).is_file() else None
        rewards, attribute = {}, None
        for place in sorted((folder / SCORES).iterdir()):
            if (place / REWARDS).is_file() and (config["models"] is None or place.name in config["models"]):
                rewards[place.name] = read_reward_chains(place, texts)
                attribute = attribute_of(place)
                inputs.files[f"{folder.name}/{place.name}"] = hash_file(place / REWARDS)
        if not rewards:
            continue
        if config["models"] is not None:  # in the order that was asked for
            rewards = {name: rewards[name] for name in config["models"] if name in rewards}
        _add(inputs, (data_set_of(folder.name, attribute), attribute), rewards, texts, folder, config["texts"])
    missing = set(config["models"] or ()) - {name for own in inputs.chains.values() for name in own}
    if missing or not inputs.chains:
        what = f"of {', '.join(sorted(missing))}" if missing else f"in */{SCORES}/*/{REWARDS}"
        raise ValueError(
            f"{config['output_dir']}: there are no rewards {what}. Score rewrites with tasks/rate/score.py"
        )
    return inputs


def _folders(config: Mapping[str, Any]) -> list[Path]:
    output = Path(config["output_dir"]).expanduser()
    if config["names"] is None:
        return sorted(path.parent for path in output.glob(f"*/{SCORES}") if path.is_dir())
    folders = [output / name for name in config["names"]]
    for folder in folders:
        if not (folder / SCORES).is_dir():
            known = ", ".join(sorted(path.parent.name for path in output.glob(f"*/{SCORES}"))) or "none"
            raise ValueError(f"{folder / SCORES}: there are no scores; data sets with scores in {output}: {known}")
    return folders


def attribute_of(place: Path) -> str:
    """The attribute that rewards are of, from the first row that was scored."""
    with (place / "input.jsonl").open(encoding="utf-8") as file:
        return json.loads(file.readline())["attribute"]


def data_set_of(folder: str, attribute: str) -> str:
    """`imdb` of `imdb_length`: the folder's name without the attribute that it ends with."""
    return folder.removesuffix(f"_{attribute}") or folder


def _chosen(rewards: dict[str, RewardChains], config: Mapping[str, Any], path: Path) -> dict[str, RewardChains]:
    key = config["reward_key"]
    if key is not None and key in rewards:
        rewards = {key: rewards[key]}
    # "reward" is what the original takes if its configuration does not say
    elif key not in (None, "reward"):
        raise ValueError(f"{path} has no rewards {key!r}; it has {', '.join(map(repr, rewards))}")
    if config["score_name"] is not None:
        if len(rewards) > 1:
            raise ValueError(
                f"{path} has rewards of {', '.join(map(repr, rewards))}: say which with `reward_key`, or leave out `score_name`"
            )
        rewards = {config["score_name"]: next(iter(rewards.values()))}
    return rewards


def _add(
    inputs: EffectInputs, key: Key, rewards: dict[str, RewardChains], texts: TextChains | None, folder: Path | None,
    measure: bool,
) -> None:  # fmt: skip
    if key in inputs.chains:
        key = (folder.name, key[1])  # two data sets of one name: that of the folder is unique
    name = "/".join(key)
    attribute = _attribute(key[1], folder, texts)
    if " " not in attribute.treated:  # "longer texts", but not "a vowel texts"
        inputs.treated[key[1]] = attribute.treated
    if not measure or texts is None or texts.steps < 1:
        inputs.chains[key] = rewards
        if texts is not None:
            inputs.facts[key] = TextFacts(np.array(texts.ids, dtype=object), originals=original_hashes(texts))
        return
    quality = rewrite_quality(texts, attribute)
    inputs.quality[name] = {"verdict": quality.verdict, "notes": list(quality.notes)}
    logger.info("%s: rewrites are %s. %s", name, quality.verdict, " ".join(quality.notes))
    excluded = _left_out(texts, quality, rewards, folder)
    kept = {texts.ids[row] for row in np.flatnonzero(quality.keep)}
    inputs.chains[key] = {}
    for model, own in rewards.items():
        rows = np.array([row in kept for row in own.ids])
        if not rows.any():
            raise ValueError(
                f"{name}: no row of {model} is left, all rewrites have faults: {excluded}. Or set texts=False"
            )
        inputs.chains[key][model] = own.select(rows)
    texts = texts.select(quality.keep)
    off_target = [part.feature for part in quality.drift if not part.on_target and part.feature != DISTANCE]
    inputs.facts[key] = TextFacts(
        np.array(texts.ids, dtype=object),
        None if quality.observed is None else quality.observed[quality.keep],
        feature_differences(texts, off_target) if texts.steps > 1 and off_target else None,
        measure_features(texts.of(0), features=off_target) if off_target else None,
        excluded,
        original_hashes(texts),
    )


def _left_out(
    texts: TextChains, quality: RewriteQuality, rewards: Mapping[str, RewardChains], folder: Path | None
) -> dict[str, int]:
    """Rows without an effect by reason: rewrites with faults, and rows that were not scored for want of none (`limit`)."""
    scored = set().union(*(own.ids for own in rewards.values()))
    judged = np.array([name in scored for name in texts.ids]) | ~texts.complete
    if folder is not None and any(read_record(folder / SCORES / name / RECORD).get("quality") for name in rewards):
        judged |= ~quality.keep  # such rows were left out before
    reasons = Counter(quality.reasons[row][0] for row in np.flatnonzero(judged & ~quality.keep))
    return dict(reasons.most_common()) | ({NOT_SCORED: rest} if (rest := int((~judged).sum())) else {})


def _attribute(name: str, folder: Path | None, texts: TextChains | None) -> Attribute:
    """The attribute as it was when the data set was made, or else as the package knows it, if it does; then it may have no classifier."""
    try:
        known = get_attribute(name)
    except ValueError:
        known = Attribute(name, f"with {name}", f"without {name}", "{text} {target}")
    record = {} if folder is None else read_record(folder / ORIGINALS_RECORD)
    if not record.get("classifier"):
        # such as the median of lengths
        return known if known.classifier is None or texts is None else fit_attribute(known, texts.of(0))
    try:
        classifier = make_classifier(record["classifier"])
    except ValueError as error:
        logger.warning("%s: compliance is not measured: %s", folder, error)
        classifier = None
    words = {side: record[side] for side in ("treated", "untreated") if isinstance(record.get(side), str)}
    return replace(known, classifier=classifier, settings=record["classifier"], **words)


def read_record(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
