"""Model card of a trained reward model, and the facts about its training that later cards are made from."""

import json
import logging
import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import is_peft_model
from huggingface_hub import ModelCardData
from transformers.utils import is_peft_available

from ..atomic_files import write_text_atomically
from ..cards import citation_section, facts_sections, is_unedited, one_line, render_card, usage
from ..privacy import hide_private, without_folder
from ..version import __version__


if TYPE_CHECKING:
    from .reward_trainer import PairwiseRewardTrainer

logger = logging.getLogger(__name__)

_LAYOUT = {
    True: " It was trained on conversations in the layout of its chat template.",
    False: " It was trained on plain text, the prompt followed by the response and the end-of-sequence token.",
}

FACTS_FILE = "training_facts.json"


def write_model_card(
    trainer: "PairwiseRewardTrainer",
    model_name: str | None = None,
    dataset_name: str | None = None,
    tags: str | list[str] | None = None,
) -> None:
    """
    Write `README.md` and `training_facts.json` into the output directory of a trainer.

    A card that somebody has edited is kept. A local base model is named by its directory's last part only, so that no path
    of the training machine is published.
    """
    folder = Path(trainer.args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    facts = training_facts(trainer, model_name, dataset_name, tags)
    write_text_atomically(folder / FACTS_FILE, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    save_card(folder, render_facts(facts, trainer.hub_model_id or folder.name))


def save_card(folder: Path, card: str) -> bool:
    """Write the card of a folder, unless there is one that somebody has written or edited; whether it was written."""
    path = folder / "README.md"
    if path.is_file() and not is_unedited(path.read_text(encoding="utf-8")):
        logger.info("%s was not generated, or has been edited since, and is kept", path.name)
        return False
    write_text_atomically(path, card)
    return True


def training_facts(
    trainer: "PairwiseRewardTrainer",
    model_name: str | None = None,
    dataset_name: str | None = None,
    tags: str | list[str] | None = None,
) -> dict[str, Any]:
    """
    What a trainer knows of its model that a reader of the card wants to know, as plain types for JSON.

    Returns:
        `dict[str, Any]`: `model_name`, `dataset`, `base_model`, `base_is_public`, `adapter`, `tags`, `reward_head`, `eos_token`, `conversational`; `trainer`,
        `training_began` (`None` of a trainer that has not trained), `paper`, `versions`; `losses` (name, settings, citation), `training` and `tables` (rows to show).
    """
    args = trainer.args
    source = trainer.model.config._name_or_path
    is_local = not source or os.path.isdir(source)
    report = trainer.length_reports.get("train")
    facts = {
        "model_name": model_name or Path(args.output_dir).name,
        "dataset": None if dataset_name is None or without_folder(dataset_name) != dataset_name else dataset_name,
        "base_model": (Path(source).name if is_local else source) or None,
        "base_is_public": not is_local,
        "adapter": is_peft_available() and is_peft_model(trainer.model),
        "tags": sorted({*trainer._tag_names, *([tags] if isinstance(tags, str) else tags or [])}),
        "reward_head": args.reward_head,
        "eos_token": trainer.processing_class.eos_token or "",
        "trainer": type(trainer).__name__,
        "conversational": trainer.is_conversational,
        "training_began": trainer.training_began,
        "paper": trainer.card_paper(),
        "versions": {"trl_ext": __version__} | {name: version(name) for name in ("trl", "transformers", "torch")},
        "losses": [
            {"name": type(loss).__name__, "settings": loss.get_config_dict(), "citation": loss.citation}
            for loss in trainer.card_losses()
        ],
        "citations": trainer.card_citations(),
        "training": {
            "training pairs": len(trainer.train_dataset) if hasattr(trainer.train_dataset, "__len__") else "streamed",
            "dropped for length": None if report is None else report.dropped,
            "shortened prompts": None if report is None else report.truncated,
            "max_length": f"{args.max_length} ({args.max_length_policy})",
            "learning rate": args.learning_rate,
            "epochs": args.num_train_epochs if args.max_steps <= 0 else None,
            "optimizer steps": args.max_steps if args.max_steps > 0 else None,
            "pairs per optimizer step": args.per_device_train_batch_size
            * args.gradient_accumulation_steps
            * args.world_size,
            "reward head": args.reward_head,
            "heads": args.num_reward_heads if args.reward_head == "ensemble" else None,
            "seed": args.seed,
        },
        "tables": trainer.card_tables(),
    }
    return json.loads(json.dumps(hide_private(facts), default=_plain))


def card_data(facts: dict[str, Any], **more: Any) -> ModelCardData:
    """Metadata of a card from the facts."""
    return ModelCardData(
        base_model=facts["base_model"] if facts["base_is_public"] else None,
        datasets=facts["dataset"],
        library_name="peft" if facts["adapter"] else "transformers",
        pipeline_tag="text-classification",
        tags=facts["tags"],
        **({"model_name": one_line(facts["model_name"])} | more),
    )


def card_introduction(facts: dict[str, Any]) -> str:
    """The first sentence of the card."""
    base = f", starting from `{one_line(facts['base_model'])}`" if facts["base_model"] else ""
    trl = "[TRL](https://github.com/huggingface/trl)"
    return (
        f"A reward model trained with `{facts['trainer']}` of {trl} and trl_ext {facts['versions']['trl_ext']}{base}."
        f"{_LAYOUT.get(facts.get('conversational'), '')}"
    )


def card_usage(facts: dict[str, Any], location: str) -> str:
    """Code that loads the model."""
    return usage(
        location,
        facts["eos_token"],
        adapter=facts["adapter"],
        base_is_public=facts["base_is_public"],
        several_outputs=facts["reward_head"] != "scalar",
        conversational=bool(facts.get("conversational")),
    )


def render_facts(facts: dict[str, Any], location: str) -> str:
    """The card of a model of which nothing but its training is known."""
    sections = [*facts_sections(facts), *citation_section(facts)]
    return render_card(card_data(facts), card_introduction(facts), card_usage(facts, location), sections)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
