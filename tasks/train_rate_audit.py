"""RATE while `tasks/train.py` trains: what an attribute of held-out texts, rewritten by rules, does to the rewards."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import Trainer

from tasks.rate.create_config import RULES
from tasks.rate.create_rewriter import configured_rewriter
from tasks.train_data import TrainingData
from trl_ext.rate import RateAuditCallback, load_originals, rewrite_chains


logger = logging.getLogger("tasks.train")

EFFECTS = "rate_audit.jsonl"
_TEXTS = ["prompt", "chosen", "rejected"]


def add_rate_audit(trainer: Trainer, config: Mapping[str, Any], data: TrainingData) -> RateAuditCallback | None:
    """
    Add the audit that a configuration asks for to a trainer.

    Half of the texts have the attribute, half do not; those that the rules can't rewrite are left out, with a warning that
    counts them.

    Args:
        trainer ([`~transformers.Trainer`]): The trainer.
        config (`Mapping`): Configuration of `tasks/train.py`.
        data ([`TrainingData`]): Its pairs, of which the test pairs give the texts.

    Returns:
        [`~trl_ext.rate.RateAuditCallback`] or `None`: `None` if there is no audit to do.

    Raises:
        ValueError: There are no held-out pairs, or texts of one kind only.
    """
    attribute = config["rate_audit"]
    if attribute is None:
        return None
    if data.test is None:
        raise ValueError(f"rate_audit={attribute} needs held-out texts: set eval_data_path")
    pairs = data.test.select_columns([name for name in _TEXTS if name in data.test.column_names])
    originals = load_originals(
        pairs, attribute, layout="preferences", limit=config["rate_audit_rows"], balanced=True, seed=config["seed"]
    )
    rules = configured_rewriter(originals, {"rewriter": RULES, "repair_typos": 0.0, "progress": False}, Path())
    chains = rewrite_chains(originals.chains, originals.attribute, rules, progress=False)
    callback = RateAuditCallback(
        trainer,
        chains,
        every_n_steps=config["rate_audit_every_n_steps"],
        at_start=config["eval_before_training"],
        on_failure="drop",
        seed=config["seed"],
        path=Path(trainer.args.output_dir, EFFECTS),
        max_length=config["max_length"],
        max_length_policy="error" if config["max_length_policy"] == "error" else "truncate_prompt_left",
    )
    trainer.add_callback(callback)
    logger.info("Audit of %s: %d held-out texts, two rewrites of each.", attribute, len(callback.chains[attribute]))
    return callback


def audit_results(callback: RateAuditCallback) -> dict[str, Any]:
    """What was audited and found, for `results.json`."""
    (name,) = callback.chains
    steps = sorted(callback.effects)
    return {
        "attribute": name,
        "rewriter": RULES,
        "texts": len(callback.chains[name]),
        "left_out": callback.left_out[name],  # numbers of texts by the reason why the rules could not rewrite them
        "file": EFFECTS,
        "latest": callback.effects[steps[-1]][name].to_dict() if steps else None,
    }
