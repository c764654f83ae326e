"""A rewriter by its kind, for scripts and configs."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..attributes.attribute import Attribute
from .rewriter import Rewriter


if TYPE_CHECKING:
    from ...completions import Prices

KINDS = ("openai", "batch", "local", "rules")
_CHAT_OPTIONS = (
    "length_factor",
    "repetition",
    "parse_attempts",
    "max_failures",
    "max_consecutive_errors",
    "strip_preamble",
)


def make_rewriter(
    kind: str,
    attribute: Attribute,
    *,
    model: str | None = None,
    store_path: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    sampling: Mapping[str, Any] | None = None,
    prices: "Prices | Mapping[str, float] | None" = None,
    progress: bool = True,
) -> Rewriter:
    """
    A rewriter by its kind. Everything is checked before anything is loaded or sent.

    Args:
        kind (`str`):
            `"openai"`: a server, asked at once; `"batch"`: a server, asked in batches; `"local"`: a Hugging Face model in
            this process; `"rules"`: the rules of the attribute, without a model.
        attribute ([`Attribute`]):
            What is changed.
        model (`str`, *optional*):
            Name at the server, Hub id or path. Needed but for rules.
        store_path (`str` or `Path`, *optional*):
            JSONL file of the answers. Needed but for rules.
        options (`Mapping`, *optional*):
            Further arguments of [`~trl_ext.completions.OpenAIBackend`], [`~trl_ext.completions.BatchBackend`] (its
            `folder` is `batches` beside the store unless it is given) or [`~trl_ext.completions.LocalBackend`], and those
            of [`ChatRewriter`] that are numbers or flags; for rules those of [`~trl_ext.rate.rules.rule_rewriter`].
        sampling (`Mapping`, *optional*):
            Arguments of [`~trl_ext.completions.Sampling`] that are to differ from those of [`ChatRewriter`].
        prices ([`~trl_ext.completions.Prices`] or `Mapping`, *optional*):
            Prices of a million tokens, `prompt` and `completion`.
        progress (`bool`, *optional*, defaults to `True`):
            Show progress bars.

    Returns:
        [`Rewriter`]

    Raises:
        ValueError: The kind or an option is unknown, or what it needs is missing. The allowed ones are named.

    Example:
        ```python
        >>> from trl_ext.rate import Attribute, make_rewriter
        >>> length = Attribute("length", "longer", "shorter", "Make this text {target}: {text}")
        >>> options = {"base_url": "http://localhost:8000/v1", "api_key_env": None, "strip_preamble": True}
        >>> rewriter = make_rewriter("openai", length, model="llama", store_path="answers.jsonl", options=options)
        >>> rewriter.name, rewriter.strip_preamble
        ('llama', True)

        ```
    """
    if kind not in KINDS:
        raise ValueError(f"the kind of a rewriter must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    options = dict(options or {})
    if kind == "rules":
        given = {"model": model, "sampling": sampling, "prices": prices}
        surplus = [name for name, value in given.items() if value is not None]
        if surplus:
            raise ValueError(f"rules ask no model: leave out {', '.join(surplus)}")
        from ..rules import rule_rewriter

        return rule_rewriter(attribute.name, **options)
    for name, value in (("model", model), ("store_path", store_path)):
        if not value:
            raise ValueError(f"a rewriter of kind {kind!r} needs `{name}`, got {value!r}")
    from ...completions import Prices, Sampling
    from .chat_rewriter import ChatRewriter

    backend_class = _backend_class(kind)
    if kind == "batch":
        options = {"folder": Path(store_path).parent / "batches", "progress": progress, **options}
    allowed = set(inspect.signature(backend_class).parameters) - {"model"}
    _check_names("options", options, allowed | set(_CHAT_OPTIONS), kind)
    _check_names("sampling", sampling or {}, set(inspect.signature(Sampling).parameters) - {"form"}, kind)
    if isinstance(prices, Mapping):
        _check_names("prices", prices, {"prompt", "completion"}, kind)
        prices = Prices(**prices)
    chat_options = {name: options.pop(name) for name in _CHAT_OPTIONS if name in options}
    return ChatRewriter(
        backend_class(model, **options),
        attribute,
        store_path,
        sampling=Sampling(**{"temperature": 0.7, "max_tokens": None, **(sampling or {})}),
        prices=prices,
        progress=progress,
        **chat_options,
    )


def _backend_class(kind: str) -> Any:
    if kind == "local":
        from ...completions import LocalBackend

        return LocalBackend
    if kind == "batch":
        from ...completions import BatchBackend

        return BatchBackend
    from ...completions import OpenAIBackend

    return OpenAIBackend


def _check_names(what: str, given: Mapping[str, Any], allowed: set[str], kind: str) -> None:
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise ValueError(
            f"`{what}` of a rewriter of kind {kind!r} has no {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(sorted(allowed))}"
        )
