"""Which models can compute shared prefixes exactly: structural reasons against it, and a check on the model itself."""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .attention import observed_masks
from .forward import add_plan_to_forward, attention_without_plan, core_model, remove_plan_from_forward
from .plan import build_plan


logger = logging.getLogger(__name__)

# Largest relative difference between shared and one-by-one rewards that rounding explains
TOLERANCES = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}

_KNOWN_LAYER_TYPES = {"full_attention", "sliding_attention"}
_LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}


@dataclasses.dataclass(frozen=True)
class SharedPrefixReport:
    """
    Whether a model computes shared prefixes, and why not if it does not.

    Args:
        enabled (`bool`):
            Whether shared prefixes are used.
        reason (`str`, *optional*):
            Why not.
        max_relative_difference (`float`, *optional*):
            Largest difference between shared and one-by-one states before the head in the self-check, relative to the
            largest state.
        dtype (`str`, *optional*):
            Precision of the self-check.
    """

    enabled: bool
    reason: str | None = None
    max_relative_difference: float | None = None
    dtype: str | None = None

    def to_dict(self) -> dict[str, bool | str | float | None]:
        """The fields, for a JSON record."""
        return dataclasses.asdict(self)


def unsupported_reason(model: nn.Module) -> str | None:
    """
    Return why a model can't share prefixes, as far as its configuration and structure tell; `None` if nothing speaks
    against it. The last word has [`self_check`].
    """
    model = core_model(model)
    config = model.config.get_text_config()
    if model.config.is_encoder_decoder:
        return "it is an encoder-decoder"
    if not isinstance(getattr(model, "score", None), nn.Module):
        return "its head is not a `score` layer on the last token"
    if model.base_model is model:
        return "it has no base model beneath its head"
    if not getattr(config, "is_causal", True) or getattr(config, "use_bidirectional_attention", None) in (True, "all"):
        return "its attention is bidirectional"
    if not model._can_set_attn_implementation():
        return "its attention does not go through transformers' AttentionInterface"
    if getattr(config, "alibi", False):
        return "it uses ALiBi"
    other = set(getattr(config, "layer_types", None) or ()) - _KNOWN_LAYER_TYPES
    if other:
        return f"it has layers of type {', '.join(sorted(other))}"
    if getattr(config, "attention_chunk_size", None):
        return "its attention is chunked"
    rope_types = _rope_types(getattr(config, "rope_parameters", None) or {})
    if rope_types & _LENGTH_DEPENDENT_ROPE:
        return "its rotary embedding depends on the longest sequence of the batch"
    return None


def _rope_types(parameters: dict) -> set[str]:
    """Kinds of rotary embedding; models with several kinds of layers have one set of parameters for each."""
    types = {parameters["rope_type"]} if "rope_type" in parameters else set()
    for value in parameters.values():
        if isinstance(value, dict):
            types |= _rope_types(value)
    return types


def active_dropout(model: nn.Module) -> bool:
    """Whether any dropout would act in training: sequences that share a token would share its dropout."""
    return any(
        (isinstance(module, nn.Dropout) and module.p > 0)
        or any("dropout" in name and isinstance(value, float) and value > 0 for name, value in vars(module).items())
        for module in model.modules()
    )


def enable_shared_prefix(model: nn.Module, *, check: bool = True) -> SharedPrefixReport:
    """
    Prepare a sequence-classification model for plans, if it can compute them exactly.

    Its attention implementation becomes `shared_prefix` (which on ordinary inputs does what `sdpa` does), and its forward
    method takes the inputs of a plan beside the usual ones. A model that fails the check is left as it was.

    Args:
        model ([`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            Model with a `score` head on a causal decoder.
        check (`bool`, *optional*, defaults to `True`):
            Run [`self_check`] at once. `False` leaves it to the caller: a model whose parameters are not whole yet
            (ZeRO-3, FSDP) can't run here.

    Returns:
        [`SharedPrefixReport`]: Whether it is enabled, or why not.

    Example:
        ```python
        >>> from transformers import AutoModelForSequenceClassification
        >>> from trl_ext.shared_prefix import build_plan, enable_shared_prefix

        >>> model = AutoModelForSequenceClassification.from_pretrained("Qwen/Qwen3-0.6B", num_labels=1)
        >>> enable_shared_prefix(model).enabled
        True
        >>> plan = build_plan([[5, 6, 7, 1], [5, 6, 7, 2, 3]])
        >>> model(**plan.model_inputs()).logits.shape
        torch.Size([2, 1])
        ```
    """
    reason = unsupported_reason(model)
    if reason is not None:
        return SharedPrefixReport(False, reason)
    add_plan_to_forward(core_model(model))
    if not check:
        return SharedPrefixReport(True)
    try:
        report = self_check(model)
    except BaseException:
        disable_shared_prefix(model)
        raise
    if not report.enabled:
        disable_shared_prefix(model)
    return report


def disable_shared_prefix(model: nn.Module) -> None:
    """Undo [`enable_shared_prefix`]."""
    remove_plan_from_forward(core_model(model))


@torch.no_grad()
def self_check(model: nn.Module, context: Callable = nullcontext) -> SharedPrefixReport:
    """
    Compare what the head reads in packed rows and one by one, on the model itself.

    Two prompts with two responses each, of random tokens; one by one with the attention that the model came with. What the
    sequences are too short to show (a window, chunks) is read from the masks that the model asks for. The states before
    the head are compared, as a head may be zero. Every process must call this at the same time if the model is sharded.

    Args:
        model ([`~torch.nn.Module`]):
            Model prepared by [`enable_shared_prefix`], possibly wrapped.
        context (`Callable`, *optional*):
            Context of the forward passes, such as autocast.

    Returns:
        [`SharedPrefixReport`]: Whether the model passed.
    """
    core = core_model(model)
    device = core.get_input_embeddings().weight.device
    sequences = _check_sequences(core)
    training = model.training
    model.eval()
    try:
        with context(), attention_without_plan(core), _states_before_head(core) as alone:
            for sequence in sequences:
                _run_alone(model, sequence, device)
        with context(), observed_masks() as masks:
            _run_alone(model, sequences[0], device)
        reason = next(filter(None, (_mask_reason(*mask) for mask in masks)), None)
        if reason is None and not masks:
            reason = "it builds its attention masks itself"
        if reason is not None:
            return SharedPrefixReport(False, reason)
        plan = build_plan(sequences, min_shared_tokens=1).to(device)
        with context(), _states_before_head(core) as shared:
            model(**plan.model_inputs())
        return _compare(
            torch.cat([states[:, -1] for states in alone]), shared[0], _computed_dtype(core, context, device)
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # Models are free to do what no packed row survives; the reason is reported, the padded path still works
        return SharedPrefixReport(False, f"it failed on a packed row ({type(error).__name__}: {error})")
    finally:
        model.train(training)


def _compare(alone: Tensor, shared: Tensor, dtype: torch.dtype) -> SharedPrefixReport:
    difference = ((shared - alone).double().abs().max() / alone.double().abs().max()).item()
    name = str(dtype).removeprefix("torch.")
    if difference <= TOLERANCES[dtype]:
        return SharedPrefixReport(True, None, difference, name)
    reason = f"its states in a packed row and one by one differ by {difference:.1e} of the largest in {name}"
    return SharedPrefixReport(False, reason, difference, name)


@contextmanager
def _states_before_head(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Collect the inputs of the head."""
    states: list[Tensor] = []
    handle = model.score.register_forward_pre_hook(lambda module, inputs: states.append(inputs[0].detach()))
    try:
        yield states
    finally:
        handle.remove()


def _check_sequences(model: PreTrainedModel) -> list[list[int]]:
    """Two prompts with two responses each, one response opening like the other; no token is a pad token."""
    config = model.config.get_text_config()
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, min(config.vocab_size, 1000), (64,), generator=generator).tolist()
    tokens = [token if token != config.pad_token_id else (token + 1) % config.vocab_size for token in tokens]
    first, second, rest = tokens[:9], tokens[9:23], tokens[23:]
    return [first + rest[:3], first + rest[:2] + rest[3:10], second + rest[10:15], second + rest[15:17]]


def _run_alone(model: nn.Module, sequence: list[int], device: torch.device) -> None:
    input_ids = torch.tensor([sequence], device=device)
    model(input_ids=input_ids, attention_mask=torch.ones_like(input_ids), use_cache=False)


def _computed_dtype(model: PreTrainedModel, context: Callable, device: torch.device) -> torch.dtype:
    """Precision of the matrix products: autocast's inside its context, else that of the weights."""
    with context():
        if torch.is_autocast_enabled(device.type):
            return torch.get_autocast_dtype(device.type)
    return model.dtype


def _mask_reason(mask_function: Callable | None, window: int | None) -> str | None:
    """Why a mask can't be rebuilt from a layout and a window; `None` if it can."""
    if mask_function is None:
        return "it asks for a mask without saying which"

    def visible(query: int, key: int) -> bool:
        zero = torch.tensor(0)
        return bool(mask_function(zero, zero, torch.tensor(query), torch.tensor(key)))

    try:
        size = 8 if window is None else window
        # Ordinary causal attention sees every earlier key, a window the last `window` ones: checked beyond any chunk
        # border, where chunked attention would see fewer
        for query in (0, size - 1, size, size + 1, 2 * size + 1, 1_000_000):
            for key in {0, 1, query - size - 1, query - size, query - size + 1, query - 1, query, query + 1}:
                if key >= 0 and visible(query, key) != (key <= query and (window is None or key > query - window)):
                    return "its attention is neither causal nor a sliding window"
    except (IndexError, RuntimeError):
        return "its attention mask depends on the input"
    return None
