"""Train the last layers of a decoder on hidden states of the frozen ones, which are computed once per text."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel


logger = logging.getLogger(__name__)


def freeze_lower_layers(model: PreTrainedModel, trainable_layers: int) -> None:
    """
    Freeze everything but the last layers, the final norm and the reward head.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            Decoder with a classification head (Llama, Qwen, Mistral, ... ).
        trainable_layers (`int`):
            Number of layers to train, at least 1 and fewer than the model has.

    Raises:
        ValueError: If the model isn't a decoder of that form, or has not that many layers.
    """
    decoder = _decoder(model, trainable_layers)
    model.requires_grad_(True)
    decoder.embed_tokens.requires_grad_(False)
    decoder.layers[:-trainable_layers].requires_grad_(False)


@contextmanager
def cached_lower_layers(
    model: PreTrainedModel, trainable_layers: int, cache_dir: str | Path, dtype: torch.dtype = torch.bfloat16
) -> Iterator[None]:
    """
    Within the context, the frozen layers of a model are computed once per sequence and then read from a file.

    Made for many short runs on the same texts, as the cells of an experiment: training two of SmolLM2's thirty layers
    costs a tenth, and so does the next run. The rows have to be padded on the right (`shared_prefix=False`). The
    hidden states are kept in `cache_dir` under a hash of the frozen weights, in memory while the context is open, and
    written when it ends.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            Model for which [`freeze_lower_layers`] was called. Inside the context it has the trained layers only;
            afterwards it is whole again.
        trainable_layers (`int`):
            As there.
        cache_dir (`str` or `Path`):
            Directory for the hidden states: `hidden_size` numbers for every token.
        dtype (`torch.dtype`, *optional*, defaults to `torch.bfloat16`):
            Type in which the hidden states are computed (under autocast, unless it is float32) and kept.
    """
    decoder = _decoder(model, trainable_layers)
    frozen = decoder.layers[:-trainable_layers]
    if any(parameter.requires_grad for module in (frozen, decoder.embed_tokens) for parameter in module.parameters()):
        raise ValueError("the lower layers are not frozen: call freeze_lower_layers first")
    layers, embedding, norm = decoder.layers, decoder.embed_tokens, decoder.norm
    store = _HiddenStates(Path(cache_dir), _name(decoder, trainable_layers, dtype))

    @torch.no_grad()
    def compute(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        trained = (decoder.layers, decoder.embed_tokens, decoder.norm)
        decoder.layers, decoder.embed_tokens, decoder.norm = frozen, embedding, nn.Identity()
        was_training = decoder.training
        decoder.eval()
        try:
            with torch.autocast(input_ids.device.type, dtype=dtype, enabled=dtype != torch.float32):
                states = decoder(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
            return states.last_hidden_state
        finally:
            decoder.layers, decoder.embed_tokens, decoder.norm = trained
            decoder.train(was_training)

    decoder.layers = layers[-trainable_layers:]
    decoder.embed_tokens = _CachedEmbedding(compute, store, model.config.pad_token_id, dtype, embedding.weight.dtype)
    try:
        yield
    finally:
        decoder.layers, decoder.embed_tokens, decoder.norm = layers, embedding, norm
        store.save()


class _CachedEmbedding(nn.Module):
    """Stands where the token embedding is: maps ids `(B, T)` to the hidden states after the frozen layers `(B, T, H)`."""

    def __init__(self, compute, store: "_HiddenStates", pad_token_id: int, dtype: torch.dtype, out_dtype: torch.dtype):
        super().__init__()
        self.compute, self.store, self.pad_token_id = compute, store, pad_token_id
        self.dtype, self.out_dtype = dtype, out_dtype

    def forward(self, input_ids: Tensor) -> Tensor:
        real = input_ids != self.pad_token_id
        lengths = real.sum(1).tolist()
        if not torch.equal(real, torch.arange(real.shape[1], device=real.device) < real.sum(1, keepdim=True)):
            raise ValueError("rows must be padded on the right, and the padding token must not occur in a text")
        keys = [_key(ids[:length]) for ids, length in zip(input_ids, lengths, strict=True)]
        if missing := [row for row, key in enumerate(keys) if key not in self.store.states]:
            longest = max(lengths[row] for row in missing)
            states = self.compute(input_ids[missing, :longest], real[missing, :longest].long()).to(self.dtype)
            for row, hidden in zip(missing, states, strict=True):
                self.store.add(keys[row], hidden[: lengths[row]].cpu().clone())
        rows = [self.store.states[key] for key in keys]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        padded = nn.functional.pad(padded, (0, 0, 0, input_ids.shape[1] - padded.shape[1]))
        return padded.to(device=input_ids.device, dtype=self.out_dtype)


class _HiddenStates:
    """Hidden states by key: read from the files of a directory, new ones written to a file of their own."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.states: dict[str, Tensor] = {}
        self.new: set[str] = set()
        for file in sorted(folder.glob(f"{name}-*.safetensors")):
            try:
                self.states |= load_file(file)
            except (OSError, SafetensorError) as error:
                logger.warning("%s can't be read and is ignored, its texts are computed again: %s", file, error)

    def add(self, key: str, states: Tensor) -> None:
        self.states[key] = states
        self.new.add(key)

    def save(self) -> None:
        if not self.new:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256("".join(sorted(self.new)).encode()).hexdigest()[:16]
        path = self.folder / f"{self.name}-{digest}.safetensors"
        temporary = path.with_suffix(".tmp")
        save_file({key: self.states[key] for key in self.new}, temporary)
        temporary.replace(path)
        self.new.clear()


def _key(ids: Tensor) -> str:
    return hashlib.sha256(ids.cpu().to(torch.int64).numpy().tobytes()).hexdigest()[:32]


def _name(decoder: nn.Module, trainable_layers: int, dtype: torch.dtype) -> str:
    """Names what the hidden states depend on: the frozen weights, their number of layers, the type."""
    digest = hashlib.sha256(repr((decoder.config.to_diff_dict(), str(dtype))).encode())
    for module in (decoder.embed_tokens, *decoder.layers[:-trainable_layers]):
        for parameter in module.parameters():
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy())
    return f"{len(decoder.layers) - trainable_layers}-layers-{digest.hexdigest()[:16]}"


def _decoder(model: PreTrainedModel, trainable_layers: int) -> nn.Module:
    decoder = model.base_model
    if not all(hasattr(decoder, name) for name in ("layers", "embed_tokens", "norm")):
        raise ValueError(
            f"{type(model).__name__} is not a decoder with `embed_tokens`, `layers` and `norm`: its lower layers can't be "
            "told apart. Train the whole model, or LoRA."
        )
    if len(set(getattr(model.config, "layer_types", None) or [None])) > 1:
        raise ValueError(f"the layers of {type(model).__name__} attend in different ways: they can't be divided")
    if not 1 <= trainable_layers < len(decoder.layers):
        raise ValueError(f"trainable_layers must be from 1 to {len(decoder.layers) - 1}, got {trainable_layers}")
    return decoder
