"""Train the last layers of a model on hidden states of the frozen ones, which are computed once per text."""

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
    Freeze the embedding and the lower layers: the last layers and what follows them, the reward head too, are trained.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            Decoder (Llama, Qwen, Mistral, ... ) or encoder (Bert, Roberta, ...) with a classification head.
        trainable_layers (`int`):
            Number of layers to train, at least 1 and fewer than the model has.

    Raises:
        ValueError: If the model isn't of that form, or has not that many layers.
    """
    stack = _Stack(model, trainable_layers)
    model.requires_grad_(True)
    stack.embedding.requires_grad_(False)
    stack.layers[:-trainable_layers].requires_grad_(False)


@contextmanager
def cached_lower_layers(
    model: PreTrainedModel, trainable_layers: int, cache_dir: str | Path, dtype: torch.dtype = torch.bfloat16
) -> Iterator[None]:
    """
    Within the context, the frozen layers of a model are computed once per sequence and then read from a file.

    Made for many short runs on the same texts, as the cells of an experiment: of SmolLM2's thirty layers, training the
    last two costs a tenth. The rows have to be padded on the right (`shared_prefix=False`). The hidden states are kept
    in `cache_dir` under a hash of the frozen weights, in memory while the context is open, and written when it ends.

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

    Example:
        ```python
        >>> freeze_lower_layers(trainer.model, 2)
        >>> with cached_lower_layers(trainer.model, 2, "hidden-states"):
        ...     trainer.train()
        >>> trainer.save_model()  # the whole model
        ```
    """
    stack = _Stack(model, trainable_layers)
    layers, embedding = stack.layers, stack.embedding
    frozen = layers[:-trainable_layers]
    if any(parameter.requires_grad for module in (frozen, embedding) for parameter in module.parameters()):
        raise ValueError("the lower layers are not frozen: call freeze_lower_layers first")
    norm = stack.norm
    store = _HiddenStates(Path(cache_dir), stack.fingerprint(dtype))

    @torch.no_grad()
    def compute(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        trained = (stack.embedding, stack.layers)
        stack.embedding, stack.layers, stack.norm = embedding, frozen, nn.Identity()
        was_training = stack.model.training
        stack.model.eval()
        try:
            with torch.autocast(input_ids.device.type, dtype=dtype, enabled=dtype != torch.float32):
                return stack.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        finally:
            stack.embedding, stack.layers = trained
            stack.norm = norm
            stack.model.train(was_training)

    width = next(embedding.parameters()).dtype
    stack.embedding = _CachedEmbedding(compute, store, model.config.pad_token_id, dtype, width)
    stack.layers = layers[-trainable_layers:]
    try:
        yield
    finally:
        stack.embedding, stack.layers = embedding, layers
        store.save()


class _Stack:
    """Embedding, layers and final norm of a decoder or an encoder, each to be read and replaced under one name."""

    def __init__(self, model: PreTrainedModel, trainable_layers: int):
        self.model = model.base_model
        encoder = getattr(self.model, "encoder", None)
        if all(hasattr(self.model, name) for name in ("layers", "embed_tokens", "norm")):
            self.places = {name: (self.model, name) for name in ("layers", "norm")}
            self.places["embedding"] = (self.model, "embed_tokens")
        elif hasattr(self.model, "embeddings") and hasattr(encoder, "layer"):
            self.places = {"embedding": (self.model, "embeddings"), "layers": (encoder, "layer")}
        else:
            raise ValueError(
                f"{type(model).__name__} is neither a decoder with `embed_tokens`, `layers` and `norm` nor an encoder with "
                "`embeddings` and `encoder.layer`: its lower layers can't be told apart. Train the whole model, or LoRA."
            )
        if len(set(getattr(model.config, "layer_types", None) or [None])) > 1:
            raise ValueError(f"the layers of {type(model).__name__} attend in different ways: they can't be divided")
        if not 1 <= trainable_layers < len(self.layers):
            raise ValueError(f"trainable_layers must be from 1 to {len(self.layers) - 1}, got {trainable_layers}")
        self.frozen_layers = len(self.layers) - trainable_layers

    def _get(self, name: str) -> nn.Module | None:
        return getattr(*self.places[name]) if name in self.places else None

    def _set(self, name: str, module: nn.Module | None) -> None:
        if name in self.places:
            setattr(*self.places[name], module)

    embedding = property(lambda self: self._get("embedding"), lambda self, module: self._set("embedding", module))
    layers = property(lambda self: self._get("layers"), lambda self, module: self._set("layers", module))
    norm = property(lambda self: self._get("norm"), lambda self, module: self._set("norm", module))

    def fingerprint(self, dtype: torch.dtype) -> str:
        """Names what the hidden states depend on: the frozen weights, their number of layers, the type."""
        digest = hashlib.sha256(repr((self.model.config.to_diff_dict(), str(dtype))).encode())
        for module in (self.embedding, *self.layers[: self.frozen_layers]):
            for parameter in module.parameters():
                digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy())
        return f"{self.frozen_layers}-layers-{digest.hexdigest()[:16]}"


class _CachedEmbedding(nn.Module):
    """Stands where the token embedding is: maps ids `(B, T)` to the hidden states after the frozen layers `(B, T, H)`."""

    def __init__(self, compute, store: "_HiddenStates", pad_token_id: int, dtype: torch.dtype, out_dtype: torch.dtype):
        super().__init__()
        self.compute, self.store, self.pad_token_id = compute, store, pad_token_id
        self.dtype, self.out_dtype = dtype, out_dtype

    def forward(
        self, input_ids: Tensor, **unused
    ) -> Tensor:  # an encoder passes positions and token types, all default
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
