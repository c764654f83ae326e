"""Generation of responses: prompts are read and written down, then every policy answers them."""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from tasks.charm.demo_prompts import load_demo_prompts
from tasks.charm.generate_config import DEMO, POLICY_KEYS, resolve_aliases
from tasks.log_levels import show_own_news
from tasks.provenance import command
from tasks.train_config import ConfigError
from trl_ext.arena import (
    PolicyModel,
    check_prompt_rows,
    generate_responses,
    policy_backend,
    read_policies,
    read_prompt_rows,
)
from trl_ext.arena.responses.files import check_file_names
from trl_ext.atomic_files import write_text_atomically
from trl_ext.completions import TooManyFailures
from trl_ext.data.readers import FILE_TYPES, Unreadable, read_file
from trl_ext.json_lines import as_lines
from trl_ext.privacy import hide_private


logger = logging.getLogger("tasks.charm")

DEMO_POLICIES = Path(__file__).with_name("demo_policies.yaml")
SPLITS = ("calibration", "heldout")


def run_generation(config: Mapping[str, Any], sacred_run: Any) -> dict[str, int]:
    """
    Generate the responses of all policies.

    Args:
        config (`Mapping`): Configuration of the script.
        sacred_run (`Run`): Sacred's record.

    Returns:
        `dict[str, int]`: Number of responses by model.

    Raises:
        ConfigError: On a mistake in the configuration or the data, or if prompts got no answer.
    """
    transformers.utils.logging.set_verbosity_warning()
    show_own_news()
    config = resolve_aliases(config)
    folder = Path(config["output_dir"]).expanduser()
    try:
        policies = load_policies(config)
        rows = load_prompts(config)
        write_prompts(folder / "prompts.jsonl", rows, config["overwrite"])
        records = generate_all(rows, policies, folder / "responses", config)
    except (ValueError, TypeError, OSError, ImportError, TooManyFailures) as error:
        raise ConfigError(str(error)) from error
    sacred_run.info["responses"] = hide_private({"models": records, "command": command("tasks/charm/generate.py")})
    for name, record in records.items():
        counts, ledger = record["counts"], record["ledger"]
        print(
            f"{name:<32} {counts['responses']:>6} responses   {ledger['completion_tokens']:>8} tokens   "
            f"{counts['cut_at_max_tokens']:>6} cut at max_tokens   {sum(counts['failures'].values()):>4} failed"
        )
    print(f"Responses: {folder / 'responses'}")
    return {name: record["counts"]["responses"] for name, record in records.items()}


def load_policies(config: Mapping[str, Any]) -> list[PolicyModel]:
    """The policies to ask: of a file, the demo's, or a single one."""
    if config["policies"] is None:
        settings = {key: config[key] for key in POLICY_KEYS}
        return [PolicyModel(**settings | {"name": config["name"] or config["model"], "api_key_env": _key(config)})]
    policies = read_policies(DEMO_POLICIES if config["policies"] == DEMO else config["policies"])
    check_file_names([policy.name for policy in policies])
    if config["models"] is None:
        return policies
    by_name = {policy.name: policy for policy in policies}
    unknown = [name for name in config["models"] if name not in by_name]
    if unknown:
        raise ValueError(f"`models`: there is no policy {unknown[0]!r}; there are {', '.join(by_name)}")
    return [by_name[name] for name in config["models"]]


def load_prompts(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows with `id`, `prompt`, perhaps `messages`, and `split`."""
    if config["prompts"] == DEMO:
        rows = load_demo_prompts()
    else:
        rows = check_prompt_rows(_named_rows(config), config["prompts"])
    if config["max_prompts"] is not None and config["max_prompts"] < len(rows):
        generator = np.random.default_rng(config["seed"])
        rows = [rows[i] for i in sorted(generator.choice(len(rows), config["max_prompts"], replace=False))]
    without = [row["id"] for row in rows if row.get("split") is None]
    if without and len(without) < len(rows):
        raise ValueError(
            f"{config['prompts']}: {len(without)} prompts have no 'split', others do; first: {without[0]!r}"
        )
    if without:
        rows = [{**row, "split": _split_of(row["id"], config["heldout_fraction"])} for row in rows]
    for row in rows:
        if row["split"] not in SPLITS:
            raise ValueError(f"prompt {row['id']!r}: 'split' must be one of {', '.join(SPLITS)}, got {row['split']!r}")
    logger.info("%d prompts: %s.", len(rows), dict(Counter(row["split"] for row in rows)))
    return rows


def write_prompts(path: Path, rows: list[dict[str, Any]], overwrite: bool) -> None:
    """Write the prompts, or check that they are those that are there."""
    if path.is_file() and not overwrite:
        if read_prompt_rows(path) != rows:
            raise ValueError(f"{path} has other prompts. Give another output_dir, or set overwrite=True")
        return
    write_text_atomically(path, as_lines(rows))


def generate_all(
    rows: list[dict[str, Any]], policies: list[PolicyModel], folder: Path, config: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Records of all policies' responses. Weights are loaded once for policies that follow each other."""
    records: dict[str, dict[str, Any]] = {}
    # a model that is not there is found before the first one answers: configuration and tokenizer are read, no weights
    for policy in {_source(policy): policy for policy in policies}.values():
        _backend(policy, config)
    backend, loaded = None, None
    for policy in policies:
        if _source(policy) != loaded:
            backend, loaded = _backend(policy, config), _source(policy)
        records[policy.name] = generate_responses(
            rows,
            policy,
            folder,
            backend=backend,
            on_failure=config["on_failure"],
            parse_attempts=config["parse_attempts"],
            max_failures=config["max_failures"],
            overwrite=config["overwrite"],
            progress=config["progress"],
        )
    return records


def _source(policy: PolicyModel) -> tuple[str | None, ...]:
    """Settings that policies which share a backend have in common."""
    local = (policy.backend, policy.model, policy.revision, policy.dtype)
    return (*local, policy.base_url, policy.api_key_env, policy.max_tokens_field)


def _backend(policy: PolicyModel, config: Mapping[str, Any]) -> Any:
    keys = ("batch_size", "device", "trust_remote_code", "concurrency", "timeout")
    return policy_backend(policy, **{key: config[key] for key in keys})


def _named_rows(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    source, prompt, name = config["prompts"], config["prompt_column"], config["id_column"]
    path = Path(source).expanduser()
    if path.suffix.lower() in FILE_TYPES:
        try:
            data = read_file(path, {"prompt": prompt, "id": name or "id"})
        except Unreadable as error:
            raise ValueError(f"can't read {source}: {error}") from error
    else:
        from datasets import load_dataset

        if config["split"] is None:
            raise ValueError(f"set `split` of the data set {source!r}, e.g. split=train")
        data = load_dataset(source, split=config["split"])
    for column in (prompt, name):
        if column is not None and column not in data.column_names:
            raise ValueError(f"{source} has no column {column!r}; its columns are {', '.join(data.column_names)}")
    if name is None and "id" in data.column_names:
        name = "id"
    kept = [column for column in ("messages", "split") if column in data.column_names]
    return [
        {"id": str(number) if name is None else row[name], "prompt": row[prompt]}
        | {column: row[column] for column in kept if row[column] is not None}
        for number, row in enumerate(data)
    ]


def _split_of(name: str, heldout_fraction: float) -> str:
    """By the id alone, so that a prompt stays where it is when others are added."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "heldout" if share < heldout_fraction else "calibration"


def _key(config: Mapping[str, Any]) -> str | None:
    return config["api_key_env"] or None
