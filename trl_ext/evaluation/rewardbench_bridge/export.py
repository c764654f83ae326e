"""A copy of a model that transformers 4.51, which rewardbench 0.1.4 needs, reads as it is meant."""

import copy
import json
import logging
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ...privacy import hide_home
from ...scoring.loading import ModelSource, check_one_label, load_tokenizer_of
from ...shared_prefix import core_model
from .legacy_config import legacy_config, legacy_tokenizer_config


logger = logging.getLogger(__name__)

KINDS = ("reward", "language")
_PROBES = ("What is the capital of France?", " Two\nlines, café, 12345 — déjà vu\t", "<|im_start|>user\n<s></s>")


def export_legacy_copy(
    model: str | PreTrainedModel,
    folder: str | Path,
    processing_class: PreTrainedTokenizerBase | None = None,
    *,
    kind: str = "reward",
    adapter: str | None = None,
    revision: str | None = None,
) -> Path:
    """
    Save a model and its tokenizer so that transformers 4.51 computes the same rewards.

    Weights become safetensors in the precision of the checkpoint, or float32 where an adapter is merged. What
    transformers 4.51 would misread without a word is written in its terms ([`legacy_config`]), and what it can't read is
    refused. Weights and tokens of the copy are compared with the model's. Whether rewards are equal too is what
    [`compare_with_genuine`] finds out.

    Args:
        model (`str` or [`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            Hub id or path of a model or of an adapter, `"bundled:smollm2-135m-instruct"` (of kind `"language"`), or a
            model in memory, which is not changed.
        folder (`str` or `Path`):
            Folder to make. It is complete or absent.
        processing_class ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer. By default the one that lies with the model.
        kind (`str`, *optional*, defaults to `"reward"`):
            `"reward"`, a sequence-classification model with one label and a trained head; or `"language"`, a causal
            language model, as of DPO.
        adapter, revision (`str`, *optional*):
            PEFT adapter on a model by name, and revision of the model.

    Returns:
        `Path`: The folder.

    Raises:
        ValueError: The model can't be exported; the reason is named.
        FileExistsError: The folder is there already.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{hide_home(folder)} is there already; choose another folder or remove it")
    if isinstance(model, str):
        source = ModelSource.find(model, adapter, revision, False, require_trained_head=kind == "reward")
        processing_class = source.load_tokenizer() if processing_class is None else processing_class
        model = _load(source, kind)
    elif adapter is not None or revision is not None:
        raise ValueError("`adapter` and `revision` apply to a model by name; this one is in memory already")
    elif processing_class is None:
        processing_class = load_tokenizer_of(core_model(model))
    _check_tokenizer(processing_class)
    config = legacy_config(_complete_config(core_model(model), kind))  # before anything is written

    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _save(_merged(model), processing_class, config, temporary)
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _load(source: ModelSource, kind: str) -> torch.nn.Module:
    # Merging rounds: an adapter's difference is often smaller than the steps of bfloat16
    dtype = "auto" if source.adapter is None else "float32"
    if kind == "reward":
        return source.load_model(source.load_config(), dtype, None, torch.device("cpu"))
    revision = source.revision or "main"
    model = AutoModelForCausalLM.from_pretrained(source.name, revision=revision, dtype=dtype, use_safetensors=True)
    if source.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, source.adapter, revision=source.adapter_revision or "main")
    return model


def _merged(model: torch.nn.Module) -> PreTrainedModel:
    """The model without adapters; one in memory stays as it is."""
    if not hasattr(model, "merge_and_unload"):
        if getattr(model, "peft_config", None):
            raise ValueError("adapters that transformers attached can't be merged; load them with PeftModel")
        return model
    model = copy.deepcopy(model).merge_and_unload()
    logger.info("The adapter was merged into the copy.")
    return model


def _complete_config(model: PreTrainedModel, kind: str) -> dict:
    """`config.json` with every value: today's defaults differ from those of transformers 4.51."""
    name = type(model).__name__
    suffix = {"reward": "ForSequenceClassification", "language": ("ForCausalLM", "LMHeadModel")}[kind]
    if not name.endswith(suffix):
        raise ValueError(f"a model of class {name} is not of kind {kind!r}")
    if kind == "reward":
        check_one_label(model.config)
    config = json.loads(model.config.to_json_string(use_diff=False))
    config.pop("_name_or_path", None)  # a path of this machine
    config["architectures"] = [name]
    config["dtype"] = str(model.dtype).removeprefix("torch.")
    return config


def _check_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} has no tokenizer.json, without which the copy can't be read")
    if isinstance(tokenizer.chat_template, dict):
        names = ", ".join(tokenizer.chat_template)
        raise ValueError(f"the tokenizer has several chat templates ({names}); set `chat_template` to one of them")


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: dict, folder: Path) -> None:
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)  # nothing is generated
    _write_json(folder / "config.json", config)
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    _write_json(file, legacy_tokenizer_config(json.loads(file.read_text(encoding="utf-8"))))
    _check_weights(model, folder)
    _check_tokens(tokenizer, folder)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_weights(model: PreTrainedModel, folder: Path) -> None:
    """Every weight lies in the copy under its name, with its values; one at a time, as they may fill the memory."""
    state = model.state_dict()
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    found = set()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                if name not in state or not torch.equal(file.get_tensor(name), state[name].detach().cpu()):
                    raise ValueError(f"{path.name} has other weights than the model: {name}")
                found.add(name)
    if missing := sorted(set(state) - found - tied):
        raise ValueError(f"{len(missing)} weights of the model were not saved under their name, such as {missing[0]}")


def _check_tokens(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """The class that reads the copy gives the same tokens."""
    read = PreTrainedTokenizerFast.from_pretrained(folder)
    for text in _PROBES:
        if read(text)["input_ids"] != tokenizer(text)["input_ids"]:
            raise ValueError(f"tokens of {text!r} change when PreTrainedTokenizerFast reads the tokenizer's files")
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if getattr(read, name) != getattr(tokenizer, name):
            raise ValueError(f"`{name}` changes when PreTrainedTokenizerFast reads the tokenizer's files")
    if read.chat_template != tokenizer.chat_template:
        raise ValueError("the chat template changes when PreTrainedTokenizerFast reads the tokenizer's files")
