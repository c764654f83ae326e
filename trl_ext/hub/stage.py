"""The directory that is uploaded: links to the files as they are, and those files that have to say something else."""

import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn
from transformers import PreTrainedTokenizerBase

from ..cards import is_unedited
from ..data.bundled import portable_name
from ..model_entries import REWARD_HEAD
from ..reporting.card_evidence import outdated_files
from ..reporting.model_card import card_to_push
from ..trainer.head_fingerprint import fitted_entries
from .files import check_has_weights, files_to_upload
from .public_json import public_text
from .repository import Repository


logger = logging.getLogger(__name__)


def save_model(model: nn.Module, processing_class: PreTrainedTokenizerBase, folder: Path) -> None:
    """
    Save a model in memory with its tokenizer; of an adapted model only the adapter, with its calibration and intervals if
    they are known ([`~trl_ext.load_reward_model`] reads them) and of these weights.
    """
    model.save_pretrained(folder)
    if (folder / "adapter_config.json").is_file():
        entry = REWARD_HEAD.read(model)
        if entry is not None:
            REWARD_HEAD.write(folder, entry)
        for fitted, values in fitted_entries(model).items():
            fitted.write(folder, values)
    processing_class.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's template, which names the path of the base model


def stage(source: Path, folder: Path, exclude: Sequence[str]) -> tuple[list[str], list[str]]:
    """
    Lay out in `folder` what is uploaded of `source`; return the names of these files and of those that are not.

    The base of an adapter is named so that others can find it, if it can be. The configuration says that the output is
    a number and not a class, as `pipeline` would return its sigmoid otherwise. Files with evidence say nothing of single
    annotators, nor where they lay; one that can't be read, or is of an earlier model, is left out.
    """
    names, left_out = files_to_upload(source, exclude)
    check_has_weights(names, source)
    unfit = [name for name in outdated_files(source) if name in names]
    if unfit:
        logger.warning("Not uploaded, as they are older than the training of this model: %s", ", ".join(unfit))
    for name in [name for name in names if name not in unfit]:
        try:
            text = public_text(name, source / name)
        except ValueError as error:
            logger.warning("%s can't be read and is not uploaded: %s", name, error)
            unfit.append(name)
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            (folder / name).symlink_to((source / name).resolve())
        else:
            (folder / name).write_text(text, encoding="utf-8")
    names, left_out = [name for name in names if name not in unfit], sorted([*left_out, *unfit])
    _rewrite_json(folder / "config.json", _as_regression)
    _rewrite_json(folder / "adapter_config.json", _with_public_base)
    return names, left_out


def add_model_card(names: Sequence[str], source: Path, folder: Path, repository: Repository) -> list[str]:
    """
    Write the model card with what is known of the model; return the names with the card's.

    A card that somebody has written or edited is never overwritten: one in `source` is pushed as it is, one on the Hub stays.
    """
    staged = folder / "README.md"
    if staged.is_file() and not is_unedited(staged.read_text(encoding="utf-8")):
        return list(names)
    others = [name for name in names if name != "README.md"]
    if "README.md" in repository.files and not is_unedited(_card_on_hub(repository)):
        logger.warning(
            "%s has a model card that was not generated, or has been edited: it is kept", repository.repo_id
        )
        return others
    card = card_to_push(source, repository.repo_id)
    staged.unlink(missing_ok=True)  # the link, not the file
    staged.write_text(card, encoding="utf-8")
    return sorted([*others, "README.md"])


def _card_on_hub(repository: Repository) -> str:
    with tempfile.TemporaryDirectory(prefix="trl_ext_push_") as scratch:
        repository.download(repository.head, ["README.md"], Path(scratch))
        return Path(scratch, "README.md").read_text(encoding="utf-8")


def _rewrite_json(path: Path, change: Callable[[dict], dict]) -> None:
    if not path.is_file():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    after = change(dict(before))
    if after != before:
        path.unlink()  # the link, not the file
        path.write_text(json.dumps(after, indent=2) + "\n", encoding="utf-8")


def _as_regression(config: dict) -> dict:
    return config if config.get("problem_type") else config | {"problem_type": "regression"}


def _with_public_base(config: dict) -> dict:
    base = config.get("base_model_name_or_path") or ""
    name = portable_name(base)
    if name.startswith("~") or Path(name).expanduser().is_dir():
        logger.warning(
            "The base model of this adapter is the local directory %s: no one else can load the adapter. Push the base "
            "model too and train the adapter on its Hub id, or merge the adapter and push the whole model.",
            name,
        )
    return config | {"base_model_name_or_path": name} if name else config
