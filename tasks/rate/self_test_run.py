"""The self-test on configured texts and a configured rewriter: planted effects must be found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers

from tasks.json_files import as_recorded, write_json
from tasks.log_levels import show_own_news
from tasks.provenance import command, package_versions
from tasks.rate.create_attribute import configured_originals
from tasks.rate.create_config import RULES
from tasks.rate.create_rewriter import EXPECTED_ERRORS, configured_rewriter
from tasks.rate.self_test_config import FAULT_KEYS, folder_name
from tasks.train_config import ConfigError
from trl_ext.rate import OriginalTexts, Rewriter, RuleRewriter, Vocabulary, planted_bias_test, world_vocabulary


SYNTHETIC = "synthetic"


def run_self_test(config: Mapping[str, Any], sacred_run: Any) -> dict[str, Any]:
    """
    Run the self-test in `<output_dir>/<name>`.

    Args:
        config (`Mapping`): Configuration of the script.
        sacred_run (`Run`): Sacred's record.

    Returns:
        `dict`: Verdict and folder.

    Raises:
        ConfigError: On a mistake in the configuration or the data, or if too many rewrites failed.
    """
    transformers.utils.logging.set_verbosity_warning()
    show_own_news()
    folder = Path(config["output_dir"]).expanduser() / folder_name(config)
    try:
        originals = configured_originals(config)
        vocabulary = known_words(originals, config)
        result = planted_bias_test(
            originals.chains,
            originals.attribute,
            tested_rewriter(originals, config, vocabulary, folder),
            effect=config["effect"],
            margin=config["margin"],
            level=config["level"],
            vocabulary=vocabulary,
            path=folder / "rewrites.jsonl",
            overwrite=config["overwrite"],
            progress=config["progress"],
        )
    except EXPECTED_ERRORS as error:
        raise ConfigError(str(error)) from error
    content = result.to_dict() | {
        "originals": originals.report,
        "versions": package_versions(),
        "command": command("tasks/rate/self_test.py"),
    }
    write_json(folder / "self_test.json", content)
    sacred_run.info["self_test"] = as_recorded(content)
    print(result.format())
    print(f"Self-test: {folder / 'self_test.json'}")
    return {"verdict": result.verdict, "folder": str(folder)}


def tested_rewriter(
    originals: OriginalTexts, config: Mapping[str, Any], vocabulary: Vocabulary | None, folder: Path
) -> Rewriter:
    """The configured rewriter; rules with the configured deviations."""
    rewriter = configured_rewriter(originals, config, folder / "answers.jsonl")
    faults = {key: config[key] for key in FAULT_KEYS}
    if not any(faults.values()):
        return rewriter
    settings = {"attribute": originals.attribute.name, **rewriter.function.settings}
    return RuleRewriter(rewriter.name, rewriter.function, settings, vocabulary=vocabulary, **faults)


def known_words(originals: OriginalTexts, config: Mapping[str, Any]) -> Vocabulary | None:
    """Words by which typing mistakes are found: of the file, of the classifier, or all that synthetic texts can have."""
    if config["vocabulary"] is not None:
        return Vocabulary.read(config["vocabulary"])
    if config["dataset"] == SYNTHETIC and config["rewriter"] == RULES:
        return world_vocabulary()  # a model writes other words, which are not misspelled
    return getattr(originals.attribute.classifier, "words", None)
