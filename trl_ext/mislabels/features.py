"""Frozen features of pairs: last hidden states of a model, computed once per text and kept in files."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..atomic_files import atomic_path
from ..data.bundled import resolve_model
from ..data.tokenization import tokenize_preferences


logger = logging.getLogger(__name__)

_KEPT_TOGETHER = 256  # texts per file: what an interrupted computation can lose


def pair_features(
    dataset: Dataset,
    model: str,
    *,
    cache_dir: str | Path | None = None,
    max_length: int | None = None,
    max_length_policy: str = "error",
    batch_size: int = 16,
    dtype: torch.dtype = torch.float32,
    device: str | None = None,
    progress: bool = True,
) -> np.ndarray:
    """
    Hidden state of prompt and chosen response minus that of prompt and rejected response.

    Of a decoder it is the state after the last token, where a reward head reads; of an encoder the mean over the tokens.
    The texts are tokenised as the trainers do. A folder of a trained reward model gives the features of its own head.

    Args:
        dataset ([`~datasets.Dataset`]):
            Preference rows that passed [`~trl_ext.data.validate_preferences`].
        model (`str`):
            Bundled model, Hub id or folder of any model of transformers, without an adapter.
        cache_dir (`str` or `Path`, *optional*):
            Folder in which the states are kept, under hashes of the weights and of the tokens: they are computed once,
            and an interrupted computation goes on. By default nothing is kept.
        max_length (`int`, *optional*):
            Largest number of tokens of a prompt with its response. By default the window of the model's positions.
        max_length_policy (`str`, *optional*, defaults to `"error"`):
            `"error"` or `"truncate_prompt_left"`, see [`~trl_ext.data.tokenize_preferences`]. No pair is left out.
        batch_size (`int`, *optional*, defaults to `16`):
            Texts computed at once.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`):
            Type of the weights.
        device (`str`, *optional*):
            By default the GPU if there is one.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar.

    Returns:
        `np.ndarray` of shape `(N, D)`: float64.

    Raises:
        `ValueError`: A folder with an adapter, or a pair that is too long, by its row.

    Example:
        ```python
        >>> x = pair_features(dataset, "bundled:all-minilm-l6-v2", cache_dir="outputs/features")
        >>> find_mislabels(dataset, x).table.head()
        ```
    """
    if max_length_policy not in ("error", "truncate_prompt_left"):
        raise ValueError(f"max_length_policy must be 'error' or 'truncate_prompt_left', got {max_length_policy!r}")
    path = resolve_model(model)
    if Path(path, "adapter_config.json").is_file():
        raise ValueError(
            f"'{model}' holds an adapter without its model: merge it (merge_and_unload) and save the whole"
        )
    tokenizer = AutoTokenizer.from_pretrained(path)
    if max_length is None:
        window = (
            getattr(AutoConfig.from_pretrained(path), "max_position_embeddings", None) or tokenizer.model_max_length
        )
        max_length = int(min(window, tokenizer.model_max_length))
    tokens, report = tokenize_preferences(
        dataset, tokenizer, max_length=max_length, max_length_policy=max_length_policy, name="train"
    )
    if report.dropped:
        raise ValueError(
            f"{report.describe()} Every pair needs features: raise max_length, or remove the rows whose responses alone "
            "are longer"
        )
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    network = AutoModel.from_pretrained(path, dtype=dtype).eval().to(device)
    states = _States(network, tokenizer, None if cache_dir is None else Path(cache_dir), batch_size, progress)
    chosen, rejected = (list(tokens[f"{name}_ids"]) for name in ("chosen", "rejected"))
    found = states.of(chosen + rejected)
    return found[: len(chosen)] - found[len(chosen) :]


class _States:
    """One hidden state per sequence of tokens, by a model, computed or read from files."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        folder: Path | None,
        batch_size: int,
        progress: bool,
    ):
        self.model, self.batch_size, self.folder, self.progress = model, batch_size, folder, progress
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0  # masked, so any id will do
        self.mean = hasattr(model, "encoder") and not getattr(model.config, "is_decoder", False)
        self.name = _fingerprint(model)
        self.kept: dict[str, Tensor] = {}
        for file in sorted(folder.glob(f"{self.name}-*.safetensors")) if folder else ():
            try:
                self.kept |= load_file(file)
            except (OSError, SafetensorError) as error:
                logger.warning("%s can't be read and is ignored, its texts are computed again: %s", file, error)

    def of(self, sequences: list[list[int]]) -> np.ndarray:
        keys = [hashlib.sha256(np.asarray(ids, np.int64).tobytes()).hexdigest()[:32] for ids in sequences]
        missing = {key: ids for key, ids in zip(keys, sequences, strict=True) if key not in self.kept}
        todo = sorted(missing, key=lambda key: len(missing[key]))
        with tqdm(total=len(todo), desc="Hidden states", disable=not self.progress or not todo) as bar:
            for start in range(0, len(todo), _KEPT_TOGETHER):
                part = todo[start : start + _KEPT_TOGETHER]
                new = {}
                for first in range(0, len(part), self.batch_size):
                    batch = part[first : first + self.batch_size]
                    new |= dict(zip(batch, self._compute([missing[key] for key in batch]), strict=True))
                    bar.update(len(batch))
                self.kept |= new
                self._save(new)
        return np.stack([self.kept[key].double().numpy() for key in keys])

    @torch.no_grad()
    def _compute(self, sequences: list[list[int]]) -> list[Tensor]:
        lengths = torch.tensor([len(ids) for ids in sequences])
        ids = torch.full((len(sequences), int(lengths.max())), self.pad)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        device = self.model.device
        states = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state.float().cpu()
        if self.mean:
            found = (states * mask[..., None]).sum(1) / lengths[:, None]
        else:
            found = states[torch.arange(len(lengths)), lengths - 1]
        return [row.clone() for row in found]

    def _save(self, states: dict[str, Tensor]) -> None:
        if self.folder is None:
            return
        digest = hashlib.sha256("".join(sorted(states)).encode()).hexdigest()[:16]
        with atomic_path(self.folder / f"{self.name}-{digest}.safetensors") as temporary:
            save_file(states, temporary)


def _fingerprint(model: PreTrainedModel) -> str:
    digest = hashlib.sha256(str(model.dtype).encode())
    for name, parameter in model.named_parameters():
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
