"""The attribute that a configuration names, and the original texts that it describes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trl_ext.rate import Attribute, OriginalTexts, get_attribute, load_originals, make_classifier, read_attributes


def configured_attribute(config: Mapping[str, Any]) -> Attribute | str:
    """
    The attribute, or its name where columns of the data may decide who has it.

    Raises:
        ValueError: There is no such attribute, or its classifier has no threshold.
    """
    name, threshold = config["attribute"], config["threshold"]
    if config["attributes_file"] is not None:
        known = read_attributes(config["attributes_file"])
        if name not in known:
            raise ValueError(f"{config['attributes_file']} has no attribute {name!r}; it has {', '.join(known)}")
        attribute = known[name]
    else:
        attribute = get_attribute(name)
        if threshold is None:
            return name
    if threshold is None:
        return attribute
    settings = {**attribute.settings, "threshold": threshold}
    try:
        classifier = make_classifier(settings)
    except ValueError as error:
        raise ValueError(f"`threshold` does not fit attribute {name!r}: {error}") from error
    return replace(attribute, classifier=classifier, settings=classifier.settings())


def configured_originals(config: Mapping[str, Any]) -> OriginalTexts:
    """
    The original texts of a configuration.

    Raises:
        ValueError: See [`~trl_ext.rate.load_originals`].
    """
    text = {"helpsteer": "response"}.get(config["layout"], "text")
    columns = {text: config["text_column"], "prompt": config["prompt_column"]}
    source = config["dataset"]
    return load_originals(
        str(Path(source).expanduser()) if source.startswith("~") else source,
        configured_attribute(config),
        columns={ours: theirs for ours, theirs in columns.items() if theirs is not None},
        **{
            key: config[key]
            for key in ("layout", "split", "prompt", "sides", "turn", "limit", "balanced", "typos", "seed")
        },
    )
