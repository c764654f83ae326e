"""The round trip of a reward model: what was saved gives the same rewards when anyone loads it."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from accelerate.state import AcceleratorState
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.integrations import is_deepspeed_zero3_enabled, unset_hf_deepspeed_config

from ..data.bundled import resolve_model
from ..model_entries import REWARD_HEAD, output_names
from ..scoring.reduction import rewards_of_output, stored_reduction


logger = logging.getLogger(__name__)

TOLERANCES = {torch.float64: 1e-5, torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 1e-2}

_QUESTIONS = (
    ("How many days does a leap year have?", "It has 366 days: February gets a 29th."),
    ("How many days does a leap year have?", "365."),
    ("Name a metal that is liquid at room temperature.", "Mercury."),
    (
        "Name a metal that is liquid at room temperature.",
        "I would rather talk about the weather, which is lovely today.",
    ),
)


class RoundTripError(RuntimeError):
    """The saved model does not give the rewards of the model that was saved."""


@dataclass(frozen=True)
class RoundTrip:
    """
    Result of [`verify_round_trip`].

    Args:
        rows (`int`): Texts that were compared.
        max_difference (`float`): Largest difference of rewards over every way of loading, relative for rewards above 1.
        tolerance (`float`): Largest difference that was accepted.
        loaders (`list[str]`): Ways of loading that were compared.
    """

    rows: int
    max_difference: float
    tolerance: float
    loaders: list[str]

    def to_dict(self) -> dict:
        return asdict(self)


@torch.inference_mode()
def _outputs(model: nn.Module, tokenizer, texts: Sequence[str]) -> np.ndarray:
    """Every output of the model for each text `(N, K)`."""
    outputs = []
    for text in texts:  # one by one: no padding, so nothing but model and tokenizer can differ
        # `text` is the whole sequence: special tokens stand in it already
        inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        inputs = {k: inputs[k].to(model.device) for k in ("input_ids", "attention_mask")}
        outputs.append(model(**inputs).logits.reshape(-1).double().cpu().numpy())
    return np.stack(outputs)


def _pipeline_outputs(model: nn.Module, tokenizer, texts: Sequence[str]) -> np.ndarray:
    classifier = pipeline("text-classification", model=model, tokenizer=tokenizer, device=model.device, top_k=None)
    places = {name: index for index, name in model.config.id2label.items()}
    found = np.empty((len(texts), len(places)))
    for row, scores in enumerate(classifier(list(texts), add_special_tokens=False)):
        for score in scores:
            found[row, places[score["label"]]] = score["score"]
    return found


def default_texts(processing_class) -> list[str]:
    """Whole sequences to compare rewards of, laid out with the chat template of the tokenizer if it has one."""
    if processing_class.chat_template is None:
        eos = processing_class.eos_token or ""
        return [f"Question: {question}\nAnswer: {answer}{eos}" for question, answer in _QUESTIONS]
    return [
        processing_class.apply_chat_template(
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], tokenize=False
        )
        for question, answer in _QUESTIONS
    ]


def _combined(outputs: np.ndarray, path: Path) -> np.ndarray:
    """The reward `(N, 1)` that a saved model's outputs `(N, K)` make."""
    reduction = stored_reduction(SimpleNamespace(reward_head=REWARD_HEAD.read(path)), None)
    return rewards_of_output(torch.from_numpy(outputs), len(outputs), reduction).double().numpy()[:, None]


def _load_full(path: Path, dtype: torch.dtype) -> nn.Module:
    return AutoModelForSequenceClassification.from_pretrained(path, dtype=dtype)


def _load_adapter(path: Path, dtype: torch.dtype) -> nn.Module:
    from peft import AutoPeftModelForSequenceClassification, PeftModel

    config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
    num_labels = len(output_names(REWARD_HEAD.read(path)) or [""])
    name = config["base_model_name_or_path"]
    base = resolve_model(name)
    if base == name:
        return AutoPeftModelForSequenceClassification.from_pretrained(path, num_labels=num_labels, dtype=dtype)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=num_labels, dtype=dtype)
    return PeftModel.from_pretrained(model, path)


@contextmanager
def whole_models() -> Iterator[None]:
    """
    Load models whole, on this process alone, for the duration of the context.

    Under ZeRO-3 transformers divides every model that is loaded among all processes, and waits for them.
    """
    if not is_deepspeed_zero3_enabled():
        yield
        return
    unset_hf_deepspeed_config()
    try:
        yield
    finally:
        AcceleratorState().deepspeed_plugin.set_deepspeed_weakref()


@contextmanager
def _without_mixed_precision(model: nn.Module) -> Iterator[None]:
    """Undo what `Accelerator.prepare` does to `forward`: autocast would round rewards that a loaded model does not round."""
    wrapped, original = model.__dict__.get("forward"), model.__dict__.get("_original_forward")
    if original is None:
        yield
        return
    model.forward = original
    try:
        yield
    finally:
        model.forward = wrapped


def verify_round_trip(
    model: nn.Module,
    processing_class,
    path: str | Path,
    texts: Sequence[str],
    tolerance: float | None = None,
    rewards: Sequence[float] | None = None,
) -> RoundTrip:
    """
    Load a saved reward model as any user would and compare its rewards with those of the model in memory. Of a model with
    several outputs all are compared.

    A full model is loaded with `AutoModelForSequenceClassification` and `AutoTokenizer`, in a padded batch too, and
    with `pipeline("text-classification")`, whose score must be the raw reward. An adapter (a directory with
    `adapter_config.json`) is loaded with PEFT, on the base model that [`~trl_ext.data.resolve_model`] finds.

    Args:
        model ([`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            The model that was saved.
        processing_class ([`~transformers.PreTrainedTokenizerBase`]):
            Its tokenizer.
        path (`str` or `Path`):
            Directory it was saved to.
        texts (`list[str]`):
            Whole sequences with their special tokens, as the model is to score them.
        tolerance (`float`, *optional*):
            Largest difference accepted, absolute for rewards up to 1 and relative above. Defaults to 1e-5 for a float32
            model.
        rewards (`list[float]`, *optional*):
            Rewards of `model`, where it can't be run here because its weights are divided among processes.

    Returns:
        [`RoundTrip`]: What was compared, and the largest difference.

    Raises:
        RoundTripError: If a reward differs by more than `tolerance`.

    Example:
        ```python
        >>> verify_round_trip(trainer.model, trainer.processing_class, "my-reward-model", ["2 + 2 = 4<|im_end|>"])
        RoundTrip(rows=1, max_difference=0.0, tolerance=1e-05, loaders=['AutoModel', 'pipeline'])
        ```
    """
    if not texts:
        raise ValueError("`texts` is empty: nothing to compare")
    path = Path(path)
    dtype = next(model.parameters()).dtype
    tolerance = TOLERANCES[dtype] if tolerance is None else tolerance
    if rewards is None:
        was_training = model.training
        model.eval()
        with _without_mixed_precision(model):
            expected = _outputs(model, processing_class, texts)
        model.train(was_training)
    else:
        expected = np.asarray(rewards, dtype=float)
        if expected.shape != (len(texts),):
            raise ValueError(f"`rewards` has shape {expected.shape}, expected one for each of {len(texts)} texts")
        expected = expected[:, None]

    tokenizer = AutoTokenizer.from_pretrained(path)
    is_adapter = (path / "adapter_config.json").is_file()
    with whole_models():
        load = _load_adapter if is_adapter else _load_full
        reloaded = load(path, dtype).to(model.device).eval()
    found: dict[str, np.ndarray] = {}
    if is_adapter:
        reloaded.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        found["PEFT"] = _outputs(reloaded, tokenizer, texts)
    else:
        found["AutoModel"] = _outputs(reloaded, tokenizer, texts)
        found["pipeline"] = _pipeline_outputs(reloaded, tokenizer, texts)
    if len(texts) > 1:
        tokenizer.padding_side = "right"
        batch = tokenizer(list(texts), return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
        with torch.inference_mode():
            logits = reloaded(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        found["padded batch"] = logits.double().cpu().numpy()
    if rewards is not None and found["padded batch" if len(texts) > 1 else next(iter(found))].shape[1] > 1:
        found = {name: _combined(values, path) for name, values in found.items()}
    scale = np.maximum(np.abs(expected), 1)
    differences = {name: float((np.abs(rewards - expected) / scale).max()) for name, rewards in found.items()}
    worst = max(differences, key=differences.get)
    if not differences[worst] <= tolerance:
        place = np.unravel_index((np.abs(found[worst] - expected) / scale).argmax(), expected.shape)
        raise RoundTripError(
            f"the model saved in {path.name!r} gives other rewards when loaded with {worst}: row {place[0]}, "
            f"{expected[place]:.6f} in memory, {found[worst][place]:.6f} reloaded (tolerance {tolerance:g})"
        )
    logger.info("Round trip of %s: largest difference %.2g over %d rows", path.name, differences[worst], len(texts))
    return RoundTrip(len(texts), differences[worst], tolerance, list(found))
