"""The model and the tokenizer of a scorer: where they come from, and what identifies them."""

import dataclasses
import enum
import hashlib
import inspect
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.hub import cached_file, has_file
from transformers.utils.peft_utils import find_adapter_config_file

from ..data.bundled import resolve_model
from ..data.checks import shorten
from ..model_entries import REWARD_HEAD, name_outputs
from ..shared_prefix import SharedPrefixReport, core_model, enable_shared_prefix
from ..trainer.head_fingerprint import FITTED_ENTRIES
from ..trainer.reward_head import run_head_in_float32
from .reduction import Reduction, check_reduction, stored_reduction


logger = logging.getLogger(__name__)

_ALIGNMENT = 64  # bytes
# Names and versions, and what scoring sets itself or records as a setting of its own
_NOT_FINGERPRINTED = {
    *("_name_or_path", "_commit_hash", "transformers_version", "architectures", "dtype", "torch_dtype"),
    *("_attn_implementation", "_attn_implementation_internal", "attn_implementation", "use_cache", "pad_token_id"),
    *("base_model_name_or_path", "revision", "peft_version", "inference_mode"),
    "reward_calibration",  # raw rewards do not depend on it; calibrated ones have a fingerprint of their own
    *("reward_intervals", "id2label", "label2id"),  # nor on these
}


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """
    A reward model by name.

    Args:
        name (`str`): Hub id or path of the model without adapter.
        adapter (`str`, *optional*): Hub id or path of a PEFT adapter on it.
        revision (`str`, *optional*): Revision of the model.
        adapter_revision (`str`, *optional*): Revision of the adapter.
        trust_remote_code (`bool`, *optional*, defaults to `False`): Run code from the model's repository.
        token (`str`, *optional*): Access token for private repositories. By default that of the environment.
        require_trained_head (`bool`, *optional*, defaults to `False`): Refuse a model with weights that its checkpoint
            lacks, which would be random.
    """

    name: str
    adapter: str | None = None
    revision: str | None = None
    adapter_revision: str | None = None
    trust_remote_code: bool = False
    token: str | None = dataclasses.field(default=None, repr=False)
    require_trained_head: bool = False

    @classmethod
    def find(
        cls,
        name: str,
        adapter: str | None,
        revision: str | None,
        trust_remote_code: bool,
        token: str | None = None,
        require_trained_head: bool = False,
    ) -> "ModelSource":
        """Resolve bundled models, paths that begin with `~`, and names that are those of an adapter."""
        name = resolve_model(name)
        config_file = None
        if adapter is None:
            config_file = find_adapter_config_file(name, revision=revision, token=token)
        if config_file is not None:
            config = json.loads(Path(config_file).read_text(encoding="utf-8"))
            base = resolve_model(config["base_model_name_or_path"])
            arguments = (base, name, config.get("revision"), revision)
        else:
            arguments = (name, adapter, revision, None)
        return cls(*arguments, trust_remote_code, token, require_trained_head)

    @property
    def _base_arguments(self) -> dict[str, Any]:
        return {
            "revision": self.revision or "main",
            "trust_remote_code": self.trust_remote_code,
            "token": self.token,
        }

    @property
    def _adapter_arguments(self) -> dict[str, Any]:
        return {"revision": self.adapter_revision or "main", "token": self.token}

    def load_config(self, reduction: Reduction | None = None) -> PretrainedConfig:
        """
        Configuration of a model with one label, or of several with a `reduction` or an entry that says what they are; an
        untrained head is announced. What a class with code of its own puts out is known when it runs.
        """
        config = AutoConfig.from_pretrained(self.name, **self._base_arguments)
        if self.has_own_code(config):
            return config
        has_head = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
        if self.adapter is not None:
            of_adapter = {"revision": self.adapter_revision, "token": self.token}
            for fitted in FITTED_ENTRIES:  # what the base model has is of its own rewards
                values = fitted.read(self.adapter, **of_adapter)
                if values is not None:
                    setattr(config, fitted.key, values)
                elif hasattr(config, fitted.key):
                    delattr(config, fitted.key)
            entry = REWARD_HEAD.read(self.adapter, **of_adapter)
            if entry is not None:  # the adapter brings a head of its own
                name_outputs(config, entry)
                check_reduction(config.num_labels, stored_reduction(config, reduction))
                return config
        if has_head:
            check_reduction(config.num_labels, stored_reduction(config, reduction))
            return config
        if reduction is not None:
            raise ValueError(
                f"`reduction` needs a model that was saved as …ForSequenceClassification; {self.name} has no trained head"
            )
        if self.adapter is None and self.require_trained_head:
            kinds = ", ".join(config.architectures or ["no architecture"])
            raise ValueError(
                f"{self.name} has no trained reward head ({kinds}): its rewards would come from a random one. Give a "
                "model that was saved as …ForSequenceClassification with num_labels=1, or for a try "
                "require_trained_head=False."
            )
        if self.adapter is None:
            logger.warning("%s has no trained reward head: its rewards come from a random one.", self.name)
        config.num_labels = 1
        return config

    def has_own_code(self, config: PretrainedConfig) -> bool:
        """
        Whether the model's class comes with its repository. Without leave to run it that is an error: transformers would
        take its own class for the kind of model, with a random head.
        """
        own_class = (getattr(config, "auto_map", None) or {}).get("AutoModelForSequenceClassification")
        if own_class is None:
            return False
        if self.trust_remote_code:
            return True
        if any(hasattr(transformers, name) for name in config.architectures or ()):
            return False
        raise ValueError(
            f"{self.name} comes with code of its own ({own_class}), which would run on this machine with your rights. Read "
            "it, then allow it with trust_remote_code=True (--trust-remote-code)."
        )

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """The adapter's tokenizer if it was saved with it, else the model's."""
        if self.adapter is not None and has_file(self.adapter, "tokenizer_config.json", **self._adapter_arguments):
            return AutoTokenizer.from_pretrained(
                self.adapter, trust_remote_code=self.trust_remote_code, **self._adapter_arguments
            )
        return AutoTokenizer.from_pretrained(self.name, **self._base_arguments)

    def load_model(
        self, config: PretrainedConfig, dtype: str | torch.dtype, attn_implementation: str | None, device: torch.device
    ) -> nn.Module:
        """The model on its device; weights from safetensors files only."""
        model, info = AutoModelForSequenceClassification.from_pretrained(
            self.name,
            config=config,
            dtype=dtype,
            attn_implementation=attn_implementation,
            use_safetensors=True,
            output_loading_info=True,
            **self._base_arguments,
        )
        if self.adapter is not None:
            from peft import PeftModel

            if not has_file(self.adapter, "adapter_model.safetensors", **self._adapter_arguments):
                raise OSError(f"{self.adapter} has no adapter_model.safetensors; adapters in pickles are not loaded")
            model = PeftModel.from_pretrained(model, self.adapter, **self._adapter_arguments)
        if self.require_trained_head:
            self._check_no_weight_is_random(info["missing_keys"])
        return align_tensors(model.to(device))

    def _check_no_weight_is_random(self, missing: Iterable[str]) -> None:
        """Raise a `ValueError` if a weight is neither in the model's checkpoint nor in the adapter's."""
        if self.adapter is not None:
            arguments = {name: value for name, value in self._adapter_arguments.items() if value is not None}
            with safe_open(cached_file(self.adapter, "adapter_model.safetensors", **arguments), "pt") as file:
                adapted = [name.replace("modules_to_save.", "") for name in file.keys()]
            missing = [name for name in missing if not any(other.endswith(f".{name}") for other in adapted)]
        if missing := sorted(missing):
            raise ValueError(
                f"{self.name}: {len(missing)} weights of the reward model are not in the checkpoint and would be random: "
                f"{shorten(missing)}. It may be of another class than …ForSequenceClassification."
            )


def align_tensors(model: nn.Module) -> nn.Module:
    """
    The model, with tensors of the CPU where PyTorch's own memory would begin. Weights that are mapped from a file begin
    anywhere, kernels of the CPU round in another way there, and whether they are mapped differs between one process and
    several: equal rewards to the last bit need one beginning for all.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu" and tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()
    return model


def check_one_label(config: PretrainedConfig) -> None:
    """Raise a `ValueError` unless the configuration is that of a model with one reward, whatever it is made of."""
    check_reduction(config.num_labels, stored_reduction(config, None))


def has_own_code(model: PreTrainedModel) -> bool:
    """Whether the code that makes a model's output is not that of transformers."""
    return not type(model).forward.__module__.startswith("transformers.")


def code_fingerprint(model: PreTrainedModel) -> str | None:
    """SHA-256 of the file with the code of such a model; `None` for those of transformers, or if there is no file."""
    if not has_own_code(model):
        return None
    try:
        source = inspect.getsource(inspect.getmodule(inspect.unwrap(type(model).forward)))
    except (OSError, TypeError):  # typed into a console
        return None
    return hashlib.sha256(source.encode()).hexdigest()


def prepare_model(model: nn.Module, shared_prefix: bool) -> SharedPrefixReport:
    """Let the head compute in float32 and, if asked for and possible, each distinct prefix be computed once."""
    core = core_model(model)
    run_head_in_float32(model, core.config.num_labels)
    if not shared_prefix:
        return SharedPrefixReport(False, "it was not asked for")
    if has_own_code(core):  # what it makes of the states of its last tokens is its own affair
        report = SharedPrefixReport(False, f"its class {type(core).__name__} is not one of transformers")
    else:
        report = enable_shared_prefix(model)
    if not report.enabled:
        logger.warning("This model can't share prefixes, so that every sequence is computed whole: %s.", report.reason)
    return report


def load_tokenizer_of(model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """The tokenizer that lies where a model was loaded from."""
    name = model.config._name_or_path
    if not name:
        raise ValueError("the model was not loaded by name, so that its tokenizer is unknown: give `processing_class`")
    return AutoTokenizer.from_pretrained(name)


def weights_fingerprint(model: nn.Module) -> str:
    """SHA-256 over all tensors of a model, one at a time, with their names and shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().flatten().contiguous().cpu().view(torch.uint8).numpy())
    return digest.hexdigest()


def config_fingerprint(model: nn.Module) -> str:
    """
    SHA-256 of what beside the weights makes a model's rewards: its configuration, and its adapters' with those that are
    active. Not of where they were loaded from, nor of what scoring sets itself.
    """
    core = core_model(model)
    facts = {"model": _plain(core.config.to_dict())}
    adapters = getattr(model, "peft_config", None) or getattr(core, "peft_config", None)
    if adapters:
        active = model.active_adapters
        facts["adapters"] = {name: _plain(config.to_dict()) for name, config in adapters.items()}
        facts["active"] = active() if callable(active) else active
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """What JSON writes the same way in every process, without the entries that change no reward."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items() if name not in _NOT_FINGERPRINTED}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of a tokenizer: vocabulary, rules where it is a fast one, and special tokens."""
    rules = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else json.dumps(tokenizer.get_vocab())
    special = json.dumps(tokenizer.special_tokens_map, default=str, sort_keys=True)
    return hashlib.sha256((rules + special).encode()).hexdigest()
