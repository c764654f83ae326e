"""The rewriter that a configuration names, and what it would cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.rate.create_config import RULES
from trl_ext.completions import BatchesUnderWay, BatchServiceFailure, Prices, StoreInUse, TooManyFailures
from trl_ext.rate import (
    OriginalTexts,
    Rewriter,
    Vocabulary,
    estimate_rewrites,
    make_rewriter,
    world_vocabulary,
)
from trl_ext.rate.originals.loading import SYNTHETIC, SYNTHETIC_ANSWERS


# What may end the making of rewrites without being a fault of the program
EXPECTED_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
    TooManyFailures,
    StoreInUse,
    BatchesUnderWay,
    BatchServiceFailure,
)
_SERVER_KEYS = ("base_url", "api_key_env", "timeout", "max_tokens_field")
_OPTIONS = {
    "openai": (*_SERVER_KEYS, "concurrency"),
    "batch": (*_SERVER_KEYS, "poll_seconds"),
    "local": ("revision", "batch_size", "dtype", "device", "trust_remote_code"),
}


def configured_rewriter(originals: OriginalTexts, config: Mapping[str, Any], answers: Path) -> Rewriter:
    """
    The rewriter of a configuration.

    Args:
        originals ([`OriginalTexts`]): What is to be rewritten: rules take threshold and vocabulary from it.
        config (`Mapping`): Configuration of the script.
        answers (`Path`): Where a model's answers are stored.
    """
    kind, attribute = config["rewriter"], originals.attribute
    if kind == RULES:
        options = _rule_options(originals, config)
        return make_rewriter(kind, attribute, options=options, progress=config["progress"])
    options = {key: config[key] for key in _OPTIONS[kind]} | {"strip_preamble": config["strip_preamble"]}
    if "api_key_env" in options:
        options["api_key_env"] = options["api_key_env"] or None
    sampling = {key: config[key] for key in ("temperature", "top_p", "max_tokens", "extra")}
    sampling["seed"] = config["sampling_seed"]
    return make_rewriter(
        kind,
        attribute,
        model=config["model"],
        store_path=answers,
        options=options,
        sampling=sampling,
        prices=_prices(config),
        progress=config["progress"],
    )


def estimate(originals: OriginalTexts, config: Mapping[str, Any], answers: Path) -> dict[str, Any]:
    """What rewriting would ask and cost; nothing is sent or written."""
    if config["rewriter"] == RULES:
        return {
            "to_ask": 0,
            "rewrites": len(originals.chains) * config["steps"],
            "cost": 0.0,
            "rule": "rules ask no model",
        }
    rewriter = configured_rewriter(
        originals, {**config, "api_key_env": ""}, answers
    )  # nobody is asked: no key is needed
    return estimate_rewrites(
        originals.chains,
        originals.attribute,
        rewriter.backend,
        config["steps"],
        _prices(config),
        store_path=answers,
        sampling=rewriter.sampling,
        strip_preamble=config["strip_preamble"],
    ).to_dict()


def _prices(config: Mapping[str, Any]) -> Prices | None:
    return None if config["prices"] is None else Prices(*map(float, config["prices"]))


def known_words(originals: OriginalTexts, config: Mapping[str, Any]) -> Vocabulary | None:
    """The words to find typing mistakes with, if they are known."""
    if config["vocabulary"] is not None:
        return Vocabulary.read(Path(config["vocabulary"]).expanduser())
    if config["rewriter"] == RULES and config["dataset"] in (SYNTHETIC, SYNTHETIC_ANSWERS):
        return world_vocabulary()
    return getattr(originals.attribute.classifier, "words", None)


def _rule_options(originals: OriginalTexts, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the rule shares with the classifier, so that rewrites are on the other side of the same threshold."""
    settings, name = originals.attribute.settings, originals.attribute.name
    options: dict[str, Any] = {}
    if name == "length" and settings.get("measure") in ("characters", "words"):
        options = {"threshold": settings["threshold"], "measure": settings["measure"]}
    if name == "typos" and settings.get("measure") == "unknown_words":
        options = {"vocabulary": originals.attribute.classifier.words, "threshold": settings["threshold"]}
    if config["repair_typos"]:
        words = known_words(originals, config)
        if words is None:
            raise ValueError("repair_typos needs known words: set `vocabulary`, a file with one a line")
        options |= {"repair_typos": config["repair_typos"], "vocabulary": words}
    return options
